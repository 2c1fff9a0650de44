"""Panoptic quality against torchmetrics where the rules agree, and by hand where they do not."""

import math

import numpy as np
import pytest
import torch
from torchmetrics.detection import PanopticQuality

from vit.metrics.panoptic import PanopticMetrics
from vit.structures import PanopticMap

CPU = torch.device("cpu")
NAMES = ("ant", "bee", "cat", "sky", "sea", "sod")
THINGS = (True, True, True, False, False, False)


def parted(rows, labels, crowd=None):
    """A map from rows of digits; "." is void."""
    segments = torch.tensor([[0 if one == "." else int(one) for one in row] for row in rows])
    crowd = None if crowd is None else torch.tensor(crowd)
    return PanopticMap(segments, torch.tensor(labels, dtype=torch.int64), crowd)


def measured(found, truth):
    metrics = PanopticMetrics(NAMES, THINGS)
    metrics.update([found], [truth])
    return metrics.compute(CPU), metrics.tables()


def counts(tables, name):
    at = NAMES.index(name)
    return tables["matched"][at], tables["missed"][at], tables["extra"][at]


def made_up(seed, images=12):
    """Blocks of segments, of which some void, and what a middling model says: all of it parted."""
    draw = np.random.default_rng(seed)
    found, truth = [], []
    for _ in range(images):
        blocks = draw.integers(0, 9, (6, 8))  # 0 is void; the classes of 1 to 8 are drawn
        segments = np.kron(blocks, np.ones((4, 4), dtype=np.int64))
        labels = draw.integers(0, 6, 8)
        truth.append(PanopticMap(torch.from_numpy(segments), torch.from_numpy(labels)))
        moved = np.roll(segments, draw.integers(-1, 2, 2), (0, 1))
        moved = np.where(moved == 0, draw.integers(1, 9), moved)  # no void: see below
        guessed = np.where(draw.random(8) < 0.2, draw.integers(0, 6, 8), labels)
        found.append(PanopticMap(torch.from_numpy(moved), torch.from_numpy(guessed)))
    return found, truth


def coloured(image):
    """As torchmetrics wants it: [1, height, width, (class, instance)]; class 99 is void."""
    labels = torch.cat([torch.tensor([99]), image.labels])[image.segments]
    return torch.stack([labels, image.segments], -1)[None]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_numbers_equal_those_of_torchmetrics(seed):
    found, truth = made_up(seed)
    metrics = PanopticMetrics(NAMES, THINGS)
    metrics.update(found, truth)
    numbers, tables = metrics.compute(CPU), metrics.tables()
    whole = PanopticQuality({0, 1, 2}, {3, 4, 5}, return_sq_and_rq=True)
    each = PanopticQuality({0, 1, 2}, {3, 4, 5}, return_sq_and_rq=True, return_per_class=True)
    for mine, true in zip(found, truth, strict=True):
        whole.update(coloured(mine), coloured(true))
        each.update(coloured(mine), coloured(true))
    names = ("pq", "sq", "rq")
    assert [numbers[name] for name in names] == pytest.approx(whole.compute().tolist(), abs=1e-7)
    rows = each.compute()
    for at, name in enumerate(names):
        assert tables[f"class_{name}"] == pytest.approx(rows[:, at].tolist(), abs=1e-7)
        assert numbers[f"{name}_things"] == pytest.approx(float(rows[:3, at].mean()), abs=1e-7)
        assert numbers[f"{name}_stuff"] == pytest.approx(float(rows[3:, at].mean()), abs=1e-7)
    assert 0.1 < numbers["pq"] < 0.9
    assert tuple(numbers) == metrics.names


def test_the_truth_itself_scores_one():
    _, truth = made_up(0)
    metrics = PanopticMetrics(NAMES, THINGS)
    metrics.update(truth, truth)
    assert set(metrics.compute(CPU).values()) == {1.0}


def test_quality_is_segmentation_times_recognition():
    truth = parted(["1111122233"], [0, 0, 0])
    found = parted(["1111222333"], [0, 0, 0])  # IoUs 4/5, 2/4 (no match), 2/3
    numbers, tables = measured(found, truth)
    assert counts(tables, "ant") == (2, 1, 1)
    assert numbers["sq"] == pytest.approx((4 / 5 + 2 / 3) / 2, abs=1e-12)
    assert numbers["rq"] == 2 / 3
    assert numbers["pq"] == pytest.approx(numbers["sq"] * 2 / 3, abs=1e-12)
    assert math.isnan(numbers["pq_stuff"])
    assert tables["class_pq"][1:] == [None] * 5


