"""The pages that people read: commands parse, the keys and choices that they name exist."""

import argparse
import re
import shlex
from functools import cache
from pathlib import Path
from unittest import mock

import keys_page
import pytest
import yaml
from pages import GUIDE, LINKING, ROOT, fences, name_of, spans

from vit.cli.compose import compose_runs
from vit.cli.main import main
from vit.cli.recognised import are_places
from vit.faults import Refused

CONF = ROOT / "conf"
COMPOSING = ("train", "check", "data")


def commands(text):
    """Each `vit …` of a page as words; those of fences over several lines are joined."""
    blocks = [re.sub(r"\\\n *", "", block) for block in fences(text)]
    lines = [line for block in blocks for line in block.splitlines()]
    for line in [line.removeprefix("$ ") for line in lines] + spans(text):
        if not line.startswith("vit ") or line.startswith("vit -"):
            continue
        line = line.split(" || ")[0]  # the shell's "or"
        words = [word for word in shlex.split(line, comments=True)[1:] if word != "…"]
        for name in words[1].split("|") if words[1:] and words[0] == "sweep" else [None]:
            yield tuple(words if name is None else [words[0], name, *words[2:]])


COMMANDS = list(dict.fromkeys(words for page in GUIDE for words in commands(page.read_text())))


class Parsed(BaseException):
    """What a command's parser made of its words, raised before the command acts on it."""

    def __init__(self, namespace, unknown=()):
        self.namespace, self.unknown = namespace, list(unknown)


def parsed(words):
    """The arguments of a command by its own parser; AssertionError where that refuses them."""
    known = argparse.ArgumentParser.parse_known_args
    intermixed = argparse.ArgumentParser.parse_intermixed_args
    depth = 0

    def parse_known(self, *args, **more):
        nonlocal depth
        depth += 1
        result = known(self, *args, **more)
        depth -= 1
        if depth == 0:
            raise Parsed(*result)
        return result

    def parse_intermixed(self, *args, **more):
        nonlocal depth
        depth += 1
        raise Parsed(intermixed(self, *args, **more))

    numbers = {"--node-rank": "1", "--keep": "3"}
    words = [numbers.get(before, word) for before, word in zip(["", *words], words)]  # noqa: B905
    with (
        mock.patch.object(argparse.ArgumentParser, "parse_known_args", parse_known),
        mock.patch.object(argparse.ArgumentParser, "parse_intermixed_args", parse_intermixed),
    ):
        try:
            code = main(list(words))
        except Parsed as result:
            may = hasattr(result.namespace, "words")  # `vit sweep resume DIR key=value`
            unknown = [w for w in result.unknown if w.startswith("-") or not may]
            assert unknown == [], f"vit {shlex.join(words)}"
            return result.namespace
        except SystemExit as refused:
            code = refused.code
    raise AssertionError(f"vit {shlex.join(words)}: ended with {code} before it was parsed")


@cache
def composition_faults(words):
    """What Hydra says of a command's words, but for data that the reader is to name."""
    arguments = argparse.Namespace(
        overrides=[word.replace("…", "given") for word in words],
        config_name="train",
        config_dir=None,
        multirun=False,
    )
    try:
        compose_runs(arguments)
    except Refused as refused:
        return [f for f in refused.faults if not f.message.startswith("must be given")]
    return []


