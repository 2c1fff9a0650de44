"""The words that `vit probe` and `vit features` share: whose features, and of which data."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from vit.faults import Fault, Refused
from vit.probes.places import default_root

SOURCES = ("timm", "hf", "torchvision", "file", "run")
N = TypeVar("N", int, float)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="RUN_DIR|WEIGHTS",
        help="a run's folder, or timm:NAME, hf:NAME, torchvision:NAME, file:PATH, run:RUN_DIR",
    )
    parser.add_argument("overrides", nargs="*", metavar="data.key=value")
    parser.add_argument("--split", help="of a run or data: val or test; features of train, too")
    parser.add_argument(
        "--pool", choices=["cls", "mean", "cls+mean", "head"], help="what a feature is"
    )
    parser.add_argument("--checkpoint", default="best", help="of a run: best, last or a file")
    parser.add_argument("--device", default="auto", help="cpu, cuda, …; auto takes the GPU")
    parser.add_argument("--allow-target", action="append", default=[], metavar="PACKAGE")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="~/.cache/vit/features")
    parser.add_argument("--no-cache", action="store_true", help="keep no features, read none")
    parser.add_argument("--json", action="store_true", help="print JSON")


def asked_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of `vit.jobs.frozen_backbone.Asked`, as plain values. Raises Refused."""
    source, words = arguments.source, arguments.overrides
    if arguments.cache is not None and arguments.no_cache:
        raise Refused([Fault("--no-cache", "and --cache FOLDER contradict one another; take one")])
    kind, colon, name = source.partition(":")
    data: dict[str, Any] | None
    if colon and kind in SOURCES:
        data, allowed = _data_of_weights(source, name, words, arguments.allow_target)
    else:
        data, allowed = _data_of_run(source, words, arguments.allow_target)
    cache = None if arguments.no_cache else str(arguments.cache or default_root())
    return {
        "source": source,
        "data": data,
        "said": tuple(_key(word) for word in words),
        "checkpoint": arguments.checkpoint,
        "device": arguments.device,
        "allow_targets": allowed,
        "cache": cache,
    }


def _data_of_weights(
    source: str, name: str, words: list[str], packages: list[str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    from vit.cli.compose import compose
    from vit.runs.trust import trusted

    if not name:
        raise Refused([Fault(source, "names no weights behind the colon")])
    _require_data_words(words)
    if not any(word.startswith("data=") for word in words):
        wanted = "wanted the data to look at, such as data=folder data.root=photos"
        raise Refused([Fault("data", f"{wanted}: weights have none of their own")])
    allowed = trusted(packages)
    return compose(words, allowed)["data"], allowed


def _data_of_run(
    source: str, words: list[str], packages: list[str]
) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    from vit.cli.evaluate import changed_data
    from vit.runs.directory import RunFolder
    from vit.runs.trust import require_trusted, without_fetching

    path = Path(source)
    if path.is_file():
        raise Refused([Fault(source, f"is a file; weights of a file are named file:{source}")])
    if not path.is_dir():
        known = "timm:NAME, hf:NAME, torchvision:NAME, file:PATH or run:RUN_DIR"
        raise Refused([Fault(source, f"there is no such folder; wanted a run's, or {known}")])
    config = without_fetching(RunFolder(path).config())
    allowed = require_trusted(config, packages)
    _require_data_words(words)
    return changed_data(config, words, allowed), allowed


def _require_data_words(words: list[str]) -> None:
    wrong = [
        word for word in words if not word.lstrip("+~").startswith(("data=", "data.", "data/"))
    ]
    if wrong:
        message = "only the data can be chosen here, by data=… and data.key=…"
        raise Refused([Fault(word, message) for word in wrong])


def _key(word: str) -> str:
    """`image_size` of `data.image_size=32`."""
    return word.partition("=")[0].lstrip("+~").removeprefix("data.")


def several(
    text: str | None, where: str, kind: Callable[[str], N], wanted: str
) -> tuple[N, ...] | None:
    """`1,4` as numbers above 0, each once; None where the option is not given. Raises Refused."""
    if text is None:
        return None
    found: list[N] = []
    for word in text.split(","):
        try:
            number = kind(word)
        except ValueError:
            raise Refused([Fault(where, f"holds {word!r}; wanted {wanted}")]) from None
        if not (math.isfinite(number) and number > 0):
            raise Refused([Fault(where, f"holds {word!r}; wanted {wanted}")])
        found.append(number)
    return tuple(dict.fromkeys(found))
