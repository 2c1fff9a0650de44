"""How a picture with a class map becomes what a model is shown, and how maps find back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from vit.data.kinds.detection_transforms import DetectionTransform, Sample
from vit.data.kinds.pixel_labels import PixelLabels
from vit.structures import IGNORED


class ClassMap(PixelLabels):
    """The classes of an image's pixels, for torchvision's transforms: [1, height, width], uint8."""


@dataclass(frozen=True)
class SegmentationTransform(DetectionTransform):
    """The one way in which a picture is prepared for evaluation and prediction.

    As for detection; what a map is filled up with is IGNORED.
    """

    @property
    def fills(self) -> dict[type | str, Any]:
        return {"others": self.fill, ClassMap: IGNORED}


def map_sample(image: Image.Image, class_map: np.ndarray) -> Sample:
    """A picture with its map, [height, width], in the form that torchvision's transforms take."""
    return {"image": image, "map": ClassMap(torch.from_numpy(class_map)[None])}
