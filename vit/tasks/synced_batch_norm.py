"""BatchNorm over the images of all processes, for timm's models too."""

from __future__ import annotations

from pytorch_lightning.plugins.layer_sync import TorchSyncBatchNorm
from timm.layers import convert_sync_batchnorm
from torch.nn import Module

from vit.models.batch_norm import batch_norm_parts


class SyncedBatchNorm(TorchSyncBatchNorm):
    """What `trainer.sync_batchnorm=true` does.

    torch's own conversion, which Lightning calls, takes timm's norms with an activation inside for
    plain ones, and drops the activation without a word (pytorch/pytorch#187298). After training
    the parts are those from before, with the numbers that were learned.
    """

    def __init__(self) -> None:
        self.plain: dict[str, Module] = {}

    def apply(self, model: Module) -> Module:
        self.plain = batch_norm_parts(model)
        return convert_sync_batchnorm(model)

    def revert(self, model: Module) -> Module:
        for name, plain in self.plain.items():
            synced = model.get_submodule(name)
            for key, _ in (*synced.named_parameters(), *synced.named_buffers()):
                setattr(plain, key, getattr(synced, key))
            plain.train(synced.training)
            above, _, last = name.rpartition(".")
            setattr(model.get_submodule(above), last, plain)
        self.plain = {}
        return model
