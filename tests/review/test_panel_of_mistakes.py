"""What it gets wrong, in Chromium: pictures that open large, curves, classes of each kind."""

import json

import numpy as np
import pytest
from browser import Browser, chromium
from folders import make_run, put
from PIL import Image

from vit.review.page import page
from vit.review.picture import Picture
from vit.review.pictures import PicturesOfRun, embedded
from vit.review.report import build_report
from vit.review.sources import load
from vit.runs.mistake_gallery import Album, Mistake, write_album

needs_chromium = pytest.mark.skipif(chromium() is None, reason="needs chromium")
EVIL = "<img src=x onerror=window.hacked=1>"


def noise(seed, side=40):
    values = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(values)


def with_results(folder, name, accuracy, tables, **options):
    run = make_run(folder / name, accuracy=accuracy, **options)
    put(run / "metrics.json", {"metrics": {"val/accuracy": accuracy}, "tables": tables})
    return run


def written(folder):
    report = build_report(load([folder], cache=False), [folder])
    file = folder / "report.html"
    file.write_text(page(report), encoding="utf-8")
    return file


@pytest.fixture
def detected(tmp_path):
    folder = tmp_path / "runs"
    curve = np.linspace(1, 0, 101).tolist()
    for name, accuracy, lr in (("a", 0.5, 0.1), ("b", 0.9, 0.2)):
        tables = {"classes": ["ant", EVIL], "class_ap": [0.5, None], "class_ap50": [0.7, None]}
        tables["precision"] = [curve, None]
        run = with_results(folder, name, accuracy, tables, lr=lr)
        mistakes = [Mistake(noise(n), f"{n} missed {EVIL}", f"{n}.png") for n in range(3)]
        legend = [("found", "#2e9e6b"), (EVIL, "red;background:url(//x)")]
        write_album(run, "test", Album(mistakes, legend))
        looked_at(run, name)
    return written(folder)


def looked_at(run, name):
    """As `vit attend` leaves it, for an image that both runs were shown and one of each's own."""
    rows = []
    for number, content in enumerate((f"only {name}", "both")):
        files = {kind: f"{number:03d}-{kind}.png" for kind in ("rollout", "image", "sheet")}
        (run / "attend").mkdir(exist_ok=True)
        for file in files.values():
            noise(number, 12).save(run / "attend" / file)
        files["relevance"] = "../../../elsewhere.png"
        rows.append({"path": f"photos/{content}{EVIL}.png", "sha256": content, "files": files})
    put(run / "attend" / "attend.json", {"schema_version": 1, "images": rows})


@needs_chromium
def test_a_picture_opens_and_nothing_is_fetched(detected):
    with Browser(height=150) as browser:
        browser.open(detected)
        assert browser.evaluate("document.querySelectorAll('#wrong img').length") == 6
        assert browser.evaluate("document.querySelectorAll('#looks h3').length") == 2
        assert browser.evaluate("document.querySelectorAll('#looks img').length") == 4
        assert browser.evaluate("[...document.images].every(i => !i.src)")  # far below the window
        browser.evaluate("document.querySelector('#wrong').scrollIntoView()")
        wrong = "[...document.querySelectorAll('#wrong img')]"
        browser.wait(f"{wrong}.every(i => i.complete && i.naturalWidth === 160)")
        browser.evaluate("document.querySelectorAll('.pictures button')[1].click()")
        browser.wait("document.querySelector('dialog[open] img').naturalWidth === 160")
        said = "document.querySelector('dialog p').textContent"
        assert browser.evaluate(said) == f"1 missed {EVIL} · 1.png · 2 of 3"
        browser.evaluate("document.querySelectorAll('dialog button')[1].click()")
        assert browser.evaluate(said).endswith("3 of 3")
        browser.evaluate("document.querySelectorAll('dialog button')[2].click()")
        assert browser.evaluate("document.querySelector('dialog[open]') === null")

        # Every class of the best: of one the data lack there is no curve.
        assert browser.evaluate("document.querySelectorAll('#wrong .mean').length") == 1
        browser.evaluate(
            "var s = document.querySelector('#wrong select'); s.value = 'mean';"
            "s.dispatchEvent(new Event('change'))"
        )
        assert browser.evaluate("document.querySelectorAll('#wrong .mean').length") == 2
        cells = "[...document.querySelector('#classes tbody tr').cells].map(c => c.textContent)"
        assert browser.evaluate(cells) == ["ant", "0.5", "0.5", "0", "0.7", "0.7"]
        assert browser.evaluate("window.hacked === undefined")
        browser.evaluate("document.querySelector('#looks').scrollIntoView()")
        looks = "[...document.querySelectorAll('#looks img')]"
        browser.wait(f"{looks}.every(i => i.complete && i.naturalWidth === 12)")
        assert browser.evaluate(f"{looks}.map(i => i.alt)") == ["image", "rollout"] * 2
        column = "getComputedStyle(i.closest('figure')).gridColumnStart"
        assert browser.evaluate(f"{looks}.map(i => {column})") == ["1", "auto"] * 2
        left = [url for url in browser.requests if not url.startswith("data:image/")]
        assert left == [detected.as_uri()] and browser.errors == []


