"""From what Hydra composed to a config of plain values, and the folder of its run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from vit.build import is_own
from vit.cli.override_errors import first_line, unresolved
from vit.cli.pretrained_keys import with_architecture
from vit.faults import Fault, Refused
from vit.runs.composed import Composed
from vit.runs.environment import named
from vit.runs.extension import asks_for_more, parent_config, suffix, with_epochs_added
from vit.runs.identity import config_hash
from vit.runs.naming import folder_faults, name_faults
from vit.runs.trust import from_environment, untrusted_packages, used

SUBDIR = "${name}"  # as conf/train.yaml has it: a run's folder is named like the run


def resolved(
    composed: Any,
    words: list[str],
    number: int | None,
    sweep_name: str = "",
    threads: int | None = None,
    trusted: tuple[str, ...] = (),
) -> Composed:
    """The run that a composition makes, with the names and folders that come of it. Raises Refused.

    `number`, `sweep_name` and `threads` as a Composer takes them.
    """
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf, open_dict, read_write
    from omegaconf.errors import OmegaConfBaseException

    HydraConfig.instance().set_config(composed)  # so that ${hydra:…} resolves
    with open_dict(composed):
        job = composed.copy()
        del job["hydra"]
    faults = unresolved(job)
    if faults:
        raise Refused(faults, without_faults(job, faults))
    config = OmegaConf.to_container(job, resolve=True)
    assert isinstance(config, dict)
    config = named(config, OmegaConf.to_container(job, resolve=False))
    policy = config.pop("sweep", None)  # how a sweep is run is no part of its runs
    frozen = _frozen({str(key): value for key, value in config.items()}, policy, threads)
    frozen["allow_targets"], faults = _allowed(frozen, policy, trusted)
    if faults:
        raise Refused(faults, frozen)
    frozen, faults = with_architecture(frozen, words)
    if faults:
        # Without the weights nothing is known of the model, and what was found of it would mislead.
        unknown = any(fault.where == "backbone.weights" for fault in faults)
        rest = None if unknown else {**frozen, "name": frozen.get("name") or "run"}
        raise Refused(faults, rest)
    hydra = composed.hydra
    choice = Path(str(hydra.runtime.choices.get("experiment") or "run")).name
    own_folder = OmegaConf.to_container(hydra.sweep, resolve=False)["subdir"] != SUBDIR  # type: ignore[index,call-overload]
    own_name: Any = frozen.get("name")
    if isinstance(own_name, str) and (faults := name_faults("name", own_name)):
        raise Refused(faults, frozen)
    if own_name is not None and not isinstance(own_name, str):
        raise Refused([Fault("name", f"is {own_name!r}; wanted text")], frozen)
    longer = asks_for_more(frozen)
    if not longer and (epochs := frozen.get("extend")) is not None:
        message = f"is {epochs!r}; wanted a whole number of epochs from 1 on, or null"
        raise Refused([Fault("extend", message)], {**frozen, "extend": None})
    if longer and number is not None:
        message = "is for one run, not for the trials of a sweep; wanted no -m beside it"
        raise Refused([Fault("extend", message)], frozen)
    if not own_name:
        whole = parent_config(frozen) if longer else frozen
        frozen["name"] = f"{choice}-{config_hash(whole)[:8]}"
    with read_write(hydra), open_dict(composed):
        composed.name = frozen["name"]
        hydra.job.override_dirname = ",".join(
            word for word in words if not word.lstrip("+~").startswith(("hydra.", "sweep"))
        )
        if number is not None:
            hydra.job.num = number
            if composed.get("sweep") is None:
                raise Refused([Fault("sweep", "is taken away; -m needs one, such as sweep=grid")])
            composed.sweep.name = composed.sweep.get("name") or sweep_name
            if faults := name_faults("sweep.name", str(composed.sweep.name)):
                raise Refused(faults, frozen)
    where = "hydra.run.dir" if number is None else "hydra.sweep.dir"
    sweep_dir = Path()
    try:
        if not str(chosen := hydra.run.dir if number is None else hydra.sweep.dir).strip():
            raise Refused([Fault(where, "is empty; a dot is the current folder")], frozen)
        if number is None:
            folder = Path(str(chosen))
        else:
            sweep_dir = Path(str(chosen))
            folder = sweep_dir / str(hydra.sweep.subdir)
    except OmegaConfBaseException as error:
        raise Refused([Fault(where, f"does not resolve: {first_line(error)}")]) from error
    parent = None
    if longer:
        try:
            frozen = with_epochs_added(frozen)
        except Refused as refused:
            raise Refused(refused.faults, frozen) from None
        frozen["name"] += suffix(frozen)
        # Of the current folder, and of one above it, the name is not in the path.
        parent = folder if folder.name not in ("", "..") else folder.resolve()
        folder = parent.with_name(f"{parent.name}{suffix(frozen)}")
    if faults := folder_faults(where, folder):
        raise Refused(faults, frozen)
    return Composed(frozen, folder, words, policy, choice, own_name, own_folder, sweep_dir, parent)


def _allowed(
    config: dict[str, Any], policy: Any, trusted: tuple[str, ...]
) -> tuple[Any, list[Fault]]:
    """What a run is allowed: what it names and the caller trusts, and what of the latter it uses.

    A fault says of the rest that a file's word is not enough.
    """
    named = config.get("allow_targets")
    faults = untrusted_packages(named, trusted, lambda names: f"allow_targets=[{','.join(names)}]")
    if named is not None and not isinstance(named, list):
        return named, []  # a fault of the schema's
    targets = [*used(config), *used(policy)]
    silent = [name for name in from_environment() if any(is_own(t, [name]) for t in targets)]
    allowed = [name for name in named or [] if name in trusted]
    return list(dict.fromkeys([*allowed, *silent])), faults


def without_faults(job: Any, faults: list[Fault]) -> dict[str, Any] | None:
    """The config without the values that do not resolve, to be checked further."""
    from omegaconf import OmegaConf, open_dict

    with open_dict(job):
        for fault in faults:
            above, _, key = fault.where.rpartition(".")
            node = OmegaConf.select(job, above) if above else job
            if not OmegaConf.is_dict(node) or key not in node.keys():  # noqa: SIM118 - a missing
                return None  # value is in the keys, and not in the node
            del node[key]
    config: Any = OmegaConf.to_container(job, resolve=True)
    policy = config.pop("sweep", None)
    config["name"] = config.get("name") or "run"  # which only a whole config gets
    return _frozen(config, policy, None)


def _frozen(
    config: dict[str, Any], policy: dict[str, Any] | None, threads: int | None
) -> dict[str, Any]:
    """What the machine decides is written down: threads change the order of sums."""
    if config.get("threads") is None and threads is not None:
        config["threads"] = threads
    if config.get("threads") is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        jobs = (policy or {}).get("jobs")
        share = (cores or 1) // jobs if isinstance(jobs, int) and jobs > 0 else cores or 1
        config["threads"] = max(1, min(share, 16))
    return config
