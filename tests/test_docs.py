"""The pages that people read: links lead somewhere, files exist, words are the field's."""

import re
import tomllib
from pathlib import Path

import pytest
from pages import GUIDE, LINKING, ROOT, fences, links, name_of, prose, spans

MOST_BYTES_OF_README = 10_240
PLACEHOLDER = re.compile(r"[A-Z]{3,}|…|mine")


def anchors(text):
    """The names that GitHub gives to headings."""
    found = []
    for heading in re.findall(r"^#{1,6} +(.+)$", prose(text), flags=re.M):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
    return found


def is_broken(page, link):
    if re.match(r"[a-z]+:", link):
        return False
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists() or not target.is_relative_to(ROOT):
        return True
    return bool(anchor) and (target.is_dir() or anchor not in anchors(target.read_text()))


@pytest.mark.parametrize("page", LINKING, ids=name_of)
def test_every_link_leads_to_something(page):
    broken = [link for link in links(page.read_text()) if is_broken(page, link)]
    assert broken == []


def test_a_broken_link_and_a_missing_heading_are_seen():
    page = ROOT / "docs/README.md"
    assert is_broken(page, "nothing.md") and is_broken(page, "runs.md#nothing")
    assert is_broken(page, "../../outside.md")
    assert not is_broken(page, "runs.md#exit-codes") and not is_broken(page, "#guide")


def test_every_page_of_the_guide_is_in_its_index():
    listed = links((ROOT / "docs/README.md").read_text())
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages <= set(listed)


def test_a_source_distribution_holds_what_the_pages_name():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    held = set(build["targets"]["sdist"]["include"])
    linked = {
        (page.parent / link.partition("#")[0]).resolve().relative_to(ROOT).parts[0]
        for page in GUIDE
        for link in links(page.read_text())
        if not link.startswith("#")
    }
    assert linked | {"Makefile", "constraints.txt"} <= held


def test_the_readme_is_short():
    assert (ROOT / "README.md").stat().st_size <= MOST_BYTES_OF_README


def test_every_experiment_stands_among_what_was_measured():
    notes = {page.parent.name for page in LINKING if page.parent.parent.name == "experiments"}
    named = {Path(link).name for link in links((ROOT / "docs/measured.md").read_text())}
    assert notes <= named


@pytest.mark.parametrize("page", GUIDE, ids=name_of)
def test_every_file_that_a_sentence_names_exists(page):
    top = ("vit/", "tests/", "conf/", "experiments/", "docs/")
    named = [span.split()[0] for span in spans(page.read_text()) if span.startswith(top)]
    gone = [n for n in named if not PLACEHOLDER.search(n) and not (ROOT / n.split(":")[0]).exists()]
    assert gone == []


def newest(changelog):
    return changelog.split("\n## ")[1]


@pytest.mark.parametrize("page", [*GUIDE, ROOT / "CHANGELOG.md"], ids=name_of)
def test_pages_are_in_the_words_of_the_field(page):
    text = page.read_text()
    text = newest(text) if page.name == "CHANGELOG.md" else text
    assert re.findall(r"\b(?:told|doors?)\b", prose(text), flags=re.I) == []


def folders_of(package):
    return {folder.name for folder in package.iterdir() if (folder / "__init__.py").exists()}


@pytest.mark.skipif(not (ROOT / "vit/cli").is_dir(), reason="drawn for the layout to come")
def test_the_map_names_every_folder_of_the_package():
    page = (ROOT / "CONTRIBUTING.md").read_text()
    (drawn,) = [block for block in fences(page) if "layers/" in block]
    assert set(re.findall(r"^(\w+)/", drawn, flags=re.M)) == folders_of(ROOT / "vit")
    assert set(re.findall(r"^  (\w+)/", drawn, flags=re.M)) == folders_of(ROOT / "vit/data")
