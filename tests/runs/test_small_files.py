"""The one reader of small files: what it takes, and what it says of all else."""

import json
import os
import time

import pytest

from vit.faults import Refused
from vit.runs import writing
from vit.runs.directory import RunFolder
from vit.runs.files import json_of, lines_of, read_json, tail_of, yaml_of
from vit.runs.links import links_out, refuse_links
from vit.runs.record import Recorder, read_records
from vit.runs.shapes import STATE, TRIAL
from vit.runs.writing import appending, clear_leftovers, write_json


def refusal(call, *arguments):
    began = time.process_time()
    with pytest.raises(Refused) as refused:
        call(*arguments)
    assert time.process_time() - began < 2
    return str(refused.value)


def bomb():
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "schema_version: 1\n" + "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ('{"state": "do', "cut short or no JSON"),
        ("[1]", "holds a list; wanted a mapping"),
        ('{"state": 5}', "has state=5; wanted one of planned"),
        ('{"state": "done", "train_seconds": 1e999}', "has train_seconds=inf; wanted a finite"),
        ('{"state": "done", "schema_version": 2}', "schema_version is 2; this vit reads 1"),
        ("{}", "has no 'state'"),
        ('{"a": ' + "[" * 200 + "]" * 200 + "}", "nested deeper than 100"),
        ('{"a": ' + "[" * 100_000, "nested deeper than 100"),
        ('{"a": ' + "9" * 5000 + "}", "no JSON"),
    ],
)
def test_json_is_a_mapping_of_known_types_or_it_is_told_why_not(tmp_path, text, told):
    file = tmp_path / "state.json"
    file.write_text(text)
    assert told in refusal(json_of, file, STATE)
    assert read_json(file, STATE) is None


def test_what_is_no_text_is_told_and_what_is_not_there_is_none(tmp_path):
    file = tmp_path / "state.json"
    assert json_of(file) is None and json_of(file / "within") is None
    file.write_bytes(b'{"state": "\xff"}')
    assert "no text in UTF-8 (byte 11)" in refusal(json_of, file)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (bomb(), "stands for more than 1,000,000 values, by aliases of aliases"),
        ("[" * 200_000, "nested deeper than 100"),
        ("- " * 200_000, "nested deeper than 100"),
        ("a: &a [*a]", "an alias of what is not there, or of itself"),
        ("a: [1", "is not YAML"),
        ("a: 2020-99-99", "is not YAML"),
        ("? [1]\n: 2", "is not YAML"),
        ("!!python/object/apply:os.system [echo]", "is not YAML"),
    ],
)
def test_yaml_is_bounded_before_anything_is_built(tmp_path, text, told):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    assert told in refusal(yaml_of, file)


