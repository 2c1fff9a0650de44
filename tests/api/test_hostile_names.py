"""Names of anybody in what a notebook shows: markup, control characters, and without end."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest
import yaml
from PIL import Image

from vit.api.report import ReportPage
from vit.api.run import Run, Runs
from vit.facts import Facts
from vit.pictures.drawing import legend
from vit.pictures.shown import Shown, shown

NAMES = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\x1b[2Jred\x07\u202etxt.exe",
    "half \udcff a letter",
    "two\nlines\r\tand a tab",
    "</table></body>&amp;",
    "ä" * 100_000,
]


class Page(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.words = set(), set(), []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}

    def handle_data(self, words):
        self.words.append(words)


def require_harmless(page, *tags):
    found = Page(page)
    assert found.tags <= {"table", "tr", "td", "th", "caption", "p", "b", "br", *tags}
    assert not any(name.startswith("on") for name in found.attributes)
    assert not any(letter in page for letter in "\x1b\x07\u202e\udcff")
    assert len(page) < 50_000
    page.encode()  # as a file of UTF-8 wants it
    return "".join(found.words)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_run_and_a_table_of_runs_show_names_as_words(tmp_path, name):
    rows = []
    for at, said in enumerate((name, "plain")):
        folder = tmp_path / "run" / f"{at}"
        folder.mkdir(parents=True)
        config = {"schema_version": 1, "seed": at, "note": said.encode(errors="replace").decode()}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        (folder / "state.json").write_text(json.dumps({"schema_version": 1, "state": "done"}))
        metrics = {"val/accuracy": 0.5, said: 0.25}
        results = {"schema_version": 1, "metrics": metrics, "epochs": 1}
        (folder / "metrics.json").write_text(json.dumps(results))
        rows.append(Run(folder))
    assert "0.2500" in require_harmless(rows[0]._repr_html_())
    assert "0.2500" in require_harmless(Runs(rows)._repr_html_())


@pytest.mark.parametrize("name", NAMES[:-1], ids=range(len(NAMES) - 1))
def test_a_folder_may_be_called_anything(tmp_path, name):
    folder = tmp_path / name.replace("/", "-")
    folder.mkdir()
    require_harmless(Run(folder)._repr_html_())
    text = repr(Runs([Run(folder)]))
    assert not any(letter in text for letter in "\x1b\x07\u202e\udcff")
    file = folder / "report.html"
    file.write_text("<p>a page</p>")
    page = ReportPage(file, {})._repr_html_()
    require_harmless(page, "a", "iframe")
    file.unlink()
    require_harmless(ReportPage(file, {})._repr_html_(), "a")


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_what_is_shown_of_inputs_holds_names_as_words(name):
    texts = Shown((name, "b"), ("caption", name))
    require_harmless(texts._repr_html_())
    assert not any(letter in repr(texts) for letter in "\x1b\x07\u202e\udcff")
    picture = Image.new("RGB", (40, 20))
    pictures = Shown((name,), (name,), (picture,), hint=name)
    require_harmless(pictures._repr_html_(), "div", "figure", "figcaption", "img")
    assert pictures.sheet().width < 4000


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_classes_of_any_name_are_drawn(name):
    facts = Facts(2, (name, "b"), (20, 40), 3, (0.5,) * 3, (0.5,) * 3)
    assert legend(facts.class_names).size[0] < 4000
    picture = Image.new("RGB", (40, 20))
    found = {"class": name, "label": 0, "score": 0.9, "box_xyxy": [1.0, 1.0, 30.0, 15.0]}
    boxes = shown([{"objects": [found]}], [picture], [""], facts, threshold=0.5)
    assert boxes.captions == ("1 object",)
    row = {"shares": {name: 1.0}, "class_map": np.zeros((20, 40), np.uint8)}
    maps = shown([row], [picture], [""], facts, threshold=0.5)
    require_harmless(maps._repr_html_(), "div", "figure", "figcaption", "img")
