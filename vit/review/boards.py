"""Which runs one number can compare: those are on one board, others on boards of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from vit.review.reader import Run, inside

Question = tuple[tuple[str, str] | None, str, str, str]
# Settings that say which data a class reads, where it can read several: names, else a place.
NAMES_OF_DATA, PLACES_OF_DATA = ("path", "name"), ("table", "train", "root")


@dataclass(frozen=True)
class Board:
    """Runs that answer one question, and the words for it: `Classification on Digits`."""

    title: str
    runs: list[Run]


def boards(runs: list[Run]) -> list[Board]:
    """The runs by what selected their checkpoints and by their data; the most runs first.

    Data are known by their class and what it was told to read, a set's name or the end of a path;
    those of one fingerprint are the same under whatever name.
    A loss is a number of its task alone, so by that as well; an accuracy is the same whatever
    was trained for it. Runs that name no metric, as those of other programs, join the first board.
    """
    groups: dict[Question, list[Run]] = {}
    names: dict[Any, str] = {}  # of data by their fingerprint: the first that is met
    others = []
    for run in runs:
        if run.monitor is None:
            others.append(run)
        else:
            name, mark = _name_of_data(run), inside(run.stamp, "data", "fingerprint")
            name = names.setdefault(mark, name) if isinstance(mark, str) else name
            groups.setdefault(_question(run, name), []).append(run)
    if not groups:
        return [Board("", runs)]
    most = max(groups, key=lambda question: len(groups[question]))
    joined = {id(run) for run in (*groups[most], *others)}
    groups[most] = [run for run in runs if id(run) in joined]  # in the order they were read
    ordered = sorted(groups, key=lambda question: -len(groups[question]))
    return [Board(_title(groups[question]), groups[question]) for question in ordered]


def about(found: list[Board]) -> str:
    """What to know of several boards before reading them; empty of one."""
    if len(found) < 2:
        return ""
    count = sum(len(board.runs) for board in found)
    return (
        f"These {count} runs are of {len(found)} kinds, by task, data or the metric that selected "
        "their checkpoints. Each kind has a board of its own: a number of one says nothing about "
        "another. --metric NAME puts all that have recorded it on one board."
    )


def mixed(runs: list[Run]) -> str:
    """Says of runs on one board that they are of several kinds; empty where they are not."""
    kinds = [board.title for board in boards(runs) if board.title]
    if len(set(kinds)) < 2:
        return ""
    named = "; ".join(dict.fromkeys(kinds))
    return f"of different tasks or data: {named}; a difference need not be one of the models"


def _question(run: Run, name_of_data: str) -> Question:
    of_its_task = run.monitor is not None and run.monitor[0].endswith("loss")
    task = _part(run, "task") if of_its_task else ""
    return run.monitor, _part(run, "data"), name_of_data, task


def _part(run: Run, name: str) -> str:
    target: Any = inside(run.config, name, "_target_")
    return target if isinstance(target, str) else ""


def _name_of_data(run: Run) -> str:
    """`CIFAR10`, or the end of a path: the same data may lie elsewhere on another machine."""
    names, places = (
        [_end(value) for key in keys if isinstance(value := inside(run.config, "data", key), str)]
        for keys in (NAMES_OF_DATA, PLACES_OF_DATA)
    )
    return " ".join(names or places[:1])


def _end(path: str) -> str:
    """A folder's own name; of a file, which may be called train.tsv anywhere, its folder's too."""
    place = PurePosixPath(path)
    return "/".join(place.parts[-2:]) if place.suffix else place.name


def _title(runs: list[Run]) -> str:
    """Classes of task and data and the data's name; of runs that disagree, each of them."""
    tasks = {_part(run, "task").rsplit(".", 1)[-1] for run in runs} - {""}
    kinds = {_part(run, "data").rsplit(".", 1)[-1] for run in runs} - {""}
    names = {_name_of_data(run) for run in runs} - {""}
    task, kind, name = (" or ".join(sorted(told)) for told in (tasks, kinds, names))
    data = f"{kind} {name}".strip()
    return f"{task} on {data}" if task and data else task or data
