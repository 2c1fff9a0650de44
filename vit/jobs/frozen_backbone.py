"""A frozen backbone and the data that it is shown: of a run, or of weights from elsewhere."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vit.build import TargetError, build
from vit.data.core.images import BadImage
from vit.data.kinds.classification import ClassificationData
from vit.facts import Facts
from vit.faults import Fault, Refused
from vit.models.pretrained.exchange import made
from vit.models.pretrained.fitting import fitted
from vit.models.pretrained.sources import OF_TRAINING, SOURCES, read_source
from vit.probes.cache import Cache, key_of, weights_hash
from vit.probes.collecting import Vectors, collected
from vit.probes.vectors import HEAD, known_pools, most_blocks, pool_of, vectors
from vit.runs.checkpoint import misfit
from vit.schema import slot_faults
from vit.tasks.assembly import assemble_data
from vit.trained import load, usable_device

# Of the data what follows the weights, unless a command says it.
OF_THE_WEIGHTS = ("image_size", "channels", "mean", "std")


@dataclass(frozen=True)
class Asked:
    """What a command says: whose features, of which data, and how they are kept.

    `data` is a frozen `data` node; None: the run's own. `said` are the keys of it that the command
    sets itself.
    """

    source: str
    data: dict[str, Any] | None
    said: tuple[str, ...] = ()
    checkpoint: str = "best"
    device: str = "auto"
    allow_targets: tuple[str, ...] = ()
    cache: str | None = None  # its root; None: nothing is kept


@dataclass
class Frozen:
    """A backbone in evaluation mode with its data; `head` is that of a run, for its pool."""

    source: str
    backbone: Any
    head: Any
    data: Any
    place: torch.device
    cache: Cache | None
    weights: str  # hash
    fingerprint: str  # of the data
    key: str
    remarks: list[str] = field(default_factory=list)
    passes: dict[str, dict[str, Any]] = field(default_factory=dict)  # by split, for the report

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.data.facts.class_names)

    def vectors(self, split: str, names: Iterable[str]) -> Vectors:
        """Those of a split: from the cache what is there, the rest by one pass over the images."""
        names, began = list(names), time.perf_counter()
        found: Vectors | None = None
        missing = names
        if self.cache:
            found, missing = self.cache.read(
                split, names, self.data.lengths[split], self.backbone.dim
            )
        if missing:
            new = self._computed(split, missing)
            if found is not None and torch.equal(found.index, new.index):
                new.by_name = {**found.by_name, **new.by_name}
            elif found is not None and found.by_name:
                new = self._computed(split, names)  # other images could be read than before
            found = new
            self._keep(split, new)
        assert found is not None
        self.passes[split] = {
            "samples": len(found),
            "cached": not missing,
            "seconds": round(time.perf_counter() - began, 3),
        }
        return found

    def _computed(self, split: str, names: list[str]) -> Vectors:
        def encode(images: Tensor) -> dict[str, Tensor]:
            return vectors(self.backbone, images, names, self.head)

        total = self.data.lengths[split]
        with torch.inference_mode():
            try:
                batches = self.data.still_loader(split)
                found = collected(encode, batches, self.place, told=split, total=total)
            except BadImage as fault:
                raise Refused([Fault("data", str(fault))]) from fault
        for name, each in found.by_name.items():
            if not each.isfinite().all():
                message = (
                    f"gives numbers that are not finite ({name} of {split}); take other weights"
                )
                raise Refused([Fault(self.source, message)])
        # Ordinary tensors: those of inference mode cannot be learned from.
        by_name = {name: each.clone() for name, each in found.by_name.items()}
        return Vectors(by_name, found.labels.clone(), found.index.clone())

    def _keep(self, split: str, found: Vectors) -> None:
        if self.cache is None:
            return
        try:
            self.cache.write(split, found)
        except OSError as error:  # a full disk, a folder that is not to be written
            message = f"features are not kept: {self.cache.folder}: {error.strerror or error}"
            print(message, file=sys.stderr)


def is_weights(source: str) -> bool:
    """Whether it is named as `backbone.weights` names weights, and is no run's folder."""
    kind, colon, name = source.partition(":")
    return bool(colon and name) and kind in SOURCES


def freeze(asked: Asked) -> Frozen:
    """The backbone with its data, nothing computed. Raises Refused with all that is wrong."""
    place = usable_device(asked.device)
    frozen = _of_weights(asked, place) if is_weights(asked.source) else _of_run(asked, place)
    frozen.backbone.eval().requires_grad_(False).to(place)
    if pool := pool_of(frozen.head):
        pool.eval().requires_grad_(False).to(place)
    return frozen


def _of_run(asked: Asked, place: torch.device) -> Frozen:
    trained = load(asked.source, checkpoint=asked.checkpoint, allow_targets=asked.allow_targets)
    model = trained.model
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, nn.Module):
        message = f"is of a {type(model).__name__}, which has no backbone; take another run"
        raise Refused([Fault(asked.source, message)])
    if not isinstance(trained.facts, Facts):
        message = f"reads {trained.facts.kind}; features are taken of images"
        raise Refused([Fault(asked.source, message)])
    config = trained.config
    node = asked.data or config["data"]
    data = _data(node, _keys(trained.facts), asked, config["seed"])
    _require_fit(backbone, data.facts, trained.facts)
    torch.set_num_threads(config["threads"])
    built = {"backbone": _plain(config["backbone"]), "head": config.get("head")}
    return _frozen(asked, backbone, getattr(model, "head", None), data, node, place, built)


