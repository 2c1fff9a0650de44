"""Where data cannot be read as they were asked for: what lies there, and by which words it is read.

Every kind of data goes through this, so none of them need know the layouts of the others.
"""

from __future__ import annotations

from typing import Any

from vit.data.core.unsound import Unsound
from vit.faults import Fault


def with_way_out(error: ValueError, data: Any) -> ValueError:
    """The error of reading, with the words that read what lies there behind it, if any do."""
    from vit.data.recognition.way_out import way_out  # seldom needed

    told = way_out(data, str(error))
    if not told:
        return error
    if isinstance(error, Unsound):
        return Unsound([*error.faults, Fault("data", told.strip())])
    return ValueError(f"{error}{told}")


def of_another_kind(data: Any) -> list[Fault]:
    """A fault more where what was read, and found wrong, is certainly data of another kind."""
    from vit.data.recognition.way_out import way_out

    told = way_out(data, another_kind=True)
    return [Fault("data", told.strip())] if told else []
