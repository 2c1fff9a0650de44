"""vit train: compose, check, freeze, then train from the frozen file in a fresh process."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from vit.cli.all_choices import choices
from vit.cli.check import add_find_arguments, with_faults_of_the_rest
from vit.cli.compose import (
    HYDRA_SHOWS,
    Composed,
    add_compose_arguments,
    compose_runs,
    written_out,
)
from vit.faults import Fault, Refused
from vit.metrics.headlines import HEADLINES
from vit.runs import extension, process
from vit.runs.check_report import CheckReport
from vit.runs.continuity import keep_stamp, refuse_changed_data
from vit.runs.counted import BEFORE, is_outdated, ways
from vit.runs.directory import RunFolder
from vit.runs.environment import granted_by, hidden, with_names
from vit.runs.left_out import left_out_summary
from vit.runs.rare_classes import told_of_unfound
from vit.runs.stamp import stamp
from vit.runs.torchrun import train_on_nodes, train_together
from vit.sweeps.roles import FACTS
from vit.terminal import printable

ABOUT = """Train a model from a config that Hydra composes.

  vit train experiment=digits                        a shipped experiment
  vit train experiment=digits seed=1 optim.lr=3e-4   with other values
  vit train data=folder data.root=photos             your own images, a folder a class
  vit train -m experiment=digits seed=1,2,3          one run for each value
  vit train experiment=digits --cfg job              show the config, train nothing

  vit train experiment=digits note="why I run it" tags=[baseline,paper]
  vit train experiment=digits init=runs/NAME         from the weights of a finished run
  vit train experiment=digits extend=10              ten epochs more than the finished run of
                                                     the same words without extend

The run's folder is runs/NAME (hydra.run.dir=… chooses another). The same command again goes on
with an unfinished run, and does nothing to a finished one. A longer run (extend) is a run of its
own, runs/NAME-extend10: the finished one stays as it is. Its added epochs run at the learning rate
where the schedule ended; where that is 0 they begin at a tenth of optim.lr (extend_lr_scale=…).

