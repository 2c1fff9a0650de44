"""Weights & Biases for one run, with every file it makes inside the run's folder."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from vit.faults import Fault
from vit.runs.environment import by_name
from vit.runs.files import read_json
from vit.runs.identity import config_hash, group_id
from vit.runs.links import refuse_links
from vit.runs.remarks import note_of, tags_of
from vit.runs.secrets import without_secrets
from vit.runs.shapes import TEXT, Shape
from vit.runs.wandb_links import make_relative
from vit.runs.writing import write_json

NOT_IN_PROJECTS = "/\\#?%:"
LONGEST_PROJECT, LONGEST_TAG = 128, 64  # characters
KEPT = Shape({"id": TEXT}, needed=("id",))


class Tracking(Protocol):
    """What `tracking` must offer."""

    def logger(self, run_dir: Path, config: dict[str, Any]) -> Any:
        """A Lightning logger for the run in this folder, or False for none."""

    def finish(self, exit_code: int) -> None:
        """Called once the run has ended."""


@dataclass(kw_only=True)
class Untracked:
    """No tracker at all."""

    def logger(self, run_dir: Path, config: dict[str, Any]) -> Literal[False]:
        return False

    def finish(self, exit_code: int) -> None:
        return None


@dataclass(kw_only=True)
class Wandb:
    """One W&B run for one run folder, offline unless the config says otherwise.

    Its id is kept in the folder, so that a run which goes on after a failure is the same run on
    the server. `group` defaults to the hash of the config without its seed.

    Args:
        mode: "online" sends while training, "offline" leaves that to `vit sync`, "disabled" does
            without.
        project: W&B's, where the run is listed.
        entity: the user or team that it belongs to; None is the one logged in.
        group: runs that are shown together.
        tags: words to find the run by at W&B alone, beside the run's own `tags`.
        notes: a text about the run for W&B alone; None takes the run's own `note`.
    """

    mode: Literal["offline", "online", "disabled"] = "offline"
    project: str = "vit"
    entity: str | None = None
    group: str | None = None
    tags: list[str] = field(default_factory=list)
    notes: str | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what W&B would refuse only once the training begins."""
        if self.mode != "disabled" and (problems := unfit_for_wandb(self)):
            raise ValueError("; ".join(problems))

    def logger(self, run_dir: Path, config: dict[str, Any]) -> Any:
        """A Lightning logger; only rank 0 opens the run."""
        if self.mode == "disabled":
            return False
        keep_inside(run_dir, offline=self.mode == "offline")
        import wandb
        from pytorch_lightning.loggers import WandbLogger

        # Opened here, since Lightning's way to open it warns of an option that it sets itself.
        run = wandb.init(
            name=by_name(config["name"]),
            id=run_id(run_dir, config),
            dir=str(run_dir),
            project=self.project,
            entity=self.entity,
            group=self.group or group_id(config),
            tags=list(dict.fromkeys([*tags_of(config), *self.tags])),
            notes=note_of(config) if self.notes is None else self.notes,
            mode=self.mode,
            resume="allow",
            job_type="train",
            config={
                **without_secrets(by_name(config)),
                "config_without_seed": group_id(config),
                **_counted(run_dir),
            },
            # log.txt keeps what is said; a live bar would fill W&B's copy of the terminal.
            settings=wandb.Settings(silent=True, console="off"),
        )
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        return WandbLogger(experiment=run, save_dir=str(run_dir))

    def finish(self, exit_code: int) -> None:
        """Closes the run as finished (0) or failed; a run left open would end as finished."""
        import wandb

        if wandb.run is not None:
            home = Path(wandb.run.dir).parents[1]  # of RUN_DIR/wandb/run-TIME-ID/files
            wandb.finish(exit_code=exit_code)
            make_relative(home)


def unfit_for_wandb(settings: Any) -> list[str]:
    """What W&B takes for no project, account or tag, in words.

    Projects and tags by wandb 0.31's own rules; accounts are looked at by its server alone.
    """
    problems = []
    project, entity = settings.project, settings.entity
    if not project.strip() or len(project) > LONGEST_PROJECT or _parts_a_path(project):
        problems.append(
            f"tracking.project={_short(project)}: W&B wants 1 to {LONGEST_PROJECT} characters, "
            f"none of {' '.join(NOT_IN_PROJECTS)}"
        )
    # Text that names a variable is one that the tracker may not know: see for_the_tracker.
    if entity is not None and "${" not in entity and (not entity.strip() or _parts_a_path(entity)):
        problems.append(
            f"tracking.entity={_short(entity)}: wanted the name of a W&B user or team alone, or "
            "null for your own; the project goes into tracking.project"
        )
    for tag in settings.tags:
        if not 0 < len(tag) <= LONGEST_TAG:
            message = f"has {len(tag)} characters; W&B wants 1 to {LONGEST_TAG}"
            problems.append(f"tracking.tags: {_short(tag)} {message}")
    return problems


def _parts_a_path(name: str) -> bool:
    return any(letter in name for letter in NOT_IN_PROJECTS)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:39]}…")


def _counted(run_dir: Path) -> dict[str, Any]:
    """How its metrics are counted, where the run's stamp says so; see vit/runs/counted.py."""
    stamp = read_json(run_dir / "stamp.json") or {}
    return {key: stamp[key] for key in ("counted",) if key in stamp}


def keep_inside(run_dir: Path, *, offline: bool) -> None:
    """Every folder of wandb's goes into the run's; called before wandb is imported.

    Online the user's own settings folder stays, since it may name their server.
    """
    home = run_dir.absolute() / "wandb"
    refuse_links(home, run_dir.absolute())
    home.mkdir(parents=True, exist_ok=True)
    os.environ["WANDB_DIR"] = str(run_dir.absolute())
    os.environ["WANDB_DATA_DIR"] = str(home / "data")
    os.environ["WANDB_CACHE_DIR"] = str(home / "cache")
    os.environ["WANDB_ARTIFACT_DIR"] = str(home / "artifacts")
    if offline:
        os.environ["WANDB_CONFIG_DIR"] = str(home / "config")
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")


def unasked_upload(tracking: object, word: str) -> list[Fault]:
    """A fault where a file's `tracking` sends the run away, and the user has not said so.

    `word` is how they say so in this command, or by WANDB_MODE=online in the environment.
    """
    settings = tracking if isinstance(tracking, dict) else {}
    if settings.get("mode") != "online" or os.environ.get("WANDB_MODE") == "online":
        return []
    there = "/".join(str(settings[key]) for key in ("entity", "project") if settings.get(key))
    message = f"is online in a file, which would send this run to {there or 'your own account'} "
    message += "on W&B; a file's word is not enough for that. If you want it, "
    message += f"add {word}, or set WANDB_MODE=online"
    return [Fault("tracking.mode", message)]


def run_id(run_dir: Path, config: dict[str, Any]) -> str:
    """The W&B id of this folder: readable, kept in `wandb/id.json` from the first start on."""
    kept = run_dir / "wandb" / "id.json"
    known = read_json(kept, KEPT, run_dir)
    if known:
        return str(known["id"])
    # Two folders with one config are two runs, so the folder takes part.
    unique = config_hash({"folder": str(run_dir.absolute()), "config": config_hash(config)})[:6]
    fresh = f"{by_name(config['name'])}-{unique}"
    fresh = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in fresh)
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_json(kept, {"id": fresh})
    return fresh
