"""What a training begins with at step 0, where that is not the weights its seed makes."""

from __future__ import annotations

import logging
from typing import Any

from torch import nn

from vit.faults import Fault, Refused
from vit.runs.directory import RunFolder
from vit.runs.files import read_json
from vit.weights.of_run import WHERE, source_of, start_from

log = logging.getLogger("vit")


def begin_from(folder: RunFolder, config: dict[str, Any], model: nn.Module, *, rank: int) -> None:
    """Puts the weights of `init` into a model that is new, and says once what did not fit.

    Raises Refused where they are not there, or others than the run's stamp says of the check.
    """
    if not config.get("init"):
        return
    source = source_of(config["init"], allow_targets=config["allow_targets"])
    checked = (read_json(folder.stamp_file) or {}).get("init")
    before = checked.get("content") if isinstance(checked, dict) else None
    if before not in (None, source.content):
        message = (
            f"{source.checkpoint} has changed since {folder.path} was made for it; give its vit "
            "train command again, which looks at it anew"
        )
        raise Refused([Fault(WHERE, message)])
    placement = start_from(source, model)
    if rank == 0:
        log.info("init: %s: %s", source.checkpoint, placement.summary())