def one_point(word):
    """Of the axis of a sweep one value that the key would take."""
    key, equals, value = word.partition("=")
    if re.match(r"(range|tag|interval|choice|glob)\(", value):
        return f"{key}=1"
    return key + equals + (value if value[:1] in "['\"{" else value.split(",")[0])


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: shlex.join(words)[:60])
def test_every_command_parses(words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    if len(words) == 1 or words[1:] == ("--help",):  # a command's name in a sentence
        with pytest.raises(SystemExit, match="0"):
            main([words[0], "--help"])
        return
    words = [word for word in words if word not in ("--cfg", "job")]  # Hydra's own
    arguments = parsed(words)
    if words[0] not in COMPOSING or arguments.config_dir is not None:  # a folder of the reader's
        return
    if words[0] == "data" and are_places(arguments.overrides):  # what lies there is asked
        return
    several = arguments.multirun
    words = [one_point(word) if several else word for word in arguments.overrides]
    words = [word for word in words if not word.startswith("backbone.weights=")]  # to be fetched
    if not [word for word in words if word.endswith("=mine")]:  # the reader's own file
        assert composition_faults(tuple(words)) == []


def test_a_shell_takes_every_command_as_it_is_written():
    texts = [page.read_text() for page in [*LINKING, *CONF.glob("**/*.yaml")]]
    lines = re.findall(r"^(?:\$ |# )?(vit [a-z].*[^:])$", "\n".join(texts), flags=re.M)
    refused = []
    for line in lines:
        tokens = shlex.shlex(line.removesuffix("\\"), posix=True, punctuation_chars="()")
        tokens.whitespace_split = True
        refused += [line] if {"(", ")"} & set(tokens) else []
    assert len(lines) > 200 and refused == []


def test_what_the_readme_s_table_trains_composes():
    """Cells hold the words after `vit train` alone."""
    cells = [span for span in spans((ROOT / "README.md").read_text()) if "experiment=" in span]
    assert len(cells) > 5
    assert [cell for cell in cells if composition_faults(tuple(cell.split()))] == []


def test_a_wrong_option_and_a_wrong_key_are_seen():
    with pytest.raises(AssertionError, match="no-such-option"):
        parsed(["predict", "RUN_DIR", "--no-such-option"])
    with pytest.raises(AssertionError, match="ended with 2"):
        parsed(["no_such_command"])
    assert composition_faults(("backbone.no_such_key=1",))
    assert composition_faults(("experiment=no_such_experiment",))


def shipped():
    """Group → its choices, without the files that others build upon."""
    groups = {}
    for file in CONF.glob("**/*.yaml"):
        group = file.parent.relative_to(CONF).as_posix()
        if group != "." and not file.stem.endswith("base"):
            groups.setdefault(group, set()).add(file.stem)
    # Not to be chosen: what a kind of data sets of an augmentation.
    inner = ("frame", "small_images", "small_sets")
    return {group: names for group, names in groups.items() if Path(group).name not in inner}


def test_the_table_of_choices_is_what_is_shipped():
    page = (ROOT / "docs/config.md").read_text()
    found = {}
    for row in re.findall(r"^\| (`\S+=`.*?) \| (.*) \|$", page, flags=re.M):
        groups = [span.rstrip("=") for span in spans(row[0])]
        cells = row[1].split("; ") if len(groups) > 1 else [row[1]]
        cells = cells * len(groups) if len(cells) == 1 else cells  # groups of the same choices
        for group, cell in zip(groups, cells, strict=True):
            named = {span for span in spans(cell) if "." not in span and "=" not in span}
            for name in named:
                inner, _, choice = name.rpartition("/")
                found.setdefault(f"{group}/{inner}".rstrip("/"), set()).add(choice)
    assert found == shipped()


@cache
def known_keys():
    """Every dotted key that a file of conf sets, wherever it is mounted."""
    keys = set()

    def add(node, above):
        for key, value in node.items() if isinstance(node, dict) else ():
            keys.add(f"{above}{key}")
            add(value, f"{above}{key}.")

    for file in CONF.glob("**/*.yaml"):
        text = file.read_text()
        group = file.parent.relative_to(CONF)
        top = group == Path() or "@package _global_" in text
        parts = [part for part in group.parts if part not in ("frame", "token")]
        add(yaml.safe_load(text), "" if top else ".".join(parts) + ".")
    return keys | {"hydra.searchpath"}


def is_file_name(word):
    return Path(word).suffix in (".py", ".json", ".csv", ".yaml", ".md")


@pytest.mark.parametrize("page", [page for page in GUIDE if page != keys_page.PAGE], ids=name_of)
def test_every_key_that_a_sentence_names_exists(page):
    unknown = []
    for span in spans(page.read_text()):
        for word in span.split():
            key, equals, _ = word.partition("=")
            if not re.fullmatch(r"[a-z_0-9]+(\.[a-z_0-9]+)+", key):
                continue
            is_key = equals or ((CONF / key.split(".")[0]).is_dir() and not is_file_name(key))
            if is_key and key not in known_keys():
                unknown.append(word)
    assert unknown == []


def test_the_help_and_an_unknown_command_speak_of_commands(capsys):
    assert main([]) == 0 and main(["trian"]) == 2
    said = capsys.readouterr()
    assert "usage: vit COMMAND" in said.out and "no command 'trian'. Did you mean" in said.err
    assert not re.search(r"\bdoors?\b", said.out + said.err, flags=re.I)


def test_the_page_of_keys_is_what_the_command_prints():
    assert keys_page.PAGE.read_text(encoding="utf-8") == keys_page.page()
