"""A trained run as a Python object: the model, the transform it was trained with, the classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from vit.build import TargetError
from vit.facts import AnyFacts, facts_from
from vit.faults import Fault, Refused
from vit.runs.checkpoint import misfit, read_checkpoint
from vit.runs.directory import RunFolder
from vit.runs.links import is_inside, kind_of_path, link_problem
from vit.runs.tensor_file import bad_values
from vit.runs.trust import package_faults, require_trusted
from vit.tasks.assembly import assemble_data, assemble_model, task_spec
from vit.tasks.inputs import answered, as_several, images_of, ready, unit_of
from vit.tasks.stored import OF_THE_MODEL, stored_config
from vit.tuning.freezing import Untunable
from vit.tuning.of_config import merge_tuning
from vit.weights.of_run import of_model


@dataclass
class Trained:
    """What `vit.load` gives: everything needed to look at an image as the run did."""

    model: nn.Module
    transform: Any  # any Pillow image → tensor [channels, height, width]
    facts: Any  # see vit.facts
    config: dict[str, Any]
    run_dir: Path
    data: Any = None  # as the run's config names them, for how they read a file
    spec: Any = None  # of its task, see vit/tasks/spec.py

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.facts.class_names

    @property
    def binary(self) -> bool:
        """Whether each class was learnt by itself, as with several labels per image."""
        return self.spec.ask(self.spec.independent_classes, self.facts)

    @torch.inference_mode()
    def predict(self, inputs: Any, *, maps: bool = False) -> list[dict[str, Any]]:
        """What the run says of each input, as the plain values that `vit predict` prints as JSON.

        One input, or several in a list, of which each gets a row, also where there is one alone.
        Of a run on images they are paths, Pillow images, or arrays of uint8, [height, width]
        or with the channels last; on sounds paths of .wav files, or arrays [samples] of floats at
        data.sample_rate; on texts strings. Rows are `classes`, `objects` (all of them, whatever
        their score), `shares` or `text`, by the run's task; those of files begin with their
        `path`, of texts with the `input`. With `maps` rows of segmentation have `class_map` too, an
        array [height, width] of numbers in `class_names`. Raises Refused where an input is none of
        these.
        """
        inputs = as_several(inputs, unit_of(self.data), "predict")
        read = ready(inputs, self.data, "predict")
        rows = []
        for each, row in zip(inputs, answered(self, read), strict=True):
            if not maps:
                row.pop("class_map", None)  # the command writes it as a picture
            named = {"input" if self.data.unit == "text" else "path": str(each)}
            rows.append({**named, **row} if isinstance(each, str | Path) else row)
        return rows

    @torch.inference_mode()
    def probabilities(self, images: Any) -> Float[Tensor, "batch classes"]:
        """One row per Pillow image: a softmax over classes, or where `binary` a sigmoid for each.

        Raises Refused where there is no image, or the run's task gives no classes of images.
        """
        images = as_several(images, "image", "probabilities", "Pillow images", "no images")
        logits: Any = None
        if self.facts.kind == "images":
            if wrong := [each for each in images if not isinstance(each, Image.Image)]:
                message = f"got a {type(wrong[0]).__name__}; wanted Pillow images, or use .predict"
                raise Refused([Fault("probabilities", message)])
            logits = self.model(images_of(self, images))
        if not isinstance(logits, Tensor):
            target = str(self.config["task"].get("_target_", "its task")).rpartition(".")[2]
            message = f"are of image classification; this run's task is {target}: use .predict"
            raise Refused([Fault("probabilities", message)])
        logits = logits.float()
        return logits.sigmoid() if self.binary else logits.softmax(-1)


def load(
    run_dir: str | Path,
    *,
    checkpoint: str | Path = "best",
    device: str | torch.device = "cpu",
    allow_targets: Iterable[str] = (),
) -> Trained:
    """The trained model of a run folder, in evaluation mode.

    `checkpoint` is "best", "last" or a file. `allow_targets` names packages outside the usual
    ones whose parts the run uses, if you trust them, as does the variable VIT_ALLOW_TARGETS: the
    folder's own word is not enough.
    Raises Refused where something is missing or does not fit, and where an argument is of another
    kind, all of these together.
    """
    faults = package_faults(allow_targets)
    for name, argument in (("run_dir", run_dir), ("checkpoint", checkpoint)):
        if not isinstance(argument, str | PathLike) or not str(argument):
            wanted = "the path of a run's folder" if name == "run_dir" else "best, last or a file"
            faults.append(Fault(name, f"is {argument!r}; wanted {wanted}"))
    if not isinstance(device, str | torch.device):
        faults.append(Fault("device", f"is {device!r}; wanted a name such as cpu, cuda or auto"))
    if faults:
        raise Refused([Fault(f"vit.load: {fault.where}", fault.message) for fault in faults])
    folder = RunFolder(Path(run_dir))
    allowed = require_trusted(folder.config(), allow_targets)
    config = stored_config(folder, allowed, OF_THE_MODEL)
    place = usable_device(str(device))
    path = selected(folder, str(checkpoint))
    content = read_checkpoint(path)
    with refusing_targets(folder):
        data = assemble_data(config, allowed)
        facts = facts_of(content) or data.facts
        transform = data.transform_for(facts)
        model = assemble_model(without_downloads(config), facts, allowed)
        spec = task_spec(config, allowed)
    load_weights(model, content["state_dict"], path, folder)
    merge_tuning(model, config, allowed)
    return Trained(model.eval().to(place), transform, facts, config, folder.path, data, spec)


@contextmanager
def refusing_targets(folder: RunFolder) -> Iterator[None]:
    """A part that must not be made is the fault of the run's config, reported as one."""
    try:
        yield
    except TargetError as error:
        raise Refused([Fault(str(folder.config_file), str(error))]) from error
    except Untunable as error:
        raise Refused([Fault(f"{folder.config_file}: tuning", str(error))]) from error


