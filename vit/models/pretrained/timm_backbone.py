"""Any model of timm whose answer has a place in the image, with or without trained weights."""

from __future__ import annotations

import inspect
from typing import Any, NoReturn

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vit.models.batch_norm import batch_norm_parts
from vit.models.contract import containers_opened, counted, depths_of_children
from vit.models.feature_maps import JoinedMaps, WholeAnswer, depths_by_timm, does_not_divide
from vit.models.foreign import read_foreign
from vit.models.timm_creation import classifier_of
from vit.models.timm_models import check_name, create, fetched
from vit.structures import Features, Grid


class TimmBackbone(nn.Module):
    """A model of timm that answers with the same `Features` as our own.

    `name` is one of timm's, with a tag after a dot where weights have several
    (`vit_small_patch16_224.dino`). `pretrained` takes the weights from timm's cache, or from the
    network into it; `checkpoint` takes them from a file of timm's own layout (.safetensors, or a
    .pth that holds tensors only), or from one that `vit export` wrote; `checkpoint_prefix` says
    what stands before the names there, as in `teacher.backbone`. Position tables and the
    first convolution are fitted to `image_size` and `channels`. The stages inside stay timm's:
    models that work between `embed` and `encode` need `vit.models.backbone.ViT`.

    A plain vision transformer gives its tokens, block by block. Any other (ResNet, ConvNeXt, Swin,
    …) gives one row of tokens, a token for each place of its last map: what it would pool for its
    classes, `patch_size` pixels apart. It has one block then (`depth` is 1), which is that row.
    `stages` takes some of the maps of timm's `features_only=True` instead, for heads that look for
    small things: see `vit.models.feature_maps.JoinedMaps`.

    Where timm normalises after pooling, that norm is applied to every token, since `Features`
    are normalised tokens. `mean` and `std` are those the weights were trained with.

    Args:
        stages: numbers of the feature maps that are joined, 0 the finest, -1 the last; None takes
            the model's own answer.
        drop_path: timm's drop_path_rate, that of the last block.
        dropout: timm's proj_drop_rate, behind each attention and in each mlp.
        gradient_checkpointing: compute blocks anew in the backward pass: less memory, more time.

    Raises ValueError for names that are unknown, models that answer nothing with a place, keys
    that a model does not have, weights that are neither on this machine nor within reach, and
    weights of another architecture.
    """

    has_stages = False

    def __init__(
        self,
        image_size: tuple[int, int],
        channels: int,
        *,
        name: str,
        pretrained: bool = False,
        checkpoint: str | None = None,
        checkpoint_prefix: str | None = None,
        stages: tuple[int, ...] | None = None,
        drop_path: float = 0.0,
        dropout: float = 0.0,
        gradient_checkpointing: bool = False,
    ):
        super().__init__()
        check_name(name)
        self.name, self.channels = name, channels
        arguments: dict[str, Any] = {
            "in_chans": channels,
            "img_size": image_size,
            "drop_path_rate": drop_path,
            "proj_drop_rate": dropout,
        }
        if checkpoint_prefix and checkpoint is None:
            raise ValueError(
                f"backbone.checkpoint_prefix={checkpoint_prefix!r} is for names in a file; set "
                "backbone.checkpoint to one, or leave the prefix out."
            )
        file = None if checkpoint is None else read_foreign(checkpoint, checkpoint_prefix)
        if file is not None:
            file.classifier = classifier_of(name)
        weights = fetched(name) if pretrained and file is None else None
        if weights is None and file is None:
            model, taken = create(name, arguments)
        else:  # fitted and compared for real, on the meta device of the check too
            device = torch.get_default_device()
            with torch.device("cpu"):
                model, taken = create(name, arguments, weights, file)
                model = model.to(device)
        self.remarks = [] if file is None else file.remarks()  # for whoever checks the model
        if gradient_checkpointing:
            _checkpointed(name, model)
        plain = stages is None and _is_plain(model)
        self.model: Any = model
        self.maps: Any = None  # what makes tokens of the model's maps, where it gives maps
        if plain:
            model.reset_classifier(0, "")  # drops head and pool: they would be idle parameters
        elif stages is None:
            self.maps = WholeAnswer(name, model, image_size, channels)
        else:
            self.maps = JoinedMaps(name, model, stages)
        self.dim: int = model.num_features if plain else self.maps.dim
        self.depth = len(model.blocks) if plain else 1
        self.patch_size: int = model.feature_info[0]["reduction"] if plain else self.maps.stride
        self.num_prefix: int = model.num_prefix_tokens if plain else self.maps.num_prefix
        self.has_class_token = plain and getattr(model, "cls_token", None) is not None
        self.mean: tuple[float, ...] = tuple(model.pretrained_cfg["mean"])
        self.std: tuple[float, ...] = tuple(model.pretrained_cfg["std"])
        resizes = "dynamic_img_size" in inspect.signature(type(model).__init__).parameters
        resizes = resizes or hasattr(model, "embeds") or "img_size" not in taken
        self.fixed_size = None if resizes else tuple(image_size)
        self.grid(*image_size)

    def grid(self, height: int, width: int) -> Grid:
        """The patches of an image of this many pixels; ValueError where it does not divide."""
        size = self.patch_size
        if height < size or width < size or height % size or width % size:
            raise ValueError(does_not_divide(self.name, size, height, width))
        if self.fixed_size is not None and (height, width) != self.fixed_size:
            raise ValueError(
                f"image is {height}x{width} px; {self.name} was built for "
                f"{self.fixed_size[0]}x{self.fixed_size[1]} and cannot change. "
                "Change data.image_size and build again."
            )
        return Grid(height // size, width // size)

    def forward(
        self, images: Float[Tensor, "batch channels height width"], blocks: tuple[int, ...] = ()
    ) -> Features:
        """`blocks` asks for the patch tokens after those blocks, too: 0 the first, -1 the last."""
        grid = self.grid(*images.shape[-2:])
        wanted = [self._block_number(number) for number in blocks]
        if self.maps is not None:
            patches, prefix = self.maps(self.model, images, grid)
            return Features(patches, grid, prefix, blocks=(patches,) * len(wanted))
        asked = sorted(set(wanted)) or [self.depth - 1]
        tokens, taken = self.model.forward_intermediates(images, indices=asked, output_fmt="NLC")
        if isinstance(self.model.norm, nn.Identity):
            tokens = self.model.fc_norm(tokens)
        by_number = dict(zip(asked, taken, strict=True))
        return Features(
            patches=tokens[:, self.num_prefix :],
            grid=grid,
            prefix=tokens[:, : self.num_prefix],
            blocks=tuple(by_number[number] for number in wanted),
        )

    @property
    def known_blocks(self) -> int:
        """Of how many last blocks `last_features` tells: all, or of a model of maps the last."""
        return self.depth if self.maps is None else 1

    def last_features(
        self, images: Float[Tensor, "batch channels height width"], count: int
    ) -> list[Features]:
        """After each of the last blocks, the last first, what a model that ends there says."""
        grid = self.grid(*images.shape[-2:])
        taken = self.model.forward_intermediates(
            images,
            indices=count,
            return_prefix_tokens=self.num_prefix > 0,  # without any timm gives no pairs
            norm=True,
            output_fmt="NLC",
            intermediates_only=True,
        )
        norm = self.model.fc_norm if isinstance(self.model.norm, nn.Identity) else nn.Identity()
        pairs = taken if self.num_prefix else [(patches, patches[:, :0]) for patches in taken]
        return [Features(norm(patches), grid, norm(prefix)) for patches, prefix in reversed(pairs)]

    def embed(self, images: Tensor) -> NoReturn:
        self._refuse("embed")

    def encode(self, tokens: Tensor, grid: Grid, blocks: tuple[int, ...] = ()) -> NoReturn:
        self._refuse("encode")

    def flops(self, height: int, width: int) -> int:
        """Products of one forward pass for one image, counted on the meta device."""
        self.grid(height, width)
        image = torch.empty(1, self.channels, height, width, device="meta")
        return counted(self if self.maps is not None else self.model, image)

    def depths(self) -> dict[str, int]:
        """How deep each parameter lies: 0 the embeddings, 1…depth the blocks, then the norm.

        Of a model that gives maps as deep as timm says, or by the order of its parts; what joins
        the maps lies behind them all.
        """
        depths: dict[str, int] = {}
        if self.maps is not None:
            inside = depths_by_timm(self.model) or depths_of_children(self.model)
            last = max(inside.values()) + 1
            depths = {f"maps.{name}": last for name, _ in self.maps.named_parameters()}
            return {f"model.{name}": at for name, at in inside.items()} | depths
        for name, _ in self.named_parameters():
            _, first, *rest = name.split(".")
            if first == "blocks":
                depths[name] = int(rest[0]) + 1
            else:
                depths[name] = self.depth + 1 if first in ("norm", "fc_norm") else 0
        return depths

    def shards(self) -> list[nn.Module]:
        """The parts that are gathered one after another where the weights are sharded."""
        return list(self.model.blocks) if self.maps is None else containers_opened(self.model)

    def no_weight_decay(self) -> set[str]:
        """Biases, norms, gains, and what timm's model names."""
        asked: set[str] = getattr(self.model, "no_weight_decay", set)()
        named = tuple(f"model.{name}" for name in asked)  # some models name whole parts
        inside = tuple(f"{name}." for name in named)
        return {
            name
            for name, parameter in self.named_parameters()
            if parameter.ndim < 2
            or name in named
            or name.startswith(inside)
            or name.rpartition(".")[2] in _UNDECAYED
        }

    def _refuse(self, stage: str) -> NoReturn:
        raise ValueError(
            f"this model works between the stages of its backbone and asked {self.name!r} for "
            f"`{stage}`; timm's models have no such stages. Use backbone=vit or one of its sizes."
        )

    def _block_number(self, number: int) -> int:
        if not -self.depth <= number < self.depth:
            raise ValueError(
                f"block {number} was asked for; {self.name} has the blocks 0 to "
                f"{self.depth - 1} (or -{self.depth} to -1). Ask for one of these."
            )
        return number % self.depth


def _is_plain(model: Any) -> bool:
    """Whether it gives one row of tokens from the first block to the last."""
    parameters = inspect.signature(model.forward_intermediates).parameters
    needed = ("blocks", "num_prefix_tokens", "norm", "fc_norm", "feature_info")
    return "return_prefix_tokens" in parameters and all(hasattr(model, part) for part in needed)


def _checkpointed(name: str, model: Any) -> None:
    why = ""
    if batch_norm_parts(model):
        why = "its BatchNorm would count each batch twice in its running statistics"
    else:
        try:
            model.set_grad_checkpointing()
        except AssertionError as error:
            why = str(error)
    if why:
        raise ValueError(
            f"backbone.gradient_checkpointing=true computes parts of a model twice in each step, "
            f"and {name} cannot: {why}. Set it to false, or pick another backbone.name."
        )


_UNDECAYED = ("cls_token", "dist_token", "reg_token", "pos_embed")
