"""vit report SOURCE…: which configuration is best, whether that is known, and one page to show."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vit.faults import Fault, Refused
from vit.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console

    from vit.console import PlainTable
    from vit.review.board import Board, ConfigurationRow
    from vit.review.per_image import PerImage
    from vit.review.report import Report
    from vit.review.run import Runs
    from vit.review.statistics import Difference

ABOUT = """Compare runs: a table here, and one HTML file that opens anywhere without a network.

  vit report runs/digits-depth                  a sweep, by what its checkpoints were selected by
  vit report runs                               all runs in a folder
  vit report RUN_A RUN_B --metric val/accuracy --out compared.html
  vit report runs/digits-depth --baseline depth=2
  vit report runs --tag paper --search rope     of these only those with that tag and word
  vit report runs/digits-depth --json           all of its tables, for programs
  vit report runs/digits-depth --watch          keep the page fresh while runs go on; Ctrl-C ends
  vit report ENTITY/PROJECT                     the runs of a W&B project, asked of its server
  vit report runs/digits-depth --log ENTITY/PROJECT --workspace ENTITY/PROJECT

A SOURCE written a/b is the folder, if there is one, else the project b of the entity a in W&B.
WANDB_API_KEY or `wandb login` says who you are, WANDB_BASE_URL which server.

Runs that differ in nothing but their seed are one configuration. A configuration is called best
only where it is better than every other beyond noise: paired t tests on common seeds at 5 %,
corrected for their number (Holm). Where noise is larger than the gap, it says how many more seeds
would show it.
A page is written anew where it is of the same SOURCEs; another's, or any other file, stays unless
--force is given. With --watch a page that is open in a browser follows by itself.
What was read is kept in SOURCE/.review.npz (of a project in ~/.cache/vit/review), so that the next
report is quick."""
MOST_ROWS = 15
MOST_SEEDS = 5


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vit report", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", nargs="+", metavar="SOURCE")
    parser.add_argument("--metric", help="default: checkpoint.monitor of the runs")
    parser.add_argument("--mode", choices=("max", "min"), help="what is better; default: as above")
    parser.add_argument("--baseline", metavar="NAME", help="a configuration or run; the first")
    parser.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="TAG",
        help="only runs with it; may be given again",
    )
    parser.add_argument(
        "--search", metavar="WORDS", help="only runs with all of them in name, note or tags"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: report.html")
    parser.add_argument(
        "--log",
        metavar="ENTITY/PROJECT",
        help="log the page to this W&B project too; WANDB_MODE=offline leaves it to vit sync",
    )
    parser.add_argument(
        "--workspace",
        metavar="ENTITY/PROJECT",
        help="save a W&B workspace there: grouped, curves with bands, what mattered, pictures",
    )
    parser.add_argument(
        "--watch", action="store_true", help="keep the page fresh until all runs have ended"
    )
    parser.add_argument("--force", action="store_true", help="replace whatever file is there")
    parser.add_argument("--no-cache", action="store_true", help="read everything, keep nothing")
    parser.add_argument("--json", action="store_true", help="print JSON; a page only with --out")
    arguments = parser.parse_args(argv)
    out: Path = arguments.out or Path("report.html")
    if out.suffix.lower() not in (".html", ".htm"):
        raise Refused([Fault("--out", f"is {out}; wanted a name that ends in .html")])
    if not out.absolute().parent.is_dir():
        raise Refused([Fault("--out", f"there is no folder {out.absolute().parent}")])
    from vit.review.publish import check_target
    from vit.review.workspace import require_package

    for flag in ("log", "workspace"):
        if target := getattr(arguments, flag):
            check_target(f"--{flag}", target)
    if arguments.workspace:
        require_package()
    from vit.review.chosen import those_with
    from vit.review.report import build_report

    sources: list[str] = arguments.sources
    if arguments.watch:
        _refuse_beside_watch(arguments)
    is_written = arguments.out or arguments.log or not arguments.json
    if is_written and not arguments.force:
        from vit.review.page_file import refuse_others

        refuse_others(out, sources)

    def made(loaded: Runs) -> Report:
        if arguments.tag or arguments.search:
            loaded = those_with(loaded, arguments.tag, arguments.search)
        asked = {name: getattr(arguments, name) for name in ("metric", "mode", "baseline")}
        return build_report(loaded, sources, **asked)

    if arguments.watch:
        from vit.cli.report_watch import watch

        report = watch(sources, out, made, keep=not arguments.no_cache)
        _show(report)
        print(f"page  {out}")
        return 0
    from vit.review.page import as_script_data, page
    from vit.review.page_file import end_following, write_page
    from vit.review.sources import load

    report = made(load(sources, cache=not arguments.no_cache))
    if is_written:
        write_page(out, page(report))
        end_following(out)  # of a watch that was killed
    if arguments.json:
        print(json.dumps(json.loads(as_script_data(report.to_plain())), indent=1))
    else:
        _show(report)
        print(f"page  {out}")
    _publish(arguments, out, report)
    return 0


def _refuse_beside_watch(arguments: argparse.Namespace) -> None:
    for flag in ("json", "log", "workspace"):
        if getattr(arguments, flag):
            message = f"does not go with --watch, which only writes the page; --{flag} afterwards"
            raise Refused([Fault(f"--{flag}", message)])


def _publish(arguments: argparse.Namespace, page: Path, report: Report) -> None:
    """What was asked for beyond the page; said on stderr, so that JSON stays JSON."""
    if arguments.log:
        from vit.review.publish import log_page

        print(f"logged  {log_page(page, report, arguments.log)}", file=sys.stderr)
    if arguments.workspace:
        from vit.review.workspace import save_workspace

        where = save_workspace(report, arguments.workspace)
        print(f"workspace  {where}", file=sys.stderr)


def _show(report: Report) -> None:
    from rich.text import Text

    from vit.cli.screen import plain_console

    console = plain_console()
    for note in report.overall.notes if report.boards else ():
        console.print(Text(printable(note), style="bold"), soft_wrap=True)
    for board in report.boards or [report.overall]:
        if report.boards:
            title = f"{board.metric}, {board.title}" if board.title else board.metric
            console.print()
            console.print(Text(printable(title), style="bold"))
        _show_board(board, console)
    sys.stdout.flush()


def _show_board(board: Board, console: Console) -> None:
    from rich.text import Text

    states: dict[str, int] = {}
    for run in board.runs:
        states[run.state] = states.get(run.state, 0) + 1
    counted = ", ".join(f"{count} {state}" for state, count in states.items())
    runs, count = len(board.runs), len(board.configurations)
    console.print(Text(f"{_many(runs, 'run')} ({counted}) of {_many(count, 'configuration')}"))
    console.print(_table(board))
    if count > MOST_ROWS:
        console.print(f"… and {count - MOST_ROWS} more", markup=False)
    verdict = board.verdict
    style = {"clear": "green", "unclear": "yellow"}.get(verdict.kind, "")
    console.print(Text(printable(verdict.text), style=style), soft_wrap=True)
    if verdict.advice:
        console.print(Text(printable(verdict.advice)), soft_wrap=True)
    if board.per_image:
        console.print(Text(printable(_image_by_image(board.per_image))), soft_wrap=True)
    _show_remarks(board, console)
    for note in board.notes:
        console.print(Text(f"note: {printable(note)}", style="dim"), soft_wrap=True)
    for failure in board.failures[:5]:
        line = f"{failure.state}: {failure.name}  {failure.why}"
        console.print(Text(printable(line), style="red"), soft_wrap=True)


def _show_remarks(board: Board, console: Console) -> None:
    """What was said of the runs, a line each; of a sweep's trials once, as they share it."""
    from rich.text import Text

    said: dict[str, list[str]] = {}
    for run in board.runs:
        if run.tags or run.note:
            tags = f"[{', '.join(run.tags)}]" if run.tags else ""
            said.setdefault("  ".join(filter(None, (tags, run.note))), []).append(run.name)
    for text, names in list(said.items())[:MOST_ROWS]:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        console.print(Text(printable(f"{names[0]}{more}: {text}"), style="dim"), soft_wrap=True)
    if len(said) > MOST_ROWS:
        console.print(f"… and {len(said) - MOST_ROWS} more notes", markup=False)


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _image_by_image(compared: PerImage) -> str:
    """Which sample only one of two got right, seed by seed."""
    shown = [
        f"seed {row.seed} {row.only_a}:{row.only_b} (p = {row.p:.2g})"
        for row in compared.seeds[:MOST_SEEDS]
    ]
    more = len(compared.seeds) - len(shown)
    rest = f" and {more} more" if more > 0 else ""
    return (
        f"sample by sample on {compared.split}, {compared.a_label} alone right against "
        f"{compared.b_label} alone right: {', '.join(shown)}{rest}; {compared.text} "
        "(McNemar, exact; of these trained models, not of the recipes)"
    )