def selected(folder: RunFolder, which: str) -> Path:
    """The file of the run's best or last checkpoint, or the one that `which` names."""
    named = {"best": folder.best_checkpoint, "last": folder.last_checkpoint}
    path = named.get(which, Path(which))
    own = folder.path if which in named else None
    if which == "best" and not path.exists():
        path = folder.last_checkpoint
    if not path.exists() and own is not None:
        state = folder.state().name or "not begun"
        other = "; its best.ckpt is there" if folder.best_checkpoint.is_file() else ""
        raise Refused([Fault(str(folder.path), f"holds no {path.name}; the run is {state}{other}")])
    if not path.is_file():
        message = f"is {kind_of_path(path)}; wanted a file, or `best`, or `last`"
        raise Refused([Fault(f"--checkpoint {which}", message)])
    if own is not None and not is_inside(path, own):
        raise Refused([Fault(str(path), f"{link_problem(path, own)}, or name it by --checkpoint")])
    return path


def usable_device(name: str) -> torch.device:
    """The device of that name; `auto` is the first GPU, or the CPU. Refused if it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device).tolist()  # meta has no values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        message = f"{name!r} cannot be used here: {str(error).splitlines()[0]}"
        raise Refused([Fault("--device", message)]) from error
    return device


def without_downloads(config: dict[str, Any]) -> dict[str, Any]:
    """The weights come from the checkpoint, so the ones it once started from are not wanted."""
    backbone = dict(config["backbone"])
    for key, value in (
        ("pretrained", False),
        ("checkpoint", None),
        ("checkpoint_prefix", None),
        ("weights", None),
    ):
        if key in backbone:
            backbone[key] = value
    return {**config, "backbone": backbone}


def facts_of(content: dict[str, Any]) -> AnyFacts | None:
    """The data set's facts as the checkpoint carries them, so that no data need be at hand."""
    kept = content.get("facts")
    if kept is None:
        return None
    plain: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in kept.items()
    }
    return facts_from(plain)


def load_weights(
    model: nn.Module, state_dict: dict[str, Tensor], path: Path, folder: RunFolder
) -> None:
    """Raises Refused naming the keys and shapes that do not fit, and values that are no numbers."""
    weights = of_model(state_dict)
    require_fit(weights, model, path, folder)
    require_numbers({name: weights[name] for name, _ in model.named_parameters()}, path)
    model.load_state_dict(weights)


def require_fit(
    weights: dict[str, Tensor], model: nn.Module, path: Path, folder: RunFolder
) -> None:
    """Raises Refused naming the keys and shapes that do not fit, and whose the checkpoint is."""
    if difference := misfit(weights, model.state_dict()):
        raise Refused([Fault(str(path), f"{difference}{_whose(path, folder)}")])


def require_numbers(weights: dict[str, Tensor], path: Path) -> None:
    """Raises Refused where weights hold NaN or infinity: nothing that they say would count."""
    if problem := bad_values(weights):
        message = f"holds {problem}. Take another checkpoint of the run, or train it again"
        raise Refused([Fault(str(path), message)])


def _whose(path: Path, folder: RunFolder) -> str:
    """Of what run a checkpoint is, where it lies in another one's folder; else what to do."""
    other = RunFolder(path.absolute().parent.parent)
    if other.path == folder.path.absolute():
        return ""
    try:
        config = other.config()
        parts = [str(config[key]["_target_"]) for key in ("backbone", "head")]
    except (Refused, KeyError, TypeError):
        return ". Wanted a checkpoint of this run: best, last, or a file of its checkpoints/"
    return (
        f". It is of the run {other.path.name} ({' and '.join(parts)}): name that run's folder, "
        "or take a checkpoint of this one"
    )
