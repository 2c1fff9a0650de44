"""What holds for all detection heads alike."""

import pytest
import torch
from head_makers import CLASSES, GROUPED, HEADS, backbone, detector, randomised
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vit.layers.patch import ConvStem
from vit.layers.position import AxialRope, NoPosition
from vit.models.pretrained import TimmBackbone


def everything(detections):
    """All numbers of all stages, so that all can be compared or summed up at once."""
    return torch.cat(
        [
            torch.cat([stage.logits.float(), stage.boxes_cxcywh], dim=-1).flatten(1)
            for stage in detections.stages
        ],
        dim=1,
    )


@pytest.mark.parametrize("name", HEADS)
def test_every_stage_answers_with_logits_and_boxes_for_any_size(name):
    model = detector(name)
    no_object = int(model.head.no_object)
    assert no_object == (name in ("detr", "tokens"))
    for size in [(16, 24), (24, 8), (64, 8)]:
        detections = model(torch.rand(2, 3, *size))
        stages = {"deformable": 3, "boxrpb": 3, "detr": 2, "tokens": 1}[name.split()[0]]
        assert len(detections.stages) == stages and detections.groups == 1
        for stage in detections.stages:
            assert stage.logits.shape == (2, 6, CLASSES + no_object)
            assert stage.boxes_cxcywh.shape == (2, 6, 4)
            assert (stage.boxes_cxcywh[..., 2:] > 0).all()


