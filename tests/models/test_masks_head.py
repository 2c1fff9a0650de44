"""The mask head: EoMT's numbers with EoMT's weights, and how its masks anneal."""

import pytest
import torch
from head_makers import backbone, randomised
from test_heads_parity import assert_same, fused, renamed
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vit.layers.position import NoPosition
from vit.models.backbone import ViT
from vit.models.detector import Detector
from vit.models.heads.masks import MasksHead
from vit.models.pretrained import TimmBackbone

# Hugging Face's names, and ours.
EOMT = [
    (r"^(attn_mask_probs|criterion\.empty_weight)$", ""),
    (r"^embeddings\.cls_token$", "backbone.class_token"),
    (r"^embeddings\.register_tokens$", "backbone.registers"),
    (r"^embeddings\.patch_embeddings\.projection\.", "backbone.patch.proj."),
    (r"^embeddings\.position_embeddings\.weight$", "backbone.position.table"),
    (r"^layers\.", "backbone.blocks."),
    (r"^layernorm\.", "backbone.norm."),
    (r"\.attention\.out_proj\.", ".attention.proj."),
    (r"\.layer_scale(\d)\.lambda1$", r".scale\1.gain"),
    (r"^query\.weight$", "head.queries"),
    (r"^upscale_block\.block\.(\d)\.conv1\.", r"head.upscale.\1.up."),
    (r"^upscale_block\.block\.(\d)\.conv2\.", r"head.upscale.\1.depthwise."),
    (r"^upscale_block\.block\.(\d)\.layernorm2d\.", r"head.upscale.\1.norm."),
    (r"^mask_head\.fc1\.", "head.mask.0."),
    (r"^mask_head\.fc2\.", "head.mask.2."),
    (r"^mask_head\.fc3\.", "head.mask.4."),
    (r"^class_predictor\.", "head.classes."),
]


def eomt(patch_size=8, upscale=1):
    transformers = pytest.importorskip("transformers")
    config = transformers.EomtConfig(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=4 * patch_size,
        patch_size=patch_size,
        num_queries=7,
        num_blocks=2,
        num_labels=5,
        num_register_tokens=2,
        num_upscale_blocks=upscale,
    )
    theirs = randomised(transformers.EomtForUniversalSegmentation(config)).eval()
    vit = ViT(
        (4 * patch_size, 4 * patch_size),
        3,
        dim=32,
        depth=4,
        heads=2,
        patch_size=patch_size,
        class_token=True,
        registers=2,
        layer_scale=1.0,
    )
    head = MasksHead(32, 5, patch_size, 4, num_queries=7, joint_blocks=2)
    ours = Detector(vit, head).eval()
    state = fused(renamed(theirs.state_dict(), EOMT))
    state["backbone.position.table"] = state["backbone.position.table"].unflatten(0, (4, 4))
    state["backbone.patch.proj.weight"] = state["backbone.patch.proj.weight"].flatten(1)
    state["head.queries"] = state["head.queries"][None]
    ours.load_state_dict({**state, "head.progress": torch.zeros(())})
    return theirs, ours


@pytest.mark.parametrize(("patch_size", "upscale"), [(4, 1), (8, 1), (16, 2)])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_it_equals_eomt(training, masked, patch_size, upscale):
    theirs, ours = eomt(patch_size, upscale)
    theirs.attn_mask_probs.fill_(float(masked))
    ours.head.set_progress(0.0 if masked else 1.0)
    answers = []
    predict = theirs.predict
    theirs.predict = lambda tokens: answers.append(predict(tokens)) or answers[-1]
    theirs.train(training)
    ours.train(training)
    images = torch.randn(2, 3, 4 * patch_size, 4 * patch_size)
    theirs(images)
    stages = ours(images).stages
    assert len(stages) == (3 if training else 1)
    for stage, (masks, logits) in zip(stages, answers[-len(stages) :], strict=True):
        assert_same(stage.logits, logits)
        assert_same(stage.masks, masks, atol=1e-5 * float(masks.detach().abs().max()))


def head(**switches):
    standard = {"num_queries": 6, "joint_blocks": 2}
    return MasksHead(16, 5, 4, 3, **standard | switches)


def test_masks_hold_queries_less_and_less():
    model = randomised(Detector(backbone(), head()))
    images = torch.randn(2, 3, 16, 24)
    found = []
    for fraction in (0.0, 0.49, 0.51, 1.0):
        model.head.set_progress(fraction)
        found.append(model.eval()(images).answer.logits)
    both, second, third, free = found
    assert not torch.equal(both, second)  # the first block is free by half of the training
    assert not torch.equal(third, free) and torch.equal(second, third)


def test_each_block_anneals_in_its_turn():
    part = head(joint_blocks=3)
    at = torch.tensor([0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0])
    expected = [
        [1, 1, 0.5**0.9, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 0.5**0.9, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 0.5**0.9, 0, 0],
    ]
    for block in range(3):
        found = part.mask_probability(block, at)
        torch.testing.assert_close(found, torch.tensor(expected[block]), atol=1e-5, rtol=0)


