"""What every process of a run executes: a run folder in, a trained and tested model out.

Knows no Hydra and reads nothing but the folder's frozen config, so all ranks agree by
construction.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from vit.build import TargetError, build_slot
from vit.callbacks.checkpoints.saving import tidy
from vit.faults import Fault, Refused
from vit.frozen import processes
from vit.jobs.fitting import Job, fit
from vit.review.run_page import write_run_page
from vit.runs.clock import Clocks
from vit.runs.directory import RunFolder, content_of
from vit.runs.environment import for_the_tracker, hidden
from vit.runs.failure import DONE, FAILED, PREEMPTED, REFUSED, STOPPED, kind_of
from vit.runs.links import refuse_links
from vit.runs.process import unstopped
from vit.runs.secrets import concealed
from vit.runs.state import State, StateDetails
from vit.runs.writing import clear_leftovers
from vit.schema import frozen_faults
from vit.tasks.log import said_into

log = logging.getLogger("vit")


def train(run_dir: Path, allow_targets: Iterable[str] = (), allow_changed: bool = False) -> int:
    """Trains, or goes on with, the run in a folder; returns the exit code.

    With `allow_changed` also on other data than it was begun with, which the stamp then says.
    Raises Refused where the folder holds no run, where something in it leads out of it, or where
    this process group is not the one that the config promises.
    """
    folder = RunFolder(run_dir)
    config = folder.config()
    config["tracking"] = for_the_tracker(folder.written_config().get("tracking"))
    refuse_links(folder.path)
    if faults := frozen_faults(config):
        raise Refused(faults)
    secret, log_file = hidden(config), folder.log_file
    rank, world_size = _rank_and_world(config)
    torch.set_num_threads(config["threads"])
    if config["trainer"].get("deterministic"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    with folder.locked() if rank == 0 else nullcontext(), said_into(log_file, rank, secret):
        clocks = Clocks(folder.state())
        if rank == 0:
            folder.set_state("running", **clocks.seconds())
            tidy(folder.checkpoints)
            clear_leftovers(folder.path)
        tracking: Any = None
        code, error, kind = FAILED, None, None
        try:
            tracking = build_slot("tracking", config, allow_targets)
            allowed = tuple(allow_targets)
            code = fit(
                Job(folder, config, tracking, clocks, rank, world_size, allowed, allow_changed)
            )
        except KeyboardInterrupt:
            code = STOPPED  # outside of Lightning's loops, which answer it themselves
        except FloatingPointError as problem:
            error, kind = str(problem), kind_of(problem)
            log.error("stopped: %s", problem)
        except Refused as problem:
            code, error, kind = REFUSED, str(problem), "refused"
            log.error("refused: %s", problem)
        except TargetError as problem:
            code, error, kind = REFUSED, str(problem), "refused"
            log.error("refused: %s", problem)
        except Exception as problem:
            kind = kind_of(problem)
            if isinstance(problem, OSError) and kind == "disk_full":
                error = problem.strerror or str(problem)
                log.error("stopped: %s", error)
            else:
                error = f"{type(problem).__name__}: {problem}"
                log.exception("failed")
        if rank == 0:
            names: dict[int, State] = {DONE: "done", STOPPED: "stopped", PREEMPTED: "preempted"}
            state = names.get(code, "failed")
            if code in (STOPPED, PREEMPTED):
                state = folder.ordered() or state
            details: StateDetails = {"exit_code": code, "error": error and concealed(error, secret)}
            if kind:
                details["kind"] = kind
            details.update(clocks.seconds())
            if code == DONE:
                details["last_checkpoint"] = content_of(folder.last_checkpoint)
            with unstopped(folder.is_done) if code == DONE else nullcontext():
                try:
                    folder.set_state(state, **details)
                except OSError as problem:  # a full disk
                    print(
                        f"state.json could not be written: {problem}. {details['error']}",
                        file=sys.stderr,
                    )
                if code == DONE:
                    write_run_page(folder)
                if tracking is not None:
                    _finish(tracking, 0 if state in ("pruned", "paused") else code)
        return code


def _finish(tracking: Any, code: int) -> None:
    try:
        tracking.finish(code)
    except Exception:  # what was trained stands; the tracker's copy can be sent again
        message = "the tracker could not be closed; vit sync uploads what it kept"
        log.warning(message, exc_info=True)


def _rank_and_world(config: Mapping[str, Any]) -> tuple[int, int]:
    promised = processes(config)
    world_size = int(os.environ.get("WORLD_SIZE", 1))
    if world_size != promised:
        raise Refused(
            [
                Fault(
                    "trainer.devices",
                    f"the run was frozen for {promised} processes, this is one of {world_size}; "
                    f"start it with: torchrun --nproc-per-node {promised} -m vit run RUN_DIR",
                )
            ]
        )
    return int(os.environ.get("RANK", 0)), world_size
