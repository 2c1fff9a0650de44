"""vit features and vit probe as functions: whose features, the cache, choices, refusals."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import vit
from vit.cli.compose import compose
from vit.faults import Refused
from vit.jobs import frozen_backbone
from vit.jobs.frozen_backbone import Asked, freeze
from vit.jobs.probing import run_probes, write_features
from vit.models.pretrained.sources import read_source
from vit.probes.vectors import vectors

SIZES = {"img_size": 16, "patch_size": 4, "embed_dim": 32, "depth": 5, "num_heads": 2}
FEW = ["data.train_limit=200", "data.batch_size=64", "data.val_fraction=0.05"]
SETTINGS = {"readers": ("knn", "linear", "logistic"), "held_out": 0.2, "strengths": (0.01, 1.0)}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of timm's, of five blocks with a class token."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=7, **SIZES)
    save_file(model.state_dict(), folder / "model.safetensors")
    config = {"architecture": "vit_tiny_patch16_224", "model_args": SIZES}
    (folder / "config.json").write_text(json.dumps(config))
    return f"file:{folder}"


@pytest.fixture(scope="module")
def digits():
    return compose(["data=digits", *FEW])["data"]


@pytest.fixture()
def passes(monkeypatch):
    """The splits whose images have been looked at."""
    seen = []
    whole = frozen_backbone.collected

    def collected(*given, told, **more):
        seen.append(told)
        return whole(*given, told=told, **more)

    monkeypatch.setattr(frozen_backbone, "collected", collected)
    return seen


def asked(source, data=None, **more):
    return {"source": str(source), "data": data, "device": "cpu", **more}


def faults(call, *given):
    with pytest.raises(Refused) as refused:
        call(*given)
    return " | ".join(map(str, refused.value.faults))


def test_a_file_holds_every_sample_s_vector_label_place_and_name(weights, digits, tmp_path):
    for out in ("a.safetensors", "a.npz"):
        told = write_features(asked(weights, digits), [], None, 1, str(tmp_path / out))
        assert told["dim"] == 32 and told["splits"]["test"]["samples"] == 401
        assert told["pool"] == "cls"
    tensors, arrays = load_file(tmp_path / "a.safetensors"), np.load(tmp_path / "a.npz")
    names = ("features", "labels", "index", "ids")
    expected = {f"{split}_{name}" for split in ("train", "val", "test") for name in names}
    assert tensors.keys() == expected and set(arrays.files) == {*expected, "about"}
    ids = bytes(tensors["test_ids"].numpy()).decode().split("\0")
    assert ids == arrays["test_ids"].tolist() and len(set(ids)) == 401
    for name in expected - {f"{split}_ids" for split in ("train", "val", "test")}:
        assert np.array_equal(tensors[name].numpy(), arrays[name])
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        about = json.loads(file.metadata()["about"])
    assert about == json.loads(str(arrays["about"]))
    assert about["class_names"] == list("0123456789") and about["transform"]["image_size"] == [
        16,
        16,
    ]
    frozen = freeze(Asked(**asked(weights, digits)))
    assert ids[7] == frozen.data.sample_name("test", 7)
    image = frozen.data.picture("test", 7)
    one = vectors(frozen.backbone, frozen.data.eval_transform(image)[None], ["cls@1"])["cls@1"]
    assert torch.allclose(tensors["test_features"][7], one[0], atol=1e-6)
    source, members = frozen.data.contents.sources["test"], frozen.data.splits["test"][1]
    assert tensors["test_labels"].tolist() == source.labels[members].tolist()


def test_vectors_of_several_blocks_are_those_of_timm_s_own_intermediate_layers(weights, digits):
    frozen = freeze(Asked(**asked(weights, digits)))
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, **SIZES).eval()
    state = load_file(f"{weights.removeprefix('file:')}/model.safetensors")
    model.load_state_dict({k: v for k, v in state.items() if not k.startswith("head")})
    images = torch.randn(3, 3, 16, 16)
    names = ["cls@4", "cls@1", "mean@1", "mean@2"]
    with torch.no_grad():
        found = vectors(frozen.backbone, images, names)
        layers = model.get_intermediate_layers(images, 4, return_prefix_tokens=True, norm=True)
    expected = {
        "cls@4": layers[0][1][:, 0],
        "cls@1": layers[-1][1][:, 0],
        "mean@1": layers[-1][0].mean(1),
        "mean@2": layers[-2][0].mean(1),
    }
    for name in names:
        assert torch.allclose(found[name], expected[name], atol=1e-5), name


def test_a_timm_backbone_of_a_run_gives_the_same_of_its_last_blocks(weights, digits):
    from vit.models.pretrained import TimmBackbone

    frozen = freeze(Asked(**asked(weights, digits)))
    theirs = TimmBackbone((224, 224), 3, name="vit_tiny_patch16_224")
    theirs.model = timm.create_model("vit_tiny_patch16_224", num_classes=0, **SIZES)
    state = load_file(f"{weights.removeprefix('file:')}/model.safetensors")
    theirs.model.load_state_dict({k: v for k, v in state.items() if not k.startswith("head")})
    theirs.patch_size, theirs.depth, theirs.fixed_size = 4, 5, None
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        ours = vectors(frozen.backbone, images, ["cls@3", "mean@1"])
        found = vectors(theirs.eval(), images, ["cls@3", "mean@1"])
        alone = vectors(theirs, images, ["mean@1"])
    for name in ours:
        assert torch.allclose(found[name], ours[name], atol=1e-5)
    assert torch.allclose(alone["mean@1"], found["mean@1"], atol=1e-6)


def test_the_cache_serves_the_second_time_and_no_other_weights_transform_or_data(
    weights, digits, passes, tmp_path
):
    cached = {"cache": str(tmp_path / "cache")}
    out = str(tmp_path / "a.npz")

    def looked_at(source, data, pool="cls", blocks=1, **more):
        passes.clear()
        write_features(asked(source, data, **cached, **more), ["val"], pool, blocks, out)
        return len(passes)

    assert [looked_at(weights, digits) for _ in range(2)] == [1, 0]
    first = np.load(out)["val_features"]
    assert looked_at(weights, digits, "cls+mean") == 1  # the mean is new
    assert looked_at(weights, digits, "cls+mean") == 0
    assert np.array_equal(np.load(out)["val_features"][:, :32], first)
    # What changes no pixel changes nothing.
    assert looked_at(weights, {**digits, "eval_batch_size": 7, "num_workers": 0}) == 0
    # The transform.
    assert looked_at(weights, {**digits, "crop_fraction": 0.8}) == 1
    assert looked_at(weights, {**digits, "mean": [0.2]}, said=("mean",)) == 1
    # The data: other splits of the same files.
    assert looked_at(weights, {**digits, "val_fraction": 0.3}) == 1
    # The weights, in one bit.
    folder = tmp_path / "other"
    shutil.copytree(weights.removeprefix("file:"), folder)
    state = load_file(folder / "model.safetensors")
    state["blocks.2.mlp.fc1.bias"][3] += 1e-3
    save_file(state, folder / "model.safetensors")
    assert looked_at(f"file:{folder}", digits) == 1
    assert not np.array_equal(np.load(out)["val_features"], first)
    # A broken file is made anew; without a cache nothing is kept.
    for file in (tmp_path / "cache").rglob("cls@1.safetensors"):
        file.write_bytes(b"no tensors")
    assert looked_at(weights, digits) == 1
    assert np.array_equal(np.load(out)["val_features"], first)
    passes.clear()
    for _ in range(2):
        write_features(asked(weights, digits), ["val"], "cls", 1, out)
    assert passes == ["val", "val"]


def test_a_run_gives_what_its_head_pools_as_vit_load_does(tiny_runs, tmp_path):
    run = tiny_runs("classes")
    out = tmp_path / "a.npz"
    told = write_features(asked(run), ["test"], None, 1, str(out))
    assert told["pool"] == "head"
    found = np.load(out)["test_features"][:5]
    loaded = vit.load(run)
    images = [loaded.data.picture("test", at) for at in range(5)]
    assert np.allclose(found, loaded.features(images).numpy(), atol=1e-6)


def test_the_choice_is_made_without_a_look_at_what_is_reported(weights, digits, tmp_path):
    """Labels of val and test are turned round: figures change, choices do not."""
    given = asked(weights, digits, cache=str(tmp_path / "cache"))
    told = run_probes(given, SETTINGS, None, str(tmp_path / "out"))
    assert json.loads((tmp_path / "out" / told["file"].rpartition("/")[2]).read_text())["probes"]
    assert [each["reader"] for each in told["probes"]] == ["knn", "linear", "logistic"]
    assert list(told["reported"]) == ["val", "test"] and told["train"] == 200
    linear = told["probes"][1]
    assert len(linear["tried"]) == 2 * 2 * 16 and linear["chosen"]["blocks"] in (1, 4)
    for each in told["probes"]:
        best = max(row["held_out"] for row in each["tried"])
        assert best == each["held_out_accuracy"] > 0.1  # of features that nobody has trained
        assert 0.15 < each["splits"]["test"]["accuracy"] < 1
    for file in (tmp_path / "cache").rglob("t*t/samples.safetensors"):
        samples = load_file(file)
        save_file({**samples, "labels": (samples["labels"] + 1) % 10}, file)
    turned = run_probes(given, SETTINGS, None, str(tmp_path / "out"))
    for before, after in zip(told["probes"], turned["probes"], strict=True):
        assert after["tried"] == before["tried"] and after["chosen"] == before["chosen"]
        assert after["splits"]["val"] == before["splits"]["val"]
        assert after["splits"]["test"]["accuracy"] < before["splits"]["test"]["accuracy"]


def test_a_run_s_figures_lie_below_it_and_say_what_they_are_of(tiny_runs):
    run = tiny_runs("classes")
    settings = {"readers": ("knn",), "held_out": 0.1, "neighbours": (5,)}
    told = run_probes(asked(run), settings, "test", None)
    assert told["file"].startswith(f"{run}/probes/digits-") and list(told["reported"]) == ["test"]
    written = json.loads(Path(told["file"]).read_text())
    assert written["data_fingerprint"] and written["weights"] and written["schema_version"] == 1
    assert run_probes(asked(run), settings, "test", None)["file"] == told["file"]


def test_other_data_may_have_other_classes_than_the_run(tiny_runs, tmp_path):
    run, root = tiny_runs("classes"), tiny_runs.sounds
    data = compose(["data=wav_folder", f"data.root={root()}", "data.sample_rate=8000"])["data"]
    data = {**data, "window_ms": 16, "hop_ms": 8, "mels": 16, "seconds": 0.128, "num_workers": 0}
    settings = {"readers": ("knn",), "held_out": 0.3, "neighbours": (1,)}
    told = run_probes(asked(run, {**data, "test_fraction": 0.0}), settings, None, str(tmp_path))
    assert told["class_names"] == ["high", "low"] and told["transform"]["image_size"] == [32, 32]


def test_runs_of_every_task_on_images_can_be_probed_on_other_data(tiny_runs, digits, tmp_path):
    settings = {"readers": ("knn",), "held_out": 0.1, "neighbours": (5,)}
    for kind in ("boxes", "maps", "captions"):
        told = run_probes(asked(tiny_runs(kind), digits), settings, "val", str(tmp_path))
        assert told["pool"] == "mean" and told["class_names"] == list("0123456789")
        assert told["transform"]["image_size"] == [32, 32]


def bad_of_probes(tiny_runs, weights, digits, tmp_path):
    """What is asked, and what the refusal says."""
    out = str(tmp_path)
    knn = {"readers": ("knn",), "held_out": 0.1}
    run, boxes = tiny_runs("classes"), tiny_runs("boxes")
    table = tmp_path / "several.csv"
    table.write_text("path,label\na.png,x|y\nb.png,x\n")
    yield "has boxes", run_probes, asked(boxes), knn, None, out
    yield "reads texts", run_probes, asked(tiny_runs("topics")), knn, None, out
    yield "holds no config.yaml", run_probes, asked(tmp_path), knn, None, out
    many = {**knn, "neighbours": (10, 5000)}
    yield (
        "--neighbours: 5000 is more than the 180",
        run_probes,
        asked(weights, digits),
        many,
        None,
        out,
    )
    deep = {**knn, "readers": ("linear",), "blocks": (1, 6)}
    yield (
        "the last 6 blocks are asked for; this backbone has 5",
        *((run_probes, asked(weights, digits), deep, None, out)),
    )
    token = {**knn, "pool": "cls+mean"}
    yield "needs a class token", run_probes, asked(run), token, None, out
    yield (
        "needs a head with a pool",
        *((run_probes, asked(weights, digits), {**knn, "pool": "head"}, None, out)),
    )
    yield "--split: is train", run_probes, asked(run), knn, "train", out
    yield "has no 'dev'", run_probes, asked(run), knn, "dev", out
    few = {**digits, "train_limit": 5}
    yield "no training image has the class", run_probes, asked(weights, few), knn, None, out
    yield (
        "nowhere.safetensors: does not exist",
        *((run_probes, asked("file:/nowhere.safetensors", digits), knn, None, out)),
    )
    wide = {**digits, "image_size": [18, 18]}
    yield (
        "must divide by patch_size",
        *((run_probes, asked(weights, wide, said=("image_size",)), knn, None, out)),
    )
    yield (
        "data.channels: is 3",
        *((run_probes, asked(run, {**digits, "channels": 3}, said=("channels",)), knn, None, out)),
    )
    yield (
        "data.image_size: image is 30x30",
        *(
            (
                run_probes,
                asked(run, {**digits, "image_size": 30}, said=("image_size",)),
                knn,
                None,
                out,
            )
        ),
    )
    yield "cannot be used here", run_probes, asked(run, device="cuda:77"), knn, None, out
    yield "ends in .safetensors or .npz", write_features, asked(run), [], None, 1, f"{out}/a.csv"
    yield "there is no folder", write_features, asked(run), [], None, 1, f"{out}/no/a.npz"
    yield "several are joined of", write_features, asked(run), [], "head", 2, f"{out}/a.npz"


def test_what_cannot_be_probed_is_refused_with_one_error(tiny_runs, weights, digits, tmp_path):
    count = 0
    for said, call, *given in bad_of_probes(tiny_runs, weights, digits, tmp_path):
        told = faults(call, *given)
        assert re.search(said, told), (said, told)
        count += 1
    assert count >= 12


def test_weights_of_another_shape_and_numbers_that_are_none_are_refused(weights, digits, tmp_path):
    folder = tmp_path / "w"
    shutil.copytree(weights.removeprefix("file:"), folder)
    state = load_file(folder / "model.safetensors")
    settings = {"readers": ("knn",), "held_out": 0.1}
    save_file(
        {k: v for k, v in state.items() if "blocks.1.attn" not in k}, folder / "model.safetensors"
    )
    assert "file:" in faults(run_probes, asked(f"file:{folder}", digits), settings, None, None)
    state["norm.bias"][0] = float("nan")
    save_file(state, folder / "model.safetensors")
    assert "norm.bias" in faults(run_probes, asked(f"file:{folder}", digits), settings, None, None)


def test_a_stranger_s_run_with_a_link_is_refused_before_anything_is_written(tiny_runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_runs("classes"), run)
    shutil.rmtree(run / "probes", ignore_errors=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (run / "probes").symlink_to(outside)
    settings = {"readers": ("knn",), "held_out": 0.1}
    assert "is a link that leads out of" in faults(run_probes, asked(run), settings, None, None)
    assert list(outside.iterdir()) == []


def test_a_link_in_a_run_s_folder_is_not_written_through(tmp_path):
    run, outside = tmp_path / "run", tmp_path / "outside"
    run.mkdir()
    outside.mkdir()
    (outside / "theirs.npz").touch()
    (run / "folder").symlink_to(outside)
    (run / "features.npz").symlink_to(outside / "theirs.npz")
    for out in (run / "folder" / "a.npz", run / "features.npz"):
        told = faults(write_features, asked(run), [], None, 1, str(out))
        assert f"is a link that leads out of {run}" in told
    told = faults(write_features, asked(run), [], None, 1, str(outside / "a.npz"))
    assert "no run folder: it holds no config.yaml" in told  # a place elsewhere is no matter


def test_data_of_several_labels_and_without_any_are_refused(weights, tmp_path):
    from PIL import Image

    rows = ["path,label,split"]
    draw = np.random.default_rng(0)
    for number in range(24):
        picture = draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{'a|b' if number % 3 else 'a'},{('train', 'val')[number % 2]}")
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    words = ["data=table", f"data.table={tmp_path}/t.csv", "data.split_column=split"]
    several = compose([*words, "data.separator='|'", "data.num_workers=0"])["data"]
    settings = {"readers": ("knn",), "held_out": 0.1}
    told = faults(run_probes, asked(weights, several), settings, None, str(tmp_path))
    assert "has several labels an image" in told
    out = tmp_path / "a.npz"
    write_features(asked(weights, several), ["val"], None, 1, str(out))
    assert np.load(out)["val_labels"].shape == (12, 2)


def test_every_source_that_a_config_takes_is_one_here(weights):
    from vit.cli.frozen_words import SOURCES
    from vit.models.pretrained import sources

    assert set(SOURCES) == set(sources.SOURCES)
    assert read_source(weights).origin.image_size == (16, 16)
