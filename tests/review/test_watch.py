"""vit report --watch: the page is fresh while runs go on, and an open one follows by itself."""

import json
import os
import re
import socket

import pytest
from browser import Browser, chromium
from folders import age, make_run, put

from vit.cli.report import main
from vit.faults import Refused
from vit.review import watch as watching
from vit.review.page_file import number_file
from vit.review.report import build_report
from vit.review.watch import Watch
from vit.runs.record import Recorder

ME = {"host": socket.gethostname(), "pid": os.getpid()}


@pytest.fixture
def runs(tmp_path):
    """Two that are done, and one in training by this process."""
    folder = tmp_path / "runs"
    for seed in range(2):
        make_run(folder / f"done{seed}", seed=seed)
    make_run(folder / "live", depth=6, state="running", owner=ME)
    return folder


def finish(run):
    put(run / "metrics.json", {"metrics": {"val/accuracy": 0.99}, "steps": 40, "epochs": 5})
    put(run / "state.json", {"state": "done", "train_seconds": 9.0})
    age(run)


def watch(folder, out, reports=None):
    def build(loaded):
        if reports is not None:
            reports.append(loaded)
        return build_report(loaded, [str(folder)])

    return Watch([str(folder)], out, build)


def test_a_page_is_written_when_something_has_changed_and_only_then(runs, tmp_path):
    out, reports = tmp_path / "page.html", []
    watched = watch(runs, out, reports)
    looks = watched.looks(sleep=lambda seconds: None)
    first = next(looks)
    assert (first.runs, first.running, first.going_on, first.changed) == (3, 1, True, True)
    page = out.read_text(encoding="utf-8")
    assert "img-src data: 'self' file:;" in page and number_file(out).name in page
    assert not next(looks).changed and len(reports) == 1
    Recorder(runs / "live" / "metrics.jsonl").write(40, 4, {"val/accuracy": 0.97}, {})
    age(runs / "live")
    assert next(looks).changed and len(reports) == 2
    kept = {run.name: run for run in reports[0].runs}
    again = {run.name: run for run in reports[1].runs}
    assert again["done0"] is kept["done0"], "what has not changed is not read"
    assert again["live"].history["val/accuracy"].values[-1] == 0.97
    make_run(runs / "later", seed=2)
    assert next(looks).runs == 4
    (runs / "live" / "config.yaml").rename(tmp_path / "config.yaml")
    assert next(looks).runs == 3, "a run that cannot be read now may be read later"
    (tmp_path / "config.yaml").rename(runs / "live" / "config.yaml")
    finish(runs / "live")
    last = list(looks)[-1]
    assert (last.runs, last.running, last.going_on) == (4, 0, False)
    watched.end(keep=True)
    page = out.read_text(encoding="utf-8")
    assert "img-src data:;" in page and '"follow":null' in page
    assert sorted(each.name for each in tmp_path.iterdir()) == ["page.html", "runs"]
    assert (runs / ".review.npz").exists()


def test_it_ends_with_the_runs_or_by_hand_in_words(runs, tmp_path, capsys, monkeypatch):
    out = tmp_path / "page.html"

    def by_hand(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(watching.time, "sleep", by_hand)
    words = [str(runs), "--watch", "--out", str(out)]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "3 runs, watched no longer, 1 of them still in training" in said.out
    assert re.fullmatch(rf"\d\d:\d\d:\d\d  3 runs, 1 running  {re.escape(str(out))}\n", said.err)
    assert not number_file(out).exists()
    finish(runs / "live")
    assert main(words) == 0
    assert "3 runs, none in training any more" in capsys.readouterr().out


def test_a_page_that_cannot_be_written_ends_it_at_once_and_runs_that_are_gone_do_in_time(
    runs, tmp_path
):
    out = tmp_path / "pages" / "page.html"
    with pytest.raises(Refused, match="cannot be written"):
        next(watch(runs, tmp_path / "runs" / "live" / "config.yaml" / "page.html").looks())
    out.parent.mkdir()
    looks = (watched := watch(runs, out)).looks(sleep=lambda seconds: None)
    next(looks)
    runs.rename(tmp_path / "away")
    with pytest.raises(Refused, match="runs"):
        next(looks)
    watched.end(keep=True)
    assert [each.name for each in out.parent.iterdir()] == ["page.html"] and not runs.exists()


def test_what_does_not_go_with_it_is_refused(runs, tmp_path):
    with pytest.raises(Refused, match="does not go with --watch"):
        main([str(runs), "--watch", "--json"])
    with pytest.raises(Refused, match="is a project of W&B"):
        main(["entity/project", "--watch", "--out", str(tmp_path / "a.html")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refused, match="holds no runs"):
        main([str(tmp_path / "empty"), "--watch", "--out", str(tmp_path / "a.html")])


@pytest.mark.skipif(chromium() is None, reason="needs chromium")
def test_an_open_page_follows_and_stands_as_it_stood(runs, tmp_path):
    out = tmp_path / "a page #1.html"
    watched = watch(runs, out)
    looks = watched.looks(sleep=lambda seconds: None)
    next(looks)
    fresh = "window.old === undefined && document.querySelector('main section') !== null"
    axis = "document.querySelectorAll('#curves select')[1]"
    with Browser() as browser:
        browser.open(out)
        browser.evaluate("document.querySelector('#curves').scrollIntoView()")
        browser.wait("document.querySelector('#curves svg') !== null")
        browser.evaluate(f"{axis}.value = 'epochs'; {axis}.dispatchEvent(new Event('change'))")
        press = "[...document.querySelectorAll('#leaderboard th button')]"
        browser.evaluate(f"{press}.find(b => b.textContent === 'seeds').click()")
        browser.evaluate("document.querySelector('header button').click(); window.old = 1")
        stood = browser.evaluate("window.scrollY")
        Recorder(runs / "live" / "metrics.jsonl").write(40, 4, {"val/accuracy": 0.97}, {})
        watching_number = json.loads(
            re.search(r'"follow":(\{[^}]*\})', out.read_text(encoding="utf-8"))[1]
        )["number"]
        watching.time.sleep(max(0.0, watching_number + 1.05 - watching.time.time() % 1e7))
        next(looks)
        browser.wait(fresh)
        browser.wait(f"window.scrollY === {stood} && {axis}.value === 'epochs'")
        assert "0.97 so far" in browser.evaluate("document.querySelector('#runs').textContent")
        head = "document.querySelector('#leaderboard th[aria-sort=descending]').textContent"
        assert browser.evaluate(head) == "seeds"
        assert browser.evaluate("document.documentElement.dataset.theme") == "dark"
        browser.evaluate("window.old = 1")
        finish(runs / "live")
        list(looks)
        watched.end(keep=False)
        browser.wait(f"{fresh} && document.body.textContent.includes('3 done')")
        browser.wait("document.querySelector('meta[http-equiv]').content.includes('data:;')")
        # The picture is gone with the watch, of which the browser tells whoever opens its console.
        assert [e for e in browser.errors if "ERR_FILE_NOT_FOUND" not in e] == []
        pages = {url.partition("?")[0] for url in browser.requests}
        assert pages == {out.as_uri(), number_file(out).as_uri()}
