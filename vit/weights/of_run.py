"""The weights that a finished run has selected, as what another starts from: `init=RUN_DIR`.

`backbone.weights=run:RUN_DIR` finds them in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vit.faults import Fault, Refused
from vit.runs.checkpoint import look_at_checkpoint, read_checkpoint
from vit.runs.directory import RunFolder, content_of
from vit.runs.links import refuse_links
from vit.runs.tensor_file import bad_values
from vit.tuning.of_config import merged_state
from vit.weights.placing import Placement, placed, put

INSIDE = "model."  # what a task's state has before its model's own names
WHERE = "init"


def of_model(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A task's state without what is not its model's, by the model's own names."""
    named = state_dict.items()
    return {key.removeprefix(INSIDE): value for key, value in named if key.startswith(INSIDE)}


@dataclass(frozen=True)
class Source:
    """The checkpoint of a finished run, found and not yet read; `content` tells it from others."""

    run: str  # as the config names it
    checkpoint: Path
    config: dict[str, Any]  # of that run
    content: str | None
    allow_targets: tuple[str, ...] = ()  # packages that parts of that run may come from

    def look(self) -> dict[str, Any]:
        """What it holds; of its weights names and shapes are to be used. Raises Refused."""
        return look_at_checkpoint(self.checkpoint)

    def read(self) -> dict[str, Any]:
        """All of it, on the CPU. Raises Refused."""
        return read_checkpoint(self.checkpoint)

    def tensors(self, content: Mapping[str, Any]) -> dict[str, Tensor]:
        """The model's weights, adapters merged; `content` is what `look` or `read` gave."""
        return merged_state(self.config, of_model(content["state_dict"]), self.allow_targets)

    def record(self, placement: Placement) -> dict[str, Any]:
        """What a run's stamp keeps of where its weights came from."""
        named = {"run": self.run, "checkpoint": self.checkpoint.name, "content": self.content}
        return {**named, **placement.to_plain()}


def source_of(run: str, where: str = WHERE, allow_targets: Iterable[str] = ()) -> Source:
    """The selected checkpoint of the run in a folder; `where` is the key that names it.

    `allow_targets` are the packages that this command trusts, whatever that run's config says.
    Raises Refused where the folder is no run, its run has not finished, or it leads elsewhere.
    """
    folder = RunFolder(Path(run).expanduser())
    if not folder.path.is_dir():
        message = "wanted the folder of a finished run, such as runs/digits-1a2b3c4d"
        raise Refused([Fault(where, f"there is no folder {run!r}; {message}")])
    try:
        refuse_links(folder.path)
        config = folder.config()
    except Refused as refused:
        raise Refused([Fault(where, str(fault)) for fault in refused.faults]) from refused
    if not folder.is_done():
        message = f"{run} is {folder.state().name or 'not begun'}"
        if folder.state().name == "done":
            lost = folder.lost_results() or "another checkpoint lies in place of its last"
            message = f"{run} has ended, but {lost}"
        raise Refused([Fault(where, f"{message}; wanted a run that is done. Finish it first")])
    kept = [path for path in (folder.best_checkpoint, folder.last_checkpoint) if path.is_file()]
    if not kept:
        message = f"{run} keeps no best.ckpt or last.ckpt any more; wanted a run with its weights"
        raise Refused([Fault(where, message)])
    return Source(run, kept[0], config, content_of(kept[0]), tuple(allow_targets))


def fitting(source: Source, content: Mapping[str, Any], model: nn.Module) -> Placement:
    """What of a source's weights a model takes, none of it put in.

    Raises Refused where nothing fits.
    """
    return _of_some(source, placed(source.tensors(content), model), model)


def start_from(source: Source, model: nn.Module) -> Placement:
    """Puts a source's weights into a model where they fit.

    Raises Refused where nothing fits, or what does holds numbers that are not finite.
    """
    tensors = source.tensors(source.read())
    placement = _of_some(source, placed(tensors, model), model)
    if problem := bad_values({name: tensors[name] for name in placement.taken}):
        message = f"{source.checkpoint} holds {problem}. Take another run"
        raise Refused([Fault(WHERE, message)])
    return put(tensors, model)


def _of_some(source: Source, placement: Placement, model: nn.Module) -> Placement:
    # A bias of as many numbers as there are classes fits by chance.
    weights = {name for name, each in model.named_parameters() if each.ndim > 1}
    if weights.isdisjoint(placement.taken):
        message = (
            f"nothing of {source.run} fits this model: {placement.summary()}. Wanted a run with "
            "the same backbone: compare backbone.dim, depth and the parts in its config.yaml"
        )
        raise Refused([Fault(WHERE, message)])
    return placement
