"""The commands as a person uses them: whole commands, real digits, one thread."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import command as vit
from commands import true_command
from PIL import Image

ROOT = Path(__file__).parents[2]

SMALL = [
    "experiment=digits",
    "backbone.dim=16",
    "backbone.depth=1",
    "trainer.max_epochs=2",
    "schedule.warmup_epochs=0",
    "tracking=none",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    done = true_command("train", *SMALL, f"hydra.run.dir={run_dir}")
    return run_dir, done.stdout


def test_a_run_folder_holds_all_that_was_promised(trained):
    run_dir, said = trained
    for name in ("config.yaml", "stamp.json", "state.json", "metrics.jsonl", "metrics.json"):
        assert (run_dir / name).stat().st_size > 0
    for name in ("checkpoints/best.ckpt", "checkpoints/last.ckpt", "log.txt"):
        assert (run_dir / name).stat().st_size > 0
    assert json.loads((run_dir / "state.json").read_text())["state"] == "done"
    assert json.loads((run_dir / "stamp.json").read_text())["facts"]["parameters"] > 0
    results = json.loads((run_dir / "metrics.json").read_text())
    assert 0 <= results["metrics"]["test/accuracy"] <= 1
    assert "test accuracy" in said and "vit predict" in said


def test_its_page_and_picture_lie_in_the_folder_and_come_back(trained):
    run_dir, said = trained
    page = (run_dir / "README.md").read_text()
    share = re.search(r"test accuracy +([\d.]+%)", said)[1]
    assert f"**test: accuracy {share}**" in page and "test (401 images)" in page
    assert "2 epochs, 36 steps" in page and "experiment=digits backbone.dim=16" in page
    with Image.open(run_dir / "results.png") as picture:
        assert picture.width > 1000
    (run_dir / "results.png").unlink()  # as a kill right after the end would have it
    vit("train", *SMALL, f"hydra.run.dir={run_dir}")
    assert (run_dir / "results.png").exists() and (run_dir / "README.md").read_text() == page


@pytest.mark.slow
def test_a_cleaned_run_answers_as_before_and_is_done(trained, tmp_path):
    run_dir, _ = trained
    clean = tmp_path / "run"
    shutil.copytree(run_dir, clean)
    Image.new("L", (8, 8), 90).save(tmp_path / "grey.png")
    asked = [
        ("evaluate", "--json"),
        ("predict", str(tmp_path / "grey.png"), "--json"),
        ("export", "--out", str(tmp_path / "a.safetensors")),
        ("report", "--json", "--no-cache"),
    ]

    def answers():
        told = [vit(words[0], str(clean), *words[1:]).stdout for words in asked]
        # Its moment, and the names of pictures, which each evaluation draws anew.
        told[-1] = re.sub(r'"created": "[^"]*"|[0-9a-f]{6}-\d\d\.webp', "", told[-1])
        return told, (tmp_path / "a.safetensors").read_bytes()

    before = answers()
    would = vit("clean", str(clean), "--dry-run").stdout
    assert vit("clean", str(clean)).stdout == would.replace("would be", "were")
    assert [path.name for path in (clean / "checkpoints").iterdir()] == ["best.ckpt"]
    assert answers() == before
    assert "done already" in vit("train", *SMALL, f"hydra.run.dir={clean}").stdout


def test_the_same_command_on_a_finished_run_does_nothing(trained):
    run_dir, _ = trained
    before = (run_dir / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    assert "done already" in vit("train", *SMALL, f"hydra.run.dir={run_dir}").stdout
    assert (run_dir / "checkpoints" / "last.ckpt").stat().st_mtime_ns == before


def test_another_config_in_the_same_folder_is_refused(trained):
    run_dir, _ = trained
    done = vit("train", *SMALL, "seed=1", f"hydra.run.dir={run_dir}", code=2)
    assert "seed: 0, now 1" in done.stderr


def test_evaluation_repeats_the_numbers_of_training(trained):
    run_dir, _ = trained
    measured = json.loads(vit("evaluate", str(run_dir), "--json").stdout)
    recorded = json.loads((run_dir / "metrics.json").read_text())["metrics"]
    for name, value in measured["metrics"].items():
        assert value == pytest.approx(recorded[name], abs=1e-7)


def test_prediction_takes_files_and_folders_and_refuses_text(trained, tmp_path):
    run_dir, _ = trained
    for mode, size in (("L", (8, 8)), ("RGBA", (40, 30)), ("CMYK", (9, 9)), ("I;16", (8, 8))):
        Image.new(mode, size).save(tmp_path / f"{mode.replace(';', '')}.tiff")
    told = json.loads(vit("predict", str(run_dir), str(tmp_path), "--json").stdout)
    assert len(told["images"]) == 4
    for image in told["images"]:
        assert sum(row["probability"] for row in image["classes"]) == pytest.approx(1, abs=1e-5)
    (tmp_path / "notes.txt").write_text("no image")
    done = vit("predict", str(run_dir), str(tmp_path / "notes.txt"), code=2)
    assert "notes.txt" in done.stderr and "Traceback" not in done.stderr


def test_weights_are_exported_and_bad_words_refused(trained, tmp_path):
    run_dir, _ = trained
    told = vit("export", str(run_dir)).stdout
    assert (run_dir / "model.safetensors").stat().st_size > 0 and "parameters" in told
    for words in (["--out", "a.bin"], ["--out", f"{tmp_path}/no/a.safetensors"], ["--timm"]):
        assert "Traceback" not in vit("export", str(run_dir), *words, code=2).stderr


def test_load_gives_the_model_with_its_transform_and_class_names(trained):
    import vit as package

    run = package.load(trained[0])
    assert run.class_names == tuple("0123456789")
    assert not run.model.training
    assert run.transform(Image.new("L", (8, 8))).shape == (1, 8, 8)
    assert run.probabilities([Image.new("L", (8, 8))]).shape == (1, 10)


def test_a_checkpoint_of_another_architecture_names_keys_and_shapes(trained, tmp_path):
    import shutil

    import vit as package
    from vit.faults import Refused

    other = tmp_path / "other"
    shutil.copytree(trained[0], other)
    config = other / "config.yaml"
    config.write_text(config.read_text().replace("dim: 16", "dim: 32"))
    with pytest.raises(Refused, match=r"wanted \(") as refused:
        package.load(other)
    assert "backbone" in str(refused.value)


def test_every_fault_is_told_before_anything_is_written(tmp_path):
    words = ["backbone.heads=5", "seed=abc", "checkpoint.monitor=val/acuracy", "optim.lr=-1"]
    done = vit("train", *SMALL, *words, f"hydra.run.dir={tmp_path}/run", code=2)
    for part in ("backbone.heads", "seed", "val/accuracy", "optim.lr"):
        assert part in done.stderr
    assert not (tmp_path / "run").exists()
    assert "Traceback" not in done.stderr


def test_check_tells_programs_what_a_run_would_be():
    report = json.loads(vit("check", *SMALL, "--json").stdout)
    assert report["faults"] == []
    assert report["parameters"] > 0 and report["tokens"] == 16
    assert report["steps"] == 2 * report["steps_per_epoch"]


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["train", "--help"], ["train", "--cfg", "job"]]
)
def test_quick_commands_import_nothing_heavy(words):
    code = (
        "import sys\nfrom vit.cli.main import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'pytorch_lightning', 'timm', 'wandb', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_a_misspelt_command_names_the_nearest():
    assert "'train'" in vit("trian", code=2).stderr


def test_completion_knows_commands_keys_and_choices():
    def completed(line):
        environment = {**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))}
        return subprocess.run(
            [sys.executable, "-m", "vit", "-sc", "query=bash"],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        ).stdout.split()

    assert "train" in completed("vit tr")
    assert "experiment=digits" in completed("vit train experiment=")
    assert "backbone.depth=" in completed("vit train backbone.de")


def test_points_of_a_sweep_that_share_a_folder_are_refused(tmp_path):
    words = ["seed=1,2", f"hydra.sweep.dir={tmp_path}", "hydra.sweep.subdir=x"]
    assert "several runs" in vit("train", "-m", *SMALL, *words, code=2).stderr
    assert list(tmp_path.iterdir()) == []


def test_one_bad_point_stops_a_sweep_before_any_of_it_starts(tmp_path):
    words = ["seed=1", "backbone.heads=4,5", f"hydra.sweep.dir={tmp_path}"]
    assert "heads=5" in vit("train", *SMALL, "-m", *words, code=2).stderr
    assert list(tmp_path.iterdir()) == []


def test_devices_and_checkpoints_that_cannot_be_used_are_told(trained, tmp_path):
    import torch

    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    words = ["predict", str(trained[0]), str(tmp_path / "a.png")]
    assert "--device" in vit(*words, "--device", "nonsense", code=2).stderr
    torch.save({"weights": 1}, tmp_path / "other.pt")
    assert "state_dict" in vit(*words, "--checkpoint", str(tmp_path / "other.pt"), code=2).stderr


@pytest.mark.slow
def test_two_processes_train_under_one_parent(tmp_path):
    run_dir = tmp_path / "run"
    words = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    vit("train", *SMALL, *words, f"hydra.run.dir={run_dir}")
    assert json.loads((run_dir / "state.json").read_text())["state"] == "done"


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_weights(tmp_path):
    import signal
    import time

    import torch

    words = [*SMALL, "trainer.max_epochs=6", "checkpoint.every_n_steps=5", "ema=standard"]
    vit("train", *words, f"hydra.run.dir={tmp_path}/whole")
    command = [sys.executable, "-m", "vit", "train", *words, f"hydra.run.dir={tmp_path}/cut"]
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "cut" / "checkpoints" / "last.ckpt").exists():
        time.sleep(0.05)
        assert started.poll() is None
    started.send_signal(signal.SIGTERM)
    assert started.wait(60) == 143
    assert json.loads((tmp_path / "cut" / "state.json").read_text())["state"] == "preempted"
    vit("train", *words, f"hydra.run.dir={tmp_path}/cut")
    whole, cut = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "cut")
    )
    assert all(torch.equal(whole[key], cut[key]) for key in whole)


def test_a_folder_called_vit_where_the_command_is_given_is_not_run(tmp_path):
    (tmp_path / "vit").mkdir()
    (tmp_path / "vit" / "__init__.py").write_text("raise SystemExit('another vit')")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    code = "import sys; sys.path.remove(''); sys.path.append(sys.argv.pop(1))\n"
    code += "from vit.cli.main import main; sys.exit(main())"
    words = [sys.executable, "-c", code, str(ROOT), "check", *SMALL]
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_misspelt_key_hides_no_other_fault():
    done = vit("check", *SMALL, "optim.lrr=1", "trainer.devices=two", "data.batch_size=0", code=2)
    for part in ("'lr'", "trainer.devices", "batch_size"):
        assert part in done.stderr


def test_bare_defaults_say_that_nothing_was_chosen():
    assert "experiment=digits is a whole recipe" in vit("check", code=2).stderr


def test_files_that_are_no_images_are_left_out_when_asked(trained, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    words = ["predict", str(trained[0]), str(tmp_path), "--json"]
    told = vit(*words, code=2).stderr
    assert told.startswith("refused:") and "\n--skip-bad" in told  # advice is no fault
    done = vit(*words, "--skip-bad")
    assert "b.png" in done.stderr
    assert [row["path"] for row in json.loads(done.stdout)["images"]] == [str(tmp_path / "a.png")]
