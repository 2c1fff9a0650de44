"""Where runs come from: folders of ours and of W&B's, and projects on a server; one way in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vit.faults import Fault, Refused
from vit.review.cache import FILE, Cache
from vit.review.missing import without_curves
from vit.review.online import is_project, load_project
from vit.review.reader import find_runs, judge_state, read_run
from vit.review.run import Run, Runs


def load(
    sources: Iterable[Path | str], *, cache: bool = True, memory: dict[Path, Cache] | None = None
) -> Runs:
    """All runs of all sources, each once: folders, and projects of W&B (`entity/project`).

    With `cache` what was read is kept in each folder, and read again only where it has changed.
    Where it is read again and again, `memory` is handed on from one time to the next: nothing is
    kept in the folders then.
    Raises Refused where a source holds no runs, or none that can be read.
    """
    runs: dict[Path, Run] = {}
    problems: list[Fault] = []
    sources = list(sources)
    for source in sources:
        if is_project(str(source)):
            runs |= {run.path: run for run in load_project(str(source), cache=cache)}
            continue
        source = Path(source)
        kept: Cache | None
        kept = memory.get(source) if memory is not None else None
        if kept is None and (cache or memory is not None):
            kept = Cache(source / FILE)
        if memory is not None and kept is not None:
            memory[source] = kept
        for path in find_runs(source):
            if path.resolve() in runs:
                continue
            try:
                run = kept.read(path) if kept else read_run(path)
            except Refused as refused:
                problems += refused.faults
                continue
            except OSError as error:
                problems.append(Fault(str(path), f"cannot be read: {error.strerror or error}"))
                continue
            judge_state(run)
            if run.state_json.get("job_type") != "report":  # our own page, logged to W&B
                runs[path.resolve()] = run
        if kept and memory is None:
            kept.save()
    if not runs:
        nothing = Fault(", ".join(map(str, sources)), "holds nothing but reports")
        raise Refused(problems or [nothing])
    bare = [run for run in runs.values() if run.state == "done" and not run.history]
    gone = {run.name: why for run in bare if run.config and (why := without_curves(run.path))}
    notes = [f"{name} is done, but has no curves: {why}" for name, why in gone.items()]
    return Runs(list(runs.values()), [*[f"left out, {fault}" for fault in problems], *notes])
