"""Command lines that must be refused: several hundred, over all commands.

`{run}`, `{sweep}`, `{photos}` and the like are filled in by the test. Beside the words stands what
must be in the answer: a key, a path or a value, so that a refusal is about what was wrong.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from PIL import Image

SMALL = (
    "backbone.dim=16 backbone.depth=1 backbone.heads=2 backbone.patch_size=8 data.image_size=16 "
    "schedule.warmup_epochs=0 tracking=none"
)
DETECTOR = (
    "task=detection head=deformable backbone.dim=16 backbone.depth=1 backbone.heads=2 "
    "backbone.patch_size=16 data.image_size=32 checkpoint.monitor=val/ap schedule.warmup_epochs=0"
)
SEGMENTER = (
    "task=segmentation head=semantic backbone.dim=16 backbone.depth=1 backbone.heads=2 "
    "backbone.patch_size=16 data.image_size=32 checkpoint.monitor=val/miou schedule.warmup_epochs=0"
)
TEXTS = (
    "task=text_classification data=text_table backbone=text backbone.dim=16 backbone.depth=1 "
    "backbone.heads=2 checkpoint.monitor=val/accuracy schedule.warmup_epochs=0"
)

# A value that a key of `experiment=digits` must not have.
VALUES = {
    "seed": ["-1", "abc", "1.5", "null", "4294967296", "[1]", "{a: 1}", "true"],
    "threads": ["0", "-2", "two", "100000", "1.5"],
    "compile": ["perhaps", "2", "null"],
    "name": ["../x", "..", "a/../../b", "''", "/etc/x", "[1]"],
    "schema_version": ["2", "one", "null"],
    "backbone": ["nope", "null", "[1]", "''"],
    "backbone.dim": ["0", "-8", "7", "1e3", "null", "x", "[64]", "1000000000"],
    "backbone.depth": ["0", "-1", "1.5", "x", "null", "1000000"],
    "backbone.heads": ["0", "5", "-4", "x", "null"],
    "backbone.patch_size": ["0", "-2", "3", "x", "null", "[2]", "1000"],
    "backbone.drop_path": ["-0.1", "1.5", "nan", "x", "inf"],
    "backbone/position": ["nope", "null"],
    "backbone/norm": ["nope"],
    "backbone._target_": ["os.system", "vit.nope.Nope", "vit.models.backbone", "5", "null", "''"],
    "head": ["nope", "detr", "text_decoder"],
    "head/pool": ["nope"],
    "head._target_": ["subprocess.run", "vit.models.classifier.nope", "builtins.eval"],
    "data": ["nope", "coco", "null", "[1]"],
    "data.batch_size": ["0", "-1", "x", "1.5", "null", "1000000000000"],
    "data.eval_batch_size": ["0", "-3", "x"],
    "data.val_fraction": ["0", "1", "-0.2", "nan", "x", "null"],
    "data.test_fraction": ["1", "-0.1", "nan", "x"],
    "data.split_seed": ["-1", "x", "null"],
    "data.train_limit": ["0", "-5", "x"],
    "data.num_workers": ["-1", "x", "1.5", "1000000"],
    "data.image_size": ["0", "-8", "x", "[8]", "[8,0]", "1000000"],
    "data.channels": ["2", "0", "x"],
    "data.mean": ["[1,2]", "[nan]", "x", "[inf]"],
    "data.std": ["[0.0]", "[-1.0]", "[nan]", "x"],
    "data/augment": ["nope"],
    "data.augment._target_": ["os.remove", "shutil.rmtree", "torch.load"],
    "optim": ["nope", "null"],
    "optim.lr": ["-1", "nan", "inf", "x", "null", "1e300"],
    "optim.weight_decay": ["-0.1", "nan", "x", "inf"],
    "optim.name": ["adamv", "''", "5", "null"],
    "optim.layer_decay": ["-1", "nan", "x", "0"],
    "schedule": ["nope", "null"],
    "schedule.warmup_epochs": ["-1", "100", "nan", "x"],
    "ema": ["nope"],
    "trainer": ["nope", "null"],
    "trainer.max_epochs": ["0", "-3", "x", "1.5"],
    "trainer.devices": ["0", "-1", "auto", "[0]", "x"],
    "trainer.num_nodes": ["0", "x"],
    "trainer.accelerator": ["nope", "5"],
    "trainer.precision": ["nope", "7"],
    "trainer.strategy": ["nope", "5"],
    "trainer.accumulate_grad_batches": ["0", "-1", "x"],
    "trainer.gradient_clip_val": ["nan", "-1", "x", "inf"],
    "trainer.limit_train_batches": ["0", "-1", "x"],
    "trainer.limit_val_batches": ["-1", "x", "nan"],
    "trainer.check_val_every_n_epoch": ["0", "-1", "x"],
    "+trainer.overfit_batches": ["-1", "x"],
    "+trainer.profiler": ["nope"],
    "+trainer.max_time": ["x", "-1"],
    "+trainer.val_check_interval": ["0", "-1", "x"],
    "+trainer.nope": ["1"],
    "checkpoint.monitor": ["val/acc", "''", "5", "null", "train/loss"],
    "checkpoint.mode": ["max", "mxa", "null", "5"],
    "checkpoint.patience": ["-1", "0", "x"],
    "checkpoint.every_n_steps": ["0", "-1", "x"],
    "checkpoint.keep_last": ["-1", "x", "0"],
    "checkpoint.sharded": ["true", "5"],
    "tracking": ["nope", "null"],
    "tracking.mode": ["nope", "5", "null"],
    "tracking._target_": ["os.system", "vit.runs.tracking.keep_inside"],
    "watch.hang_seconds": ["nan", "-1", "x"],
    "watch.pictures": ["-1", "x"],
    "watch.attention": ["-1", "x"],
    "allow_targets": ["5", "os", "{a: 1}"],
    "nope": ["1"],
    "+nope": ["1"],
    "backbone.nope": ["1"],
    "+head.nope": ["1"],
    "++data.nope": ["1"],
    "experiment": ["nope", "digit", "[digits,nope]"],
    "hydra.run.dir": ["{file}", "{file}/x", "{loop}/x", "''"],
}

# Words of the override grammar that mean nothing.
GRAMMAR = [
    "backbone.depth",
    "=5",
    "backbone..depth=2",
    "backbone.depth=",
    "backbone.depth=[1",
    "backbone.depth={a:1",
    "backbone.depth='1",
    "backbone.depth=${nope}",
    "backbone.depth=${backbone.depth}",
    "backbone.depth=${oc.env:NO_SUCH_VARIABLE}",
    "backbone.depth=2,4",
    "backbone.depth=range(1,5)",
    "backbone.depth=interval(1,5)",
    "~nope",
    "~backbone.nope",
    "+backbone.depth=3",
    "backbone@nope=vit",
    "+experiment@x.y=digits",
    "seed=1 2",
    "a b",
    "",
    "💥",
    "seed=\x1b[31m",
    "seed=1\x00",
]
SWEEP_GRAMMAR = [
    "seed=range(100000000)",
    "seed=range(5,1)",
    "seed=range(0,5,0)",
    "seed=range(a)",
    "seed=choice()",
    "optim.lr=interval(1e-3,1e-1)",
    "optim.lr=interval(1,a)",
    "seed=glob(*)",
    "backbone/position=glob(zzz*)",
    "seed=shuffle(",
    "seed=tag(a,b",
    "seed=nope(1)",
    "seed=0,1,abc",
    "backbone.depth=2,-1",
    "data=digits,nope",
    "backbone.heads=4,5",
    "sweep=nope",
    "sweep.jobs=-1",
    "sweep.jobs=x",
    "sweep.retries=-1",
    "sweep.nope=1",
    "sweep/executor=nope",
    "sweep.hang_minutes=nan",
    "sweep.name=../x",
    "hydra.sweep.dir={file}",
    "sweep=optuna",
    "sweep=asha",
    "sweep=random optim.lr=1e-3",
    "sweep=optuna optim.lr=interval(1e-3,1e-1) sweep.sampler.trials=0",
    "sweep=optuna optim.lr=interval(1e-3,1e-1) sweep.sampler.n_trials=-4",
]

# What no data kind can be read from: {x} is filled in by the test.
PLACES = ["{nowhere}", "{file}", "{empty}", "{pipe}", "{loop}", "{binary}", "/dev/null", "{spaces}"]
KINDS = {
    "folder": ("data.root", SMALL),
    "table": ("data.table", SMALL),
    "huggingface": ("data.path", SMALL),
    "imagenet": ("data.root", SMALL.replace("data.image_size=16", "data.image_size=32")),
    "wav_folder": ("data.root", SMALL.replace("data.image_size=16 ", "")),
    "coco": ("data.root", DETECTOR),
    "voc": ("data.root", DETECTOR),
    "yolo": ("data.root", DETECTOR),
    "box_table": ("data.train", DETECTOR),
    "mask_folder": ("data.root", SEGMENTER),
    "coco_panoptic": ("data.root", SEGMENTER),
    "text_table": ("data.train", TEXTS.replace("data=text_table ", "")),
}

# Commands that read a run, with the words behind it, and what is no run.
READERS = {
    "evaluate": "",
    "predict": "{photo}",
    "attend": "{photo}",
    "export": "",
    "diff": "{run}",
    "run": "",
    "sweep status": "",
    "sweep stop": "",
    "sweep retry": "",
    "sweep resume": "",
    "clean": "--keep 1",
    "report": "",
}
NO_RUNS = [
    "{nowhere}",
    "{file}",
    "{empty}",
    "{pipe}",
    "{loop}",
    "/dev/null",
    "{binary_config}",
    "{list_config}",
    "{folder_config}",
    "{pipe_config}",
    "{bomb_config}",
    "{deep_config}",
    "{zero_config}",
    "{other_version}",
    "x" * 300,
]

OTHERS = [
    ("nope", "nope"),
    ("trian experiment=digits", "trian"),
    ("--nope", "--nope"),
    ("train --nope", "--nope"),
    ("train --dry-run experiment=digits", "--dry-run"),
    ("train -m --prepare experiment=digits seed=1,2", "--prepare"),
    ("train -cd {nowhere}", "nowhere"),
    ("train -cd {file}", "file"),
    ("train -cn nope", "nope"),
    ("check --config-dir {yaml_bomb} --config-name bomb", "bomb"),
    ("check --config-dir {binary_config} --config-name config", "utf-8"),
    ("check --config-dir {list_config} --config-name config", "ListConfig"),
    ("check --config-dir {yaml_bomb} --config-name deep", "deep"),
    ("check --config-dir {itself_config} --config-name config", "config"),
    ("data experiment=digits --count 0", "--count"),
    ("data experiment=digits --count -4", "--count"),
    ("data experiment=digits --count x", "--count"),
    ("data experiment=digits --count 100000000", "--count"),
    ("data experiment=digits --split nope", "--split"),
    ("data experiment=digits --out x.exe", "x.exe"),
    ("data experiment=digits --out {nowhere}/x.png", "nowhere"),
    ("data experiment=digits --out {empty}", "empty"),
    ("evaluate", "run_dir"),
    ("evaluate {run} --split nope", "nope"),
    ("evaluate {run} --split val --device nope", "nope"),
    ("evaluate {run} --device cuda", "cuda"),
    ("evaluate {run} --device meta", "meta"),
    ("evaluate {run} --device cpu:99x", "cpu:99x"),
    ("evaluate {run} --checkpoint nope", "nope"),
    ("evaluate {run} --checkpoint {file}", "file"),
    ("evaluate {run} --checkpoint {empty}", "empty"),
    ("evaluate {run} --checkpoint {pipe}", "pipe"),
    ("evaluate {run} --checkpoint {pickle}", "pickle"),
    ("evaluate {run} data.nope=1", "nope"),
    ("evaluate {run} backbone.depth=2", "backbone.depth"),
    ("evaluate {run} data=folder data.root={nowhere}", "nowhere"),
    ("evaluate {run} data=folder data.root={photos}", "classes"),
    ("evaluate {run} data=coco data.root={photos}", "data"),
    ("predict {run}", "IMAGE"),
    ("predict {run} {nowhere}", "nowhere"),
    ("predict {run} {empty}", "empty"),
    ("predict {run} {file}", "file"),
    ("predict {run} {binary}", "binary"),
    ("predict {run} {pipe}", "pipe"),
    ("predict {run} {loop}", "loop"),
    ("predict {run} /dev/null", "/dev/null"),
    ("predict {run} {with_pipe}", "pipe"),
    ("predict {run} {bomb}", "bomb"),
    ("predict {run} {photo} --top 0", "--top"),
    ("predict {run} {photo} --top -3", "--top"),
    ("predict {run} {photo} --top x", "--top"),
    ("predict {run} {photo} --threshold 2", "--threshold"),
    ("predict {run} {photo} --threshold nan", "--threshold"),
    ("predict {run} {photo} --device nope", "nope"),
    ("predict {run} {photo} --device meta", "meta"),
    ("predict {run} {photo} --checkpoint nope", "nope"),
    ("predict {run} {photo} --checkpoint {empty}", "empty"),
    ("predict {run} --text hello", "text"),
    ("predict {run} --file {file}", "text"),
    ("predict {run} *.nope", "nope"),
    ("attend {run}", "IMAGE"),
    ("attend {run} {nowhere}", "nowhere"),
    ("attend {run} {binary}", "binary"),
    ("attend {run} {pipe}", "pipe"),
    ("attend {run} /dev/null", "/dev/null"),
    ("attend {run} {photo} --layers 99", "layers"),
    ("attend {run} {photo} --layers x", "--layers"),
    ("attend {run} {photo} --class nope", "nope"),
    ("attend {run} {photo} --threshold -1", "--threshold"),
    ("attend {run} {photo} --out {file}", "file"),
    ("attend {run} {photo} --device nope", "nope"),
    ("attend {run} --text hello", "text"),
    ("attend {run} {photo} --text hello", "--text"),
    ("export {run} --out {file}", "--out"),
    ("export {run} --out {nowhere}/x.safetensors", "--out"),
    ("export {run} --checkpoint nope", "nope"),
    ("export {run} --ema", "ema"),
    ("export {run} --timm", "timm"),
    ("report", "SOURCE"),
    ("report {run} --metric nope", "nope"),
    ("report {run} --mode nope", "nope"),
    ("report {run} --baseline nope", "nope"),
    ("report {run} --out {empty}", "empty"),
    ("report {run} --out x.pdf", "x.pdf"),
    ("report {run} --out {nowhere}/x.html", "nowhere"),
    ("report {run} --log nope", "nope"),
    ("diff {run}", "run_b"),
    ("diff {run} {run} --tolerance -1", "--tolerance"),
    ("diff {run} {run} --tolerance nan", "--tolerance"),
    ("diff {run} {run} --tolerance x", "--tolerance"),
    ("diff {run} {nowhere}", "nowhere"),
    ("leet {nowhere}", "nowhere"),
    ("leet {file}", "file"),
    ("leet {empty} --links", "empty"),
    ("clean {run} --keep 1", "sweep"),
    ("clean {sweep} --keep -1", "--keep"),
    ("clean {sweep} --keep x", "--keep"),
    ("clean {sweep}", "--keep"),
    ("sync", "DIR"),
    ("sync {nowhere}", "nowhere"),
    ("sync {file}", "file"),
    ("sweep", "status"),
    ("sweep nope", "nope"),
    ("sweep retry {sweep} nope", "nope"),
    ("sweep list {file}", "file"),
    ("sweep list {nowhere}", "nowhere"),
    ("run {run} --node-rank x", "--node-rank"),
    ("bench nope", "nope"),
    ("bench models --batch 0", "--batch"),
    ("bench models --rounds -1", "--rounds"),
    ("bench models --size nope", "--size"),
    ("bench models --threads 0", "--threads"),
    ("bench models --device nope", "nope"),
    ("bench loop --rounds 0", "--rounds"),
]


def words() -> list[tuple[list[str], str | None]]:
    """All of them: what is typed behind `vit`, and what the refusal must name."""
    digits = ["check", "experiment=digits"]
    sweep = ["train", "-m", "--dry-run", "experiment=digits"]
    bad: list[tuple[list[str], str | None]] = [
        ([*digits, f"{key}={value}"], key.lstrip("+").split(".")[-1].split("/")[-1])
        for key, values in VALUES.items()
        for value in values
    ]
    bad += [([*digits, word], None) for word in GRAMMAR]
    bad += [([*sweep, *line.split()], None) for line in SWEEP_GRAMMAR]
    bad += [
        (["check", f"data={kind}", *rest.split(), f"{key}={place}"], "data")
        for kind, (key, rest) in KINDS.items()
        for place in PLACES
    ]
    bad += [
        ([*command.split(), place, *rest.split()], None)
        for command, rest in READERS.items()
        for place in NO_RUNS
    ]
    return [*bad, *((line.split(), named) for line, named in OTHERS)]


def make_places(home: Path) -> dict[str, str]:
    """What the words speak of: files and folders that are not what a command wants."""
    made: dict[str, Path] = {"nowhere": home / "nowhere"}
    made["empty"] = home / "empty"
    made["empty"].mkdir()
    made["file"] = home / "file.txt"
    made["file"].write_text("hello\n")
    made["binary"] = home / "binary.png"
    made["binary"].write_bytes(bytes(range(256)) * 40)
    made["pickle"] = home / "pickle.ckpt"
    made["pickle"].write_bytes(b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.")
    made["pipe"] = home / "pipe"
    os.mkfifo(made["pipe"])
    made["loop"] = home / "loop"
    made["loop"].symlink_to(home / "loop")
    made["spaces"] = home / "a folder with umlauts äöü"
    made["spaces"].mkdir()
    made["photo"] = home / "photo.png"
    Image.new("L", (8, 8), 90).save(made["photo"])
    for name in ("cat", "dog"):
        folder = home / "photos" / name
        folder.mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (16, 16), (40 * number, 9, 9)).save(folder / f"{number}.png")
    made["photos"] = home / "photos"
    made["with_pipe"] = home / "with_pipe"
    made["with_pipe"].mkdir()
    os.mkfifo(made["with_pipe"] / "pipe.png")
    made["bomb"] = home / "bomb.png"
    made["bomb"].write_bytes(_huge_png())
    bomb = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
        for before, after in zip("abcdefghi", "bcdefghij", strict=True)
    )
    configs = {
        "binary": bytes(range(256)),
        "list": b"[1, 2]\n",
        "bomb": bomb.encode(),
        "deep": b"a: " + b"[" * 200_000,
        "itself": b"a: &a\n  b: *a\n",
    }
    made["yaml_bomb"] = home / "configs"
    made["yaml_bomb"].mkdir()
    for name, content in configs.items():
        (made["yaml_bomb"] / f"{name}.yaml").write_bytes(content)
        folder = home / f"{name}_config"
        folder.mkdir()
        (folder / "config.yaml").write_bytes(content)
        made[f"{name}_config"] = folder
    for name in ("folder", "pipe", "zero"):
        made[f"{name}_config"] = home / f"{name}_config"
        made[f"{name}_config"].mkdir()
    (made["folder_config"] / "config.yaml").mkdir()
    os.mkfifo(made["pipe_config"] / "config.yaml")
    (made["zero_config"] / "config.yaml").symlink_to("/dev/zero")
    made["other_version"] = home / "other_version"
    made["other_version"].mkdir()
    (made["other_version"] / "config.yaml").write_text("schema_version: 99\nname: x\n")
    (made["other_version"] / "sweep.json").write_text(json.dumps({"schema_version": 99}))
    return {name: str(path) for name, path in made.items()}


def _huge_png() -> bytes:
    """The header of 60,000 × 60,000 pixels, with nothing behind it that would fill them."""
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )
