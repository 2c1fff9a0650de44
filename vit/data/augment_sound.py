"""What training does to pictures of sound: shifts, stretches, masks and noise.

They draw from NumPy's global generator, which the loader seeds for every sample.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from vit.data.augment import Augmentation, Change
from vit.data.core.transforms import EvaluationTransform


@dataclass(kw_only=True)
class SpecAugment(Augmentation):
    """Shifts in time and pitch, another tempo, masked bands and moments, and noise.

    Masks take the data's mean; what a shift uncovers is black, as silence is.

    Args:
        time_shift: most, each way, as a fraction of the width.
        pitch_shift: most, each way, as a fraction of the height.
        stretch: most, each way: 0.2 makes sounds 0.8 to 1.2 times as long.
        time_masks, time_width: how many, and how wide each at most, as a fraction of the width.
        frequency_masks, frequency_width: likewise of the height.
        noise: standard deviation of what is added everywhere, at most, as a fraction of white.

    Source of the masks: Park et al. 2019, arXiv:1904.08779.
    """

    time_shift: float = 0.1
    pitch_shift: float = 0.05
    stretch: float = 0.1
    time_masks: int = 1
    time_width: float = 0.15
    frequency_masks: int = 1
    frequency_width: float = 0.15
    noise: float = 0.05

    def __post_init__(self) -> None:
        widths = ("time_shift", "pitch_shift", "stretch", "time_width", "frequency_width", "noise")
        for key in widths:
            if not 0 <= getattr(self, key) < 1:
                value = getattr(self, key)
                raise ValueError(f"data.augment.{key}={value}; wanted 0 or more, below 1.")
        if min(self.time_masks, self.frequency_masks) < 0:
            raise ValueError("data.augment: time_masks and frequency_masks want 0 or more.")

    def change(self, prepare: EvaluationTransform) -> Change:
        grey = np.array([255 * value for value in prepare.mean])

        def changed(image: Image.Image) -> Image.Image:
            picture = self._moved(prepare.fitted(image))
            values = np.array(picture, dtype=np.float32)
            if self.noise:
                strength = np.random.uniform(0, 255 * self.noise)
                values += np.random.normal(0, strength, values.shape).astype(np.float32)
            colour = grey if values.ndim == 3 else grey[0]
            for axis, count, width in (
                (0, self.frequency_masks, self.frequency_width),
                (1, self.time_masks, self.time_width),
            ):
                for _ in range(count):
                    side = values.shape[axis]
                    size = np.random.randint(int(width * side) + 1)
                    first = np.random.randint(side - size + 1)
                    where = [slice(None)] * 2
                    where[axis] = slice(first, first + size)
                    values[tuple(where)] = colour
            return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))

        return changed

    def _moved(self, picture: Image.Image) -> Image.Image:
        width, height = picture.size
        scale = np.random.uniform(1 - self.stretch, 1 + self.stretch)
        across = np.random.uniform(-1, 1) * self.time_shift * width
        down = np.random.uniform(-1, 1) * self.pitch_shift * height
        # From each place of the result to where it was: around the middle, then moved.
        before = (1 / scale, 0.0, width / 2 - (width / 2 + across) / scale, 0.0, 1.0, -down)
        kind = Image.Transform.AFFINE
        return picture.transform((width, height), kind, before, Image.Resampling.BILINEAR)
