"""Where the real image lies in what the model sees."""

import torch

from vit.models.heads.valid_patches import ValidPatches, centres
from vit.structures import Grid

GRID = Grid(4, 6)  # of patches of 2x2 pixels


def padding(rows, cols):
    """One image of 8x12 pixels that is real in these rows and columns."""
    filled = torch.ones(1, 8, 12, dtype=torch.bool)
    filled[:, slice(*rows), slice(*cols)] = False
    return filled


def test_patches_with_any_real_pixel_are_real():
    frame = ValidPatches.of(padding((2, 5), (3, 12)), GRID)
    real = [[False] * 6, [False, *[True] * 5], [False, *[True] * 5], [False] * 6]
    assert frame.valid.unflatten(1, (4, 6))[0].tolist() == real
    torch.testing.assert_close(frame.origin, torch.tensor([[[1 / 6, 1 / 4]]]))
    torch.testing.assert_close(frame.size, torch.tensor([[[5 / 6, 2 / 4]]]))


def test_inward_and_outward_undo_one_another():
    frame = ValidPatches.of(padding((2, 6), (0, 8)), GRID)
    whole = torch.tensor([[[0.5, 0.5, 1.0, 1.0]]])  # all of the real image
    box = frame.outward(whole)
    torch.testing.assert_close(box, torch.tensor([[[1 / 3, 0.5, 2 / 3, 0.5]]]))
    torch.testing.assert_close(frame.inward(box[..., :2]), whole[..., :2])


def test_without_padding_nothing_changes():
    frame = ValidPatches.of(None, GRID)
    boxes = torch.rand(2, 3, 4)
    assert frame.outward(boxes) is boxes and frame.keys(2) is None
    full = ValidPatches.of(torch.zeros(2, 8, 12, dtype=torch.bool), GRID)
    torch.testing.assert_close(full.outward(boxes), boxes)
    assert full.keys(2).all() and full.keys(2).shape == (2, 1, 1, 26)


def test_centres_are_x_before_y_in_row_major_order():
    places = centres(GRID, torch.device("cpu"))[0]
    torch.testing.assert_close(places[0], torch.tensor([0.5 / 6, 0.5 / 4]))
    torch.testing.assert_close(places[1], torch.tensor([1.5 / 6, 0.5 / 4]))
    torch.testing.assert_close(places[6], torch.tensor([0.5 / 6, 1.5 / 4]))
