"""BatchNorm of baselines: counted, averaged, synced and refused as its statistics want it."""

import copy

import pytest
import pytorch_lightning as lightning
import torch
from pytorch_lightning.plugins.layer_sync import TorchSyncBatchNorm
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from vit.callbacks.ema import Ema
from vit.models.batch_norm import batch_norm_parts, running_statistics, still_statistics
from vit.models.pretrained import TimmBackbone
from vit.tasks.synced_batch_norm import SyncedBatchNorm


def backbone(name="test_resnet"):
    torch.manual_seed(0)
    return TimmBackbone((32, 32), 3, name=name)


def test_counting_products_leaves_the_statistics_alone():
    model = backbone()
    before = copy.deepcopy(model.state_dict())
    with still_statistics(model):
        model(torch.randn(1, 3, 32, 32))  # one value a channel, which training refuses
    assert model.flops(32, 32) > 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(part.training for part in batch_norm_parts(model).values())
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        model(torch.randn(1, 3, 32, 32))


class Trained(lightning.LightningModule):
    """Learns by large steps, so that its statistics move; notes them at each step."""

    def __init__(self, images):
        super().__init__()
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=0.5), nn.ReLU())
        self.images, self.seen, self.validated = images, [], []

    def training_step(self, batch, batch_idx):
        return (self.model(batch[0]) - 3).square().mean()

    def on_train_batch_end(self, outputs, batch, batch_idx):
        self.seen.append({n: v.clone() for n, v in running_statistics(self).items()})

    def validation_step(self, batch, batch_idx):
        self.validated.append({n: v.clone() for n, v in self.state_dict().items()})

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.3)

    def train_dataloader(self):
        return DataLoader(TensorDataset(self.images), batch_size=8)

    val_dataloader = train_dataloader


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_average_of_weights_has_the_average_of_their_statistics(tmp_path, accumulate):
    task, ema = Trained(torch.randn(32, 3, 8, 8)), Ema(decay=0.6, warmup=False)
    start = {name: value.clone() for name, value in running_statistics(task).items()}
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=2,
        callbacks=[ema],
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
        accumulate_grad_batches=accumulate,
        enable_checkpointing=False,
        **quiet,
    )
    trainer.fit(task)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    expected = start
    for seen in task.seen[accumulate - 1 :: accumulate]:  # one at each step of the optimizer
        expected = {name: 0.6 * expected[name] + 0.4 * value for name, value in seen.items()}
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    for name, value in expected.items():
        torch.testing.assert_close(task.validated[-1][name], value)
        assert torch.equal(content["state_dict"][name], task.validated[-1][name])
        assert torch.equal(content["trained_weights"][name], task.seen[-1][name])
        assert torch.equal(running_statistics(task)[name], task.seen[-1][name])
        assert not torch.allclose(value, task.seen[-1][name])


def test_statistics_of_all_processes_keep_the_activations_that_torch_would_drop():
    model = backbone("test_efficientnet")
    images = torch.randn(4, 3, 32, 32)
    model(images)
    model.eval()
    expected, state = model(images).patches, model.state_dict()
    synced = SyncedBatchNorm()
    converted = synced.apply(model)
    parts = batch_norm_parts(converted).values()
    assert parts and all(isinstance(part, nn.SyncBatchNorm) for part in parts)
    assert torch.equal(converted(images).patches, expected)
    for part in parts:
        part.running_mean.add_(0.1)  # as training does
    trained = converted(images).patches
    again = synced.revert(converted)
    assert not any(isinstance(part, nn.SyncBatchNorm) for part in again.modules())
    assert torch.equal(again(images).patches, trained) and again.state_dict().keys() == state.keys()
    lost = TorchSyncBatchNorm().apply(again)
    assert not torch.allclose(lost(images).patches, trained)  # what this is for


def test_nothing_of_ours_normalises_by_a_batch():
    from vit.models.backbone import ViT

    assert batch_norm_parts(ViT((16, 16), 3, dim=8, depth=1, heads=1, patch_size=8)) == {}
