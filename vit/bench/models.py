"""One vision transformer from five libraries: the same products, so the same time in principle.

What differs is what lies around the products: copies, casts, memory passes, Python.
"""

from __future__ import annotations

import importlib.util
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit.bench.measure import Precision, autocast, clock, gemm, interleaved
from vit.bench.side_by_side import (
    BACKBONES,
    EXTRA,
    OURS,
    Conditions,
    ImageRow,
    evaluation_pass,
    paces,
    settle,
    training_step,
)
from vit.layers.pool import ClsPool
from vit.models.backbone import ViT
from vit.models.classifier import Classifier, Head


class Shape(NamedTuple):
    """What all libraries build alike: class token, learned positions, biases, mlp of 4·dim."""

    dim: int
    depth: int
    heads: int
    patch_size: int = 16
    image_size: int = 224  # pixels, square
    classes: int = 1000


SIZES = {name: Shape(*sizes) for name, sizes in BACKBONES.items()}


@dataclass
class Row(ImageRow):
    """How fast one library is, also beside what the machine could do."""

    gemm_fraction: float  # of the rate of plain matrix products, measured in the same rounds


@dataclass(kw_only=True)
class Result(Conditions):
    """The rows of all works, and under which conditions they are true."""

    bench = "models"

    compiled: bool
    gemm_gflops: float  # 10⁹ operations per second, median
    rows: list[Row]
    skipped: dict[str, str]  # library → the command that would install it

    def closest_peer(self, work: str) -> Row | None:
        """The one we are least ahead of, or furthest behind; None where we ran alone."""
        peers = [row for row in self.rows if row.work == work and row.ours_is_faster]
        return min(peers, key=lambda row: row.ours_is_faster or (), default=None)


