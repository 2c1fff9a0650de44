"""From a name and a few numbers to an optimizer that learns."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from vit.optim.optimizer import Optim

NAMES = ["adamw", "sgd", "lion", "lamb", "nmuon", "nadamuon", "adafactor", "adopt", "nadamw"]


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))


def learn(model, optimizer, steps=30):
    inputs = torch.randn(32, 8)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(inputs) - inputs).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", [*NAMES, "schedulefree", "schedulefree_radam", "schedulefree_sgd"])
def test_each_optimizer_lowers_the_loss(name):
    model = mlp()
    optim = Optim(name=name, lr=0.1 if name.endswith("sgd") else 0.003)
    optimizer = optim.build(model)
    if optim.schedule_free:
        optimizer.train()
    losses = learn(model, optimizer)
    assert losses[-1] < losses[0]


def test_adamw_is_torchs_own():
    ours, theirs = mlp(), mlp()
    learn(ours, Optim(lr=0.01, weight_decay=0.0, betas=(0.8, 0.9), eps=1e-6).build(ours))
    mlp()  # seeds again, so that both see the same inputs
    learn(theirs, torch.optim.AdamW(theirs.parameters(), 0.01, (0.8, 0.9), 1e-6, weight_decay=0.0))
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_groups_carry_their_rates_into_the_optimizer():
    class Deep(nn.Sequential):
        def depths(self):
            return {name: int(name[0]) for name, _ in self.named_parameters()}

        def no_weight_decay(self):
            return {name for name, _ in self.named_parameters() if name.endswith("bias")}

    model = Deep(nn.Linear(4, 4), nn.Linear(4, 4))
    for name in ("adamw", "lion", "schedulefree"):
        groups = (
            Optim(name=name, lr=1.0, weight_decay=0.3, layer_decay=0.5).build(model).param_groups
        )
        assert [(g["lr"], g["weight_decay"]) for g in groups] == [
            (0.5, 0.0), (0.5, 0.3), (1.0, 0.0), (1.0, 0.3),
        ]  # fmt: skip


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
def test_muon_leaves_embeddings_head_and_vectors_to_adamw(weight_decay):
    class Deep(nn.Sequential):
        def depths(self):
            return {name: int(name[0]) for name, _ in self.named_parameters()}

    model = Deep(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8))
    optimizer = Optim(name="muon", lr=0.01, weight_decay=weight_decay).build(model)
    learn(model, optimizer, steps=1)
    by_muon = {id(p) for p, state in optimizer.state.items() if state["use_muon"]}
    assert by_muon == {id(model[1].weight)}


@pytest.mark.skipif(torch.cuda.is_available(), reason="the optimizer might be usable here")
def test_an_optimizer_for_other_hardware_is_refused_in_words():
    with pytest.raises(ValueError, match=r"optim\.name=fusedlamb: .*choose another"):
        Optim(name="fusedlamb").build(mlp())


def test_a_misspelt_name_says_which_was_meant():
    with pytest.raises(ValueError, match=r"no optimizer 'adamww'\. Did you mean 'adamw'"):
        Optim(name="adamww")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name": "sgd", "betas": (0.9, 0.99)}, "sgd has no 'betas' .takes momentum"),
        ({"name": "lion", "eps": 1e-8}, "lion has no 'eps'"),
        ({"name": "adamw", "momentum": 0.9}, "adamw has no 'momentum'"),
        ({"name": "adan", "betas": (0.9, 0.99)}, "adan wants 3"),
        ({"name": "schedulefree_sgd", "eps": 1e-8}, "has no 'eps'"),
    ],
)
def test_a_number_that_the_optimizer_would_ignore_is_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        Optim(**settings).build(mlp())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lr": 0.0}, "optim.lr"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"layer_decay": 1.5}, "layer_decay"),
        ({"head_lr_scale": 0.0}, "head_lr_scale"),
        ({"name": "adahessian"}, "second derivatives"),
        ({"name": "lion", "fused": True}, "fused"),
    ],
)
def test_values_out_of_range_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        Optim(**settings)


def test_without_the_package_schedule_free_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "schedulefree", None)
    with pytest.raises(ImportError, match=r"pip install 'vit-experiments\[schedulefree\]'"):
        Optim(name="schedulefree")


@pytest.mark.slow
def test_the_usual_optimizers_do_not_wait_for_timm():
    code = (
        "import sys, torch; from vit.optim.optimizer import Optim;"
        "Optim().build(torch.nn.Linear(2, 2)); sys.exit('timm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
