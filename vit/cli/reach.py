"""What of a sweep's policy reaches out of its folder, and wants the user's own word."""

from __future__ import annotations

from collections.abc import Iterable

from vit.faults import Fault
from vit.sweeps.policy import Policy

# Commands for a cluster's jobs, a cluster to join, a database to write to.
REACHING_OUT = ("executor.parameters", "executor.address", "sampler.storage")


def unconfirmed_reach(policy: Policy, given: Iterable[str]) -> list[Fault]:
    """Settings of how a sweep is run that reach out of it, and are not on the command line."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    confirmed = {}
    for word in given:
        override = OverridesParser.create().parse_override(word)
        confirmed[override.key_or_group] = override.value()
    faults = []
    for key in REACHING_OUT:
        part, name = key.split(".")
        value = getattr(getattr(policy, part), name, None)
        if value and confirmed.get(f"sweep.{key}") != value:
            message = f"is {value!r} in a file of the sweep, which is not enough for what reaches "
            message += "out of it. If you trust it, give it again on the command line"
            faults.append(Fault(f"sweep.{key}", message))
    return faults
