"""Tensors from elsewhere go where names and shapes fit, and the rest is told."""

import json
import shutil
import warnings

import pytest
import torch
from tiny_runs import BRIEF
from torch import nn

from vit.check.preflight import preflight
from vit.cli.compose import compose
from vit.faults import Refused
from vit.jobs.beginning import begin_from
from vit.jobs.training import train
from vit.models.pretrained.origin import Unfit
from vit.models.pretrained.sources import read_source
from vit.runs.checkpoint import read_checkpoint, write_checkpoint
from vit.runs.directory import RunFolder
from vit.runs.identity import config_hash
from vit.tasks.assembly import assemble_data, assemble_model
from vit.weights.of_run import of_model, source_of, start_from
from vit.weights.placing import placed, put


def trained(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return train(folder.path)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "source")
    folder.freeze(compose([*BRIEF, "head/pool=attention"]))
    assert trained(folder) == 0
    return folder


def model_of(config):
    return assemble_model(config, assemble_data(config).facts)


def test_what_fits_is_put_in_and_the_rest_is_named():
    model = nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Linear(3, 1), "n": nn.BatchNorm1d(3)})
    other = nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Linear(3, 4), "c": nn.Linear(1, 1)})
    given, before = (
        other.double().state_dict(),
        {n: t.clone() for n, t in model.state_dict().items()},
    )
    placement = put(given, model)
    assert placement.taken == ("a.weight", "a.bias")
    assert placement.resized == ("b.weight (4, 3) for (1, 3)", "b.bias (4,) for (1,)")
    assert placement.left_out == ("c.weight", "c.bias")
    assert [name.split(".")[0] for name in placement.new] == ["n"] * 5
    now = model.state_dict()
    assert torch.equal(now["a.weight"], given["a.weight"].float())
    assert all(torch.equal(now[name], before[name]) for name in now if name[0] != "a")
    assert placement.summary() == (
        "2 of 9 tensors taken; 2 of other shapes, so newly made: b.weight (4, 3) for (1, 3), "
        "b.bias (4,) for (1,); 5 newly made, as it has none: n.weight, n.bias, n.running_mean and "
        "2 more; 2 of its own left out: c.weight, c.bias"
    )
    assert placement.to_plain()["left_out_names"] == ["c.weight", "c.bias"]


def test_a_count_is_no_place_for_a_weight():
    norm = nn.BatchNorm1d(3)
    count = {"num_batches_tracked": torch.tensor(0.5)}
    assert placed(count, norm).taken == () and len(placed(count, norm).resized) == 1


def test_init_takes_the_selected_weights_bit_for_bit(source, tmp_path):
    config = compose([*BRIEF, "backbone.depth=2", "seed=5", f"init={source.path}"])
    model, fresh = model_of(config), model_of(config)
    fresh.load_state_dict(model.state_dict())
    begin_from(RunFolder(tmp_path), config, model, rank=0)
    kept = of_model(read_checkpoint(source.best_checkpoint)["state_dict"])
    now, before = model.state_dict(), fresh.state_dict()
    new = {name for name in now if name not in kept}
    assert {name.split(".")[2] for name in new if "blocks" in name} == {"1"}
    for name, tensor in now.items():
        assert torch.equal(tensor, before[name] if name in new else kept[name]), name


def test_a_run_tells_once_what_it_started_from_and_does_not_need_it_again(source, tmp_path):
    given = tmp_path / "given"
    shutil.copytree(source.path, given)
    config = compose([*BRIEF, "trainer.max_epochs=2", f"init={given}"])
    folder = RunFolder(tmp_path / "run")
    report = preflight(config, str(folder.path))
    init = report.sound.init
    assert report.faults == [] and init["content"] == source_of(str(given)).content
    assert init["left_out"] > 0 and all("pool" in name for name in init["left_out_names"])
    folder.freeze(config)
    folder.stamp_file.write_text(json.dumps({"init": init}))
    # Somebody trained it again meanwhile.
    again = read_checkpoint(given / "checkpoints/best.ckpt")
    name = next(iter(again["state_dict"]))
    again["state_dict"][name] = again["state_dict"][name] + 1
    write_checkpoint(again, given / "checkpoints/best.ckpt")
    assert trained(folder) == 2 and "has changed since" in folder.state().error
    shutil.rmtree(given)
    shutil.copytree(source.path, given)
    assert trained(folder) == 0
    assert folder.log_file.read_text().count("init: ") == 2  # the refusal, and what was taken
    shutil.rmtree(given)
    (folder.path / "metrics.json").unlink()
    assert preflight(config, str(folder.path)).faults == [] and trained(folder) == 0


