"""Deformable attention, against Hugging Face's and against numbers worked out by hand."""

import pytest
import torch
from torch import nn

from vit.layers.deformable import DeformableAttention, sampled

GRIDS = {1: [(5, 7)], 3: [(8, 12), (4, 6), (2, 3)]}


def randomised(module):
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.eval()


def inputs(levels, dim=32, batch=2, queries=9):
    grids = GRIDS[levels]
    tokens = torch.randn(batch, sum(rows * cols for rows, cols in grids), dim)
    boxes = torch.rand(batch, queries, 4)  # some reach outside the image
    return torch.randn(batch, queries, dim), tokens, grids, boxes


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("levels", [1, 3])
def test_equals_hugging_face(levels, masked):
    transformers = pytest.importorskip("transformers")
    from transformers.models.rf_detr.modeling_rf_detr import RfDetrMultiscaleDeformableAttention

    config = transformers.RfDetrConfig(d_model=32, num_feature_levels=levels)
    theirs = randomised(RfDetrMultiscaleDeformableAttention(config, num_heads=4, n_points=2))
    ours = DeformableAttention(32, 4, levels=levels, points=2).eval()
    renamed = {
        "sampling_offsets": "offsets",
        "attention_weights": "weights",
        "value_proj": "value",
        "output_proj": "proj",
    }
    state = {}
    for name, value in theirs.state_dict().items():
        module, _, kind = name.partition(".")
        state[f"{renamed[module]}.{kind}"] = value
    ours.load_state_dict(state)
    x, tokens, grids, boxes = inputs(levels)
    valid = torch.rand(tokens.shape[:2]) > 0.3 if masked else None
    expected, _ = theirs(
        x,
        attention_mask=valid,
        encoder_hidden_states=tokens,
        reference_points=boxes[:, :, None].expand(-1, -1, levels, -1),
        spatial_shapes=torch.tensor(grids),
        spatial_shapes_list=grids,
    )
    answer = ours(x, tokens, grids, boxes, valid)
    assert expected.abs().mean() > 0.1
    torch.testing.assert_close(answer, expected, atol=1e-6, rtol=1e-6)


def test_places_are_read_bilinearly_between_the_centres_of_tokens():
    grid = (2, 4)
    values = torch.arange(8.0).reshape(1, 8, 1, 1)  # token (row, col) holds 4·row + col

    def read(x, y):
        place = torch.tensor([x, y]).reshape(1, 1, 1, 1, 1, 2)
        return sampled(values, [grid], place, torch.ones(1, 1, 1, 1, 1)).item()

    assert read(0.5 / 4, 0.5 / 2) == 0.0
    assert read(3.5 / 4, 1.5 / 2) == 7.0
    assert read(2.0 / 4, 0.5 / 2) == pytest.approx(1.5)
    assert read(1.5 / 4, 0.5) == pytest.approx(3.0)
    assert read(1.0, 1.5 / 2) == pytest.approx(3.5)  # half of the edge's token, half of nothing
    assert read(1.5, 0.5) == 0.0


def test_starts_on_rays_to_the_edge_of_the_box():
    attention = DeformableAttention(32, 4, points=2)
    offsets = attention.offsets.bias.reshape(4, 2, 2)
    expected = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    torch.testing.assert_close(offsets[:, 0], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(offsets[:, 1], 2 * expected, atol=1e-6, rtol=0)
    assert not attention.weights.weight.any() and not attention.offsets.weight.any()


def test_positions_are_added_to_the_queries():
    attention = randomised(DeformableAttention(32, 4))
    x, tokens, grids, boxes = inputs(1)
    position = torch.randn_like(x)
    moved = attention(x, tokens, grids, boxes, position=position)
    torch.testing.assert_close(moved, attention(x + position, tokens, grids, boxes))
    assert not torch.allclose(moved, attention(x, tokens, grids, boxes))


def test_bfloat16_stays_near_float32():
    attention = randomised(DeformableAttention(32, 4))
    x, tokens, grids, boxes = inputs(1)
    expected = attention(x, tokens, grids, boxes)
    with torch.autocast("cpu", torch.bfloat16):
        answer = attention(x, tokens, grids, boxes)
    assert (answer.float() - expected).abs().mean() < 0.03 * expected.abs().mean()


def test_a_width_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"dim=32.*heads=5"):
        DeformableAttention(32, 5)
