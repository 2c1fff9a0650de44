"""The report of many runs: what the terminal, the page, W&B and programs are shown of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from vit.faults import Fault, Refused, did_you_mean
from vit.review.board import Board, board_of
from vit.review.comparable import about, by_question, of_one_way
from vit.review.configurations import Configuration, gather
from vit.review.plain import as_plain
from vit.review.ranking import choose_metric
from vit.review.run import Run, Runs

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Report:
    """Of all runs together, and of each question that some of them answer.

    Where they answer several, `overall` ranks those of the first board alone.
    """

    created: str
    sources: list[str]
    overall: Board
    about_boards: str  # empty where there are no several boards
    boards: list[Board]  # empty where one number compares all runs
    configurations: list[Configuration]  # in the order of the rows of `overall`

    def to_plain(self) -> dict[str, object]:
        """For programs."""
        tables = as_plain(self.overall)
        del tables["title"]
        return {
            "schema_version": SCHEMA_VERSION,
            "created": self.created,
            "sources": self.sources,
            **tables,
            "about_boards": self.about_boards,
            "boards": as_plain(self.boards),
        }


def build_report(
    loaded: Runs,
    sources: Iterable[Path | str],
    *,
    metric: str | None = None,
    mode: str | None = None,
    baseline: str | None = None,
) -> Report:
    """`baseline` is a run's or a configuration's name.

    Where neither `metric` nor `mode` is given and the runs answer several questions, each has a
    board with its own metric; `about_boards` says so. Raises Refused where the metric was never
    recorded, or no baseline is called so.
    """
    runs, several, outdated = loaded.runs, [], ""
    if metric is None and mode is None:
        several = by_question(runs)
        several = several if len(several) > 1 else []
    else:
        runs, outdated = of_one_way(runs, choose_metric(runs, metric, mode)[0])
    ranked = several[0].runs if several else runs
    ids = _baselines([each.runs for each in several] or [runs], baseline)
    overall, configurations = board_of("", runs, ranked, metric, mode, ids[0])
    about_boards = about(several)
    notes = [about_boards] if several else overall.notes
    notes = [outdated, *notes] if outdated else notes
    return Report(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        sources=[str(source) for source in sources],
        overall=replace(overall, notes=[*loaded.notes, *notes]),
        about_boards=about_boards,
        boards=[
            board_of(each.title, each.runs, each.runs, None, None, its)[0]
            for each, its in zip(several, ids, strict=False)
        ],
        configurations=configurations,
    )


def _baselines(several: list[list[Run]], name: str | None) -> list[str | None]:
    """For the runs of each board the id of the configuration that is called so, or None.

    Raises Refused where none of them has one.
    """
    if name is None:
        return [None] * len(several)
    gathered = [gather(runs)[0] for runs in several]
    ids = [_called(configurations, name) for configurations in gathered]
    if not any(ids):
        known = [each.label for configurations in gathered for each in configurations]
        message = f"nothing is called {name!r}.{did_you_mean(name, known)} There are: "
        raise Refused([Fault("--baseline", message + "; ".join(known[:20]))])
    return ids


def _called(configurations: list[Configuration], name: str) -> str | None:
    """The id of the configuration that is called so, or has a run that is."""
    for each in configurations:
        if name in (each.id, each.label) or any(name == run.name for run in each.runs):
            return each.id
    return None