@pytest.mark.parametrize(
    ("spoil", "words", "message"),
    [
        (shutil.rmtree, [], "there is no folder"),
        (lambda path: (path / "config.yaml").unlink(), [], "it holds no config.yaml"),
        (
            lambda path: (path / "state.json").unlink(),
            [],
            "is not begun; wanted a run",
        ),
        (lambda path: shutil.rmtree(path / "checkpoints"), [], "keeps no best.ckpt or last.ckpt"),
        (lambda path: None, ["backbone.dim=12", "backbone.heads=3"], "nothing of"),
    ],
)
def test_what_nothing_can_be_taken_from_is_refused(source, tmp_path, spoil, words, message):
    given = tmp_path / "given"
    shutil.copytree(source.path, given)
    spoil(given)
    config = compose([*BRIEF, *words, f"init={given}"])
    (fault,) = preflight(config).faults
    assert fault.where == "init" and message in fault.message


def test_weights_that_are_no_numbers_are_refused(source, tmp_path):
    given = tmp_path / "given"
    shutil.copytree(source.path, given)
    spoilt = read_checkpoint(given / "checkpoints/best.ckpt")
    name = next(name for name in spoilt["state_dict"] if "head" not in name)
    spoilt["state_dict"][name][:] = torch.nan
    write_checkpoint(spoilt, given / "checkpoints/best.ckpt")
    with pytest.raises(Refused, match="not finite in 1 of"):
        start_from(source_of(str(given)), model_of(compose(BRIEF)))


def unfinished(path):
    (path / "state.json").write_text('{"state": "running"}')


def linked(path):
    best = path / "checkpoints/best.ckpt"
    best.rename(path.parent / "elsewhere.ckpt")
    best.symlink_to(path.parent / "elsewhere.ckpt")


def without_numbers(path):
    best = path / "checkpoints/best.ckpt"
    spoilt = read_checkpoint(best)
    spoilt["state_dict"]["model.backbone.norm.weight"][:] = torch.nan
    best.unlink()  # last.ckpt may be the same file
    write_checkpoint(spoilt, best)


def without_sizes(path):
    best = path / "checkpoints/best.ckpt"
    content = read_checkpoint(best)
    del content["facts"]
    best.unlink()
    write_checkpoint(content, best)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, "there is no folder"),
        (unfinished, "is running; wanted a run that is done"),
        (linked, "is a link that leads out of"),
        (without_numbers, "holds numbers that are not finite"),
        (without_sizes, r"is not as such weights are made \(KeyError: 'facts'\)"),
    ],
)
def test_weights_of_a_run_are_as_safe_as_those_of_init(source, tmp_path, spoil, message):
    given = tmp_path / "given"
    shutil.copytree(source.path, given)
    assert read_source(f"run:{given}").keys["dim"] == 8
    spoil(given)
    with pytest.raises(Unfit, match=message) as raised:
        read_source(f"run:{given}")
    assert str(raised.value).count(f"run:{given}") == (spoil is not without_numbers)


def test_weights_that_init_replaces_are_told(source):
    both = [f"backbone.weights=run:{source.path}", f"init={source.path}", "head/pool=attention"]
    report = preflight(compose([*BRIEF, *both]))
    assert report.faults == []
    assert any("put over the weights of backbone.weights=run:" in w for w in report.warnings)


def test_init_is_part_of_a_run_and_null_is_not(source):
    plain, null = compose(BRIEF), compose([*BRIEF, "init=null"])
    old = {key: value for key, value in plain.items() if key not in ("init", "extend")}
    assert config_hash(plain) == config_hash(null) == config_hash(old)
    assert config_hash(compose([*BRIEF, f"init={source.path}"])) != config_hash(plain)
