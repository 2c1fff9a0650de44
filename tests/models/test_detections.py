"""From stages to scored boxes."""

import pytest
import torch

from vit.models.detections import decode
from vit.structures import Stage

BOXES = torch.arange(24.0).reshape(2, 3, 4) / 100


def test_classes_that_answer_for_themselves_may_share_a_query():
    logits = torch.full((2, 3, 2), -5.0)
    logits[0, 1] = torch.tensor([2.0, 3.0])
    logits[0, 2, 0] = 1.0
    logits[1, 0, 1] = 4.0
    scores, labels, boxes = decode(Stage(logits, BOXES), no_object=False, top=3)
    torch.testing.assert_close(scores[0], torch.tensor([3.0, 2.0, 1.0]).sigmoid())
    assert labels[0].tolist() == [1, 0, 0]
    assert torch.equal(boxes[0], BOXES[0][[1, 1, 2]])
    assert labels[1, 0] == 1 and torch.equal(boxes[1, 0], BOXES[1, 0])


def test_with_no_object_each_query_answers_with_its_likeliest_class():
    logits = torch.zeros(2, 3, 3)
    logits[0, 0] = torch.tensor([1.0, 2.0, 0.0])
    logits[0, 1] = torch.tensor([3.0, 0.0, 9.0])  # most likely nothing
    logits[0, 2] = torch.tensor([0.0, 5.0, 0.0])
    scores, labels, boxes = decode(Stage(logits, BOXES), no_object=True, top=2)
    assert labels[0].tolist() == [1, 1]
    assert torch.equal(boxes[0], BOXES[0][[2, 0]])
    torch.testing.assert_close(scores[0], logits[0, [2, 0]].softmax(-1)[:, 1])


@pytest.mark.parametrize(("no_object", "most"), [(False, 9), (True, 3)])
def test_there_are_no_more_answers_than_there_are(no_object, most):
    stage = Stage(torch.randn(2, 3, 3), BOXES)
    parts = decode(stage, no_object, top=100)
    assert [part.shape[1] for part in parts] == [most] * 3
    assert (parts[0].diff(dim=1) <= 0).all()


def test_half_precision_logits_are_scored_in_full():
    stage = Stage(torch.randn(2, 3, 3, dtype=torch.bfloat16), BOXES)
    assert decode(stage, False, 5)[0].dtype == torch.float32


def test_a_stage_without_boxes_is_refused():
    with pytest.raises(ValueError, match=r"no boxes.*head=deformable"):
        decode(Stage(torch.randn(2, 3, 3)), False, 5)