With -m the trials are checked and shown as a plan, then run, as many at once as the machine has
room for (sweep.jobs=N). Their folder is runs/SWEEP (sweep.name=…, hydra.sweep.dir=…). The same
command again resumes the sweep; vit sweep --help says how to look at one and stop it."""


def main(argv: list[str]) -> int:
    typed, argv = argv, written_out(argv)
    if any(word.split("=")[0] in HYDRA_SHOWS for word in argv):
        from vit.cli.shell import show

        return show("train", argv)
    arguments = parsed(argv)
    if arguments.multirun:
        return sweep(arguments, typed)
    _refuse_a_rank()
    process.warm_up()
    plans = {"--dry-run": arguments.dry_run}
    plans |= {"--find-lr": arguments.find_lr, "--find-batch-size": arguments.find_batch_size}
    if any(plans.values()):
        message = "is for a sweep (-m); vit check shows what one run would be"
        raise Refused([Fault(name, message) for name, asked in plans.items() if asked])
    try:
        (run,) = compose_runs(arguments)
        folder = RunFolder(run.run_dir)
        try:
            folder.refuse_conflicts(run.config)
            if run.parent is not None:
                extension.require_parent(RunFolder(run.parent), folder, run.config)
        except Refused as conflict:  # the config may have faults of its own
            raise Refused(conflict.faults, run.config, conflict.hint) from None
        report = None
        if not folder.is_done():
            asked = str(run.run_dir), arguments.full, not arguments.prepare
            check = "vit.check.preflight:plain_report_or_refuse"
            report = CheckReport.from_plain(process.call(check, run.config, *asked))
            if not arguments.allow_changed:
                data, changes = report.sound.data, report.sound.changes or ()
                refuse_changed_data(folder, data.fingerprint, changes)
                if run.parent is not None and not folder.config_file.exists():
                    extension.refuse_other_data(RunFolder(run.parent), data.fingerprint)
    except Refused as refused:
        raise with_faults_of_the_rest(refused, arguments) from None
    return _train(run, report, ["vit", "train", *typed], arguments.prepare)


def parsed(argv: list[str]) -> argparse.Namespace:
    """The words after `vit train`."""
    parser = argparse.ArgumentParser(
        prog="vit train",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"{choices()}\n\nalso Hydra's own: --cfg job|hydra|all [--resolve] [--package P], "
        "--info, --hydra-help",
    )
    add_compose_arguments(parser)
    parser.add_argument("--full", action="store_true", help="check every image, not a sample")
    add_find_arguments(parser)
    parser.add_argument(
        "--prepare", action="store_true", help="check and write the folder; vit run trains it"
    )
    parser.add_argument("--dry-run", action="store_true", help="-m: show the plan, start nothing")
    parser.add_argument(
        "--allow-changed",
        action="store_true",
        help="go on with a run that was begun with other data, a sweep with other code or data",
    )
    return parser.parse_intermixed_args(argv)


def sweep(arguments: argparse.Namespace, argv: list[str], **trust: Any) -> int:
    """`vit train -m`; `trust` as in multirun.launch, where another command asks for it."""
    _refuse_a_rank()
    process.warm_up(many=True)
    if arguments.prepare:
        raise Refused([Fault("--prepare", "is for one run; --dry-run shows a sweep's plan")])
    from vit.cli.multirun import launch

    try:
        return launch(arguments, argv, **trust)
    except Refused as refused:
        raise with_faults_of_the_rest(refused, arguments) from None


def _refuse_a_rank() -> None:
    if "LOCAL_RANK" in os.environ:
        raise Refused(
            [
                Fault(
                    "LOCAL_RANK",
                    "is set: start `vit train trainer.devices=N` once, it starts its own processes",
                )
            ]
        )


def _train(run: Composed, report: CheckReport | None, command: list[str], prepare: bool) -> int:
    folder = RunFolder(run.run_dir)
    if report is None:
        from vit.review.run_page import has_run_page, write_run_page

        noted = folder.annotate(run.config)
        what = "; its note and tags are these now." if noted else "; nothing to do."
        print(f"{run.run_dir} is done already{what}")
        # A kill came first, or an older vit trained it, or the page has another note.
        if noted or not has_run_page(folder):
            write_run_page(folder)
        summary(folder)
        return 0
    from vit.cli.screen import show_report

    print(f"run         {run.run_dir}")
    if run.parent is not None:
        print(f"extends     {_shortest(run.parent)}, which stays as it is")
    if folder.last_checkpoint.exists() and not prepare:
        state = folder.state().name or "running"
        was = {
            "running": "it was cut off",
            "failed": "it had failed",
            "done": f"it had ended; {folder.lost_results() or 'its last.ckpt is another now'}",
        }.get(state, f"it was {state}")
        print(f"goes on     from {_shortest(folder.last_checkpoint)}; {was}")
    show_report(report)
    sound, plain = report.sound, report.to_plain()
    data = with_names(sound.data.to_plain(), hidden(run.config))
    record = stamp(command, data, sound.gpus)
    record["facts"] = {name: plain[name] for name in FACTS if name in plain}
    if run.config["backbone"].get("weights"):
        from vit.models.pretrained.keys import stamped

        record["weights"] = stamped(run.config["backbone"], plain)
    if sound.metrics.counted is not None:
        record["counted"] = sound.metrics.counted
    if sound.init is not None:
        record["init"] = sound.init
    if run.parent is not None and not folder.config_file.exists():
        changed = extension.begin(folder, RunFolder(run.parent), run.config, record)
    else:
        folder.freeze(run.config)
        changed = keep_stamp(folder, record)
    if changed:
        print(f"changed     since it was begun: {'; '.join(changed)}")
    if prepare:
        print(f"\nprepared; to train it: vit run {_shortest(run.run_dir)}")
        return 0
    started = time.monotonic()
    code = execute(folder, run.config)
    if folder.is_done():  # whatever came after that, such as a signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        summary(folder, time.monotonic() - started)
        return 0
    code = code or 1  # an exit code of 0 proves nothing
    _note_death(folder, code)
    failure(folder, code)
    return code


def _note_death(folder: RunFolder, code: int) -> None:
    """Of a process that died without a word: out of memory, or killed."""
    # OSError: a full disk, most likely, as was said. Refused: another command has begun to train it
    # meanwhile, and what the state says is of that one.
    with suppress(OSError, Refused), folder.locked():
        if folder.state().name in ("planned", "running"):
            folder.set_state("failed", exit_code=code, error=_death(code))


def _death(code: int) -> str:
    """What to say of a process that died without a word of its own."""
    killed = code - 128 if code > 128 else -code
    if killed == signal.SIGKILL:
        return "the process was killed (SIGKILL): by hand, or by the system, short of memory"
    if killed in set(signal.Signals):
        return f"the process ended by {signal.Signals(killed).name}"
    return f"the process ended with {code}"


def execute(folder: RunFolder, config: dict[str, Any]) -> int:
    """Trains a frozen folder in fresh processes: one, or as many as promised under torchrun."""
    count, allowed = config["trainer"]["devices"], tuple(config["allow_targets"])
    nodes = config["trainer"].get("num_nodes", 1)
    granted = granted_by(config["tracking"])
    os.environ.update(granted)
    if nodes > 1:
        return train_on_nodes(folder, nodes, allowed)
    if count > 1:
        return train_together(folder, count, config["threads"], allowed)
    return process.run("vit.jobs.training:train", folder.path, allowed, environment=granted)


def summary(folder: RunFolder, seconds: float | None = None) -> None:
    """What came out, where it lies, what to try next."""
    results = folder.results()
    metrics = results["metrics"]
    split = "test" if any(key.startswith("test/") for key in metrics) else "val"
    where = _shortest(folder.path)
    print()
    if headlines := [name for name in HEADLINES if f"{split}/{name}" in metrics]:
        for name in headlines:
            old = is_outdated(folder.written_config(), ways(results.get("counted")), name)
            remark = f", counted {BEFORE}: vit evaluate counts anew" if old else ""
            shown = _figure(metrics[f"{split}/{name}"], ".2%")
            print(f"{f'{split} {HEADLINES[name]}':<14} {shown}{remark}")
    else:
        for key, value in metrics.items():
            print(f"{key}  {_figure(value, '.4f')}")
    train_seconds = results.get("timing", {}).get("train_seconds", 0.0)
    # Of what goes on the training counts every start, and the clock of this command the last alone.
    all_of_it = seconds is not None and seconds >= train_seconds
    whole = f" ({seconds:.0f} s in all)" if all_of_it else ""
    count = results.get("epochs") or 0
    epochs = f"{count} epoch{'s' if count != 1 else ''}"
    print(f"trained       {epochs} in {train_seconds:.0f} s{whole}")
    unit = results.get("unit", "image")
    if left_out := left_out_summary(results.get("left_out"), unit):
        print(printable(f"left out      {left_out}: {where}/log.txt names them"))
    if unfound := results.get("unfound_classes"):
        print(printable(f"at 0 % IoU    {told_of_unfound(unfound, folder.written_config())}"))
    print(f"run           {where}")
    by_class = "" if f"{split}/exact_match" in metrics else ", class by class"
    words = {"text": "--text TEXT", "sound": "FILE.wav…"}.get(unit, "IMAGE…")
    steps = {
        f"vit evaluate {where}": f"its numbers again{by_class}",
        f"vit predict {where} {words}": f"what it says of your own {unit}s",
        f"less {where}/metrics.jsonl": "every record, a line each",
    }
    print("\nnext:")
    for step, purpose in steps.items():
        print(f"  {step:<{len(str(where)) + 24}} {purpose}")


def _figure(value: float | str | None, how: str) -> str:
    """Numbers that JSON has no name for are text there already."""
    return f"{value:{how}}" if isinstance(value, int | float) else str(value)


def failure(folder: RunFolder, code: int) -> None:
    names = {130: "stopped", 143: "stopped by a signal"}
    where = _shortest(folder.path)
    print(f"\n{names.get(code, 'failed')}: {folder.state().error or where}", file=sys.stderr)
    if code in names:
        print("the same command goes on from the last checkpoint", file=sys.stderr)
    else:
        print(f"the log: {where / 'log.txt'}", file=sys.stderr)


def _shortest(path: Path) -> Path:
    try:
        return path.absolute().relative_to(Path.cwd())
    except ValueError:
        return path