def compare(
    size: str = "ti",
    *,
    shape: Shape | None = None,
    libraries: Sequence[str] | None = None,
    works: Sequence[str] = ("forward", "step"),
    batch: int = 8,
    rounds: int = 20,
    threads: int = 1,
    device: str = "cpu",
    precision: Precision = "fp32",
    compiled: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> Result:
    """Measures our model against the libraries that are installed.

    Changes this process for good: its number of threads, and its C library, which then keeps freed
    memory. `shape` replaces that of `size`. Images and weights are random, dropouts 0. A forward
    pass runs in inference mode, a step in training mode with torch's fused AdamW, so that the
    optimizer weighs little; with bf16 the models run under autocast.
    """
    where = settle(threads, device)
    shape = shape or SIZES[size]
    names = [OURS, *(name for name in libraries or BUILDERS if name != OURS)]
    present = [name for name in names if is_installed(name)]
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    images = torch.randn(batch, 3, shape.image_size, shape.image_size, device=device)
    targets = torch.arange(batch, device=device) % shape.classes
    product, gemm_flops = gemm(device, dtype)
    now = clock(device, threads)
    rates, rows = [], []
    for work in works:
        contenders: dict[str, Callable[[], object]] = {"gemm": product}
        for name in present:
            model = BUILDERS[name].build(shape, device, compiled, work == "step")
            contenders[name] = _work(work, model, images, targets, precision)
        seconds = interleaved(contenders, rounds, now, tell=tell)
        rates += [gemm_flops / each for each in seconds["gemm"]]
        # A backward pass has two products for each one of the forward pass.
        flops = model_flops(shape) * batch * (3 if work == "step" else 1)
        packages = {name: BUILDERS[name].distribution for name in present}
        for name, version, per_second, ratio in paces(seconds, packages, batch):
            pairs = zip(seconds[name], seconds["gemm"], strict=True)
            fraction = statistics.median(
                (flops / taken) / (gemm_flops / product_taken) for taken, product_taken in pairs
            )
            rows.append(Row(work, name, version, per_second, ratio, fraction))
    return Result(
        size=size,
        batch=batch,
        rounds=rounds,
        precision=precision,
        compiled=compiled,
        gemm_gflops=statistics.median(rates) / 1e9,
        rows=rows,
        skipped={name: BUILDERS[name].install for name in names if name not in present},
        **where,
    )


def is_installed(library: str) -> bool:
    """Looks for it without importing it."""
    return importlib.util.find_spec(BUILDERS[library].module) is not None


def model_flops(shape: Shape) -> int:
    """Of one forward pass for one image; one multiply and add are two."""
    with torch.device("meta"):
        return _our_model(shape).flops(shape.image_size, shape.image_size)


def _work(
    work: str, model: Model, images: Tensor, targets: Tensor, precision: Precision
) -> Callable[[], object]:
    if work == "forward":
        return evaluation_pass(lambda: model.logits(images), images.device, precision)

    def loss() -> Tensor:
        with autocast(images.device, precision):
            return F.cross_entropy(model.logits(images), targets)

    return training_step(model.parameters, loss, weight_decay=0.05)


class Model(NamedTuple):
    """A built model: from images to logits, and what its optimizer moves."""

    logits: Callable[[Tensor], Tensor]
    parameters: list[nn.Parameter]


class Builder(NamedTuple):
    """How a library makes the model, the module to look for, and how to get it."""

    make: Callable[[Shape], nn.Module]
    module: str
    package: str

    def build(self, shape: Shape, device: str, compiled: bool, training: bool) -> Model:
        """On `device`, in training or evaluation mode."""
        torch.manual_seed(0)
        model = self.make(shape).to(device).train(training)
        called = torch.compile(model) if compiled else model
        if self.module == "transformers":
            return Model(lambda images: called(images).logits, list(model.parameters()))
        return Model(called, list(model.parameters()))

    @property
    def install(self) -> str:
        return f"pip install {self.package}"

    @property
    def distribution(self) -> str:
        """What tells the version: the package itself, where `package` is an extra of ours."""
        return self.module.replace("_", "-") if self.package == EXTRA else self.package


def _our_model(shape: Shape) -> Classifier:
    backbone = ViT(
        (shape.image_size, shape.image_size),
        3,
        dim=shape.dim,
        depth=shape.depth,
        heads=shape.heads,
        patch_size=shape.patch_size,
        class_token=True,
    )
    return Classifier(backbone, Head(shape.dim, shape.classes, pool=ClsPool))


def _timm(shape: Shape) -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=shape.image_size,
        patch_size=shape.patch_size,
        num_classes=shape.classes,
        embed_dim=shape.dim,
        depth=shape.depth,
        num_heads=shape.heads,
    )


def _torchvision(shape: Shape) -> nn.Module:
    from torchvision.models import VisionTransformer

    return VisionTransformer(
        image_size=shape.image_size,
        patch_size=shape.patch_size,
        num_layers=shape.depth,
        num_heads=shape.heads,
        hidden_dim=shape.dim,
        mlp_dim=4 * shape.dim,
        num_classes=shape.classes,
    )


def _vit_pytorch(shape: Shape) -> nn.Module:
    from vit_pytorch import ViT as TheirViT

    return TheirViT(
        image_size=shape.image_size,
        patch_size=shape.patch_size,
        num_classes=shape.classes,
        dim=shape.dim,
        depth=shape.depth,
        heads=shape.heads,
        dim_head=shape.dim // shape.heads,
        mlp_dim=4 * shape.dim,
    )


def _transformers(shape: Shape) -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    given: dict[str, Any] = {  # their type hints leave out what the base class takes
        "image_size": shape.image_size,
        "patch_size": shape.patch_size,
        "num_labels": shape.classes,
        "hidden_size": shape.dim,
        "num_hidden_layers": shape.depth,
        "num_attention_heads": shape.heads,
        "intermediate_size": 4 * shape.dim,
        "attn_implementation": "sdpa",
    }
    return ViTForImageClassification(ViTConfig(**given))


BUILDERS = {
    OURS: Builder(_our_model, "vit", "vit-experiments"),
    "timm": Builder(_timm, "timm", "timm"),
    "torchvision": Builder(_torchvision, "torchvision", "torchvision"),
    "vit-pytorch": Builder(_vit_pytorch, "vit_pytorch", EXTRA),
    "transformers": Builder(_transformers, "transformers", EXTRA),
}