@needs_chromium
def test_a_phone_shows_the_pictures_without_sideways_scrolling(detected):
    with Browser(width=390, height=800) as browser:
        browser.open(detected, dark=True)
        browser.evaluate("document.querySelector('#wrong').scrollIntoView()")
        browser.wait("document.querySelector('#wrong .mean') !== null")
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        assert browser.errors == []


def test_a_run_without_a_test_shows_what_its_validation_got_wrong(tmp_path):
    run = make_run(tmp_path / "a")
    write_album(run, "val", Album([Mistake(noise(1), "3 taken for 5", "x")]), 30, 2)
    report = build_report(load([tmp_path], cache=False), [tmp_path])
    (row,) = report.overall.pictures
    assert (row.split, row.step, row.seed) == ("val", 30, 0)
    assert json.dumps(report.to_plain()["pictures"]).count("base64") == 0  # the tables name files


def test_pictures_have_a_room_which_configurations_share(tmp_path):
    rows = []
    for name in "ab":
        album = Album([Mistake(noise(n, 200), "", "") for n in range(4)])
        write_album(tmp_path / name, "test", album)
        files = sorted((tmp_path / name / "pictures" / "test").glob("*.webp"))
        shown = [Picture(str(file), "", "") for file in files]
        rows.append(PicturesOfRun(name, name, 0, "test", None, [], shown))
    size = files[0].stat().st_size
    files[1].write_bytes(b"<svg onload=alert(1)>")
    first, second = embedded(rows, most=int(4.5 * size))
    assert (len(first["pictures"]), first["left_out"]) == (2, 2)
    assert (len(second["pictures"]), second["left_out"]) == (2, 1)  # and one that is no picture
    assert first["pictures"][0]["source"].startswith("data:image/webp;base64,")


def test_segmentation_shows_iou_and_pixels(tmp_path):
    tables = {"classes": ["sky", "sea"], "pixels": [70, 30], "class_iou": [0.5, 0.25]}
    tables |= {"class_accuracy": [0.75, 0.5], "confusion": [[60, 10], [15, 15]]}
    with_results(tmp_path, "a", 0.9, tables)
    found = build_report(load([tmp_path], cache=False), [tmp_path]).overall.mistakes
    assert (found.score, found.unit, found.images) == ("IoU", "pixels", [70, 30])
    assert found.rows[0].scores == [0.5, 0.25]
    assert found.rows[0].more == {"accuracy": [0.75, 0.5]}


def test_malformed_curves_and_scores_are_left_out(tmp_path):
    good = {"classes": ["ant", "bee"], "class_ap": [0.5, None]}
    for name, odd in enumerate(([[1.0], [2.0]], "x", [1, 2], [["a"] * 101, None], [None, None])):
        folder = tmp_path / str(name)
        tables = {**good, "precision": odd, "class_ap50": ["x", 1]}
        with_results(folder, "a", 0.9, tables)
        found = build_report(load([folder], cache=False), [folder]).overall.mistakes
        assert found.rows[0].precision is None and found.rows[0].more == {}
