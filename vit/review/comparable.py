"""Which runs one number can compare: those are on one board, others on boards of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from vit.review.run import Run, inside
from vit.runs.counted import BEFORE, mark, way

Question = tuple[tuple[str, str] | None, str, str, str, str]
# Settings that say which data a class reads, where it can read several: names, else a place.
NAMES_OF_DATA, PLACES_OF_DATA = ("path", "name"), ("table", "train", "root")


@dataclass(frozen=True)
class Comparable:
    """Runs that answer one question, and the words for it: `Classification on Digits`."""

    title: str
    runs: list[Run]


def by_question(runs: list[Run]) -> list[Comparable]:
    """The runs by what selected their checkpoints and by their data; the most runs first.

    Data are known by their class and what it was set to read, a set's name or the end of a path;
    those of one fingerprint are the same under whatever name.
    A loss is a number of its task alone, so by that as well; an accuracy is the same whatever
    was trained for it. Runs whose metrics were counted in other ways (vit/runs/counted.py) are
    apart. Runs that name no metric, as those of other programs, join the first board.
    """
    groups: dict[Question, list[Run]] = {}
    names: dict[str, str] = {}  # of data by their fingerprint: the first that is met
    others = []
    for run in runs:
        if run.monitor is None:
            others.append(run)
        else:
            name, mark = _name_of_data(run), inside(run.stamp, "data", "fingerprint")
            name = names.setdefault(mark, name) if isinstance(mark, str) else name
            groups.setdefault(_question(run, name), []).append(run)
    if not groups:
        return [Comparable("", runs)]
    most = max(groups, key=lambda question: len(groups[question]))
    joined = {id(run) for run in (*groups[most], *others)}
    groups[most] = [run for run in runs if id(run) in joined]  # in the order they were read
    ordered = sorted(groups, key=lambda question: -len(groups[question]))
    sets = [Comparable(_title(groups[question]), groups[question]) for question in ordered]
    return [Comparable(", ".join(filter(None, (s.title, _way(s, sets)))), s.runs) for s in sets]


def about(sets: list[Comparable]) -> str:
    """What to know of several boards before reading them; empty of one."""
    if len(sets) < 2:
        return ""
    count = sum(len(each.runs) for each in sets)
    return (
        f"These {count} runs are of {len(sets)} kinds, by task, data, the metric that selected "
        "their checkpoints or how it was counted. Each kind has a board of its own: a number of "
        "one says nothing about another. --metric NAME puts all that have recorded it on one board."
    )


def of_one_way(runs: list[Run], metric: str) -> tuple[list[Run], str]:
    """The runs that have not counted a metric in an outdated way, and a word on those left out."""
    have = [run for run in runs if metric in run.metrics or metric in run.history]
    ways = {way(run.counted, metric) for run in have}
    if len(ways) < 2:
        return runs, ""
    # What was counted in one way stands before what was counted in two, and that before the old.
    kept = min(ways - {None}, key=lambda each: (len(str(each)), str(each)))
    left = [run for run in have if way(run.counted, metric) != kept]
    named = ", ".join(run.name for run in left[:3]) + (", …" if len(left) > 3 else "")
    others = " or ".join(sorted({way(run.counted, metric) or BEFORE for run in left}))
    word = f"left out: {len(left)} run{'s'[: len(left) != 1]} ({named}) whose {metric} was counted "
    gone = {id(run) for run in left}
    return [run for run in runs if id(run) not in gone], f"{word}{others}, not {kept}"


def mixed(runs: list[Run]) -> str:
    """Says of runs on one board that they are of several kinds; empty where they are not."""
    kinds = [each.title for each in by_question(runs) if each.title]
    if len(set(kinds)) < 2:
        return ""
    named = "; ".join(dict.fromkeys(kinds))
    return f"of different tasks or data: {named}; a difference need not be one of the models"


def _question(run: Run, name_of_data: str) -> Question:
    of_its_task = run.monitor is not None and run.monitor[0].endswith("loss")
    task = _part(run, "task") if of_its_task else ""
    return run.monitor, _part(run, "data"), name_of_data, task, mark(run.counted)


def _way(one: Comparable, others: list[Comparable]) -> str:
    """How the metrics of runs were counted, where another of its title counts otherwise."""
    ways = [_counted(other) for other in others if other.title == one.title]
    named = sorted({name for each in ways for name in each})
    its_ways = {name: _counted(one).get(name, BEFORE) for name in named}
    if all(each == ways[0] for each in ways):
        return ""
    return "counted " + "; ".join(sorted(set(its_ways.values())))


def _counted(one: Comparable) -> dict[str, str]:
    return next((run.counted for run in one.runs if run.monitor is not None), {})


def _part(run: Run, name: str) -> str:
    target: object = inside(run.config, name, "_target_")
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
    task, kind, name = (" or ".join(sorted(words)) for words in (tasks, kinds, names))
    data = f"{kind} {name}".strip()
    return f"{task} on {data}" if task and data else task or data