@pytest.mark.parametrize("name", HEADS)
def test_an_image_alone_gets_the_answer_it_gets_in_a_batch(name):
    model = randomised(detector(name)).eval()
    images = torch.randn(3, 3, 16, 24)
    together = everything(model(images))
    for number in range(3):
        alone = everything(model(images[number : number + 1]))
        torch.testing.assert_close(alone[0], together[number], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", HEADS)
def test_gradients_reach_every_parameter(name):
    groups = {"groups": 3} if name in GROUPED else {}
    model = randomised(detector(name, **groups)).train()
    answer = everything(model(torch.randn(2, 3, 16, 24)))
    (answer * torch.randn_like(answer)).sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key


def backward_steps(tensor):
    """The names of all steps of the backward pass from here."""
    found, waiting = set(), [tensor.grad_fn]
    while waiting:
        step = waiting.pop()
        if step is not None and step not in found:
            found.add(step)
            waiting += [before for before, _ in step.next_functions]
    return {step.name() for step in found}


@pytest.mark.parametrize("name", HEADS)
def test_nothing_is_written_into_views_which_would_copy_gradients(name):
    """One such ReLU took 4 % of a training step of the deformable head with 13 groups."""
    names = backward_steps(everything(detector(name).train()(torch.randn(2, 3, 16, 24))).sum())
    assert "ReluBackward0" in names or name == "tokens"
    assert "CopySlices" not in names


@pytest.mark.parametrize("name", HEADS)
def test_from_the_start_no_parameter_goes_without_a_gradient(name):
    """Processes that train together wait for every parameter, those that start at 0 too."""
    model = detector(name, backbone(class_token=False, registers=0)).train()
    everything(model(torch.randn(1, 3, 16, 24))).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", GROUPED)
def test_groups_train_side_by_side_and_the_first_answers_alone(name):
    model = randomised(detector(name, groups=3))
    images = torch.randn(2, 3, 16, 24)
    trained, answered = model.train()(images), model.eval()(images)
    assert (trained.groups, answered.groups) == (3, 1)
    model.head.two_stage.content.data[1:] += 1.0
    changed = model.train()(images)
    for stage, alone, other in zip(trained.stages, answered.stages, changed.stages, strict=True):
        assert stage.logits.shape[1] == 18 and alone.logits.shape[1] == 6
        torch.testing.assert_close(stage.logits[:, :6], alone.logits)
        torch.testing.assert_close(stage.boxes_cxcywh[:, :6], alone.boxes_cxcywh)
        torch.testing.assert_close(stage.logits[:, :6], other.logits[:, :6])
    last = (trained.answer.logits - changed.answer.logits).abs().amax((0, 2))
    assert (last[6:] > 1e-3).all()


@pytest.mark.parametrize("name", GROUPED)
def test_there_are_no_more_queries_than_tokens(name):
    model = detector(name, groups=2, num_queries=50).train()
    tokens = 2 if "pyramid" not in name else 8 + 2 + 1
    detections = model(torch.rand(2, 3, 4, 8))
    assert all(stage.logits.shape[1] == 2 * tokens for stage in detections.stages)
    everything(detections).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", HEADS)
def test_flops_are_those_that_torch_counts(name, training):
    groups = {"groups": 3} if name in GROUPED else {}
    model = detector(name, **groups).train(training)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(torch.rand(2, 3, 20, 12))
    assert counter.get_total_flops() == 2 * model.flops(20, 12)


# Padding. Our own backbone does not attend to it and the heads know where it is, so what is
# written there never matters. That a padded image gets the very answer of the image alone asks
# more: positions that do not depend on the grid (tables and rotations are stretched over the whole
# of it), patches embedded one by one (no conv stem), and for `Pyramid` sides of an even number of
# patches.


def padded(images, top, left, height, width):
    """The images in a larger frame of noise, and where the noise is."""
    framed = torch.randn(*images.shape[:2], height, width) * 3
    padding = torch.ones(len(images), height, width, dtype=torch.bool)
    rows, cols = slice(top, top + images.shape[2]), slice(left, left + images.shape[3])
    framed[:, :, rows, cols] = images
    padding[:, rows, cols] = False
    return framed, padding


@pytest.mark.parametrize(("top", "left"), [(0, 0), (8, 16)])
@pytest.mark.parametrize("name", HEADS)
def test_a_padded_image_gets_the_answer_of_the_image_alone(name, top, left):
    model = randomised(detector(name, backbone(position=NoPosition))).eval()
    images = torch.randn(2, 3, 16, 24)
    height, width = 32, 48
    framed, padding = padded(images, top, left, height, width)
    alone, answer = model(images), model(framed, padding)
    for own, other in zip(alone.stages, answer.stages, strict=True):
        torch.testing.assert_close(other.logits, own.logits, atol=1e-4, rtol=1e-4)
        centre, size = own.boxes_cxcywh.chunk(2, dim=-1)
        scale = torch.tensor([24 / width, 16 / height])
        centre = centre * scale + torch.tensor([left / width, top / height])
        expected = torch.cat([centre, size * scale], dim=-1)
        torch.testing.assert_close(other.boxes_cxcywh, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", HEADS)
def test_what_is_written_in_the_padding_never_matters(name):
    model = randomised(detector(name, backbone(position=AxialRope, heads=4))).eval()
    images = torch.randn(2, 3, 13, 18)  # the last real patches are real in part
    framed, padding = padded(images, 0, 0, 20, 28)
    noise = framed.masked_fill(padding[:, None], 7.0)
    noise[:, :, :16, :20] = framed[:, :, :16, :20]  # patches with a real pixel are seen whole
    assert not torch.equal(noise, framed)
    torch.testing.assert_close(
        everything(model(noise, padding)), everything(model(framed, padding))
    )


@pytest.mark.parametrize("name", HEADS)
def test_an_image_that_is_all_padding_does_no_harm(name):
    model = detector(name, backbone(class_token=False, registers=0)).train()
    padding = torch.zeros(2, 16, 24, dtype=torch.bool)
    padding[0] = True
    answer = everything(model(torch.randn(2, 3, 16, 24), padding))
    assert answer.isfinite().all()
    answer.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("name", HEADS)
def test_the_meta_device_carries_a_detector_through(name):
    with torch.device("meta"):
        model = detector(name)
        padding = torch.zeros(2, 16, 24, dtype=torch.bool)
        assert model(torch.rand(2, 3, 16, 24), padding).answer.logits.is_meta


@pytest.mark.parametrize("name", HEADS)
def test_bfloat16_is_near_float32_and_trains(name):
    model = detector(name, backbone(patch=ConvStem)).train()
    images = torch.randn(2, 3, 16, 24)
    with torch.no_grad():
        expected = model(images)
    with torch.autocast("cpu", torch.bfloat16):
        detections = model(images)
    assert detections.answer.boxes_cxcywh.dtype == torch.float32
    near = (detections.answer.logits.float() - expected.answer.logits).abs().mean()
    assert near < 0.1
    everything(detections).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("name", HEADS)
def test_parameters_have_depths_and_only_matrices_decay(name):
    model = detector(name)
    names = {key for key, _ in model.named_parameters()}
    depths, undecayed = model.depths(), model.no_weight_decay()
    assert set(depths) == names and undecayed <= names
    assert all(depth == 4 for key, depth in depths.items() if key.startswith("head."))
    assert all(
        parameter.ndim > 1 or key in undecayed for key, parameter in model.named_parameters()
    )
    learned = {"head.two_stage.content", "head.two_stage.change", "head.queries", "head.tokens"}
    assert undecayed & learned == names & learned != set()
    parts = set(model.modules())
    assert all(shard in parts for shard in model.shards())


@pytest.mark.parametrize("name", sorted(set(HEADS) - {"tokens"}))
def test_heads_work_on_a_backbone_of_timm(name):
    model = detector(name, TimmBackbone((32, 48), 1, name="test_vit")).train()
    detections = model(torch.rand(2, 1, 32, 48))
    everything(detections).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_tokens_cannot_ride_through_a_backbone_of_timm():
    model = detector("tokens", TimmBackbone((32, 48), 1, name="test_vit"))
    with pytest.raises(ValueError, match=r"test_vit.*embed.*backbone=vit"):
        model(torch.rand(2, 1, 32, 48))


def test_a_backbone_that_drops_patches_is_refused():
    with pytest.raises(ValueError, match=r"patch_dropout=0\.5.*Set it to 0"):
        detector("detr", backbone(patch_dropout=0.5))


@pytest.mark.parametrize(
    ("name", "switches", "message"),
    [
        ("deformable", {"width": 30}, r"head\.width=30.*head\.heads=4.*head\.width=32"),
        ("deformable", {"cross_heads": 5}, r"head\.width=32.*head\.cross_heads=5"),
        ("boxrpb", {"width": 6, "heads": 3}, r"head\.width=6.*by 4.*head\.width=12"),
        ("detr", {"num_queries": 0, "num_layers": 0}, r"num_queries=0 and head\.num_layers=0"),
        ("tokens", {"num_queries": 0}, r"head\.num_queries=0: must be at least 1"),
        ("deformable", {"groups": 0}, r"head\.groups=0"),
    ],
)
def test_sizes_that_cannot_be_are_refused(name, switches, message):
    with pytest.raises(ValueError, match=message):
        detector(name, **switches)


@pytest.mark.parametrize("name", ["detr", "tokens"])
def test_classes_may_answer_each_for_itself(name):
    model = detector(name, no_object=False)
    logits = model(torch.rand(2, 3, 16, 24)).answer.logits
    assert logits.shape[-1] == CLASSES
    assert logits.sigmoid().mean() < 0.05  # each class starts rare
