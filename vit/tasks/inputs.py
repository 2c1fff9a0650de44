"""What a person hands to a trained run: files, images, arrays, sounds or texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from vit.data.core.images import BadImage, upright
from vit.faults import Fault, Refused
from vit.runs.directory import RunFolder
from vit.tasks.assembly import assemble_data
from vit.tasks.stored import stored_config

AT_ONCE = 64
MOST_NAMED = 6
WANTED = {
    "text": "texts, each a str",
    "sound": "sounds: paths of .wav files, or arrays [samples] of floats at data.sample_rate",
    "image": "images: paths, Pillow images, or arrays of uint8, [height, width] or with 1, 3 or 4 "
    "channels at the end",
}


def answered(trained: Any, inputs: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """What the run's task says of each image or text (see vit/trained.py), so many at once."""
    for start in range(0, len(inputs), AT_ONCE):
        part = inputs[start : start + AT_ONCE]
        yield from trained.spec.ask(trained.spec.predict, trained, part)


def images_of(
    trained: Any, images: Sequence[Image.Image]
) -> Float[Tensor, "batch channels height width"]:
    """As the run's model wants them, on its device."""
    device = next(trained.model.parameters()).device
    return torch.stack([trained.transform(image) for image in images]).to(device)


def padding_of(
    trained: Any, images: Sequence[Image.Image]
) -> Bool[Tensor, "batch height width"] | None:
    """Which pixels only fill the images up, where the run's data say so, as in its training."""
    if not trained.config["data"].get("padding"):
        return None
    frames = [trained.transform.frame(image.height, image.width) for image in images]
    device = next(trained.model.parameters()).device
    return torch.stack([frame.filled() for frame in frames]).to(device)


@dataclass(frozen=True)
class Reopened(Sequence[Any]):
    """Many inputs: files, by their paths, are opened at each look, so that memory holds a few."""

    held: list[Any]
    opened: Callable[[Path], Image.Image]

    def __len__(self) -> int:
        return len(self.held)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[place] for place in range(*at.indices(len(self)))]
        return self.opened(self.held[at]) if isinstance(self.held[at], Path) else self.held[at]


def unit_of(data: Any) -> str:
    """What a run reads: a key of `WANTED`."""
    return data.unit if data.unit in WANTED else "image"


def ready(inputs: Any, data: Any, where: str) -> Sequence[Any]:
    """Pillow images, or texts, as `data` (a run's own) read them, each looked at once.

    Raises Refused with what is none of what such a run reads: each input named once, by its place.
    """
    unit = unit_of(data)
    inputs = as_several(inputs, unit, where)
    usable: list[Any] = []
    faults = []
    several = len(inputs) > AT_ONCE
    for place, each in enumerate(inputs):
        a_file = unit != "text" and isinstance(each, str | Path)
        try:
            read = _text(each) if unit == "text" else _image(each, data, unit)
            usable.append(Path(each) if a_file and several else read)
        except (BadInput, BadImage, OSError, ValueError, SyntaxError, *TOO_LARGE) as error:
            named = str(each) if a_file else f"input {place}"
            message = str(error).splitlines()[0].removeprefix(f"{named}: ")
            faults.append(Fault(named[:200], message))
    if faults:
        more = len(faults) - MOST_NAMED
        hint = f"{more:,} more like these" if more > 0 else ""
        raise Refused(faults[:MOST_NAMED], hint=hint)
    return Reopened(usable, open_with(data)) if several else usable


