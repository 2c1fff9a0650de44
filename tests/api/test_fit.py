"""`vit.fit`: data sets and models of the user's own, trained in this process."""

import pytest
import pytorch_lightning as lightning
import torch
from pages import ROOT, as_notebook
from torch import nn
from torch.utils.data import TensorDataset

import vit
from vit.faults import Refused
from vit.models.classifier import Classifier
from vit.tuning.lora import Lora


def data(count=16, classes=2, size=8):
    images = torch.randn(count, 1, size, size)
    return [(image, at % classes) for at, image in enumerate(images)]


def small():
    torch.manual_seed(0)
    return vit.ViT(image_size=8, channels=1, patch_size=4, dim=16, depth=1, heads=2)


NAMES = {"class_names": ["a", "b"], "progress": False}


def test_docs_fit_md_runs_as_a_notebook_and_learns(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    names = as_notebook(ROOT / "docs" / "fit.md")
    learned, adapted = names["fitted"], names["adapted"]
    assert learned.metrics["val/accuracy"] > 0.9
    assert [row["epoch"] for row in learned.curves] == [0, 1, 2, 3]
    assert adapted.task.label_smoothing == 0.1 and names["trainer"].global_step == 4
    assert not any("lora" in name for name, _ in adapted.model.named_parameters())
    assert list(tmp_path.iterdir()) == []


def test_the_same_seed_gives_the_same_weights_and_frozen_ones_stay():
    samples, start = data(), small()
    before = {name: each.clone() for name, each in start.state_dict().items()}
    first = vit.fit(small(), samples, epochs=2, batch_size=4, tuning="head", **NAMES)
    second = vit.fit(small(), samples, epochs=2, batch_size=4, tuning="head", **NAMES)
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name])
    assert all(
        torch.equal(first.model.backbone.state_dict()[name], each) for name, each in before.items()
    )
    assert isinstance(first.model, Classifier) and not first.model.training
    other = vit.fit(small(), samples, epochs=2, batch_size=4, tuning="head", seed=1, **NAMES)
    assert not torch.equal(other.model.head.linear.weight, first.model.head.linear.weight)


def test_a_model_that_gives_logits_is_trained_as_it_is():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    trainer = lightning.Trainer(
        max_steps=4, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    fitted = vit.fit(model, data(), data(4), trainer=trainer, batch_size=4, mixup=0.2, **NAMES)
    assert fitted.model is model and trainer.global_step == 4
    assert {"train/loss", "train/accuracy", "val/loss", "val/accuracy"} <= fitted.metrics.keys()


def test_a_fitted_model_can_be_fitted_again_as_a_whole():
    first = vit.fit(small(), data(), epochs=1, tuning="lora", **NAMES)
    assert all(each.requires_grad for each in first.model.parameters())
    seen = []
    first.model.head.register_forward_hook(lambda module, *_: seen.append(module.training))
    before = {name: each.clone() for name, each in first.model.state_dict().items()}
    again = vit.fit(first.model, data(), epochs=1, **NAMES)
    assert seen[0] is False and set(seen[1:]) == {True}  # a look, and then the training
    assert not any(torch.equal(each, before[n]) for n, each in again.model.named_parameters())


BAD = {
    "no samples": (lambda: ([], {}), "train: has no samples"),
    "no length": (lambda: (iter([]), {}), "train: has no length"),
    "a picture": (lambda: ([("a.png", 0)], {}), r"its first sample is \(str, int\)"),
    "whole numbers": (lambda: ([(torch.zeros(1, 8, 8).int(), 0)], {}), "of torch.int32; wanted"),
    "no label": (lambda: (TensorDataset(torch.zeros(2, 1, 8, 8)), {}), "first sample is tuple"),
    "no names": (lambda: (data(), {"class_names": None}), "class_names: has 0 names"),
    "a rate": (lambda: (data(), {"label_smoothing": 2.0}), "label_smoothing=2.0"),
    "a setting": (lambda: (data(), {"labelsmoothing": 0.1}), "labelsmoothing"),
    "epochs": (lambda: (data(), {"epochs": 0}), "epochs: is 0; wanted a whole number from 1"),
    "tuning": (lambda: (data(), {"tuning": "lorra"}), "Did you mean 'lora'"),
    "a class": (lambda: (data(), {"tuning": Lora}), "or a part of vit.tuning such as"),
    "a mapping": (lambda: (data(), {"tuning": {"rank": 4}}), "tuning: is {'rank': 4}"),
    "workers": (lambda: (data(), {"num_workers": -1}), "seed and num_workers: are 0 and -1"),
    "lr": (lambda: (data(), {"lr": "x"}), "lr: is 'x'; wanted a number above 0"),
    "sizes": (lambda: (data(), {"val": data(size=16)}), r"val: has images \[1, 16, 16\] where"),
    "blocks": (lambda: (data(), {"tuning": vit_last(9)}), "blocks=9, and this backbone has 1"),
}


def vit_last(blocks):
    from vit.tuning.freezing import LastBlocks

    return LastBlocks(blocks=blocks)


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_before_anything_is_trained(kind):
    make, said = BAD[kind]
    samples, more = make()
    with pytest.raises(Refused, match=said):
        vit.fit(small(), samples, **{**NAMES, **more})


def test_models_that_do_not_fit_are_refused_by_what_they_answer():
    with pytest.raises(Refused, match=r"answers two images with \[2, 3\]; wanted logits \[2, 2\]"):
        vit.fit(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), data(), **NAMES)
    with pytest.raises(Refused, match=r"model: does not take images \[2, 1, 8, 8\]"):
        vit.fit(nn.Linear(3, 3), data(), **NAMES)
    with pytest.raises(Refused, match="model: is a str"):
        vit.fit("resnet18", data(), **NAMES)


@pytest.mark.parametrize(
    ("sample", "said"),
    [((torch.zeros(1, 8, 8), 2), r"train\[1\] is of class 2 of 2"),
     ((torch.zeros(1, 9, 8), 0), r"train\[1\] has the shape \[1, 9, 8\] and the first one")],
)  # fmt: skip
def test_a_bad_sample_is_named_by_its_place(sample, said):
    with pytest.raises(ValueError, match=said):
        vit.fit(small(), [data()[0], sample], epochs=1, **NAMES)
