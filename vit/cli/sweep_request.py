"""What a sweep's command asks for: its points, how it is to be run, what counts as better."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from vit.build import build_slot
from vit.cli.compose import Composer
from vit.cli.config_groups import Groups
from vit.cli.grammar import read_words
from vit.faults import Fault, Refused
from vit.number_faults import part_number_faults
from vit.runs.composed import Composed
from vit.schema import slot_faults
from vit.sweeps.ledger import Ledger
from vit.sweeps.planning import Request
from vit.sweeps.policy import Policy
from vit.sweeps.roles import Objective
from vit.sweeps.words import Words, sweep_name


def request_of(arguments: argparse.Namespace, argv: list[str], composer: Composer) -> Request:
    """What the words of a `-m` command ask for, or Refused with their faults."""
    words = read_words(arguments.overrides, composer.groups)
    base = composer(words.fixed, 0)
    words = with_params(words, base.policy["params"], composer.groups)
    policy = policy_of(base)
    name = policy.name or sweep_name(words, base.experiment)
    home = composer(words.fixed, 0, sweep_name=name).sweep_dir
    # Threads are part of a trial: a sweep keeps those it began with, on whatever machine.
    threads = (Ledger(home).earlier() or {}).get("threads")
    compose = partial(composer, sweep_name=name, threads=threads)
    base = compose(words.fixed, 0)
    objective = objective_of(policy, base.config)
    full, allow_changed = arguments.full, arguments.allow_changed
    return Request(words, policy, objective, base, compose, argv, full, allow_changed)


def with_params(words: Words, params: object, groups: Groups | None = None) -> Words:
    """Axes that YAML names join those of the command line, which win."""
    if not isinstance(params, dict):
        raise Refused([Fault("sweep.params", f"is {params!r}; wanted keys with their values")])
    on_command_line = {
        *words.axes,
        *words.ranges,
        *(word.partition("=")[0] for word in words.fixed),
    }
    new = []
    for key, value in params.items():
        if key not in on_command_line:
            text = ",".join(map(_word, value)) if isinstance(value, list) else _word(value)
            new.append(f"{key}={text}")
    more = read_words(new, groups)
    return Words(
        [*words.fixed, *more.fixed], {**words.axes, **more.axes}, {**words.ranges, **more.ranges}
    )


def _word(value: object) -> str:
    """A YAML value as Hydra's grammar writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(_word, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{_word(one)}' for key, one in value.items())}}}"
    return str(value)


def policy_of(base: Composed) -> Policy:
    allow = base.config["allow_targets"]
    faults = slot_faults("sweep", base.policy, allow)
    faults += part_number_faults(base.policy, "sweep")
    if faults:
        raise Refused(faults)
    try:
        policy: Policy = build_slot("sweep", {"sweep": base.policy}, allow)
    except (ValueError, TypeError) as error:
        raise Refused([Fault("sweep", str(error))]) from error
    return policy


def objective_of(policy: Policy, config: dict[str, Any]) -> Objective:
    metric = policy.metric or config["checkpoint"]["monitor"]
    metrics = metric if isinstance(metric, list) else [metric]
    mode = policy.mode
    if mode is None:
        if metrics != [config["checkpoint"]["monitor"]]:
            message = f"must be given, max or min for each of {', '.join(metrics)}"
            raise Refused([Fault("sweep.mode", message)])
        mode = config["checkpoint"]["mode"]
    modes = mode if isinstance(mode, list) else [mode] * len(metrics)
    if len(modes) != len(metrics) or not set(modes) <= {"max", "min"}:
        message = f"is {modes} for {metrics}; wanted max or min for each"
        raise Refused([Fault("sweep.mode", message)])
    return Objective(metrics, modes)
