"""Scenes of handwritten digits, composed on the fly: detection data with nothing to download.

Source of the digits: the test part of the UCI set of Alpaydin and Kaynak 1998,
doi:10.24432/C50P49, as it comes with scikit-learn.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from vit.data.annotations.packed import Annotations, ImageAnnotations, joined
from vit.data.annotations.segments import run_lengths_of_mask
from vit.data.core.images import eight_bit
from vit.data.core.randomness import sample_seed
from vit.data.core.sources import Contents
from vit.data.core.splits import stratified_split
from vit.data.kinds.detection import DetectionData
from vit.structures import RunLengths

HELD_OUT = {"val": 0.2, "test": 0.2}  # of the digits, which then are in no other split's scenes
INK = 64  # of 255: what is darker is paper, and lets through what lies below
TRIES = 8  # places that are tried for a digit before it is left out
HIDDEN = 0.4  # the share of its ink that a digit may lose to those pasted after it
SCENE = 4  # purpose of the seeds; see sample_seed
LOOKED_AT = 256  # training scenes from which mean and deviation are taken


@dataclass(kw_only=True, eq=False)
class SceneKeys:
    """What scenes of digits are made by.

    Args:
        train_scenes, val_scenes, test_scenes: how many there are.
        max_digits: of a scene; each number from `min_digits` on is as likely.
        digit_size: side in pixels from, to, of the square that holds a digit.
        noise: standard deviation of the grey noise laid over all, as a fraction of white.
    """

    image_size: int | tuple[int, int] | None = 96
    train_scenes: int = 6000
    val_scenes: int = 300
    test_scenes: int = 300
    min_digits: int = 0
    max_digits: int = 5
    digit_size: tuple[int, int] = (14, 36)
    noise: float = 0.0


@dataclass(kw_only=True, eq=False)
class DigitScenes(SceneKeys, DetectionData["Scenes"]):
    """White digits of many sizes on black, some over others, each with its box and its mask.

    A scene is a pure function of (split_seed, split, its number). Digits are pasted one by one at
    random places wholly within the image; where its ink falls, a digit hides those before it. A
    mask is what is still to be seen, and the box is tight around that. A place where a digit would
    hide more than 40% of the ink of any before it is refused; after 8 refusals it is left out.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size is None:
            raise ValueError("data.image_size=null; wanted the side of the scenes in pixels.")
        for key in ("train_scenes", "val_scenes", "test_scenes"):
            if getattr(self, key) < 1:
                raise ValueError(f"data.{key}={getattr(self, key)}; wanted 1 or more.")
        if not 0 <= self.min_digits <= self.max_digits:
            raise ValueError(
                f"data.min_digits={self.min_digits} and data.max_digits={self.max_digits}; "
                "wanted 0 <= min_digits <= max_digits."
            )
        smallest, largest = self.digit_size
        if not 1 <= smallest <= largest <= min(self._image_size()):
            raise ValueError(
                f"data.digit_size={list(self.digit_size)}; wanted 1 <= from <= to <= the image's "
                f"side, {min(self._image_size())}."
            )
        if self.noise < 0:
            raise ValueError(f"data.noise={self.noise}; wanted 0 or more.")

    def read(self) -> Contents["Scenes"]:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
        labels = digits.target.astype(np.int64)
        rest, test = stratified_split(labels, HELD_OUT["test"], seed=0)
        train, val = stratified_split(labels[rest], HELD_OUT["val"], seed=0)
        held = {"train": rest[train], "val": rest[val], "test": test}
        counts = {"train": self.train_scenes, "val": self.val_scenes, "test": self.test_scenes}
        sources: dict[str, Scenes] = {
            split: Scenes(
                digits=images[members],
                digit_labels=labels[members],
                count=counts[split],
                seed=sample_seed(self.split_seed, number, 0, SCENE),
                image_size=self._image_size(),
                numbers=(self.min_digits, self.max_digits),
                digit_size=(self.digit_size[0], self.digit_size[1]),
                noise=self.noise,
            )
            for number, (split, members) in enumerate(held.items())
        }
        some = range(min(LOOKED_AT, self.train_scenes))
        seen = np.stack([sources["train"].scene(position)[0] for position in some]) / 255
        return Contents(
            sources,
            class_names=tuple(str(name) for name in digits.target_names),
            class_ids=tuple(range(10)),
            channels=1,
            mean=(round(float(seen.mean()), 4),),
            std=(max(round(float(seen.std()), 4), 0.01),),  # scenes may be without any digit
            image_size=self._image_size(),
            origin={
                split: f"{len(members)} of scikit-learn's digits" for split, members in held.items()
            },
        )


