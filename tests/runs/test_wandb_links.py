"""The folder of links that `vit leet` opens: readable names, nothing of others lost."""

from pathlib import Path

import pytest

from vit.cli.leet import main
from vit.cli.sync import offline_runs
from vit.faults import Refused
from vit.review.reader import find_runs
from vit.runs.directory import RunFolder
from vit.runs.tracking import keep_inside
from vit.runs.wandb_links import link_wandb, make_relative


def tracked(sweep, name, time="20260101_000001", content="a"):
    """A trial's folder with one start of its W&B run."""
    start = sweep / name / "wandb" / f"offline-run-{time}-{name}-123abc"
    (start / "files" / "media").mkdir(parents=True)
    (start / f"run-{name}-123abc.wandb").write_text(content)
    for file in ("config.yaml", "state.json"):
        (sweep / name / file).write_text("{}")
    latest = start.parent / "latest-run"
    if not latest.is_symlink():
        latest.symlink_to(start.name)
    return start


def test_trials_are_listed_by_their_names_and_the_folder_can_be_moved(tmp_path):
    tracked(tmp_path / "s", "depth_2-seed_0-e758b57f")
    tracked(tmp_path / "s", "depth_2-seed_0-e758b57f", "20260101_000009", "later")
    tracked(tmp_path / "s", "lr_1-00000001"), tracked(tmp_path / "s", "lr_1-00000002")
    link_wandb(tmp_path / "s")
    home = (tmp_path / "s").rename(tmp_path / "moved") / "wandb"
    assert sorted(link.name for link in home.iterdir()) == [
        "run-20260101_000001-depth_2-seed_0",
        "run-20260101_000001-lr_1-00000001",  # without the hash they would be one
        "run-20260101_000001-lr_1-00000002",
        "run-20260101_000009-depth_2-seed_0",
    ]
    last = home / "run-20260101_000009-depth_2-seed_0"
    assert (last / "run-depth_2-seed_0.wandb").read_text() == "later"
    assert (last / "files" / "media").is_dir()


def test_linked_again_it_keeps_up_with_what_is_there(tmp_path):
    gone, _ = tracked(tmp_path, "a-00000001"), tracked(tmp_path, "b-00000002")
    home = link_wandb(tmp_path)
    old = home / "offline-run-20250101_000001-x"  # as earlier versions linked
    old.symlink_to("../b-00000002/wandb/offline-run-20260101_000001-b-00000002-123abc")
    own = home / "run-20240101_000001-mine"
    own.mkdir()
    (own / "run-mine.wandb").write_text("not a link")
    for file in gone.rglob("*.wandb"):
        file.unlink()
    (gone / "files" / "media").rmdir(), (gone / "files").rmdir(), gone.rmdir()
    tracked(tmp_path, "c-00000003", "20260101_000003")
    assert link_wandb(tmp_path) == home
    left = {"run-20260101_000001-b", "run-20260101_000003-c", own.name}
    assert {link.name for link in home.iterdir()} == left


def test_no_reader_takes_a_link_for_a_run(tmp_path):
    for name in ("a-00000001", "b-00000002"):
        tracked(tmp_path / "sweep", name)
    link_wandb(tmp_path / "sweep")
    link_wandb(tmp_path)
    assert not (tmp_path / "wandb").exists()
    names = ["a-00000001", "b-00000002"]
    assert [path.name for path in find_runs(tmp_path / "sweep")] == names
    assert [path.name for path in offline_runs([tmp_path])] == names


def test_one_run_is_opened_as_it_is(tmp_path, capsys):
    start = tracked(tmp_path, "a-00000001")
    before = sorted(start.parent.iterdir())
    assert main([str(tmp_path / "a-00000001"), "--links"]) == 0
    assert capsys.readouterr().out == f"wandb leet {start.parent}\n"
    assert sorted(start.parent.iterdir()) == before


def test_what_cannot_be_watched_is_refused(tmp_path):
    with pytest.raises(Refused, match="no such folder"):
        main([str(tmp_path / "nothing")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refused, match="holds no W&B runs"):
        main([str(tmp_path / "empty")])
    tracked(tmp_path, "a-00000001")
    with pytest.raises(Refused, match="here is none"):
        main([str(tmp_path)])
    assert Path(tmp_path / "wandb" / "run-20260101_000001-a").is_dir()


def moved_run(tmp_path):
    """A run in another place than where W&B has linked its logs."""
    start = tracked(tmp_path / "first", "a")
    run = start.parents[1]
    logs, core = start / "logs", run / "wandb" / "cache" / "wandb" / "logs"
    logs.mkdir(), core.mkdir(parents=True)
    (core / "core-debug-1.log").write_text("")
    (logs / "debug-core.log").symlink_to(core / "core-debug-1.log")
    (run / "wandb" / "debug.log").symlink_to(logs / "debug.log")
    (run / "wandb" / "latest-run").unlink()
    (run / "wandb" / "latest-run").symlink_to(start)
    return run.rename(tmp_path / "moved")


def test_a_run_that_was_moved_can_be_watched_and_gone_on_with(tmp_path, capsys):
    run = moved_run(tmp_path)
    assert main([str(run), "--links"]) == 0
    assert main([str(tmp_path), "--links"]) == 0
    assert "wandb leet" in capsys.readouterr().out
    keep_inside(run, offline=False)  # as vit sync does
    assert RunFolder(run).problem() is None or "links" not in RunFolder(run).problem().message


@pytest.mark.parametrize("place", ["files/output.log", "files/media/a.png", "debug-core.log"])
def test_other_links_of_a_moved_run_are_not_followed(tmp_path, place):
    run = moved_run(tmp_path)
    (tmp_path / "secret").write_text("secret")
    (start,) = run.glob("wandb/offline-run-*")
    (start / place).symlink_to(tmp_path / "secret")
    with pytest.raises(Refused, match="leads out of"):
        main([str(run), "--links"])
    home = link_wandb(tmp_path)
    assert not [file for file in home.rglob("*") if "secret" in str(file.resolve())]
    assert not list(home.glob("*/files")) or place == "debug-core.log"


def test_logs_of_wandb_are_linked_so_that_they_can_be_moved(tmp_path):
    start = tracked(tmp_path, "a")
    logs, core = start / "logs", start.parent / "cache" / "core.log"
    logs.mkdir(), core.parent.mkdir()
    core.write_text("core")
    (tmp_path / "secret").write_text("")
    (logs / "debug-core.log").symlink_to(core)
    (logs / "debug-internal.log").symlink_to(tmp_path / "secret")
    make_relative(start.parent)
    moved = (tmp_path / "a").rename(tmp_path / "b") / "wandb" / start.name / "logs"
    assert (moved / "debug-core.log").read_text() == "core"
    assert (moved / "debug-internal.log").readlink().is_absolute()