def test_of_another_class_is_no_match():
    tables = measured(parted(["1111"], [1]), parted(["1111"], [0]))[1]
    assert counts(tables, "ant") == (0, 1, 0)
    assert counts(tables, "bee") == (0, 0, 1)
    assert tables["class_pq"][:2] == [0.0, 0.0]


def test_void_of_the_truth_lessens_no_iou():
    numbers, _ = measured(parted(["1111111111"], [0]), parted(["1111......"], [0]))
    assert numbers["pq"] == 1.0


def test_what_is_found_mostly_within_void_counts_neither_way():
    truth = parted(["11111....."], [0])
    assert counts(measured(parted(["...1111111"], [0]), truth)[1], "ant") == (0, 1, 0)
    assert counts(measured(parted(["..11111..."], [0]), truth)[1], "ant") == (1, 0, 0)
    # Half of it is not most of it.
    assert counts(measured(parted(["...1111..."], [0]), truth)[1], "ant") == (0, 1, 1)


def test_a_segment_found_to_be_nothing_is_missed():
    """As panopticapi counts; torchmetrics leaves out what is mostly void in the prediction."""
    tables = measured(parted(["....222222"], [0, 3]), parted(["1111222222"], [0, 3]))[1]
    assert counts(tables, "ant") == (0, 1, 0)
    tables = measured(parted(["111......."], [0]), parted(["1111111111"], [0]))[1]
    assert counts(tables, "ant") == (0, 1, 1)  # the union is not less for it either


def test_crowds_are_neither_matched_nor_missed_and_excuse_their_own_class():
    truth = parted(["1111111122"], [0, 3], [True, False])
    assert counts(measured(parted(["1111111122"], [0, 3]), truth)[1], "ant") == (0, 0, 0)
    assert counts(measured(parted(["1112223322"], [0, 0, 3]), truth)[1], "ant") == (0, 0, 0)
    assert counts(measured(parted(["1111111122"], [1, 3]), truth)[1], "bee") == (0, 0, 1)
    mixed = parted(["11..22222."], [0, 1], [True, False])  # crowd and void together are most of it
    assert counts(measured(parted(["11111....."], [0]), mixed)[1], "ant") == (0, 0, 0)


def test_segments_of_one_stuff_are_one_and_things_are_not():
    truth = parted(["1111111111"], [3])
    assert counts(measured(parted(["1111122222"], [3, 3]), truth)[1], "sky") == (1, 0, 0)
    truth = parted(["1111111111"], [0])
    assert counts(measured(parted(["1111122222"], [0, 0]), truth)[1], "ant") == (0, 1, 2)


def test_labels_without_a_pixel_are_no_segments():
    tables = measured(parted(["1111"], [0, 1]), parted(["1111"], [0, 2]))[1]
    assert counts(tables, "ant") == (1, 0, 0)
    assert tables["class_pq"][1:3] == [None, None]


def test_an_image_of_nothing_is_no_error():
    numbers, _ = measured(parted(["...."], []), parted(["...."], []))
    assert all(math.isnan(value) for value in numbers.values())


def test_an_evaluation_forgets_the_one_before_and_keeps_no_image():
    found, truth = made_up(3)
    metrics = PanopticMetrics(NAMES, THINGS)
    rows = []
    for _ in range(2):
        metrics.reset()
        metrics.update(found, truth)
        rows.append((metrics.compute(CPU), metrics.tables()))
        assert metrics._tally.shape == (6, 4)
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (parted(["111"], [0]), r"\(1, 3\) pixels .* \(1, 4\)"),
        (parted(["1112"], [0]), "found segments are numbered 1 to 2; wanted 1 to 1"),
        (parted(["1111"], [6]), "found labels are 6 to 6; wanted 0 to 5"),
    ],
)
def test_maps_that_do_not_go_together_are_refused(found, said):
    with pytest.raises(ValueError, match=said):
        measured(found, parted(["1111"], [0]))


def test_a_flag_a_class_is_wanted():
    with pytest.raises(ValueError, match="6 class names but 2 flags"):
        PanopticMetrics(NAMES, (True, False))
