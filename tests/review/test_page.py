"""The page: one file, nothing fetched, nothing logged can execute; driven in Chromium."""

import base64
import hashlib
import json
import os
import re
import time

import pytest
from browser import Browser, chromium
from folders import age, make_run, make_sweep, put

from vit.review.page import as_script_data, page
from vit.review.report import build_report
from vit.review.sources import load
from vit.runs.record import Recorder

needs_chromium = pytest.mark.skipif(chromium() is None, reason="needs chromium")
EVIL = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
SNEAKY = "<!--<script>'\"${window.hacked=1}`javascript:window.hacked=1\u2028"


def written(folder, out):
    out.write_text(page(build_report(load([folder]), [folder])), encoding="utf-8")
    return out


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = make_sweep(tmp_path_factory.mktemp("runs") / "sweep")
    tail = ["epoch 1", "RuntimeError: mat1 and mat2 cannot be multiplied"]
    failure = {"kind": "exception", "error": "RuntimeError: shapes", "log_tail": tail}
    make_run(folder / "broken", depth=8, state="failed", **failure)
    return written(folder, folder / "report.html")


def test_the_page_is_one_file_whose_policy_allows_only_its_own_script(swept):
    text = swept.read_text(encoding="utf-8")
    assert not re.search(r"(src|href|action)\s*=\s*[\"']?(https?:|//)|@import|url\(", text)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    for name in ("script", "style"):
        inside = re.search(rf"<{name}>(.*?)</{name}>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert len(text) < 200_000


def test_data_cannot_end_their_element_and_stay_what_they_were():
    content = {EVIL: [SNEAKY, float("nan"), float("inf"), 1.5, None, True]}
    text = as_script_data(content)
    assert not {"<", ">", "&"} & set(text)
    assert json.loads(text) == {EVIL: [SNEAKY, None, None, 1.5, None, True]}


@needs_chromium
def test_nothing_that_a_run_logs_can_execute(tmp_path):
    folder = tmp_path / "<img src=x onerror=window.hacked=1>"
    for number, lr in enumerate((EVIL, SNEAKY, "plain")):
        run = make_run(folder / f"<b>{number}<svg onload=window.hacked=1>", lr=lr, seed=number)
        Recorder(run / "metrics.jsonl").write(40, 3, {EVIL: 1.0, "val/accuracy": 0.5}, {})
        Recorder(run / "metrics.jsonl").write(50, 4, {EVIL: 2.0}, {})
        stamp = {
            "command": EVIL,
            "folder": SNEAKY,
            "packages": {EVIL: EVIL},
            "git": {"commit": EVIL},
        }
        put(run / "stamp.json", stamp)
        tables = {"classes": [EVIL, SNEAKY], "images": [2, 2], "class_accuracy": [0.5, 1.0]}
        tables["confusion"] = [[1, 1], [0, 2]]
        metrics = {"val/accuracy": 0.5 + number, EVIL: 0.1}
        put(run / "metrics.json", {"metrics": metrics, "tables": tables})
    make_run(folder / "failed", state="failed", kind=EVIL, error=EVIL, log_tail=[EVIL, SNEAKY])
    file = written(folder, tmp_path / "report.html")
    with Browser() as browser:
        browser.open(file)
        browser.evaluate("document.querySelector('#curves').scrollIntoView()")
        browser.wait("document.querySelector('#curves svg') !== null")
        select = "document.querySelector('#curves select')"
        values = browser.evaluate(f"[...{select}.options].map(o => o.value)")
        assert EVIL in values
        for value in values:
            browser.evaluate(
                f"{select}.value = {json.dumps(value)}; {select}.dispatchEvent(new Event('change'))"
            )
        time.sleep(0.3)
        assert browser.evaluate("window.hacked === undefined && document.images.length === 0")
        assert browser.evaluate("document.querySelectorAll('script').length") == 2
        assert EVIL in browser.evaluate("document.querySelector('#failed').textContent")
        assert f"{EVIL} → {SNEAKY}" in browser.evaluate(
            "document.querySelector('#wrong').textContent"
        )
        assert browser.requests == [file.as_uri()] and browser.errors == []


COLUMN = "[...document.querySelectorAll('#leaderboard tbody tr')].map(r => r.cells[3].textContent)"


@needs_chromium
def test_the_page_can_be_used(swept):
    with Browser() as browser:
        assert browser.open(swept) < 5
        assert browser.evaluate("document.querySelector('.verdict .text').textContent").startswith(
            "depth=6 is best: val/accuracy 0.92"
        )
        assert browser.evaluate(COLUMN) == ["6", "4", "2", "8"]
        head = "[...document.querySelectorAll('#leaderboard th button')]"
        press = f"{head}.find(b => b.textContent === 'depth').click()"
        browser.evaluate(press)
        assert browser.evaluate(COLUMN) == ["2", "4", "6", "8"]
        browser.evaluate(press)
        assert browser.evaluate(COLUMN) == ["8", "6", "4", "2"]
        search = "document.querySelector('#best input[type=search]')"
        browser.evaluate(f"{search}.value = 'baseline'; {search}.dispatchEvent(new Event('input'))")
        assert browser.evaluate(COLUMN) == ["2"]

        browser.evaluate("document.querySelector('#curves').scrollIntoView()")
        browser.wait("document.querySelectorAll('#curves .mean').length === 3")
        axis = "document.querySelectorAll('#curves select')[1]"
        last = "[...document.querySelectorAll('#curves svg > text')].at(-1).textContent"
        ticks = "[...document.querySelectorAll('#curves svg > text')].map(t => t.textContent)"
        ends, marked = {}, {}
        for name in browser.evaluate(f"[...{axis}.options].map(o => o.value)"):
            browser.evaluate(f"{axis}.value = '{name}'; {axis}.dispatchEvent(new Event('change'))")
            ends[name] = browser.evaluate(last)
            marked[name] = browser.evaluate(ticks)[-2]
            assert browser.evaluate("document.querySelectorAll('#curves .mean[d^=M]').length") == 3
        assert ends == {
            "steps": "optimizer steps",
            "epochs": "epochs",
            "time": "training time, s (without validation)",
            "images": "samples seen",
        }
        # 30 steps of 32 images and 0.1 s, in 3 epochs.
        assert marked == {"steps": "30", "epochs": "3", "time": "3", "images": "900"}
        browser.evaluate("document.querySelector('.swatch').click()")
        assert browser.evaluate("document.querySelectorAll('#curves .mean').length") == 2
        browser.evaluate("document.querySelector('#cost').scrollIntoView()")
        browser.wait("document.querySelectorAll('#cost .dot').length === 3")
        failed = browser.evaluate("document.querySelector('#failed').textContent")
        assert "broken" in failed and "mat1 and mat2 cannot be multiplied" in failed
        assert browser.requests == [swept.as_uri()] and browser.errors == []


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_it_without_sideways_scrolling(swept, dark):
    with Browser(width=390, height=800) as browser:
        browser.open(swept, dark=dark)
        # Not to the end: by how much is drawn above, that may be too far below it.
        browser.evaluate("document.querySelector('#cost').scrollIntoView()")
        browser.wait("document.querySelector('#cost svg') !== null")
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        back = "getComputedStyle(document.body).backgroundColor"
        light = browser.evaluate(f"{back}.match(/\\d+/g).map(Number)[0] > 128")
        assert light is not dark
        browser.evaluate("document.querySelector('header button').click()")
        assert browser.evaluate(f"{back}.match(/\\d+/g).map(Number)[0] > 128") is dark
        assert browser.errors == []


@needs_chromium
def test_runs_of_all_kinds_together_draw(tmp_path):
    make_run(tmp_path / "alone", points=1)
    make_run(tmp_path / "none", points=0, state="planned", lr=0.2)
    make_run(tmp_path / "foreign", more={"checkpoint": {}, "name": "of no metric"})
    nan = make_run(tmp_path / "nan", depth=3, state="failed", points=4)
    for step, value in ((50, float("nan")), (60, float("inf")), (70, 0.2)):
        Recorder(nan / "metrics.jsonl").write(step, 5, {"val/accuracy": value}, {})
    running = make_run(tmp_path / "running", state="running", owner={"host": "x", "pid": 1}, lr=0.3)
    with (running / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 99, "epo')
    os.utime(running / "state.json")
    age(nan)
    file = written(tmp_path, tmp_path / "report.html")
    with Browser() as browser:
        browser.open(file)
        browser.evaluate("document.querySelector('#curves').scrollIntoView()")
        browser.wait("document.querySelector('#curves svg, #curves p + div + div p') !== null")
        assert browser.evaluate("document.querySelectorAll('#runs tbody tr').length") == 5
        assert browser.errors == []


@needs_chromium
def test_each_task_has_a_board_that_a_button_shows(tmp_path):
    make_sweep(tmp_path / "runs" / "sweep")
    evil = {"task": {"_target_": f"a.{EVIL}"}, "data": {"_target_": "b.Scenes", "batch_size": 8}}
    for seed in range(2):
        make_run(tmp_path / "runs" / f"d{seed}", seed=seed, monitor="val/map", more=evil)
    file = written(tmp_path / "runs", tmp_path / "report.html")
    with Browser(width=390, height=800) as browser:
        browser.open(file)
        buttons = "[...document.querySelectorAll('#boards button')]"
        first, second = browser.evaluate(f"{buttons}.map(each => each.textContent)")
        assert "val/accuracy" in first and "9 runs (9 done) of 3 conf" in first
        assert "val/map" in second and "2 runs (2 done) of 1 conf" in second
        pressed = f"{buttons}.map(each => each.getAttribute('aria-pressed'))"
        assert browser.evaluate(pressed) == ["true", "false"]
        curves = "document.querySelector('#curves')"
        for at, (count, metric) in enumerate(((3, "val/accuracy"), (1, "val/map"))):
            browser.evaluate(f"{buttons}[{at}].click()")
            assert browser.evaluate("document.querySelectorAll('main section#best').length") == 1
            rows = "document.querySelectorAll('#leaderboard tbody tr').length"
            assert browser.evaluate(rows) == count
            browser.evaluate(f"{curves}.scrollIntoView()")
            browser.wait(f"{curves}.querySelectorAll('.mean').length === {count}")
            assert browser.evaluate(f"{curves}.querySelector('select').value") == metric
        assert browser.evaluate(pressed) == ["false", "true"]
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        assert browser.evaluate("window.hacked === undefined")
        assert browser.requests == [file.as_uri()] and browser.errors == []


@needs_chromium
def test_files_with_other_things_in_them_than_wanted_draw(tmp_path):
    make_run(tmp_path / "good")
    config = {"seed": "x", "checkpoint": [], "data": "x", "map": {5: {6: [7]}}, "backbone": None}
    run = make_run(tmp_path / "odd", more=config, state="failed", kind=[1], error={}, log_tail=3)
    put(run / "stamp.json", {"packages": [1], "hardware": {"gpus": "x"}, "data": 3, "git": "x"})
    put(run / "trial.json", {"attempts": 5, "overrides": 3, "cost": "x", "facts": []})
    put(run / "metrics.json", {"metrics": [1], "tables": {"classes": 3}, "steps": "x"})
    config = {"map": {5: {6: [7]}}, "checkpoint": {}, "more": "x"}
    make_run(tmp_path / "unfinished", more=config, state="failed", kind="x", log_tail=["y"])
    file = written(tmp_path, tmp_path / "report.html")
    with Browser() as browser:
        browser.open(file)
        browser.evaluate("window.scrollTo(0, 1e6)")
        browser.wait("document.querySelector('#again dl') !== null")
        assert "0.9 so far" in browser.evaluate("document.querySelector('#runs').textContent")
        said = browser.evaluate("document.body.textContent")
        assert "left out" in said and "state.json: has kind=[1]; wanted text" in said
        assert browser.errors == []