def _of_weights(asked: Asked, place: torch.device) -> Frozen:
    assert asked.data is not None
    try:
        found = read_source(asked.source)
        origin = found.origin
    except (ValueError, ImportError, OSError) as error:
        raise Refused([Fault(asked.source, _without(str(error), asked.source))]) from error
    own = {
        "image_size": list(origin.image_size),
        "channels": origin.channels,
        **({"mean": list(origin.mean)} if origin.mean else {}),
        **({"std": list(origin.std)} if origin.std else {}),
    }
    data = _data(asked.data, own, asked, 0)
    facts = data.facts
    try:
        if (facts.image_size, facts.channels) == (tuple(origin.image_size), origin.channels):
            backbone = made(found)
        else:
            backbone = build(found.keys, (), image_size=facts.image_size, channels=facts.channels)
            state, _ = fitted(found, facts.image_size, facts.channels)
            if difference := misfit(state, backbone.state_dict()):
                raise ValueError(difference)
            backbone.load_state_dict(state)
        backbone.float()
    except (ValueError, TargetError) as error:
        raise Refused([Fault(asked.source, _without(str(error), asked.source))]) from error
    frozen = _frozen(asked, backbone, None, data, asked.data, place, {"backbone": found.keys})
    if found.origin.assumed:
        guessed = ", ".join(found.origin.assumed)
        frozen.remarks.append(f"assumed, since nothing beside the file tells: {guessed}")
    return frozen


def _frozen(
    asked: Asked,
    backbone: Any,
    head: Any,
    data: Any,
    node: Mapping[str, Any],
    place: torch.device,
    built: Mapping[str, Any],
) -> Frozen:
    weights = weights_hash({"backbone": backbone, "pool": pool_of(head)})
    fingerprint = data.fingerprint()
    key = key_of(weights, built, data.eval_transform, fingerprint, node)
    cache = Cache(Path(asked.cache) / key) if asked.cache else None
    return Frozen(asked.source, backbone, head, data, place, cache, weights, fingerprint, key)


def _require_fit(backbone: Any, facts: Any, trained: Any) -> None:
    """Raises Refused where a command sets a size or channels that the backbone cannot take."""
    if facts.channels != trained.channels:
        message = f"is {facts.channels}; the run's backbone takes {trained.channels}. Leave it out"
        raise Refused([Fault("data.channels", message)])
    try:
        backbone.grid(*facts.image_size)
    except ValueError as error:
        raise Refused([Fault("data.image_size", str(error))]) from error


def _keys(facts: Any) -> dict[str, Any]:
    return {key: getattr(facts, key) for key in OF_THE_WEIGHTS}


def _data(node: Mapping[str, Any], own: Mapping[str, Any], asked: Asked, seed: int) -> Any:
    """The data under the weights' own size, channels, mean and std, unless the command says its.

    Raises Refused where they are of another kind than images with classes, or have faults.
    """
    taken = {key: value for key, value in own.items() if key not in asked.said}
    node = {**node, **{key: _listed(value) for key, value in taken.items()}}
    if faults := slot_faults("data", dict(node), asked.allow_targets):
        raise Refused(faults)
    try:
        data = assemble_data({"data": node, "seed": seed}, asked.allow_targets)
        if not isinstance(data, ClassificationData):
            raise Refused([Fault("data", _of_another_kind(data))])
        faults = data.faults()
    except (ValueError, OSError, TargetError) as error:
        raise Refused([Fault("data", str(error))]) from error
    if faults:
        raise Refused(faults)
    return data


def _of_another_kind(data: Any) -> str:
    kind = {"detection": "boxes", "segmentation": "maps of classes"}.get(data.task, "other targets")
    if data.unit == "text":
        kind = "texts"
    return (
        f"{type(data).__name__} has {kind}; features are taken of images that have a class each. "
        "Take data=folder, data=table or any other set for classification"
    )


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _plain(backbone: Mapping[str, Any]) -> dict[str, Any]:
    """Without what changes training alone."""
    return {key: value for key, value in backbone.items() if key not in OF_TRAINING}


def _without(message: str, source: str) -> str:
    """The Fault is named by the source, which the message need not repeat."""
    return message.removeprefix(source).lstrip(": ") if message.startswith(source) else message


def require_pool(frozen: Frozen, pool: str, where: str = "--pool") -> None:
    """Raises Refused where the model has no such thing to pool."""
    known = known_pools(frozen.backbone, frozen.head)
    if pool in known:
        return
    why = "a class token" if pool != HEAD else "a head with a pool, as a run for classification has"
    message = f"{pool} needs {why}, and this model has none; take {' or '.join(known)}"
    raise Refused([Fault(where, message)])


def require_blocks(frozen: Frozen, blocks: int, where: str = "--blocks") -> None:
    """Raises Refused where the backbone has not so many blocks, or does not tell of them."""
    most = most_blocks(frozen.backbone)
    if blocks > most:
        depth = getattr(frozen.backbone, "depth", most)
        have = "tells of its last block alone" if most == 1 < depth else f"has {most} blocks"
        message = f"the last {blocks} blocks are asked for; this backbone {have}. Take fewer"
        raise Refused([Fault(where, message)])


def about(frozen: Frozen) -> dict[str, Any]:
    """What a file of vectors, or of figures, says of where they are from; plain values."""
    transform = dataclasses.asdict(frozen.data.eval_transform)
    return {
        "source": frozen.source,
        "weights": frozen.weights,
        "data": type(frozen.data).__name__,
        "data_fingerprint": frozen.fingerprint,
        "transform": json.loads(json.dumps(transform, default=str)),
        "class_names": list(frozen.class_names),
    }
