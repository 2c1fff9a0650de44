"""Images through a trained run, and what it looked at, as pictures and numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vit.explain import pictures
from vit.explain.faithful import faithfulness
from vit.explain.features import shared_colours
from vit.explain.files import write
from vit.explain.maps import Looked, Seen, seen_by
from vit.faults import Fault, Refused, did_you_mean
from vit.tasks.inputs import bad_files, opener
from vit.trained import Trained, load

MOST_HEADS = 16


@dataclass(frozen=True)
class Given:
    """An image to be looked at: a file, or a sample of the data by its name.

    Pictures of two runs are of the same image where their `sha256` agree.
    """

    path: str
    sha256: str
    image: Image.Image


def attend(
    run_dir: str,
    paths: list[str],
    checkpoint: str,
    device: str,
    allow_targets: Iterable[str],
    out: str,
    layers: list[int],
    class_name: str | None,
    threshold: float,
) -> dict[str, Any]:
    """Writes sheets, attend.html and attend.json into `out`; answers with the latter's content.

    `layers` are the blocks to draw, negative ones from the last; all where it is empty.
    """
    opened = opener(run_dir, allow_targets)
    if faults := bad_files(paths, opened):
        raise Refused(faults)
    trained = load(run_dir, checkpoint=checkpoint, device=device, allow_targets=allow_targets)
    label = class_number(trained.class_names, class_name)
    rows = chosen_layers(layers, trained.model)
    given = [Given(path, digest(Path(path)), opened(Path(path))) for path in paths]
    content, drawn = looked_at(trained, given, rows, label=label, threshold=threshold)
    return write(Path(out), {"run": run_dir, **content}, drawn)


def looked_at(
    trained: Trained,
    given: Sequence[Given],
    rows: list[int],
    *,
    label: int | None = None,
    threshold: float = 0.3,
    areas: bool = True,
) -> tuple[dict[str, Any], list[dict[str, Image.Image]]]:
    """What attend.json says of the images, and of each its pictures, `sheet` among them.

    Without `areas` nothing is deleted or inserted, which takes most of the time.
    Raises Refused where the model has no attention among the patches of an image.
    """
    place = next(trained.model.parameters()).device
    inputs = [trained.transform(each.image).to(place) for each in given]
    found = [
        seen_by(trained.model, image, label=label, threshold=threshold, binary=trained.binary)
        for image in inputs
    ]
    colours, shares = _colours(trained.model, inputs)
    records, drawn = [], []
    for each, image, seen, colour in zip(given, inputs, found, colours, strict=True):
        named = {"path": each.path, "sha256": each.sha256}
        records.append({**named, **_numbers(trained, image, seen, areas)})
        drawn.append(_drawn(trained, image, seen, colour, rows, records[-1].get("class")))
    return {"pca_variance": shares, "images": records}, drawn


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def class_number(names: tuple[str, ...], name: str | None) -> int | None:
    if name is None or name in names:
        return None if name is None else names.index(name)
    guess = did_you_mean(name, names)
    raise Refused([Fault("--class", f"is {name!r}; the run knows {', '.join(names[:20])}.{guess}")])


def chosen_layers(layers: list[int], model: Any) -> list[int]:
    depth = model.backbone.depth
    wrong = [layer for layer in layers if not -depth <= layer < depth]
    if wrong:
        message = f"has {wrong[0]}; the backbone has the blocks 0 to {depth - 1}, or -{depth} to -1"
        raise Refused([Fault("--layers", message)])
    return [layer % depth for layer in layers] or list(range(depth))


def _colours(model: Any, inputs: list[Tensor]) -> tuple[list[Tensor], list[float]]:
    with torch.no_grad():
        features = [model.backbone(image[None]) for image in inputs]
    patches = torch.cat([each.patches[0] for each in features])[None]
    colours, shares = shared_colours(patches)
    counts = [each.patches.shape[1] for each in features]
    parts = zip(colours[0].split(counts), features, strict=True)
    return [part.unflatten(0, each.grid) for part, each in parts], shares


def _numbers(trained: Trained, image: Tensor, seen: Seen, areas: bool) -> dict[str, Any]:
    names = trained.class_names
    if seen.detections is not None:
        return {"objects": [_object(names, each) for each in seen.detections]}
    if seen.relevance is None:
        return {}
    assert seen.label is not None and seen.scores is not None
    label = seen.label

    def score(images: Tensor) -> Tensor:
        logits = trained.model(images).float()
        return (logits.sigmoid() if trained.binary else logits.softmax(-1))[:, label]

    maps = {
        "relevance": seen.relevance.cpu(),
        "rollout": seen.rollout.cpu(),
        "last layer": seen.layers[-1].mean(0).cpu(),
    }
    numbers = {
        "class": names[label],
        "probability": float(seen.scores[label]),
        "grid": list(seen.grid),
        "maps": {name: values.tolist() for name, values in maps.items()},
    }
    if areas:
        numbers["faithfulness"] = faithfulness(score, image, seen.grid, maps)
    return numbers


def _object(names: tuple[str, ...], each: Looked) -> dict[str, Any]:
    row: dict[str, Any] = {"class": names[each.label], "score": each.score}
    row["box_cxcywh"] = each.box_cxcywh
    row["maps"] = {name: values.tolist() for name, values in each.maps.items()}
    if each.places is not None and each.weights is not None:
        row |= {"places": each.places.tolist(), "weights": each.weights.tolist()}
    return row


def _drawn(
    trained: Trained,
    image: Tensor,
    seen: Seen,
    colour: Tensor,
    rows: list[int],
    class_name: str | None,
) -> dict[str, Image.Image]:
    """`sheet`, and the small pictures that the report shows."""
    facts = trained.facts
    picture = pictures.shown(image, facts.mean, facts.std)

    def heat(values: Tensor) -> Image.Image:
        return pictures.heated(picture, values.unflatten(0, seen.grid))

    own = {
        "image": picture,
        "rollout": heat(seen.rollout),
        "features": pictures.coloured(picture, colour),
    }
    if seen.relevance is not None:
        own["relevance"] = heat(seen.relevance)
    first = [("what it saw", picture), ("features (PCA)", own["features"])]
    first.append(("rollout", own["rollout"]))
    if seen.relevance is not None:
        first.append((f"relevance: {class_name}", own["relevance"]))
    sheet: list[list[pictures.Cell]] = [list(first)]
    for each in seen.detections or ():
        sheet.append(_detection_row(picture, each, facts.class_names))
    for number in rows:
        heads = seen.layers[number][:MOST_HEADS]
        cells: list[pictures.Cell] = [(f"layer {number}, mean", heat(seen.layers[number].mean(0)))]
        cells += [(f"head {head}", heat(values)) for head, values in enumerate(heads)]
        sheet.append(cells)
    return {"sheet": pictures.sheet(sheet), **own}


def _detection_row(
    picture: Image.Image, each: Looked, names: tuple[str, ...]
) -> list[pictures.Cell]:
    title = f"{names[each.label]} {each.score:.0%}"
    cells: list[pictures.Cell] = [(title, pictures.boxed(picture, each.box_cxcywh))]
    for name, values in each.maps.items():
        marked = pictures.boxed(pictures.heated(picture, values), each.box_cxcywh)
        cells.append((name, marked))
    if each.places is not None and each.weights is not None:
        marked = pictures.dotted(picture, each.places, each.weights)
        cells.append(("places it read", pictures.boxed(marked, each.box_cxcywh)))
    return cells
