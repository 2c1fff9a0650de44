"""The report's questions as a workspace of W&B, built in code from the report's tables.

What wandb-workspaces makes of it is checked up to the request that saves it; how W&B's own pages
draw it is not in our hands.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from vit.faults import Fault, Refused
from vit.review.configurations import FINGERPRINT, Factor
from vit.review.curves import curves
from vit.review.online import reached
from vit.review.publish import check_target
from vit.review.report import Report
from vit.review.run import Run
from vit.review.wandb_rows import GROUP, STEP

MOST_CURVES = 8
MISSING = Fault("--workspace", "needs a package more: pip install 'vit-experiments[workspaces]'")
# The names under which vit.callbacks.pictures and vit.explain.after_training log them.
PICTURES = ["val/pictures", "val/attention", "val/features"]


def require_package() -> None:
    """Raises Refused where the package is not installed; asked before work starts."""
    if find_spec("wandb_workspaces") is None:
        raise Refused([MISSING])


def save_workspace(report: Report, target: str) -> str:
    """Saves a new workspace in `entity/project` and returns its address.

    Raises Refused without the package, without a key, or where the server cannot be reached.
    """
    built = build_workspace(report, target)
    with reached(target):
        built.save()
        return str(built.url)


def build_workspace(report: Report, target: str) -> Any:
    """The workspace, without a request: runs grouped by configuration, seeds as bands."""
    entity, project = check_target("--workspace", target)
    try:
        panels: Any = import_module("wandb_workspaces.reports.v2")
        ws: Any = import_module("wandb_workspaces.workspaces")
    except ImportError as error:
        raise Refused([MISSING]) from error

    configurations, overall = report.configurations, report.overall
    metric, keys = overall.metric, factor_keys(overall.factors)
    best = "max" if overall.mode == "max" else "min"
    columns = [panels.ParallelCoordinatesPlotColumn(panels.Config(key)) for key in keys]
    last = panels.ParallelCoordinatesPlotColumn(panels.SummaryMetric(metric))
    # Named by our tracker in every run; a project of others is grouped by what differs in it.
    ours = all(_is_ours(run) for each in configurations for run in each.runs)
    group = GROUP if ours else (keys[0] if len(keys) == 1 else None)
    bands = {"groupby_aggfunc": "mean", "groupby_rangefunc": "stddev", "max_runs_to_show": 100}
    grouping = {} if group is None else {"groupby": panels.Config(group)}
    ranked = [
        panels.BarPlot(
            title=f"{metric} ({best})", metrics=[panels.SummaryMetric(metric)], **grouping
        ),
        panels.RunComparer(diff_only="split"),
    ]
    mattered = [
        panels.ParallelCoordinatesPlot(title="settings and result", columns=[*columns, last]),
        panels.ParameterImportancePlot(with_respect_to=metric),
    ]
    step = STEP if ours else "Step"
    names = curves(configurations, metric).metrics
    metrics = [name for name in names if not name.startswith("timing/")]  # the record's, not W&B's
    drawn = [
        panels.LinePlot(title=name, x=step, y=[name], aggregate=True, **bands, **grouping)
        for name in metrics[:MOST_CURVES]
    ]
    sections = [
        ws.Section(name="Which is best?", panels=ranked, is_open=True, pinned=True),
        ws.Section(name="What mattered?", panels=mattered if keys else [], is_open=True),
        ws.Section(name="How did it learn?", panels=drawn, is_open=True),
        ws.Section(name="What does it see?", panels=[panels.MediaBrowser(media_keys=PICTURES)]),
    ]
    titles = ", ".join(str(source).rstrip("/").rsplit("/", 1)[-1] for source in report.sources)
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"vit report {titles}",
        sections=[section for section in sections if section.panels],
        settings=ws.WorkspaceSettings(x_axis=step, max_runs=100),
        runset_settings=ws.RunsetSettings(
            filters=ws.And(ws.Metric("JobType") != "report"),
            groupby=[ws.Config(key) for key in keys],
            order=[ws.Ordering(ws.Summary(metric), ascending=best == "min")],
            pinned_columns=[f"summary:{metric}", *map(_column, keys)],
        ),
    )


def factor_keys(factors: list[Factor]) -> list[str]:
    """The settings in which configurations differ, as W&B knows them: data it does not."""
    return [factor.key for factor in factors if factor.key != FINGERPRINT]


def _is_ours(run: Run) -> bool:
    return bool(run.trial.get("group")) or (run.path / "config.yaml").is_file()


def _column(key: str) -> str:
    """Pinned columns are handed on as they are, so the key is written as the server has it."""
    first, *rest = key.split(".")
    return "config:" + ".".join([first, "value", *rest])