def _table(board: Board) -> PlainTable:
    from rich.text import Text

    from vit.console import PlainTable
    from vit.review.samples import span

    rows = board.configurations
    alone = len(rows) == 1 and rows[0].mean is not None  # with nothing to compare it with
    table = PlainTable()
    table.add_column("configuration", overflow="fold")
    better = "lower" if board.mode == "min" else "higher"
    table.add_column("seeds", justify="right")
    counted = any(row.samples for row in rows[:MOST_ROWS])
    if counted:
        table.add_column(f"{board.unit}s", justify="right")
    table.add_column(f"{board.metric} ({better} is better), ± 95 %", justify="right")
    if not alone:
        table.add_column("to the baseline", justify="right")
        table.add_column("to the best")
    for at, row in enumerate(rows[:MOST_ROWS]):
        mean = _so_far(board, at) if row.mean is None else _figure(row.mean)
        half = "" if row.half is None else f" ± {_figure(row.half)}"
        cells: list[Text | str] = [Text(printable(row.label)), str(row.n)]
        if counted:
            cells.append(span(row.samples) if row.samples else "–")
        cells.append(f"{mean}{half}")
        if not alone:
            is_baseline = row.id == board.baseline
            cells += ["baseline" if is_baseline else _difference(row.to_baseline), _standing(row)]
        table.add_row(*cells)
    return table


def _so_far(board: Board, configuration: int) -> str:
    """The best that runs of a configuration have recorded, none of which is done."""
    values = (run.so_far for run in board.runs if run.configuration == configuration)
    known = [value for value in values if value is not None]
    best = min if board.mode == "min" else max
    return f"{_figure(best(known))} so far" if known else "–"


def _figure(value: float) -> str:
    """Four decimals; of what they would hide three digits."""
    return f"{value:.3g}" if 0 < abs(value) < 0.001 else f"{value:.4f}"


def _difference(gap: Difference | None) -> str:
    if gap is None:
        return "–"
    half = "" if gap.half is None else f" ± {_figure(gap.half)}"
    sign = "-" if gap.value < 0 else "+"
    return f"{sign}{_figure(abs(gap.value))}{half}"


def _standing(row: ConfigurationRow) -> str:
    if row.mean is None:
        return ", ".join(f"{count} {state}" for state, count in row.states.items())
    if row.to_best is None:
        return "best mean"
    if row.p_to_best is None:
        return "not known"
    return f"{'tied' if row.tied else 'worse'}, p = {row.p_to_best:.2g}"
