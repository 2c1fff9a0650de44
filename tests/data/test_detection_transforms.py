"""Boxes and masks follow the pixels, areas stay true, and boxes find back to the picture."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2.functional import pil_to_tensor

from vit.data.annotations.packed import ImageAnnotations
from vit.data.augment_boxes import BoxCrop, Flip, NoBoxAugmentation, Photometric, ScaleJitter
from vit.data.core.randomness import borrowed_generators, seed_everything_used
from vit.data.kinds.detection_transforms import (
    DetectionTransform,
    Letterbox,
    fractions,
    sample_of,
    sanitize,
)
from vit.data.kinds.mosaic import mosaic

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def prepared(image_size=(120, 160), fit="letterbox"):
    return DetectionTransform(image_size, 3, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), fit)


def rectangles(boxes, width=200, height=100, masks=True):
    """A black picture with a rectangle of another colour for each box."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    drawn = np.zeros((len(boxes), height, width), dtype=bool)
    for row, (x0, y0, x1, y1) in enumerate(boxes):
        pixels[y0:y1, x0:x1] = COLOURS[row % 3]
        drawn[row, y0:y1, x0:x1] = True
    corners = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    marked = ImageAnnotations(
        labels=np.arange(len(boxes)),
        boxes_xyxy=corners,
        crowd=np.zeros(len(boxes), dtype=bool),
        areas=(corners[:, 2:] - corners[:, :2]).prod(axis=1),
        masks=drawn if masks else None,
    )
    return sample_of(Image.fromarray(pixels), marked)


def seen_box(image, number):
    """Where the picture shows a colour at half its strength or more: xyxy."""
    colour = pil_to_tensor(image)[number].numpy() >= 128
    rows, columns = np.nonzero(colour)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


