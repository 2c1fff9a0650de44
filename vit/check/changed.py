"""In what the data differ from those that a run was begun with, in words."""

from __future__ import annotations

from vit.data.core.membership import changes, splits_of
from vit.data.core.samples import SampleData
from vit.runs.continuity import other_data
from vit.runs.directory import RunFolder
from vit.runs.splits import read_splits


def changes_of(folder: RunFolder, data: SampleData, fingerprint: str) -> list[str]:
    """Nothing where the data are the same, or where no splits.json tells what they were."""
    if not other_data(folder, fingerprint) or (before := read_splits(folder.path)) is None:
        return []
    return changes(before, splits_of(data))
