"""The heads that give every patch a class, against what the article says and torch's own layers."""

import pytest
import torch
import torch.nn.functional as F
from head_makers import CLASSES, backbone, randomised
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vit.layers.position import NoPosition
from vit.models.detector import Detector
from vit.models.heads.semantic import SemanticHead
from vit.models.pretrained import TimmBackbone

KINDS = {
    "linear": {},
    "several blocks": {"blocks": (0, -1)},
    "segmenter": {"decoder": "segmenter", "heads": 4},
}
EVERY = pytest.mark.parametrize("kind", KINDS)


def head(kind, body, num_classes=CLASSES, **switches):
    given = {"patch_size": body.patch_size, "depth": body.depth}
    return SemanticHead(body.dim, num_classes, **given, **KINDS[kind] | switches)


def detector(kind, body=None, **switches):
    body = backbone() if body is None else body
    return Detector(body, head(kind, body, **switches))


@EVERY
def test_every_patch_gets_a_logit_for_each_class(kind):
    model = detector(kind)
    for height, width in [(16, 24), (24, 8), (4, 64)]:
        logits = model(torch.rand(2, 3, height, width)).logits
        assert logits.shape == (2, CLASSES, height // 4, width // 4)


def test_linear_reads_each_patch_of_the_last_block_where_it_lies():
    model = randomised(detector("linear")).eval()
    images = torch.randn(2, 3, 16, 24)
    patches, layer = model.backbone(images).patches, model.head.decoder.layer
    logits = model(images).logits
    for row, col in [(0, 0), (1, 5), (3, 2)]:
        expected = patches[:, 6 * row + col] @ layer.weight.T + layer.bias
        torch.testing.assert_close(logits[:, :, row, col], expected)


def test_several_blocks_are_laid_side_by_side_each_through_a_norm():
    model = randomised(detector("several blocks")).eval()
    images = torch.randn(2, 3, 16, 24)
    features = model.backbone(images, (0, 2))
    (norm,), layer = model.head.norms, model.head.decoder.layer
    first = F.layer_norm(features.blocks[0], (16,), norm.weight, norm.bias, eps=1e-6)
    last = model.backbone.norm(features.blocks[1])
    expected = torch.cat([first, last], dim=-1) @ layer.weight.T + layer.bias
    torch.testing.assert_close(model(images).logits.flatten(2).mT, expected)


def torch_layer(block):
    """torch's own transformer layer with the weights of one of ours."""
    layer = nn.TransformerEncoderLayer(
        16, 4, 64, dropout=0.0, activation="gelu", layer_norm_eps=1e-6, batch_first=True
    )
    layer.norm_first = True
    names = {
        "self_attn.in_proj_": "attention.qkv.",
        "self_attn.out_proj.": "attention.proj.",
        "linear1.": "mlp.fc1.",
        "linear2.": "mlp.fc2.",
        "norm1.": "norm1.",
        "norm2.": "norm2.",
    }
    state = block.state_dict()
    layer.load_state_dict(
        {
            theirs + kind: state[ours + kind]
            for theirs, ours in names.items()
            for kind in ("weight", "bias")
        }
    )
    return layer


def test_segmenter_is_the_mask_transformer_of_the_article():
    model = randomised(detector("segmenter")).eval()
    images = torch.randn(2, 3, 16, 24)
    part, patches = model.head.decoder, model.backbone(images).patches
    assert len(part.blocks) == 2
    x = patches @ part.project.weight.T + part.project.bias
    x = torch.cat([x, part.classes.expand(2, -1, -1)], dim=1)  # their order: it must not matter
    for block in part.blocks:
        x = torch_layer(block).train()(x)  # in training mode torch takes no other path
    x = F.layer_norm(x, (16,), part.norm.weight, part.norm.bias, eps=1e-6)
    patches, classes = x[:, :24] @ part.patch.weight.T, x[:, 24:] @ part.kind.weight.T
    patches = patches / patches.norm(dim=-1, keepdim=True)
    classes = classes / classes.norm(dim=-1, keepdim=True)
    masks = torch.einsum("bpd,bcd->bpc", patches, classes)
    assert masks.abs().max() <= 1 + 1e-6
    masks = F.layer_norm(masks, (CLASSES,), part.last.weight, part.last.bias, eps=1e-6)
    expected = masks.mT.reshape(2, CLASSES, 4, 6)
    assert expected.std() > 0.05  # else anything would pass
    torch.testing.assert_close(model(images).logits, expected, atol=1e-5, rtol=1e-5)


@EVERY
def test_gradients_reach_every_parameter(kind):
    model = randomised(detector(kind)).train()
    logits = model(torch.randn(2, 3, 16, 24)).logits
    (logits * torch.randn_like(logits)).sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key


@EVERY
def test_an_image_alone_gets_the_answer_it_gets_in_a_batch(kind):
    model = randomised(detector(kind)).eval()
    images = torch.randn(3, 3, 16, 24)
    together = model(images).logits
    for number in range(3):
        alone = model(images[number : number + 1]).logits[0]
        torch.testing.assert_close(alone, together[number], atol=2e-5, rtol=1e-4)


@EVERY
def test_a_padded_image_gets_the_answer_of_the_image_alone(kind):
    model = randomised(detector(kind, backbone(position=NoPosition))).eval()
    images = torch.randn(2, 3, 16, 24)
    framed = torch.randn(2, 3, 24, 36) * 3
    padding = torch.ones(2, 24, 36, dtype=torch.bool)
    framed[:, :, 4:20, 8:32], padding[:, 4:20, 8:32] = images, False
    found = model(framed, padding).logits[:, :, 1:5, 2:8]
    torch.testing.assert_close(found, model(images).logits, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(model(framed).logits[:, :, 1:5, 2:8], found, atol=1e-2)


@EVERY
def test_an_image_that_is_all_padding_does_no_harm(kind):
    model = detector(kind, backbone(class_token=False, registers=0)).train()
    padding = torch.zeros(2, 16, 24, dtype=torch.bool)
    padding[0] = True
    logits = model(torch.randn(2, 3, 16, 24), padding).logits
    assert logits.isfinite().all()
    logits.sin().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@EVERY
def test_flops_are_those_that_torch_counts(kind):
    model = detector(kind)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(torch.rand(2, 3, 20, 12))
    assert counter.get_total_flops() == 2 * model.flops(20, 12)


@EVERY
def test_parameters_have_depths_and_only_matrices_decay(kind):
    model = detector(kind)
    names = dict(model.named_parameters())
    undecayed = model.no_weight_decay()
    assert set(model.depths()) == set(names) and undecayed <= set(names)
    assert all(p.ndim > 1 or name in undecayed for name, p in names.items())
    assert ("head.decoder.classes" in undecayed) == (kind == "segmenter")
    parts = set(model.modules())
    assert all(shard in parts for shard in model.shards())
    assert len(model.shards()) == 3 + (2 if kind == "segmenter" else 0)


@EVERY
def test_it_works_on_a_backbone_of_timm(kind):
    model = detector(kind, TimmBackbone((32, 48), 1, name="test_vit")).train()
    logits = model(torch.rand(2, 1, 32, 48)).logits
    assert logits.shape == (2, CLASSES, 2, 3)
    logits.sin().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@EVERY
def test_bfloat16_is_near_float32_and_trains(kind):
    model = detector(kind).train()
    images = torch.randn(2, 3, 16, 24)
    with torch.no_grad():
        expected = model(images).logits
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(images).logits
    assert (logits.float() - expected).abs().mean() < 0.1
    logits.float().sin().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@EVERY
def test_four_images_are_learned_by_heart(kind):
    """The class of a patch follows from its brightness and by the half of the image it lies in."""
    bright = torch.randint(0, 2, (4, 4, 6))
    truth = bright + 2 * (torch.arange(6) >= 3)
    images = bright.float().repeat_interleave(4, 1).repeat_interleave(4, 2)
    images = images[:, None] + 0.1 * torch.randn(4, 3, 16, 24)
    model = detector(kind, num_classes=4).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    losses = []
    for _ in range(120):
        loss = F.cross_entropy(model(images).logits, truth)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1.0 and losses[-1] < 0.1
    assert torch.equal(model.eval()(images).logits.argmax(1), truth)


@pytest.mark.parametrize(
    ("kind", "switches", "message"),
    [
        ("linear", {"blocks": (0,)}, r"head\.blocks is \[0\].*last must be among.*Add -1"),
        ("linear", {"blocks": (2, 3)}, r"head\.blocks is \[2, 3\].*the blocks 0 to 2"),
        ("segmenter", {"blocks": (-1,)}, r"head\.blocks=\[-1\] with head\.decoder=segmenter"),
        ("segmenter", {"heads": 3}, r"dim=16 does not divide into heads=3\. Change head\.heads"),
        ("segmenter", {"num_layers": 0}, r"head\.num_layers=0"),
        ("segmenter", {"num_classes": 1}, r"compares classes, and there is 1.*decoder=linear"),
    ],
)
def test_what_cannot_be_is_refused(kind, switches, message):
    with pytest.raises(ValueError, match=message):
        detector(kind, **switches)
