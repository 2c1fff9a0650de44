"""Every layout that people have is named, and the words for it are right."""

import os
import subprocess
import sys
from pathlib import Path

import layouts_of_images
import layouts_of_marks
import layouts_of_the_rest
import pytest
from layout_checks import check_faults, data_faults, require_fit

from vit.cli.compose import compose
from vit.data.recognition.recognise import recognise
from vit.schema import schema_faults

HOMES = (layouts_of_images, layouts_of_marks, layouts_of_the_rest)
LAYOUTS = {name: made for home in HOMES for name, made in home.LAYOUTS.items()}
AMBIGUOUS = {name: made for home in HOMES for name, made in home.AMBIGUOUS.items()}
READ = {name: made for name, made in {**LAYOUTS, **AMBIGUOUS}.items() if made[2]}
WITHOUT_PACKAGE = "huggingface"  # of which only the words are tried
# One of each kind whose whole check is quick enough; the slow test has them all.
WHOLE = ("train valid", "Kaggle", "VOC in small letters", "masks of 0 and 255", "csv of texts")


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes a layout by its name, in a folder whose name needs quotes, and recognises it."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)

    def make(name):
        monkeypatch.chdir(tmp_path)
        maker = {**LAYOUTS, **AMBIGUOUS}[name][0]
        home = tmp_path / "my data, [1]"
        maker(home)
        found = recognise(home.name)
        for layout in found.layouts:
            for line in layout.first:
                subprocess.run(["sh", "-c", line], check=True)
        return found

    return make


def configs(found, small=False):
    """Of each command of each layout, or of what stands beside them for a CPU."""
    return [
        (layout.kind, command, compose([*words]))
        for layout in found.layouts
        for command in layout.commands
        if (words := command.small if small else command.words)
    ]


def test_there_are_as_many_layouts_as_people_have():
    assert len(LAYOUTS) + len(AMBIGUOUS) >= 90


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_named_and_its_words_read_it(made, name):
    _, kind, word = LAYOUTS[name]
    found = made(name)
    layout = found.layouts[0]
    assert layout.kind == kind, found
    assert (layout.data[:1] or ("",))[0] == word
    assert not found.ambiguous
    assert layout.evidence[0] and layout.certainty in ("certain", "likely")
    assert bool(layout.commands) == bool(word)
    assert layout.commands or layout.change, "nothing says what to do"
    require_sound(found)


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_may_be_one_or_the_other_is_never_guessed(made, name):
    _, kind, word = AMBIGUOUS[name]
    found = made(name)
    assert found.ambiguous and len(found.layouts) > 1
    assert found.layouts[0].kind == kind and found.layouts[0].data[0] == word
    assert len({layout.data for layout in found.layouts}) == len(found.layouts)
    assert all(layout.evidence for layout in found.layouts)
    require_sound(found)


def require_sound(found):
    """The commands compose, their data have no fault, and are for the task of the command."""
    for kind, command, config in configs(found):
        assert schema_faults(config) == [], command
        if kind != WITHOUT_PACKAGE:
            assert data_faults(config) == [], command
            require_fit(config)


@pytest.mark.parametrize("name", WHOLE)
def test_the_words_pass_the_whole_check(made, name):
    for _, command, _ in configs(made(name)):
        small = ["backbone.depth=1", "backbone.dim=16", "backbone.heads=2"]
        if "task=detection" in command.words and "head=masks" not in command.words:
            small += ["head.width=32", "head.num_layers=1", "head.hidden=32", "head.num_queries=9"]
        assert check_faults(compose([*command.words, *small])) == [], command


@pytest.mark.parametrize(
    ("name", "experiment"),
    [
        ("train valid", "classify_small"),
        ("VOC in small letters", "detect_small"),
        ("masks of 0 and 255", "segment_small"),
    ],
)
def test_a_small_model_for_a_cpu_stands_beside(made, name, experiment):
    ((_, command, config),) = configs(made(name), small=True)
    assert command.small[0] == f"experiment={experiment}" and experiment in command.small_line()
    assert check_faults(config) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", READ)
def test_the_words_of_every_layout_pass_the_whole_check(made, name):
    found = made(name)
    for kind, command, config in [*configs(found), *configs(found, small=True)]:
        if kind != WITHOUT_PACKAGE:
            assert check_faults(config) == [], command


def test_a_file_is_recognised_alone_or_as_a_part(tmp_path):
    for file, kind in layouts_of_the_rest.a_file_each(tmp_path).items():
        assert recognise(str(file)).layouts[0].kind == kind, file
