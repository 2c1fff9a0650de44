import pytest

from vit.check.preflight import plain_report_or_refuse, preflight
from vit.cli.compose import compose, config_folder
from vit.data.digits import Digits
from vit.faults import Fault, Refused
from vit.schema import schema_faults

EXPERIMENTS = sorted(path.stem for path in (config_folder() / "experiment").glob("*.yaml"))
OPTIONS = sorted(
    f"{path.parent.relative_to(config_folder()).as_posix()}={path.stem}"
    for group in ("backbone", "head", "optim", "schedule", "ema", "trainer", "task")
    for path in (config_folder() / group).rglob("*.yaml")
    if path.stem != "decoder_base"  # no choice: tests/cli/test_choices.py
)
NEEDED = {name: ["data.root=nowhere"] for name in ("imagenet_deit", "detection")}
for name in ("classify", "detect", "segment"):
    NEEDED |= {f"{name}_{purse}": ["data.root=nowhere"] for purse in ("small", "gpu")}
NEEDED["spoken_digits"] = ["data.root=nowhere", "data.test_groups=[a]"]
for name in ("package_sections", "translation", "synopses"):
    NEEDED[name] = ["data.train=nowhere.tsv"]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_shipped_experiment_fits_the_signatures(experiment):
    config = compose([f"experiment={experiment}", *NEEDED.get(experiment, [])])
    assert schema_faults(config) == []


@pytest.mark.parametrize("option", OPTIONS)
def test_every_shipped_choice_fits_the_signatures(option):
    needed = ["backbone.name=vit_tiny_patch16_224"] if option == "backbone=timm" else []
    needed += ["head=deformable"] if option.startswith(("head/neck=", "head/denoising=")) else []
    needed += ["task=segmentation"] if option.startswith("task/pixel_loss=") else []
    if option.startswith("backbone/position/token="):  # a choice of backbone/position, of texts
        needed += ["backbone=text"]
        option = f"backbone/position=token/{option.split('=')[1]}"
    assert schema_faults(compose([option, *needed])) == []


def test_captions_take_the_positions_of_images_and_keep_their_own():
    config = compose(["experiment=digit_captions", "backbone/position=rope"])
    assert schema_faults(config) == []


def test_a_sound_config_is_described():
    run = preflight(compose(["experiment=digits"])).sound
    assert run.cost.tokens == 16
    assert run.training.batches_per_epoch == 18
    assert run.training.steps == 50 * 18
    assert max(run.schedule.lr_of_points) <= run.schedule.lr
    assert run.data.splits["train"].images == 1200


@pytest.mark.parametrize(
    ("words", "where", "said"),
    [
        (["backbone.heads=5"], "backbone", "heads"),
        (["backbone.patch_size=3"], "backbone", "patch_size"),
        (["checkpoint.monitor=val/acc"], "checkpoint.monitor", "val/accuracy"),
        (["schedule.warmup_epochs=1000"], "schedule", "warm-up"),
        (["data.batch_size=65", "trainer.devices=2"], "data.batch_size", "64"),
        (["trainer.max_epochs=1.5"], "trainer.max_epochs", "whole number"),
        (["backbone._target_=os.system"], "backbone._target_", "allow_targets"),
        (["~backbone._target_"], "backbone", "_target_"),
        (["data.val_fraction=0"], "data", "val"),
        (["optim.name=adamv"], "optim", "adam"),
        (["+trainer.max_epoch=3"], "trainer.max_epoch", "max_epochs"),
        (["trainer.devices=auto"], "trainer.devices", "CUDA_VISIBLE_DEVICES"),
        (["trainer.devices=[0]"], "trainer.devices", "CUDA_VISIBLE_DEVICES"),
        (["threads=0"], "threads", "at least 1"),
        (["checkpoint.patience=0"], "checkpoint.patience", "at least 1"),
        (["ema=standard", "ema.decay=2"], "ema.decay", "less than 1"),
        (["ema=standard", "optim=schedulefree"], "ema", "ema=none"),
        (["checkpoint.keep_last=0"], "checkpoint.keep_last", "is 0; wanted at least 1"),
        (["checkpoint.keep_best=two"], "checkpoint.keep_best", "wanted a whole number"),
        (["checkpoint.sharded=true"], "checkpoint.sharded", "trainer=fsdp"),
    ],
)
def test_bad_input_gets_one_clear_fault(words, where, said):
    faults = preflight(compose(["experiment=digits", *words])).faults
    assert len(faults) == 1, faults
    assert faults[0].where.startswith(where)
    assert said in faults[0].message


def test_faults_of_many_parts_are_reported_together():
    words = ["seed=abc", "backbone.heads=5", "optim.lr=fast", "checkpoint.monitor=nothing"]
    faults = preflight(compose(["experiment=digits", *words])).faults
    assert {fault.where for fault in faults} == {
        "seed",
        "backbone",
        "optim.lr",
        "checkpoint.monitor",
    }


@pytest.mark.parametrize(
    ("words", "task"),
    [
        (["data=digits", "task=detection", "head=deformable"], "classification"),
        (["data=digit_scenes"], "detection"),
        (["data=number_words"], "text_to_text"),
    ],
)
def test_a_task_for_other_data_is_one_fault_that_names_theirs(words, task):
    faults = preflight(compose(words)).faults
    assert [fault.where for fault in faults] == ["task"]
    assert f"Take task={task}" in faults[0].message


def test_another_fault_that_a_task_finds_in_its_data_names_no_other_task(monkeypatch):
    def odd(data):
        raise ValueError("odd weights")

    monkeypatch.setattr(Digits, "class_weight_values", odd)
    (fault,) = preflight(compose(["experiment=digits"])).faults
    assert fault == Fault("task", "odd weights")


def test_a_head_of_another_task_is_refused_without_its_signature():
    (fault,) = preflight(compose(["data=digits", "backbone.patch_size=2", "head=semantic"])).faults
    assert fault.where == "head"
    assert fault.message.endswith("head=linear is (such a head takes dim, num_classes)")


def test_a_metric_of_another_task_is_answered_by_what_this_one_is_judged_by():
    config = compose(["experiment=digit_scenes_small", "checkpoint.monitor=val/accuracy"])
    (fault,) = preflight(config).faults
    assert fault.message.endswith("Take checkpoint.monitor=val/ap.")


def test_what_this_machine_lacks_refuses_a_training_and_warns_a_check():
    config = compose(["experiment=digits", "trainer.num_nodes=2"])
    report = preflight(config)
    assert report.faults == []
    assert any("num_nodes" in warning for warning in report.warnings)
    with pytest.raises(Refused, match="num_nodes"):
        plain_report_or_refuse(config, "nowhere")


def test_a_key_that_a_file_sets_and_a_part_does_not_take_can_be_left_out():
    config = compose(["experiment=detection", "backbone=vit_s", "data.root=nowhere"])
    assert not schema_faults(config)  # of the experiment's own: see vit/cli/other_part.py
    config["backbone"] |= {"name": "resnet18", "pretrained": True}
    faults = [str(fault) for fault in schema_faults(config)]
    assert [fault.rpartition(" Where ")[2] for fault in faults] == [
        f"a file sets it, ~backbone.{key} leaves it out." for key in ("name", "pretrained")
    ]
