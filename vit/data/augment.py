"""What training does to images: torchvision's and timm's augmentations, as parts with settings.

They draw from the global generators, which the loader seeds for every sample (see randomness.py),
so each needs no generator of its own. All of them work on Pillow images: on one core that is
about three times as fast as torchvision's way through tensors, at 8 to 32 pixels.

No `from __future__ import annotations` where signatures are the schema: a subclass in another
file could not resolve what its base's annotations name.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from vit.data.core.transforms import EvaluationTransform

Change = Callable[[Image.Image], Image.Image]


class Augmentation(ABC):
    """A way to change training images; evaluation's own framing is at hand as `prepare.fitted`."""

    @abstractmethod
    def change(self, prepare: EvaluationTransform) -> Change:
        """A function from an 8-bit Pillow image of any size to one of `prepare.image_size`."""


# Framings: which part of the image is seen, and from where.


@dataclass(kw_only=True)
class NoAugmentation(Augmentation):
    """Training images framed as in evaluation."""

    def change(self, prepare: EvaluationTransform) -> Change:
        return prepare.fitted


@dataclass(kw_only=True)
class Affine(Augmentation):
    """Small turns, shifts and zooms, for digits and other things that must not be mirrored.

    `degrees` each way; `translate` as a fraction of the side each way; `scale` from, to.
    """

    degrees: float = 10.0
    translate: float = 0.1
    scale: tuple[float, float] = (0.9, 1.1)

    def change(self, prepare: EvaluationTransform) -> Change:
        move = v2.RandomAffine(
            self.degrees,
            translate=(self.translate, self.translate),
            scale=tuple(self.scale),
            interpolation=InterpolationMode.BILINEAR,
        )
        return lambda image: move(prepare.fitted(image))


@dataclass(kw_only=True)
class CropFlip(Augmentation):
    """Shifts by up to `padding` pixels, black coming in, and mirrors half of the images.

    What CIFAR is trained with; the framing itself is evaluation's.
    """

    padding: int = 4
    flip: float = 0.5  # probability

    def change(self, prepare: EvaluationTransform) -> Change:
        shift = v2.RandomCrop(prepare.image_size, padding=self.padding)
        mirror = v2.RandomHorizontalFlip(self.flip)
        return lambda image: mirror(shift(prepare.fitted(image)))


