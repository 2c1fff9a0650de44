"""What is to be known of a comparison before it is believed."""

from __future__ import annotations

from collections import Counter

from vit.review.comparable import mixed
from vit.review.configurations import run_value
from vit.review.ranking import Ranking
from vit.review.run import Run, inside
from vit.runs.counted import BEFORE, PICTURES_OWN_SIZE, is_outdated


def notes_on(runs: list[Run], ranking: Ranking) -> list[str]:
    """What whoever reads the ranking of these runs has to know."""
    notes = []
    if ranking.metric.startswith("test/"):
        notes.append("ranked by a test metric: whoever chooses by it has no test left")
    if different := mixed([run for run in runs if run_value(run, ranking.metric) is not None]):
        notes.append(different)
    old = [run for run in runs if is_outdated(run.config, run.counted, ranking.metric)]
    if old:
        names = ", ".join(run.name for run in old[:3]) + (", …" if len(old) > 3 else "")
        notes.append(
            f"{ranking.metric} of {len(old)} ({names}) was counted {BEFORE}, as vit did once: "
            f"compared with none of today's; vit evaluate RUN_DIR measures {PICTURES_OWN_SIZE}"
        )
    without = [r for r in runs if r.state == "done" and run_value(r, ranking.metric) is None]
    if without:
        names = ", ".join(run.name for run in without[:3])
        notes.append(f"done, but without a finite {ranking.metric}: {len(without)} ({names})")
    other = {run.monitor for run in runs if run.monitor and run.monitor[0] != ranking.metric}
    if other:
        names = ", ".join(sorted(name for name, _ in other))
        notes.append(f"some checkpoints were selected by {names}, not by {ranking.metric}")
    twice = Counter((run.group, run.seed) for run in runs if run.state == "done")
    if again := sum(count - 1 for count in twice.values()):
        notes.append(f"the same configuration and seed again: {again}; the later run counts")
    commits = {inside(run.stamp, "git", "commit") for run in runs} - {None}
    if len(commits) > 1:
        notes.append(f"the runs come from {len(commits)} commits; look whether the code differs")
    waiting = sum(run.state in ("planned", "running", "paused") for run in runs)
    if waiting:
        notes.append(f"{waiting} still running or planned: what is said is of those that are done")
    lost = sum(run.state in ("failed", "cut off") for run in runs)
    if lost and ranking.places:
        notes.append(f"{lost} failed or cut off: means are over those that ended well")
    return notes