BOXES = [(20, 10, 60, 40), (80, 50, 130, 90), (150, 20, 190, 80)]
WAYS = {
    "none": NoBoxAugmentation(),
    "flip": Flip(flip=1.0),
    "scale_jitter": ScaleJitter(scale=(0.5, 2.0)),
    "crop": BoxCrop(scale=(0.3, 1.0)),
    "photometric": Photometric(frame=ScaleJitter(scale=(0.7, 1.3)), p=0.0),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fit", ["letterbox", "squash"])
def test_boxes_and_masks_follow_the_pixels(way, fit):
    change = WAYS[way].change(prepared(fit=fit))
    compared = 0
    with borrowed_generators():
        for number in range(12):
            seed_everything_used(number)
            changed = sanitize(change(rectangles(BOXES)))
            assert changed["image"].size == (160, 120)
            assert changed["boxes"].canvas_size == (120, 160)
            sides = changed["boxes"][:, 2:] - changed["boxes"][:, :2]
            for row, label in enumerate(changed["labels"].tolist()):
                if sides[row].min() < 4:
                    continue  # a sliver at the edge blurs into its surroundings
                box = changed["boxes"][row].tolist()
                assert np.allclose(box, seen_box(changed["image"], label), atol=1.1)
                rows, columns = torch.nonzero(changed["masks"][row], as_tuple=True)
                mask_box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                assert np.allclose(box, mask_box, atol=1.1)
                compared += 1
    assert compared >= 15


@pytest.mark.parametrize(
    "way",
    [
        NoBoxAugmentation(),
        ScaleJitter(scale=(1.0, 1.0), flip=0.0),
        BoxCrop(scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0),
    ],
)
def test_a_smaller_mask_keeps_its_place(way):
    """A fifth as large, each pixel tells what is at its centre, not at its corner."""
    change = way.change(prepared((32, 32)))
    strips = [(x, x, x + 5, 160) for x in range(2, 157, 5)]  # begin at centres, below corners
    found = sanitize(change(rectangles(strips, 160, 160)))
    columns = found["masks"].any(dim=1)
    assert columns.tolist() == torch.eye(32, dtype=torch.bool)[: len(strips)].tolist()
    rows = found["masks"].any(dim=2)
    assert rows.long().argmax(dim=1).tolist() == list(range(len(strips)))


@pytest.mark.parametrize("way", WAYS)
def test_areas_stay_true_with_masks_and_without(way):
    change = WAYS[way].change(prepared())
    with borrowed_generators():
        for number in range(6):
            for masks in (True, False):
                sample = rectangles(BOXES, masks=masks)
                if not masks:
                    sample["shares"] *= 0.5  # objects that fill half of their boxes
                seed_everything_used(number)
                changed = sanitize(change(sample))
                boxes = changed["boxes"]
                full = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
                wanted = full if masks else full / 2
                edge = 2 * (boxes[:, 2:] - boxes[:, :2]).sum(dim=1)  # pixels cut by the outline
                assert ((changed["areas"] - wanted).abs() <= (edge if masks else 1e-3)).all()


def test_objects_that_left_the_image_go_with_all_that_is_theirs():
    sample = sanitize(rectangles(BOXES))
    assert sample["labels"].tolist() == [0, 1, 2]
    sample["boxes"][1] += 500
    sample["masks"][2] = False
    left = sanitize(sample)
    assert left["labels"].tolist() == [0]
    assert [len(left[name]) for name in ("boxes", "masks", "shares", "areas")] == [1, 1, 1, 1]


def test_boxes_partly_outside_are_clipped_and_kept():
    sample = rectangles([(20, 10, 60, 40)], masks=False)
    sample["boxes"][0] = torch.tensor([-20.0, 10.0, 20.0, 140.0])
    kept = sanitize(sample)
    assert kept["boxes"].tolist() == [[0, 10, 20, 100]]
    assert kept["areas"].tolist() == [20 * 90]


@pytest.mark.parametrize("way", WAYS)
def test_pictures_without_objects_pass(way):
    change = WAYS[way].change(prepared())
    with borrowed_generators():
        seed_everything_used(0)
        changed = sanitize(change(rectangles([])))
    assert changed["boxes"].shape == (0, 4)
    assert changed["masks"].shape == (0, 120, 160)


@pytest.mark.parametrize("way", WAYS)
def test_very_long_pictures_pass_and_boxes_of_one_pixel_stay(way):
    change = WAYS[way].change(prepared((96, 96)))
    with borrowed_generators():
        seed_everything_used(0)
        changed = sanitize(change(rectangles([(5, 1000, 59, 1010)], width=64, height=2000)))
        assert changed["image"].size == (96, 96)
        assert torch.isfinite(changed["boxes"]).all()
        tiny = rectangles([(300, 200, 301, 201)], width=600, height=400, masks=False)
        if way == "none":
            assert len(sanitize(change(tiny))["boxes"]) == 1


def to_model(frame: Letterbox, boxes_xyxy: torch.Tensor) -> torch.Tensor:
    """From pixels of the picture to cxcywh in fractions of the model's image."""
    (height, width), (top, left) = frame.original, frame.offset
    grow = boxes_xyxy.new_tensor([frame.scaled[1] / width, frame.scaled[0] / height] * 2)
    return fractions(boxes_xyxy * grow + boxes_xyxy.new_tensor([left, top] * 2), frame.image_size)


@pytest.mark.parametrize("fit", ["letterbox", "squash"])
@pytest.mark.parametrize("size", [(64, 2000), (3000, 4000), (97, 31), (640, 640), (1, 500)])
def test_boxes_find_back_to_the_picture(fit, size):
    height, width = size
    frame = prepared((480, 640), fit).frame(height, width)
    generator = torch.Generator().manual_seed(0)
    ends = torch.rand(200, 2, 2, generator=generator).sort(dim=1).values
    boxes = ends.flatten(1) * torch.tensor([width, height] * 2)
    back = frame.to_original(to_model(frame, boxes))
    assert (back - boxes).abs().max() <= 1e-3


def test_what_lies_outside_of_the_picture_is_clipped_to_it():
    frame = prepared((100, 100)).frame(50, 100)
    assert frame.offset == (25, 0)
    whole = frame.to_original(torch.tensor([[0.5, 0.5, 1.0, 1.0]]))
    assert whole.tolist() == [[0, 0, 100, 50]]


@pytest.mark.parametrize("fit", ["letterbox", "squash"])
def test_samples_are_framed_as_evaluation_frames_a_picture(fit):
    sample = rectangles(BOXES)
    transform = prepared((128, 96), fit)
    placed = transform.letterbox(dict(sample))
    assert np.array_equal(
        np.asarray(placed["image"]), np.asarray(transform.fitted(sample["image"]))
    )
    frame = transform.frame(100, 200)
    wanted = frame.to_original(to_model(frame, sample["boxes"].as_subclass(torch.Tensor)))
    assert torch.allclose(wanted, sample["boxes"].as_subclass(torch.Tensor), atol=1e-4)
    by_frame = to_model(frame, sample["boxes"].as_subclass(torch.Tensor))
    corners = placed["boxes"].as_subclass(torch.Tensor) / torch.tensor([96, 128] * 2)
    centres = (corners[:, :2] + corners[:, 2:]) / 2
    assert torch.allclose(by_frame[:, :2], centres, atol=1e-5)


def test_the_transform_travels_as_plain_values():
    transform = DetectionTransform((32, 48), 1, (0.5,), (0.5,))
    again = DetectionTransform(**dataclasses.asdict(transform))
    image = Image.new("RGB", (100, 30), "white")
    assert torch.equal(transform(image), again(image))
    assert transform(image).shape == (1, 32, 48)
    filled = transform(image)[0, 0]
    assert filled.abs().max() < 0.01  # the mean colour, to a byte


def test_a_mosaic_has_each_picture_in_its_quarter():
    transform = prepared((60, 80))
    samples = [rectangles([box], width=80, height=60) for box in [(10, 10, 30, 30)] * 4]
    whole = mosaic(samples, transform)
    assert whole["image"].size == (160, 120)
    corners = [(0, 0), (80, 0), (0, 60), (80, 60)]
    assert whole["boxes"].tolist() == [[10 + x, 10 + y, 30 + x, 30 + y] for x, y in corners]
    for mask, (x, y) in zip(whole["masks"], corners, strict=True):
        assert mask.sum() == 400
        assert mask[10 + y : 30 + y, 10 + x : 30 + x].all()
    assert np.asarray(whole["image"])[:, :, 0].sum() == 4 * 400 * 255


@pytest.mark.parametrize("way", ["none", "scale_jitter"])
def test_what_is_filled_up_has_the_mean_colour_whatever_the_kind_of_image(way, tmp_path):
    transform = DetectionTransform((60, 80), 3, (0.2, 0.4, 0.6), (1.0, 1.0, 1.0))
    sample = rectangles([(0, 0, 80, 40)], width=80, height=40)
    sample["image"].save(tmp_path / "picture.png")
    sample["image"] = Image.open(tmp_path / "picture.png")  # of a class of its own
    framed = transform.letterbox
    if way != "none":
        framed = ScaleJitter(scale=(0.5, 0.5)).change(transform)
    placed = framed(sample)
    filled = ~placed["masks"][0].as_subclass(torch.Tensor).numpy()
    assert filled.any()
    assert set(map(tuple, np.asarray(placed["image"])[filled])) == {(51, 102, 153)}


def test_odd_scales_are_refused():
    with pytest.raises(ValueError, match="wanted 0 < from <= to"):
        ScaleJitter(scale=(0.0, 1.0))