@dataclass(eq=False)
class Scenes:
    """The scenes of one split, composed when they are asked for."""

    digits: np.ndarray  # [digits, 8, 8], uint8
    digit_labels: np.ndarray  # [digits], int64
    count: int
    seed: int
    image_size: tuple[int, int]
    numbers: tuple[int, int]  # fewest and most digits of a scene
    digit_size: tuple[int, int]  # smallest and largest side in pixels
    noise: float

    def __len__(self) -> int:
        return self.count

    def scene(self, position: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The picture [height, width], uint8; the labels; whose each pixel is, -1 for paper's."""
        draw = np.random.default_rng(sample_seed(self.seed, 0, position))
        height, width = self.image_size
        picture = np.zeros((height, width), dtype=np.uint8)
        owner = np.full((height, width), -1, dtype=np.int8 if self.numbers[1] < 128 else np.int32)
        labels: list[int] = []
        inked: list[int] = []  # pixels that each digit had when it was pasted
        for _ in range(int(draw.integers(self.numbers[0], self.numbers[1] + 1))):
            chosen = int(draw.integers(len(self.digits)))
            side = int(draw.integers(self.digit_size[0], self.digit_size[1] + 1))
            digit = Image.fromarray(self.digits[chosen])
            pixels = np.asarray(digit.resize((side, side), Image.Resampling.BILINEAR))
            ink = pixels >= INK
            for _ in range(TRIES):
                top = int(draw.integers(height - side + 1))
                left = int(draw.integers(width - side + 1))
                below = owner[top : top + side, left : left + side]
                if labels and self._hides_too_much(owner, below[ink], inked):
                    continue
                below[ink] = len(labels)
                np.copyto(picture[top : top + side, left : left + side], pixels, where=ink)
                labels.append(int(self.digit_labels[chosen]))
                inked.append(int(np.count_nonzero(ink)))
                break
        if self.noise:
            grey = picture + draw.normal(0, 255 * self.noise, picture.shape)
            picture = grey.round().clip(0, 255).astype(np.uint8)
        return picture, np.array(labels, dtype=np.int64), owner

    def _hides_too_much(self, owner: np.ndarray, covered: np.ndarray, inked: list[int]) -> bool:
        covered = covered[covered >= 0]
        if not len(covered):
            return False
        lost = np.bincount(covered, minlength=len(inked))
        return any(
            np.count_nonzero(owner == number) - lost[number] < (1 - HIDDEN) * inked[number]
            for number in np.flatnonzero(lost).tolist()
        )

    def marked(
        self, position: int, channels: int, masks: bool = False
    ) -> tuple[Image.Image, ImageAnnotations]:
        picture, labels, owner = self.scene(position)
        apart = owner == np.arange(len(labels))[:, None, None]  # [digits, height, width]
        boxes = tight_boxes(apart)
        found = ImageAnnotations(
            labels=labels,
            boxes_xyxy=boxes,
            crowd=np.zeros(len(labels), dtype=bool),
            areas=np.count_nonzero(apart, axis=(1, 2)).astype(np.float64),
            masks=apart if masks else None,
        )
        return eight_bit(Image.fromarray(picture), channels), found

    def run_lengths(self, position: int) -> list[RunLengths]:
        masks = self.marked(position, channels=1, masks=True)[1].masks
        assert masks is not None
        return [run_lengths_of_mask(mask) for mask in masks]

    def read(self, position: int, channels: int) -> Image.Image:
        return eight_bit(Image.fromarray(self.scene(position)[0]), channels)

    @cached_property
    def annotations(self) -> Annotations:
        """Of all scenes, each composed once for it: some seconds where there are thousands."""
        every = [self.marked(position, 1)[1] for position in range(self.count)]
        return joined(every, [self.image_size] * self.count)

    @property
    def labels(self) -> np.ndarray:
        return self.annotations.present(int(self.digit_labels.max()) + 1)

    def size(self, position: int) -> tuple[int, int]:
        return self.image_size

    def name(self, position: int) -> str:
        return f"scene {position}"

    def content(self, position: int) -> bytes:
        picture, labels, owner = self.scene(position)
        return picture.tobytes() + labels.tobytes() + owner.tobytes()


def tight_boxes(masks: np.ndarray) -> np.ndarray:
    """The smallest box around each mask: [objects, height, width] → xyxy [objects, 4], float64."""
    across, down = np.asarray(masks.any(axis=1)), np.asarray(masks.any(axis=2))
    height, width = masks.shape[1:]
    return np.stack(
        [
            across.argmax(axis=1),
            down.argmax(axis=1),
            width - across[:, ::-1].argmax(axis=1),
            height - down[:, ::-1].argmax(axis=1),
        ],
        axis=1,
    ).astype(np.float64)


@dataclass(eq=False)
class SceneView:
    """The scenes of one split, for data that say something else of them than boxes."""

    scenes: Scenes

    def __len__(self) -> int:
        return len(self.scenes)

    @property
    def labels(self) -> np.ndarray:
        return np.zeros(len(self), dtype=np.int64)  # to tell would take composing every scene

    def read(self, position: int, channels: int) -> Image.Image:
        return self.scenes.read(position, channels)

    def size(self, position: int) -> tuple[int, int]:
        return self.scenes.size(position)

    def name(self, position: int) -> str:
        return self.scenes.name(position)

    def content(self, position: int) -> bytes:
        return self.scenes.content(position)
