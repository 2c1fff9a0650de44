"""Scenes of handwritten digits with the class of each pixel: no download.

The scenes are those of digit_scenes.py, which says where the digits are from.
"""

from dataclasses import dataclass, fields

import numpy as np
from PIL import Image

from vit.data.core.images import eight_bit
from vit.data.core.sources import Contents
from vit.data.digit_scenes import DigitScenes, SceneKeys, SceneView
from vit.data.kinds.segmentation import SegmentationData


@dataclass(kw_only=True, eq=False)
class DigitScenesSemantic(SceneKeys, SegmentationData):
    """White digits of many sizes on black; a pixel is of the digit whose ink it shows, or of none.

    Class 0 is the background, class 1 + d the digit d. The pictures are, for the same keys, those
    of DigitScenes, which explains them.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._scenes()  # refuses odd values by their keys

    def _scenes(self) -> DigitScenes:
        own = {each.name: getattr(self, each.name) for each in fields(SceneKeys)}
        return DigitScenes(**own, split_seed=self.split_seed)

    def read(self) -> Contents["MappedScenes"]:
        found = self._scenes().read()
        return Contents(
            {split: MappedScenes(source) for split, source in found.sources.items()},
            class_names=("background", *found.class_names),
            channels=found.channels,
            mean=found.mean,
            std=found.std,
            image_size=found.image_size,
            origin=found.origin,
        )


class MappedScenes(SceneView):
    """With the class of each pixel; a MappedSource."""

    def mapped(self, position: int, channels: int) -> tuple[Image.Image, np.ndarray]:
        picture, labels, owner = self.scenes.scene(position)
        classes = np.concatenate([[0], labels + 1]).astype(np.uint8)
        return eight_bit(Image.fromarray(picture), channels), classes[owner + 1]

    def class_map(self, position: int) -> np.ndarray:
        return self.mapped(position, channels=1)[1]
