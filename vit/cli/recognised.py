"""vit data PATH: what a folder or file is, how sure that is, what is odd, and what to paste."""

from __future__ import annotations

import json
from pathlib import Path

from vit.data.recognition.layout import Layout
from vit.data.recognition.recognise import Recognised, recognise
from vit.faults import Fault, Refused, did_you_mean

SCHEMA_VERSION = 1
SAID = {"certain": "", "likely": " (likely)", "possible": " (possible, no more)"}
NONE = ("empty", "unknown", "image")  # kinds that say that nothing was recognised


def are_places(words: list[str]) -> bool:
    """Whether the words of a command are folders or files, or look so, and no words of a config."""
    return bool(words) and all(map(_is_place, words))


def _is_place(word: str) -> bool:
    try:
        if Path(word).expanduser().exists():
            return True
    except (OSError, RuntimeError, ValueError):  # a name that no file can have, a home of nobody
        return "=" not in word
    return "=" not in word and not word.startswith(("+", "~"))


def show_places(paths: list[str], as_json: bool) -> int:
    """Prints what each is; 0 where something was recognised in all, 2 where in one was nothing.

    Raises Refused where there is no such path, or it is not permitted.
    """
    found = [_recognised(path) for path in paths]
    if as_json:
        plain = [_plain(one) for one in found]
        print(json.dumps(plain[0] if len(plain) == 1 else plain, indent=1))
    else:
        for number, one in enumerate(found):
            print("\n" * bool(number), end="")
            _show(one)
    return 2 if any(one.layouts[0].kind in NONE for one in found) else 0


def _recognised(path: str) -> Recognised:
    try:
        return recognise(path)
    except FileNotFoundError:
        told = f"there is no such folder or file.{_near(path)}"
        raise Refused([Fault(path, told)]) from None
    except (OSError, RuntimeError, ValueError) as fault:
        told = str(fault.strerror) if isinstance(fault, OSError) else str(fault)
        raise Refused([Fault(path, f"cannot be looked at: {told}")]) from None


def _plain(found: Recognised) -> dict[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "path": found.path,
        "ambiguous": found.ambiguous,
        "layouts": [one.plain() for one in found.layouts],
        "remarks": list(found.remarks),
    }


def _show(found: Recognised) -> None:
    if len({layout.place for layout in found.layouts}) > 1:
        print(f"{found.path}: several sets lie side by side; choose one by its folder\n")
    elif found.ambiguous:
        print(f"{found.path} may be one of {len(found.layouts)}; only you know which\n")
    for number, layout in enumerate(found.layouts):
        print("\n" * bool(number), end="")
        _show_layout(layout, found.path)
    for remark in found.remarks:
        print(f"\nnote: {remark}")


def _show_layout(layout: Layout, path: str) -> None:
    print(f"{layout.place or path}: {layout.title}{SAID[layout.certainty]}")
    for line in layout.evidence:
        print(f"  {line}")
    for line in layout.oddities:
        print(f"  odd: {line}")
    if layout.change:
        print(f"\n{layout.change}")
    for line in layout.first:
        print(f"  {line}")
    for command in layout.commands:
        print(f"\n{command.purpose}:")
        print(f"  {command.line('check')}")
        print(f"  {command.line('train')}")
        if command.small:
            print("small, in minutes of a CPU:")
            print(f"  {command.small_line()}")


def _near(path: str) -> str:
    above = Path(path).expanduser().absolute().parent
    try:
        return did_you_mean(Path(path).name, [entry.name for entry in above.iterdir()])
    except OSError:
        return ""
