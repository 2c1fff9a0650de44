"""The page in W&B, where others look: as a run of `job_type=report` beside the runs it is about."""

from __future__ import annotations

import os
from pathlib import Path

from vit.faults import Fault, Refused
from vit.review.online import PROJECT, reached
from vit.review.report import Report
from vit.runs.tracking import keep_inside


def check_target(flag: str, target: str) -> tuple[str, str]:
    """Entity and project. Raises Refused where the word does not name both."""
    if PROJECT.fullmatch(target) is None:
        raise Refused([Fault(flag, f"is {target!r}; wanted ENTITY/PROJECT")])
    entity, project = target.split("/")
    return entity, project


def log_page(page: Path, report: Report, target: str) -> str:
    """Logs a page that was written, and says where it is now.

    Online, unless WANDB_MODE=offline: then a run is written beside the page, and `vit sync` sends
    it. Raises Refused where the server cannot be reached or does not know us.
    """
    entity, project = check_target("--log", target)
    offline = os.environ.get("WANDB_MODE") in ("offline", "dryrun")
    home = page.absolute().parent
    keep_inside(home, offline=offline)
    import wandb

    title = ", ".join(Path(source).resolve().name for source in report.sources)
    with reached(target):
        if not offline:
            wandb.Api(timeout=15)  # asks who we are; init alone would wait for minutes
        run = wandb.init(
            entity=entity,
            project=project,
            name=f"report {title}",
            job_type="report",
            dir=str(home),
            mode="offline" if offline else "online",
            settings=wandb.Settings(silent=True, console="off"),
        )
        run.log({"report": wandb.Html(str(page), inject=False)})
        run.summary["verdict"] = report.overall.verdict.text
        where = f"written to {run.dir.removesuffix('/files')}; vit sync {home} sends it"
        where = where if offline else str(run.url)
        run.finish()
    return where