def as_several(inputs: Any, unit: str, where: str, wanted: str = "", none: str = "nothing") -> Any:
    """The inputs as a list: one path, text, image, array or tensor is a list of itself.

    An array [height, width] or [height, width, 3] is one picture, where its rows would be taken
    for as many; of sounds one of [samples] is one. Raises Refused for nothing, and for what is
    neither an input nor several.
    """
    shape = getattr(inputs, "shape", None)
    if isinstance(inputs, str | Path | Image.Image):
        return [inputs]
    if shape is not None and unit != "text":
        axes = len(shape)
        one = axes == 1 if unit == "sound" else axes == 2 or (axes == 3 and shape[2] in (1, 3, 4))
        if one and 0 not in shape:
            return [inputs]
    wanted = wanted or WANTED[unit]
    if isinstance(inputs, bytes) or not hasattr(inputs, "__len__") or shape == ():
        message = f"got one {type(inputs).__name__}; wanted one or a list of {wanted}"
        raise Refused([Fault(where, message)])
    if not len(inputs):
        raise Refused([Fault(where, f"got {none}; wanted one or a list of {wanted}")])
    return inputs


class BadInput(ValueError):
    """What came, and what was wanted."""


TOO_LARGE = (Image.DecompressionBombError,)


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise BadInput(f"is {_described(given)}; the run reads {WANTED['text']}")
    if not given.strip():
        raise BadInput("is empty; wanted a text")
    return given


def _image(given: object, data: Any, unit: str) -> Image.Image:
    if isinstance(given, str | Path):
        path = Path(given)
        if not path.is_file():
            known = "a folder" if path.is_dir() else "no file"
            raise BadInput(f"is {known}; the run reads {WANTED[unit]}")
        return open_with(data)(path)
    if unit == "sound":
        return _sound(given, data)
    if isinstance(given, Image.Image):
        return upright(given)
    values = given.cpu().numpy() if isinstance(given, torch.Tensor) else given
    if not isinstance(values, np.ndarray):
        raise BadInput(f"is {_described(given)}; the run reads {WANTED[unit]}")
    fits = values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (1, 3, 4))
    if values.dtype != np.uint8 or not fits or 0 in values.shape:
        raise BadInput(f"is {_described(values)}; wanted {WANTED[unit]}")
    return Image.fromarray(values[..., 0] if values.shape[2:] == (1,) else values)


def _sound(given: object, data: Any) -> Image.Image:
    values = given.cpu().numpy() if isinstance(given, torch.Tensor) else given
    if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind != "f":
        raise BadInput(f"is {_described(given)}; the run reads {WANTED['sound']}")
    if not len(values) or not np.isfinite(values).all():
        raise BadInput("holds no samples, or some that are no numbers")
    return data.spectrogram.drawn(data.sample_rate, values.astype(np.float64))


def _described(given: object) -> str:
    if isinstance(given, np.ndarray | torch.Tensor):
        return f"an array {list(given.shape)} of {str(given.dtype).removeprefix('torch.')}"
    return f"a {type(given).__name__}"


def open_with(data: Any) -> Callable[[Path], Image.Image]:
    """How data open a file of a person's own: Pillow's way, or as pictures of sound."""
    return getattr(data, "open_file", open_picture)


def open_picture(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return upright(image).copy()


def opener(
    run_dir: str, allow_targets: Iterable[str], instead: str = "--text TEXT"
) -> Callable[[Path], Image.Image]:
    """How the run's data open a file of a person's own: Pillow's way, or as pictures of sound.

    Raises Refused for a run that reads texts, saying what is wanted `instead`.
    """
    try:
        config = stored_config(RunFolder(Path(run_dir)), allow_targets, only=("data",))
        data = assemble_data(config, allow_targets)
    except (ValueError, TypeError):  # to be told in full when the run is loaded
        return open_picture
    if data.unit == "text":
        raise Refused([Fault(run_dir, f"reads texts and no images; wanted {instead}")])
    return open_with(data)


def bad_files(paths: list[str], opened: Callable[[Path], Image.Image]) -> list[Fault]:
    """What cannot be opened, each named once."""
    faults = []
    for path in paths:
        try:
            opened(Path(path))
        except BadImage as bad:
            faults.append(Fault(path, str(bad).removeprefix(f"{path}: ")))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            reason = str(error).splitlines()[0].replace(repr(path), "").strip()
            faults.append(Fault(path, f"is no image that can be read ({reason})"))
    return faults
