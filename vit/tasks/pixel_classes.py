"""From what a model answers to the class of each pixel, of the model's image or of the picture."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from vit.data.core.bilinear import by_bands
from vit.data.kinds.detection_transforms import Letterbox
from vit.runs.distributed import sum_dtype
from vit.structures import ClassMaps, Detections


def class_map(
    output: Detections | ClassMaps, image: int, enlarge: Callable[[Tensor], Tensor]
) -> Int[Tensor, "height width"]:
    """The class of each pixel of an image of the batch.

    `enlarge` takes maps [n, rows, cols] to the pixels asked for. Logits are enlarged, since masks
    are trained so: where shares are, thin strokes fade (on digit scenes learned by heart, an mIoU
    of 0.81 instead of 0.92). One image at a time, since all queries at all pixels are much.
    """
    if isinstance(output, ClassMaps):
        return enlarge(output.logits[image].float()).argmax(0)
    answer = output.answer
    assert answer.masks is not None
    classes = answer.logits[image].float().softmax(-1)[:, :-1]
    masks = enlarge(answer.masks[image].float()).sigmoid()
    # A matrix product adds in an order that depends on how many pixels there are. Where that shows
    # in float32, in the last digit, it shows in the classes once in some ten million pixels.
    exact = sum_dtype(masks.device)
    # The classes of a pixel side by side: so their largest is found in a seventh of the time.
    return torch.einsum("qc,qhw->hwc", classes.to(exact), masks.to(exact)).argmax(-1)


def picture_classes(
    output: Detections | ClassMaps, image: int, frame: Letterbox
) -> UInt8[Tensor, "height width"]:
    """The class of each pixel of the picture that lies at `frame` in an image of the batch.

    Logits are brought back through the frame and enlarged, and only then is the largest taken. In
    bands of rows: memory is that of the map and some 20 MB, however many classes there are, and
    the map does not depend on the bands. Does not wait for the device.
    """
    maps = output.logits if isinstance(output, ClassMaps) else output.answer.masks
    assert maps is not None
    height, width = frame.original

    def of_rows(first: int, last: int) -> Tensor:
        def enlarge(maps: Tensor) -> Tensor:
            return frame.rows_to_original(maps, first, last)

        return class_map(output, image, enlarge).to(torch.uint8)

    return by_bands(height, width * maps.shape[1], of_rows)
