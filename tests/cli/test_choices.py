"""Any choice of a group goes with any other, or is refused in our words."""

import pytest

from vit.cli.compose import compose
from vit.cli.override_errors import composition_errors
from vit.cli.shell import show
from vit.faults import Refused
from vit.schema import schema_faults

SMALL = ["experiment=digits", "threads=1"]
MEANWHILE = {"imagenet_deit": ["data.root=photos"]}


def refusal(*words):
    with pytest.raises(Refused) as refused:
        compose(list(words))
    return {fault.where: fault.message for fault in refused.value.faults}


@pytest.mark.parametrize("experiment", ["digits", "imagenet_deit"])
def test_any_head_goes_on_an_experiment_that_chooses_a_pool(experiment):
    words = [f"experiment={experiment}", *MEANWHILE.get(experiment, [])]
    config = compose([*words, "head=deformable"])
    assert "pool" not in config["head"]
    assert config["head"]["_target_"].endswith("DeformableHead")
    kinds = {"mean": "MeanPool", "attention": "AttentionPool"}
    for pool, kind in kinds.items():
        config = compose([*words, f"head/pool={pool}"])
        assert config["head"]["pool"]["_target_"].endswith(kind)
    assert compose(words)["head"]["pool"]["_target_"].endswith(
        "ClsPool" if experiment == "imagenet_deit" else "MeanPool"
    )


def test_any_backbone_goes_on_an_experiment_that_sets_its_own():
    config = compose([*SMALL, "backbone=timm", "backbone.name=resnet18"])
    assert schema_faults(config) == [] and "dim" not in config["backbone"]
    assert config["backbone"]["drop_path"] == 0.0 and config["optim"]["lr"] == 0.01
    words = [*SMALL, "backbone=timm", "backbone.name=resnet18", "backbone.depth=3"]
    faults = schema_faults(compose(words))
    assert [fault.where for fault in faults] == ["backbone.depth"]  # a word of one's own stays


OWN = {
    "head/mine.yaml": "_target_: torch.nn.Identity\npool: {mine: 1}\n",
    "experiment/based.yaml": "# @package _global_\ndefaults:\n  - imagenet_deit\n"
    "  - override /head: masks\n  - _self_\n",
    "experiment/wrong.yaml": "# @package _global_\ndefaults:\n  - override /head/pol: mean\n",
    "experiment/unfit.yaml": "# @package _global_\ndefaults:\n  - override /head: masks\n"
    "  - override /head/pool: mean\n",
    "data/half_base.yaml": "root: x\n",
    "data/half.yaml": "defaults: [half_base, _self_]\n_target_: vit.data.folder.Folder\n",
    "data/my_base.yaml": "_target_: vit.data.digits.Digits\n",
    "data/mine.yaml": "defaults: [my_base, _self_]\n",
    "data/marked.yaml": "# Of mine.\n# Not to be\n# chosen by itself.\n"
    "_target_: vit.data.digits.Digits\n",
}


@pytest.fixture
def own(tmp_path, monkeypatch):
    for name, text in OWN.items():
        path = tmp_path / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)


def test_a_head_of_ones_own_goes_on_any_experiment_and_keeps_its_own_pool(own):
    for experiment in ("digits", "imagenet_deit"):
        words = [f"experiment={experiment}", *MEANWHILE.get(experiment, [])]
        head = compose([*words, "head=mine"])["head"]
        assert head == {"_target_": "torch.nn.Identity", "pool": {"mine": 1}}


def test_an_experiment_may_stand_on_another_and_take_another_head(own):
    config = compose(["experiment=based", "data.root=photos"])
    assert config["head"]["_target_"].endswith("MasksHead")
    assert config["backbone"]["class_token"] is True


def test_a_choice_that_never_fits_is_refused_whoever_makes_it(own):
    assert refusal("experiment=wrong")
    assert refusal("experiment=unfit")
    words = refusal("head=deformable", "head/pool=cls")
    assert words == {
        "head/pool=cls": "no part of this config has a choice of head/pool; head=linear or "
        "head=mine has"
    } or words == {
        "head/pool=cls": "no part of this config has a choice of head/pool; head=linear has"
    }


def test_bases_are_no_choices(own):
    for word, near in (("data=base", "digits"), ("head=decoder_base", "text_decoder")):
        (message,) = refusal(word).values()
        assert "no choice by itself" in message and near in message
    assert "no choice by itself" in refusal("sweep=base")["sweep=base"]
    assert "no choice by itself" in refusal("data=half_base")["data=half_base"]
    assert compose(["data=half"])["data"]["root"] == "x"
    assert compose(["data=my_base"])["data"]["_target_"].endswith("Digits")  # a choice, so called
    assert compose(["data=mine"])["data"]["_target_"].endswith("Digits")
    assert "no choice by itself" in refusal("data=marked")["data=marked"]
    (message,) = refusal("data/augment/small_sets=random_resized_crop").values()
    assert "no part of this config has a choice" in message
    for word in ("ema=none", "head=detr", "checkpoint=best_and_last", "trainer=cpu"):
        compose([word])


def test_a_key_that_a_class_takes_and_no_file_sets_is_answered_with_a_plus():
    message = refusal("backbone.attention.start=glorot")["backbone.attention.start"]
    assert message.endswith("with a plus: +backbone.attention.start=glorot")
    assert "takes start (normal | glorot, 'normal' by default)" in message
    assert compose(["+backbone.attention.start=glorot"])["backbone"]["attention"]["start"]
    assert "+backbone.attention.start" in refusal("backbone.attention.strat=1").popitem()[1]
    message = refusal("head.pool.sharpness=1")["head.pool.sharpness"]
    assert "_target_" not in message and "MeanPool takes nothing" in message
    message = refusal("experiment=digits", "head.zzz=1")["head.zzz"]
    assert "Head takes pool, dropout, bias_init." in message  # each once
    assert "max_time" in refusal("trainer.max_tim=1")["trainer.max_tim"]


def test_what_hydra_raises_is_known():
    assert all(issubclass(each, Exception) for each in composition_errors())


def test_settings_of_an_experiment_for_its_own_head_go_with_it():
    config = compose(["experiment=digit_scenes", "head=detr"])
    assert config["head"]["_target_"] == "vit.models.heads.detr.DetrHead"
    assert not {"neck", "cross_heads"} & config["head"].keys()
    assert config["head"]["width"] == 64  # which both take
    assert schema_faults(config) == []


def test_a_word_or_a_slip_stays_a_fault_with_another_head():
    config = compose(
        ["experiment=digit_scenes", "head=detr", "head.cross_heads=2", "+head.widht=2"]
    )
    assert {fault.where for fault in schema_faults(config)} == {"head.cross_heads", "head.widht"}


def test_the_config_is_shown_as_it_is_composed(capsys):
    words = ["experiment=digit_scenes", "head=detr", "--cfg", "job", "--package", "head"]
    assert show("train", words) == 0
    shown = capsys.readouterr().out
    assert "width: 64" in shown and "neck" not in shown


def test_showing_a_config_refuses_in_the_words_of_the_check():
    words = ["experiment=digits", "augment_boxes=flip", "optim.lrr=1"]
    with pytest.raises(Refused) as shown:
        show("train", [*words, "--cfg", "job"])
    with pytest.raises(Refused) as checked:
        compose(words)
    assert shown.value.faults == checked.value.faults
    assert {fault.where for fault in shown.value.faults} == {"augment_boxes", "optim.lrr"}