@dataclass(kw_only=True)
class RandomResizedCrop(Augmentation):
    """A random part of the image, `scale` of its area and of aspect `ratio`, and mirrors half.

    Source: Szegedy et al. 2015, arXiv:1409.4842, as torchvision has it.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (0.75, 1.3333)
    flip: float = 0.5  # probability

    def change(self, prepare: EvaluationTransform) -> Change:
        crop = v2.RandomResizedCrop(
            prepare.image_size,
            scale=tuple(self.scale),
            ratio=tuple(self.ratio),
            interpolation=InterpolationMode.BICUBIC,
        )
        mirror = v2.RandomHorizontalFlip(self.flip)
        return lambda image: mirror(crop(image))


# Policies: what the framed image looks like.


@dataclass(kw_only=True)
class RandAugment(Augmentation):
    """`num_ops` random changes of one strength, 0 to 30; what is uncovered takes the mean colour.

    torchvision's; its strengths are not those of timm's string "rand-m9-…": see TimmAugment.

    Source: Cubuk et al. 2020, arXiv:1909.13719.
    """

    frame: Augmentation = field(default_factory=RandomResizedCrop)
    num_ops: int = 2
    magnitude: int = 9

    def change(self, prepare: EvaluationTransform) -> Change:
        framed = self.frame.change(prepare)
        vary = v2.RandAugment(self.num_ops, self.magnitude, fill=mean_colour(prepare))
        return lambda image: vary(framed(image))


@dataclass(kw_only=True)
class TrivialAugment(Augmentation):
    """One random change of random strength: nothing to tune.

    Source: Müller and Hutter 2021, arXiv:2103.10158.
    """

    frame: Augmentation = field(default_factory=RandomResizedCrop)

    def change(self, prepare: EvaluationTransform) -> Change:
        framed = self.frame.change(prepare)
        vary = v2.TrivialAugmentWide(fill=mean_colour(prepare))
        return lambda image: vary(framed(image))


@dataclass(kw_only=True)
class AugMix(Augmentation):
    """A blend of the image with several chains of changes of it, `severity` 1 to 10.

    Source: Hendrycks et al. 2020, arXiv:1912.02781.
    """

    frame: Augmentation = field(default_factory=RandomResizedCrop)
    severity: int = 3
    width: int = 3

    def change(self, prepare: EvaluationTransform) -> Change:
        framed = self.frame.change(prepare)
        vary = v2.AugMix(self.severity, mixture_width=self.width, fill=mean_colour(prepare))
        return lambda image: vary(framed(image))


@dataclass(kw_only=True)
class ThreeAugment(Augmentation):
    """Grey, solarised or blurred, one of the three, and then `jitter` of the colours.

    Source: Touvron et al. 2022, DeiT III, arXiv:2204.07118.
    """

    frame: Augmentation = field(default_factory=RandomResizedCrop)
    jitter: float = 0.3

    def change(self, prepare: EvaluationTransform) -> Change:
        framed = self.frame.change(prepare)
        one_of_three = v2.RandomChoice(
            [
                v2.Grayscale(num_output_channels=prepare.channels),
                v2.RandomSolarize(threshold=128, p=1.0),
                v2.GaussianBlur(kernel_size=9, sigma=(0.1, 2.0)),
            ]
        )
        colours = v2.ColorJitter(self.jitter, self.jitter, self.jitter)
        return lambda image: colours(one_of_three(framed(image)))


@dataclass(kw_only=True)
class TimmAugment(Augmentation):
    """timm's policies by their own string, such as "rand-m9-mstd0.5-inc1" (DeiT's).

    Args:
        frame: which part of the image is seen.
        policy: the string; it begins with rand, augmix, or the name of a policy of AutoAugment's.

    Raises ValueError on a string that timm does not understand.
    """

    frame: Augmentation = field(default_factory=RandomResizedCrop)
    policy: str = "rand-m9-mstd0.5-inc1"

    def change(self, prepare: EvaluationTransform) -> Change:
        from timm.data import auto_augment  # costs seconds to import

        framed = self.frame.change(prepare)
        fill = mean_colour(prepare)
        settings = {
            "translate_const": int(min(prepare.image_size) * 0.45),
            "img_mean": fill[0] if prepare.channels == 1 else tuple(fill),
        }
        kinds = {
            "rand": auto_augment.rand_augment_transform,
            "augmix": auto_augment.augment_and_mix_transform,
        }
        read = kinds.get(self.policy.split("-")[0], auto_augment.auto_augment_transform)
        try:
            vary = read(self.policy, settings)
        except (AssertionError, KeyError, ValueError) as fault:
            raise ValueError(
                f"data.augment.policy={self.policy!r} is no policy of timm's ({fault}); "
                "wanted a string such as 'rand-m9-mstd0.5-inc1' or '3a'."
            ) from None
        _keep_a_bit(vary)
        return lambda image: vary(framed(image))


def _keep_a_bit(vary: Any) -> None:
    """Lets timm's posterising keep one bit at least; at full strength it asks for none.

    Pillow 13 refuses that (timm 1.0.31, November 2026); before, the image turned black.
    """
    operations = vary.ops if hasattr(vary, "ops") else [op for pair in vary.policy for op in pair]
    for operation in operations:
        if operation.name.startswith("Posterize"):
            bits = operation.level_fn
            operation.level_fn = lambda level, settings, bits=bits: (
                max(bits(level, settings)[0], 1),
            )


def mean_colour(prepare: EvaluationTransform) -> list[int]:
    """The data set's mean as bytes, one per channel."""
    return [round(255 * value) for value in prepare.mean]