def test_a_loaded_head_goes_on_where_it_stood():
    model = randomised(Detector(backbone(), head()))
    model.head.set_progress(1.0)
    other = Detector(backbone(), head())
    other.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, 16, 24)
    torch.testing.assert_close(
        other.eval()(images).answer.logits, model.eval()(images).answer.logits
    )
    assert not any(other.head._masked)


def test_in_training_some_queries_are_held_and_some_are_free():
    model = randomised(Detector(backbone(), head(joint_blocks=1)))
    model.head.set_progress(0.5)
    model.train()
    images = torch.randn(1, 3, 16, 24)
    torch.manual_seed(0)
    first, again = model(images).answer.logits, model(images).answer.logits
    assert not torch.equal(first, again)
    torch.manual_seed(0)
    assert torch.equal(model(images).answer.logits, first)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_flops_are_those_that_torch_counts(training, progress):
    model = Detector(backbone(), head()).train(training)
    model.head.set_progress(progress)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(torch.rand(2, 3, 20, 12))
    assert counter.get_total_flops() == 2 * model.flops(20, 12)


def test_gradients_reach_every_parameter():
    model = randomised(Detector(backbone(), head())).train()
    stages = model(torch.randn(2, 3, 16, 24)).stages
    sum((s.logits.sin().sum() + s.masks.sin().sum()) for s in stages).backward()
    assert all(parameter.grad.any() for parameter in model.parameters())


def test_what_is_written_in_the_padding_never_matters():
    model = randomised(Detector(backbone(position=NoPosition), head())).eval()
    images = torch.randn(2, 3, 24, 32)
    padding = torch.zeros(2, 24, 32, dtype=torch.bool)
    padding[:, 16:], padding[:, :, 24:] = True, True
    noise = images.masked_fill(padding[:, None], 7.0)
    torch.testing.assert_close(
        model(noise, padding).answer.logits, model(images, padding).answer.logits
    )


@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_an_image_alone_gets_the_answer_it_gets_in_a_batch(progress):
    model = randomised(Detector(backbone(), head())).eval()
    model.head.set_progress(progress)
    images = torch.randn(3, 3, 16, 24)
    together = model(images).answer
    for number in range(3):
        alone = model(images[number : number + 1]).answer
        torch.testing.assert_close(alone.logits[0], together.logits[number], atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(alone.masks[0], together.masks[number], atol=2e-4, rtol=1e-4)


def test_an_image_that_is_all_padding_does_no_harm():
    model = Detector(backbone(class_token=False, registers=0), head()).train()
    padding = torch.zeros(2, 16, 24, dtype=torch.bool)
    padding[0] = True
    stages = model(torch.randn(2, 3, 16, 24), padding).stages
    total = sum((s.logits.sin().sum() + s.masks.sin().sum()) for s in stages)
    assert total.isfinite()
    total.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_from_zero_to_one_all_queries_are_held_and_then_none(progress, monkeypatch):
    extreme = 0.0 if progress else 1 - 2**-24  # the draw that says most against it
    monkeypatch.setattr(torch, "rand", lambda *shape, device: torch.full(shape, extreme))
    model = randomised(Detector(backbone(), head())).train()
    model.head.set_progress(progress)
    seen, advance = [], model.backbone.advance
    model.backbone.advance = lambda *a, mask=None, **k: seen.append(mask) or advance(*a, **k)
    stages = model(torch.randn(2, 3, 16, 24)).stages
    first, *masks = seen
    assert first is None and len(stages) == 3 and len(masks) == 2
    for stage, mask in zip(stages, masks, strict=False):  # the last stage holds nobody
        assert mask.shape == (2, 1, 3 + 6 + 24, 3 + 6 + 24)
        shrunk = torch.nn.functional.interpolate(stage.masks, size=(4, 6), mode="bilinear")
        within = (shrunk > 0).flatten(2)
        assert within.any() and not within.all()
        held = mask[:, 0, 3:9, 9:]
        assert torch.equal(held, within) if progress == 0 else held.all()
        held.fill_(True)
        assert mask.all()  # nothing else is ever forbidden


def test_only_matrices_decay_and_bfloat16_trains():
    model = Detector(backbone(), head()).train()
    undecayed = model.no_weight_decay()
    assert "head.queries" in undecayed
    assert all(p.ndim > 1 or name in undecayed for name, p in model.named_parameters())
    with torch.autocast("cpu", torch.bfloat16):
        answer = model(torch.randn(2, 3, 16, 24)).answer
    (answer.logits.float().sum() + answer.masks.float().sum()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"joint_blocks=4, but the backbone has 3"):
        head(joint_blocks=4)
    with pytest.raises(ValueError, match=r"head\.num_queries=0"):
        head(num_queries=0)
    timm = TimmBackbone((32, 48), 1, name="test_vit")
    with pytest.raises(ValueError, match=r"test_vit.*embed.*backbone=vit"):
        Detector(timm, MasksHead(timm.dim, 5, 16, timm.depth, joint_blocks=1))(
            torch.rand(1, 1, 32, 48)
        )
