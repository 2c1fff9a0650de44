"""`vit.load`: a trained run as an object that predicts, shows, measures and gives features."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from jaxtyping import Float
from torch import Tensor

from vit import trained
from vit.api.evaluation import evaluated
from vit.faults import Fault, Refused
from vit.tasks.features import PatchFeatures, features
from vit.tasks.inputs import answered, as_several, ready, unit_of
from vit.trained import Trained

if TYPE_CHECKING:
    from vit.pictures.shown import Shown


@dataclass
class LoadedRun(Trained):
    """A trained run, as `vit.load` gives it: `model`, `transform`, `class_names`, `config`.

    The model is in evaluation mode, on the device that `vit.load` was given.
    """

    checkpoint: str | os.PathLike[str] = "best"
    allow_targets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """`LoadedRun('runs/digits-1a2b3c4d', Classification, 10 classes)`: not its every module."""
        task = str(self.config["task"].get("_target_", "")).rpartition(".")[2]
        names = getattr(self.facts, "class_names", ())
        classes = f", {len(names)} classes" if names else ""
        return f"LoadedRun({str(self.run_dir)!r}, {task}{classes})"

    @overload
    def features(
        self, inputs: Any, *, patches: Literal[False] = False
    ) -> Float[Tensor, "inputs dim"]: ...
    @overload
    def features(self, inputs: Any, *, patches: Literal[True]) -> PatchFeatures: ...
    @overload
    def features(
        self, inputs: Any, *, patches: bool
    ) -> Float[Tensor, "inputs dim"] | PatchFeatures: ...
    def features(
        self, inputs: Any, *, patches: bool = False
    ) -> Float[Tensor, "inputs dim"] | PatchFeatures:
        """One vector an input, [inputs, dim], float32 on the CPU; no gradients.

        Inputs are those of `predict`, and pass through the model 64 at a time. A vector is what the
        run's own head would see: the backbone's normalised tokens, pooled as `head/pool` does it
        (mean, cls or attention). Heads without a pool, of detection, segmentation, captions and
        texts, see all tokens; there it is the mean of the patch tokens (of a text its tokens), of
        the backbone by itself, without what fills a batch up.

        With `patches=True` a pair: `vectors`, and `patches`, a list of one map an input,
        [rows, cols, dim]: the backbone's normalised patch tokens over the image as the model saw
        it, of a sound over its spectrogram, of a text [1, tokens, dim].
        Raises Refused where an input is none that the run reads.

        >>> run.features(["three.png"]).shape
        >>> vectors, maps = run.features(["three.png"], patches=True)
        """
        found = features(self, ready(inputs, self.data, "features"), patches=patches)
        return found if patches else found.vectors

    def evaluate(
        self, *words: str, split: str | None = None, device: str = "auto", **keys: Any
    ) -> dict[str, Any]:
        """`vit evaluate` of this run's checkpoint, on its own data or on others.

        Runs the command in a process of its own, so the numbers are the command's; it reads the
        checkpoint's file again, and what was changed in `model` since does not count. Words and
        keys are of `data`, as of `vit.train`; `split` is val or test. Gives `metrics`, the
        `tables` by class, and the number of `images`. Raises Refused with the command's faults.

        >>> run.evaluate()["metrics"]
        >>> run.evaluate("data=folder", data={"root": "other_photos"}, split="val")
        """
        return evaluated(
            self.run_dir,
            words,
            keys,
            split=split,
            device=device,
            checkpoint=self.checkpoint,
            allow_targets=self.allow_targets,
        )

    def show(self, inputs: Any, *, threshold: float = 0.3, most: int = 64) -> Shown:
        """Inputs with what the run says of each: a notebook shows it, `save` writes a file.

        Images have their classes or texts below them, boxes and masks drawn on them, maps of
        classes as colours with a legend; sounds are spectrograms, texts a table. Of `inputs` the
        first `most` are looked at; objects are drawn from the score `threshold` on,
        and where that hides all of them, it says which threshold to try.
        Raises Refused where there is nothing to show, or an input is none that the run reads.

        >>> run.show(["three.png", "seven.png"])
        >>> run.show(["three.png"]).save("shown.html")
        """
        if not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
            raise Refused([Fault("threshold", f"is {threshold!r}; wanted 0 to 1")])
        if not isinstance(most, int) or most < 1:
            raise Refused([Fault("most", f"is {most!r}; wanted 1 or more")])
        from vit.pictures.shown import shown

        unit = unit_of(self.data)
        inputs = as_several(inputs, unit, "show")
        first = list(islice(inputs, most))
        read = ready(first, self.data, "show")
        names = [
            str(each) if unit == "text" or isinstance(each, str | Path) else "" for each in first
        ]
        with torch.inference_mode():
            rows = list(answered(self, read))
        left = len(inputs) - len(first)
        return shown(rows, read, names, self.facts, threshold=threshold, left=left)


def load(
    run_dir: str | os.PathLike[str],
    *,
    checkpoint: str | os.PathLike[str] = "best",
    device: str | torch.device = "cpu",
    allow_targets: Iterable[str] = (),
) -> LoadedRun:
    """The trained model of a run, in evaluation mode.

    `run_dir` is its folder, or the `Run` itself. `checkpoint` is "best", "last" or a file; `device`
    cpu, cuda, or auto for the GPU where there is one. `allow_targets` names packages outside the
    usual ones whose parts the run uses, if you trust them, as does the variable VIT_ALLOW_TARGETS:
    the folder's own word is not enough.
    Raises Refused where something is missing or does not fit, and where an argument is of another
    kind, all of these together.

    >>> run = vit.load("runs/digits-1a2b3c4d")
    >>> run.predict(["three.png"])
    """
    allowed: Any = tuple(allow_targets) if isinstance(allow_targets, Iterator) else allow_targets
    found = trained.load(
        _path(run_dir), checkpoint=_path(checkpoint), device=device, allow_targets=allowed
    )
    return LoadedRun(**vars(found), checkpoint=checkpoint, allow_targets=tuple(allowed))


def _path(given: Any) -> Any:
    return os.fspath(given) if isinstance(given, os.PathLike) else given
