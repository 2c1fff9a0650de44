"""The box-relative bias, against loops that spell it out; no library has it to compare with."""

import math

import torch
from head_makers import detector, randomised

from vit.models.heads.boxrpb import BoxBias
from vit.models.heads.parts import sines


def plain_mlp(mlp, x):
    for layer in mlp.layers[:-1]:
        x = (x @ layer.weight.T + layer.bias).clamp(min=0)
    return x @ mlp.layers[-1].weight.T + mlp.layers[-1].bias


def plain_bias(module, box, grid, size):
    """For one box: [heads, tokens], a token at a time."""

    def distance(edge, place):
        return math.copysign(math.log2(1 + abs(edge - place)) / 3, edge - place)

    x, y, width, height = box[0] * size[1], box[1] * size[0], box[2] * size[1], box[3] * size[0]
    columns = []
    for row in range(grid[0]):
        for col in range(grid[1]):
            at_x, at_y = (col + 0.5) * size[1] / grid[1], (row + 0.5) * size[0] / grid[0]
            across = [distance(x - width / 2, at_x), distance(x + width / 2, at_x)]
            down = [distance(y - height / 2, at_y), distance(y + height / 2, at_y)]
            columns.append(
                plain_mlp(module.across, torch.tensor(across))
                + plain_mlp(module.down, torch.tensor(down))
            )
    return torch.stack(columns, dim=-1)


def plain_attention(q_in, k_in, v_in, weights, biases, proj, heads, bias=None):
    """For one image, a head at a time; `weights` and `biases` of queries, keys and values."""
    q, k, v = (
        part @ weight.T + shift
        for part, weight, shift in zip((q_in, k_in, v_in), weights, biases, strict=True)
    )
    width = q.shape[-1] // heads
    answers = []
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        scores = q[:, own] @ k[:, own].T / math.sqrt(width)
        if bias is not None:
            scores = scores + bias[:, head]
        answers.append(scores.exp() / scores.exp().sum(-1, keepdim=True) @ v[:, own])
    return torch.cat(answers, dim=-1) @ proj.weight.T + proj.bias


def plain_layer(layer, x, position, tokens, places, bias, heads):
    own, cross = layer.attention, layer.cross
    placed = x + position
    weights, shifts = own.qkv.weight.chunk(3), own.qkv.bias.chunk(3)
    x = layer.norm1(x + plain_attention(placed, placed, x, weights, shifts, own.proj, heads))
    weights = [cross.query.weight, *cross.key_value.weight.chunk(2)]
    shifts = [cross.query.bias, *cross.key_value.bias.chunk(2)]
    seen = plain_attention(
        x + position, tokens + places, tokens, weights, shifts, cross.proj, heads, bias
    )
    x = layer.norm2(x + seen)
    return layer.norm3(x + plain_mlp(layer.mlp, x))


def test_the_bias_is_a_function_of_distances_to_the_edges():
    module = randomised(BoxBias(4, 16))
    boxes = torch.rand(2, 3, 4)
    grid, size = (3, 5), (24, 80)
    bias = module(boxes, grid, size)
    assert bias.shape == (2, 4, 3, 15)
    for image in range(2):
        for query in range(3):
            expected = plain_bias(module, boxes[image, query].tolist(), grid, size)
            torch.testing.assert_close(bias[image, :, query], expected, atol=1e-5, rtol=1e-5)


def test_the_decoder_equals_one_that_is_spelled_out():
    model = randomised(detector("boxrpb")).eval()
    head, images = model.head, torch.randn(2, 3, 16, 24)
    seen = {}
    head.neck.register_forward_hook(lambda module, given, levels: seen.update(level=levels[0]))
    head.two_stage.register_forward_hook(lambda module, given, start: seen.update(start=start))
    stages = model(images).stages
    level, start = seen["level"], seen["start"]
    assert tuple(level.grid) == (4, 6)
    middles = [[(col + 0.5) / 6, (row + 0.5) / 4] for row in range(4) for col in range(6)]
    places = sines(torch.tensor(middles), 16)
    for image in range(2):
        x, boxes = start.content[image], start.references_cxcywh[image]
        for number, layer in enumerate(head.layers):
            bias = torch.stack(
                [plain_bias(head.biases[number], box, (4, 6), (16, 24)) for box in boxes.tolist()]
            )
            position = plain_mlp(head.position, sines(boxes, 16))
            x = plain_layer(layer, x, position, level.tokens[image], places, bias, 4)
            change = plain_mlp(head.boxes[number], x)
            middle = boxes[:, :2] + change[:, :2] * boxes[:, 2:]
            boxes = torch.cat([middle, boxes[:, 2:] * change[:, 2:].exp()], dim=-1)
            logits = x @ head.classes[number].weight.T + head.classes[number].bias
            stage = stages[number + 1]
            torch.testing.assert_close(stage.logits[image], logits, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(stage.boxes_cxcywh[image], boxes, atol=1e-4, rtol=1e-4)


def test_the_bias_moves_attention_to_where_the_box_is():
    """An mlp by hand: -9 a unit outside of each edge, so that what lies inside wins."""
    module = BoxBias(1, 2)
    for mlp in (module.across, module.down):
        first, last = mlp.layers
        # low edge above the token, or token above the high edge: both count as outside
        first.weight.data = torch.tensor([[1.0, 0.0], [0.0, -1.0]])
        last.weight.data = torch.full((1, 2), -9.0)
        first.bias.data.zero_(), last.bias.data.zero_()
    boxes = torch.tensor([[[0.25, 0.5, 0.25, 0.5], [0.8125, 0.125, 0.125, 0.25]]])
    weights = module(boxes, (4, 8), (64, 128))[0, 0].softmax(-1).unflatten(-1, (4, 8))
    assert weights[0, 1:3, 1:3].sum() > 0.99
    assert weights[1, 0, 6] > 0.99


def test_no_gradient_flows_through_the_boxes_of_the_layer_before():
    model = randomised(detector("boxrpb"))
    model(torch.randn(2, 3, 16, 24)).answer.boxes_cxcywh.sum().backward()
    first, last = (module.layers[-1].weight.grad for module in model.head.boxes)
    assert first is None and last.any()
    assert model.head.two_stage.choosers[0].boxes.layers[-1].weight.grad is None


def test_where_a_query_looks_depends_on_its_box_through_the_bias_alone():
    model = randomised(detector("boxrpb", num_layers=1)).eval()
    head, images, seen = model.head, torch.randn(1, 3, 16, 24), []

    def note(module, given, named):
        seen.append(module.with_weights(*given, **named)[1])

    head.layers[0].cross.register_forward_pre_hook(note, with_kwargs=True)
    for parameter in head.position.layers[-1].parameters():
        parameter.data.zero_()  # no position is known but by the bias

    def weights_at(change):
        head.two_stage.change.data.fill_(change)
        seen.clear()
        model(images)
        return seen[0]

    assert (weights_at(0.0) - weights_at(1.0)).abs().max() > 0.01
    for parameter in head.biases.parameters():
        parameter.data.zero_()
    torch.testing.assert_close(weights_at(0.0), weights_at(1.0))