def test_aliases_that_repeat_a_value_are_read(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("a: &x [1, 2]\nb: *x\nc: {d: *x}\n")
    assert yaml_of(file) == {"a": [1, 2], "b": [1, 2], "c": {"d": [1, 2]}}


def test_only_regular_files_of_the_folder_are_opened(tmp_path):
    run, outside = tmp_path / "run", tmp_path / "netrc"
    (run / "sub").mkdir(parents=True)
    outside.write_text("{}")
    os.mkfifo(run / "pipe")
    (run / "zeros").symlink_to("/dev/zero")
    (run / "itself").symlink_to("itself")
    (run / "out").symlink_to(outside)
    (run / "away").symlink_to(tmp_path)
    assert "is a pipe; wanted a file" in refusal(json_of, run / "pipe")
    assert "is a folder; wanted a file" in refusal(json_of, run / "sub")
    assert "a link; wanted a file" in refusal(json_of, run / "itself")
    for name in ("zeros", "out"):
        assert "is a link that leads out of" in refusal(json_of, run / name)
    told = refusal(json_of, run / "away" / "netrc", None, run)
    assert "is a link that leads out of" in told
    assert tail_of(run / "out", 100) == []


def test_links_within_the_folder_and_to_the_folder_itself_are_followed(tmp_path):
    run = tmp_path / "run"
    (run / "sub").mkdir(parents=True)
    write_json(run / "sub" / "real.json", {"a": 1})
    (run / "near.json").symlink_to("sub/real.json")
    (tmp_path / "link").symlink_to(run)
    assert json_of(run / "near.json") == {"a": 1}
    assert json_of(tmp_path / "link" / "sub" / "real.json", None, tmp_path / "link") == {"a": 1}
    assert links_out(run) == [] and links_out(tmp_path / "link") == []


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    file = tmp_path / "state.json"
    with file.open("wb") as opened:
        opened.truncate(1 << 40)  # sparse: it takes no room
    assert "read are 67 MB at most" in refusal(json_of, file)
    assert "read are 4 MB at most" in refusal(yaml_of, file)
    assert "MB at most" in refusal(lines_of, file)


def test_nothing_is_added_through_a_link_or_to_a_pipe(tmp_path):
    outside = tmp_path / "precious"
    outside.write_text("mine\n")
    run = tmp_path / "run"
    run.mkdir()
    (run / "metrics.jsonl").symlink_to(outside)
    os.mkfifo(run / "log.txt")
    assert "is a link" in refusal(appending, run / "metrics.jsonl")
    assert "is a pipe" in refusal(appending, run / "log.txt")
    with pytest.raises(Refused):
        Recorder(run / "metrics.jsonl").write(1, 0, {}, {})
    assert outside.read_text() == "mine\n"
    told = refusal(refuse_links, run)
    assert "metrics.jsonl" in told and "log.txt" in told


def test_lines_that_were_cut_off_or_are_none_of_ours_are_passed_over(tmp_path):
    file = tmp_path / "metrics.jsonl"
    Recorder(file).write(1, 0, {"val/accuracy": 0.5}, {})
    good = json.loads(file.read_text())
    odd = [{**good, "step": step} for step in (10**30, True, 1.5, "1", None, -(10**30))]
    odd += [{**good, "metrics": ["a"]}, {**good, "step": 2, "metrics": {"a": [1], "b": 10**400}}]
    lines = [json.dumps(line) for line in odd] + ["[" * 50_000, "[1]", '{"step": 3, "ep']
    with file.open("a") as opened:
        opened.write("\n".join(lines))
    assert [(row.step, row.metrics) for row in read_records(file)] == [
        (1, {"val/accuracy": 0.5}),
        (2, {}),
    ]
    Recorder(file).write(4, 1, {"val/accuracy": 0.6}, {})  # behind the line that was cut off
    assert read_records(file)[-1].metrics == {"val/accuracy": 0.6}


def test_a_run_without_readable_results_is_not_done(tmp_path):
    folder = RunFolder(tmp_path)
    folder.set_state("done")
    assert not folder.is_done() and "is not there" in folder.lost_results()
    for text, why in (("", "is empty"), ('{"metr', "cut short"), ("{}", "has no 'metrics'")):
        folder.results_file.write_text(text)
        assert not folder.is_done() and why in folder.lost_results()
    write_json(folder.results_file, {"metrics": {"val/accuracy": float("nan"), "x": "inf"}})
    assert folder.is_done() and folder.lost_results() is None


def test_a_folder_that_is_locked_through_a_link_or_a_pipe_is_refused(tmp_path):
    (tmp_path / ".lock").symlink_to(tmp_path.parent / "made-elsewhere")
    with pytest.raises(Refused), RunFolder(tmp_path).locked():
        pass
    assert not (tmp_path.parent / "made-elsewhere").exists()


def test_only_leftovers_of_dead_processes_are_cleared(tmp_path):
    dead = 2**22 + 5  # above the kernel's largest
    left = tmp_path / f".results.csv.{dead}.0123abcd"
    fresh = tmp_path / f".state.json.{dead}.0123abce"
    living = tmp_path / f".results.csv.{os.getpid()}.0123abcd"
    others = [tmp_path / name for name in (".lock", "results.csv", ".a.b.c", ".x.12.zz")]
    for file in (left, fresh, living, *others):
        file.write_text("")
        os.utime(file, (time.time() - 3600, time.time() - 3600))
    fresh.touch()
    clear_leftovers(tmp_path)
    assert not left.exists()
    assert all(file.exists() for file in (fresh, living, *others))


def test_a_write_is_staged_by_a_name_that_is_cleared(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 2**22 + 5)
    monkeypatch.setattr(
        type(tmp_path), "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):  # as a kill would
        write_json(tmp_path / "results.csv", {})
    monkeypatch.undo()
    (left,) = tmp_path.iterdir()
    assert writing.STAGED.fullmatch(left.name)


def test_an_attempt_without_a_start_is_no_trial_that_can_be_read(tmp_path):
    write_json(tmp_path / "trial.json", {"id": "a", "attempts": [{}]})
    assert "attempts" in refusal(json_of, tmp_path / "trial.json", TRIAL)
