"""Any plain vision transformer of timm, with or without its trained weights."""

from __future__ import annotations

import inspect
from typing import Any, NoReturn

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vit.models.foreign import read_foreign
from vit.models.timm_models import check_name, check_plain, create, fetched
from vit.structures import Features, Grid


class TimmBackbone(nn.Module):
    """A vision transformer of timm that answers with the same `Features` as our own.

    `name` is one of timm's, with a tag after a dot where weights have several
    (`vit_small_patch16_224.dino`). `pretrained` takes the weights from timm's cache, or from the
    network into it; `checkpoint` takes them from a file of timm's own layout (.safetensors, or a
    .pth that holds tensors only), or from one that `vit export` wrote; `checkpoint_prefix` says
    what stands before the names there, as in `teacher.backbone`. Position tables and the
    first convolution are fitted to `image_size` and `channels`. The stages inside stay timm's:
    models that work between `embed` and `encode` need `vit.models.backbone.ViT`.

    Where timm normalises after pooling, that norm is applied to every token, since `Features`
    are normalised tokens. `mean` and `std` are those the weights were trained with.

    Args:
        drop_path: timm's drop_path_rate, that of the last block.
        dropout: timm's proj_drop_rate, behind each attention and in each mlp.
        gradient_checkpointing: compute blocks anew in the backward pass: less memory, more time.

    Raises ValueError for names that are unknown or no plain vision transformers, for weights
    that are neither on this machine nor within reach, and for weights of another architecture.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        channels: int,
        *,
        name: str,
        pretrained: bool = False,
        checkpoint: str | None = None,
        checkpoint_prefix: str | None = None,
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
        weights = fetched(name) if pretrained and file is None else None
        if weights is None and file is None:
            model = create(name, arguments)
        else:  # fitted and compared for real, on the meta device of the check too
            device = torch.get_default_device()
            with torch.device("cpu"):
                model = create(name, arguments, weights, file).to(device)
        self.remarks = [] if file is None else file.remarks()  # for whoever checks the model
        check_plain(name, model)
        model.reset_classifier(0, "")  # drops head and pool: they would be idle parameters
        if gradient_checkpointing:
            model.set_grad_checkpointing()
        self.model: Any = model
        self.dim: int = model.num_features
        self.depth = len(model.blocks)
        self.patch_size: int = model.feature_info[0]["reduction"]
        self.num_prefix: int = model.num_prefix_tokens
        self.has_class_token = getattr(model, "cls_token", None) is not None
        self.mean: tuple[float, ...] = tuple(model.pretrained_cfg["mean"])
        self.std: tuple[float, ...] = tuple(model.pretrained_cfg["std"])
        resizes = "dynamic_img_size" in inspect.signature(type(model).__init__).parameters
        self.fixed_size = None if resizes or hasattr(model, "embeds") else tuple(image_size)
        self.grid(*image_size)

    def grid(self, height: int, width: int) -> Grid:
        """The patches of an image of this many pixels; ValueError where it does not divide."""
        size = self.patch_size
        if height < size or width < size or height % size or width % size:
            raise ValueError(
                f"image is {height}x{width} px; both sides must divide by the patch size of "
                f"{self.name}, {size}. Change data.image_size, or pick another backbone.name."
            )
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

    def embed(self, images: Tensor) -> NoReturn:
        self._refuse("embed")

    def encode(self, tokens: Tensor, grid: Grid, blocks: tuple[int, ...] = ()) -> NoReturn:
        self._refuse("encode")

    def flops(self, height: int, width: int) -> int:
        """Products of one forward pass for one image, counted on the meta device."""
        self.grid(height, width)
        weights = {
            name: tensor.to("meta")
            for name, tensor in [*self.model.named_parameters(), *self.model.named_buffers()]
        }
        image = torch.empty(1, self.channels, height, width, device="meta")
        # The fused kernels are counted on some devices only, the plain one everywhere.
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            functional_call(self.model, weights, (image,))
        return counter.get_total_flops()

    def depths(self) -> dict[str, int]:
        """How deep each parameter lies: 0 the embeddings, 1…depth the blocks, then the norm."""
        depths = {}
        for name, _ in self.named_parameters():
            _, first, *rest = name.split(".")
            if first == "blocks":
                depths[name] = int(rest[0]) + 1
            else:
                depths[name] = self.depth + 1 if first in ("norm", "fc_norm") else 0
        return depths

    def shards(self) -> list[nn.Module]:
        """The parts that are gathered one after another where the weights are sharded."""
        return list(self.model.blocks)

    def no_weight_decay(self) -> set[str]:
        """Biases, norms, gains, and what timm's model names."""
        named = {f"model.{name}" for name in self.model.no_weight_decay()}
        return {
            name
            for name, parameter in self.named_parameters()
            if parameter.ndim < 2 or name in named or name.rpartition(".")[2] in _UNDECAYED
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


_UNDECAYED = ("cls_token", "dist_token", "reg_token", "pos_embed")
