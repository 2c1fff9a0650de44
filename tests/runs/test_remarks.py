"""What a person says of a run is kept, shown and searched, and makes no other run of it."""

import json
import sys
from pathlib import Path

import pytest
import wandb

from vit.cli.compose import compose, written_out
from vit.cli.report import main as report
from vit.faults import Refused
from vit.runs.directory import RunFolder
from vit.runs.identity import config_hash, differences, trial_id
from vit.runs.remarks import note_of, remark_faults, tags_of
from vit.runs.tracking import Wandb
from vit.schema import schema_faults
from vit.sweeps.words import Words, sweep_name

sys.path.insert(0, str(Path(__file__).parents[1] / "review"))
from folders import make_run

NOTE = "why, I (really): ran {this} 'twice' \\"


@pytest.fixture(scope="module")
def configs():
    said = written_out(["experiment=digits", f"note={NOTE}", "tags=[baseline,paper]"])
    return compose(["experiment=digits"]), compose(said)


def test_a_note_is_text_as_it_stands_on_the_command_line(configs):
    assert configs[1]["note"] == NOTE and configs[1]["tags"] == ["baseline", "paper"]
    assert written_out(["note='a, b'", "note=", "note=null", "seed=1"]) == [
        *("note='a, b'", "note=", "note=null", "seed=1")
    ]
    twice = written_out(written_out([f"note={NOTE}"]))
    assert twice == written_out([f"note={NOTE}"])
    assert schema_faults(configs[1]) == []


@pytest.mark.parametrize(
    "note", ["${oc.env:HOME}", "${", r"\${seed} \\${seed} $ {", "'a' and 'b'", "'it's'", '"x" "y"']
)
def test_nothing_in_a_note_is_looked_up_or_read_as_grammar(note):
    said = written_out([f"note={note}"])
    assert written_out(said) == said
    assert compose(["experiment=digits", *said])["note"] == note


def test_note_and_tags_make_no_other_run(configs):
    plain, said = configs
    assert plain["name"] == said["name"] and config_hash(plain) == config_hash(said)
    assert trial_id(plain, "data") == trial_id(said, "data") and differences(plain, said) == []
    words = Words(["experiment=digits"], {"seed": ["1", "2"]})
    more = Words([*words.fixed, "note='x'", "tags=[a]"], words.axes)
    assert sweep_name(words, "digits") == sweep_name(more, "digits")


def test_another_note_replaces_the_one_before_and_none_leaves_it(configs, tmp_path):
    plain, said = configs
    folder = RunFolder(tmp_path / "run")
    folder.freeze(said)
    folder.refuse_conflicts(plain)
    folder.freeze(plain)
    assert folder.config() == said
    assert not folder.annotate(plain) and not folder.annotate(said)
    assert folder.annotate({**plain, "note": "", "tags": ["x", "x"]})
    config = folder.config()
    assert note_of(config) is None and tags_of(config) == ["x"]
    assert {**config, "note": NOTE, "tags": said["tags"]} == said  # and nothing else


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"note": "a" * 1001}, "note: has 1,001 characters; wanted at most 1,000"),
        ({"note": "two\nlines"}, "note: holds a line break or a control character"),
        ({"note": "\x1b[31mred"}, "note: holds a line break or a control character"),
        ({"tags": ["a" * 65]}, "has 65 characters; wanted at most 64"),
        ({"tags": ["  "]}, "is blank"),
        ({"tags": [str(n) for n in range(21)]}, "tags: are 21; wanted at most 20"),
    ],
)
def test_what_is_too_long_or_steers_is_refused(config, message):
    (fault,) = remark_faults(config)
    assert message in str(fault)


def test_tags_are_a_list(configs):
    wrong = {**configs[0], "tags": "baseline", "note": 3}
    assert {fault.where for fault in schema_faults(wrong)} == {"tags", "note"}


class Asked(Exception):
    """What wandb.init was given."""


def test_wandb_is_given_them_beside_its_own(tmp_path, monkeypatch):
    def init(**given):
        raise Asked(given["notes"], given["tags"])

    for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_ARTIFACT_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    monkeypatch.setattr(wandb, "init", init)
    config = {"name": "x", "seed": 0, "note": "why", "tags": ["paper", "a"]}
    with pytest.raises(Asked) as asked:
        Wandb().logger(tmp_path, config)
    assert asked.value.args == ("why", ["paper", "a"])
    with pytest.raises(Asked) as asked:
        Wandb(tags=["a", "b"], notes="for them").logger(tmp_path, config)
    assert asked.value.args == ("for them", ["paper", "a", "b"])


def test_a_report_shows_and_searches_them(tmp_path, capsys):
    evil = "</script><b>\x1b[31m why"
    runs = tmp_path / "runs"
    make_run(runs / "a", more={"note": evil, "tags": ["Paper", "rope"]})
    make_run(runs / "b", depth=6, more={"note": "a second look", "tags": ["paper"]})
    make_run(runs / "c", depth=8)
    out = ["--out", str(tmp_path / "a.html"), "--no-cache"]
    assert report([str(runs), *out]) == 0
    shown = capsys.readouterr().out
    assert "[Paper, rope]  </script><b>\\u001b[31m why" in " ".join(shown.split("\n"))
    assert "[paper]  a second look" in shown and "\x1b[31m" not in shown
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "</script><b>" not in page and "a second look" in page

    def found(*words):
        assert report([str(runs), "--json", "--no-cache", *words]) == 0
        rows = json.loads(capsys.readouterr().out)["runs"]
        return {row["name"]: (row["note"], row["tags"]) for row in rows}

    assert found().keys() == {"a", "b", "c"} and found()["c"] == (None, [])
    assert found("--tag", "PAPER").keys() == {"a", "b"}
    assert found("--tag", "paper", "--tag", "rope").keys() == {"a"}
    assert found("--search", "look SECOND") == {"b": ("a second look", ["paper"])}
    assert found("--tag", "paper", "--search", "why").keys() == {"a"}
    with pytest.raises(Refused, match=r"no run has the tag 'papr'.*Did you mean 'paper'"):
        report([str(runs), "--tag", "papr"])
    with pytest.raises(
        Refused, match="none of the 3 runs has the tags rope and the words 'second'"
    ):
        report([str(runs), "--tag", "rope", "--search", "second"])
