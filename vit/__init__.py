"""Experiments with vision transformers whose answers you can trust."""

import sys

TYPE_CHECKING = False  # as of `typing`, which might be imported from the current folder, too


def _is_the_command() -> bool:
    """Whether this is `python -m vit`, and no module of the user's that imports vit."""
    if sys.argv[:1] != ["-m"]:
        return False
    words = zip(sys.orig_argv[1:], [*sys.orig_argv[2:], ""], strict=True)
    # -m ends the interpreter's own words: -um vit, -mvit
    options = ((word, after) for word, after in words if word[:1] == "-" and word[1:2] not in "XW")
    named = (word.partition("m")[2] or after for word, after in options if "m" in word)
    return next(named, "").partition(".")[0] == "vit"


if _is_the_command() and not sys.flags.safe_path:  # `python -m` puts the current folder first,
    del sys.path[0]  # and whatever lies there would be imported instead of the real thing

from vit.version import __version__  # noqa: E402 - after the path is what it should be

if TYPE_CHECKING:
    from typing import Any

    from vit.api.fit import Fitted, fit
    from vit.api.loaded import LoadedRun, load
    from vit.api.models import vision_transformer as ViT
    from vit.api.report import ReportPage, report
    from vit.api.run import Run, Runs, runs
    from vit.api.training import check, sweep, train
    from vit.faults import Refused
    from vit.pictures.shown import Shown

# Name → module:name, or a package that is called (see vit/callable_package.py). Each is imported
# when it is asked for, so that `vit --help` and `import vit` stay quick.
_OFFERED = {
    "Fitted": "vit.api.fit:Fitted",
    "LoadedRun": "vit.api.loaded:LoadedRun",
    "Refused": "vit.faults:Refused",
    "ReportPage": "vit.api.report:ReportPage",
    "Run": "vit.api.run:Run",
    "Runs": "vit.api.run:Runs",
    "Shown": "vit.pictures.shown:Shown",
    "ViT": "vit.api.models:vision_transformer",
    "check": "vit.check",
    "fit": "vit.api.fit:fit",
    "load": "vit.api.loaded:load",
    "report": "vit.api.report:report",
    "runs": "vit.runs",
    "sweep": "vit.api.training:sweep",
    "train": "vit.api.training:train",
}
__all__ = [
    "Fitted",
    "LoadedRun",
    "Refused",
    "ReportPage",
    "Run",
    "Runs",
    "Shown",
    "ViT",
    "__version__",
    "check",
    "fit",
    "load",
    "report",
    "runs",
    "sweep",
    "train",
]


def __getattr__(name: str) -> "Any":
    if name not in _OFFERED:
        raise AttributeError(f"module 'vit' has no attribute {name!r}")
    from importlib import import_module

    module, _, inside = _OFFERED[name].partition(":")
    found = import_module(module)
    return getattr(found, inside) if inside else found


def __dir__() -> list[str]:
    own = {"sys", "TYPE_CHECKING"}  # of this file's, and nothing that vit offers
    return sorted({*globals(), *__all__} - own)
