"""What a sweep's command asks for: its points, how it is to be run, what counts as better."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Any

from vit.build import build_slot
from vit.check.numbers import part_number_faults
from vit.check.schema import slot_faults
from vit.doors.compose import Composed
from vit.doors.config_groups import Groups
from vit.doors.grid import Words, grid, read_words
from vit.faults import Fault, Refused
from vit.sweeps.policy import Policy
from vit.sweeps.roles import Objective


def points(words: Words, listed: list[str]) -> Iterable[dict[str, str]]:
    """Axis → value for each point: the grid, and each point of a list with it."""
    faults = [Fault("sweep.points", f"{p!r} is no text of overrides") for p in listed if not p]
    if faults:
        raise Refused(faults)
    fixed = len(words.fixed)
    for text in listed or [""]:
        try:
            own = dict(word.partition("=")[::2] for word in shlex.split(text))
        except ValueError as error:
            raise Refused([Fault("sweep.points", f"{text!r}: {error}")]) from error
        for point in grid(words):
            yield {**dict(word.partition("=")[::2] for word in point[fixed:]), **own}


def with_params(words: Words, params: Any, groups: Groups | None = None) -> Words:
    """Axes that YAML names join those of the command line, which win."""
    if not isinstance(params, dict):
        raise Refused([Fault("sweep.params", f"is {params!r}; wanted keys with their values")])
    given = {*words.axes, *words.ranges, *(word.partition("=")[0] for word in words.fixed)}
    new = []
    for key, value in params.items():
        if key not in given:
            text = ",".join(map(_word, value)) if isinstance(value, list) else _word(value)
            new.append(f"{key}={text}")
    more = read_words(new, groups)
    return Words(
        [*words.fixed, *more.fixed], {**words.axes, **more.axes}, {**words.ranges, **more.ranges}
    )


def _word(value: Any) -> str:
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
