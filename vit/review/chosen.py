"""Which of the runs that were read a report is about: by their tags, and by words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from vit.faults import Fault, Refused, did_you_mean
from vit.review.run import Run, Runs
from vit.runs.remarks import note_of, tags_of

MOST_KNOWN = 20  # tags in a message


def those_with(loaded: Runs, tags: Sequence[str] = (), words: str | None = None) -> Runs:
    """The runs that have all of the tags, and each of the words in their name, note or tags.

    Capital letters do not matter. Raises Refused where none is left.
    """
    runs = [run for run in loaded.runs if _has(run, tags) and _says(run, words or "")]
    if runs:
        return replace(loaded, runs=runs)
    known = Counter(tag for run in loaded.runs for tag in tags_of(run.config))
    listed = ", ".join(f"{tag} ({n})" for tag, n in known.most_common(MOST_KNOWN)) or "none"
    faults = [
        Fault("--tag", f"no run has the tag {tag!r}.{did_you_mean(tag, known)} There are: {listed}")
        for tag in tags
        if not any(_has(run, [tag]) for run in loaded.runs)
    ]
    if not faults:
        asked = [f"the tags {', '.join(tags)}"] if tags else []
        asked += [f"the words {words!r} in name, note or tags"] if words else []
        message = f"none of the {len(loaded.runs)} runs has {' and '.join(asked)}"
        faults = [Fault("--search" if words else "--tag", message)]
    raise Refused(faults)


def _has(run: Run, tags: Sequence[str]) -> bool:
    return {tag.lower() for tag in tags} <= {tag.lower() for tag in tags_of(run.config)}


def _says(run: Run, words: str) -> bool:
    text = " ".join([run.name, note_of(run.config) or "", *tags_of(run.config)]).lower()
    return all(word in text for word in words.lower().split())
