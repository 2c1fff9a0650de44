"""Where data cannot be read as they were asked for: what lies there, and by which words it is read.

Every kind of data goes through this, so none of them need know the layouts of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vit.data.core.unsound import Unsound
from vit.faults import Fault


def with_way_out(error: ValueError, data: Any) -> ValueError:
    """The error of reading, with the words that read what lies there behind it, if any do."""
    from vit.data.recognition.way_out import way_out  # seldom needed

    sentence = _sentence(way_out, data, str(error))
    if not sentence:
        return error
    if isinstance(error, Unsound):
        return Unsound([*error.faults, Fault("data", sentence.strip())])
    return ValueError(f"{error}{sentence}")


def of_another_kind(data: Any) -> list[Fault]:
    """A fault more where what was read, and found wrong, is certainly data of another kind."""
    from vit.data.recognition.way_out import way_out

    sentence = _sentence(way_out, data, another_kind=True)
    return [Fault("data", sentence.strip())] if sentence else []


def _sentence(way_out: Callable[..., str], *arguments: Any, **keys: Any) -> str:
    """Nothing where looking fails: what is being said is an error already, and says more."""
    try:
        return way_out(*arguments, **keys)
    except Exception:  # a stranger's folder, looked at by readers of every form
        return ""
