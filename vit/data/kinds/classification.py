"""The base of every kind of classification data: images, each with its class or classes.

A kind is a dataclass that adds its own keys and says in `read` what there is. No
`from __future__ import annotations` here: signatures are the schema (see transforms.py).
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from PIL import Image

from vit.data.augment import Augmentation, NoAugmentation
from vit.data.core.loading import ClassificationSplit
from vit.data.core.sources import Contents, Source
from vit.data.core.transforms import EvaluationTransform
from vit.data.core.unseen_classes import UnseenClasses, without_unseen
from vit.data.kinds.base import ImageData
from vit.data.kinds.label_checks import each_its_own
from vit.facts import Facts
from vit.faults import NAMED, Fault


@dataclass(kw_only=True, eq=False)
class ClassificationData(ImageData[Source]):
    """Images with their classes; see ImageData for the keys that all kinds have.

    Contents without `class_names` are of unlabelled images, for tasks that need no classes; their
    sources' labels are zeros.

    Args:
        augment: what training does to images.
        erasing: probability of a rectangle of noise in a training image.
        crop_fraction: share of the shorter side that evaluation's centre crop keeps.
        fit: evaluation's way to image_size: "crop" keeps the shape, "squash" the whole image.
        balanced: draw classes equally often, with replacement.
        class_weights: "balanced" asks the loss to weigh a class by the inverse of its count.
        on_unseen_class: stop at classes of val or test that train lacks, or leave their images out;
            of kinds with the key `classes` where that is None.
    """

    mixable: ClassVar[bool] = True

    augment: Augmentation = field(default_factory=NoAugmentation)
    erasing: float = 0.0
    crop_fraction: float = 1.0
    fit: Literal["crop", "squash"] = "crop"
    balanced: bool = False
    class_weights: Literal["balanced"] | None = None
    on_unseen_class: UnseenClasses = "error"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.erasing <= 1:
            raise ValueError(f"data.erasing={self.erasing}; wanted a probability, 0 to 1.")
        if not 0 < self.crop_fraction <= 1:
            raise ValueError(
                f"data.crop_fraction={self.crop_fraction}; wanted more than 0, up to 1."
            )

    @cached_property
    def contents(self) -> Contents[Source]:
        contents = super().contents
        if self._names_are_given:
            return contents
        return without_unseen(contents, self.on_unseen_class, self.unit)

    @property
    def _names_are_given(self) -> bool:
        """Whether a kind with the key `classes` was told them: then they stay as they are."""
        return getattr(self, "classes", None) is not None

    @property
    def task(self) -> str:
        return "" if self._unlabelled else "classification"

    @property
    def _unlabelled(self) -> bool:
        """Whether there are no classes; where several labels are possible, some are missing."""
        return not (self.contents.class_names or self.contents.multi_label)

    def transform_for(self, facts: Facts) -> EvaluationTransform:
        return EvaluationTransform(
            image_size=facts.image_size,
            channels=facts.channels,
            mean=facts.mean,
            std=facts.std,
            crop_fraction=self.crop_fraction,
            fit=self.fit,
            white=facts.white,
        )

    def _split(self, split: str, training: bool) -> ClassificationSplit:
        source, members = self._source_of(split)
        return ClassificationSplit(
            source=source,
            members=members,
            prepare=self.eval_transform,
            seed=self.seed,
            augment=self.augment if training else None,
            erasing=self.erasing if training else 0.0,
            skip_bad=self.on_bad_image == "skip",
        )

    def picture(self, split: str, index: int) -> Image.Image:
        """A sample as a person sees it: the whole picture, 8-bit RGB."""
        source, members = self._source_of(split)
        return source.read(int(members[index]), channels=3)

    def class_weight_values(self) -> list[float] | None:
        """A weight per class for the loss, or None where none are asked for.

        One label per image: images / (classes × images of the class). Several labels: images
        without the label per image with it, as `pos_weight` of a binary cross-entropy.
        """
        if self.class_weights is None:
            return None
        counts = np.maximum(self._counts("train"), 1)
        total = self.lengths["train"]
        if self.facts.multi_label:
            return ((total - counts) / counts).tolist()
        return (total / (len(counts) * counts)).tolist()

    def own_classes_hint(self) -> str:
        """Where else the classes may be, as far as a kind of data can tell."""
        return ""

    def _reading_faults(self) -> list[Fault]:
        return [*super()._reading_faults(), *self._own_classes]

    @cached_property
    def _own_classes(self) -> list[Fault]:
        """Where each sample of train has a class of its own, whatever its images are like."""
        contents = self.contents
        own = None if contents.multi_label else each_its_own(contents.sources["train"].labels)
        hint = self.own_classes_hint() if own else ""
        return (
            [Fault("data", f"{own}.{hint or ' Is it the classes that are read?'}")] if own else []
        )

    def _empty_splits(self) -> list[Fault]:
        return [] if self._own_classes else super()._empty_splits()  # of such none can be set aside

    def _label_faults(self) -> list[Fault]:
        if self._unlabelled:
            return []
        facts = self.facts
        faults = [] if self._own_classes or facts.multi_label else self._out_of_range()
        if not (faults or self._own_classes):
            faults = self._absent_classes()
        if len(facts.class_names) < 2 and not facts.multi_label:
            message = f"only one class, {facts.class_names[0]!r}; wanted two or more."
            faults.append(Fault("data", message))
        return faults

    def _out_of_range(self) -> list[Fault]:
        """Labels that are the number of no class."""
        classes, faults = self.facts.num_classes, []
        for split in self.splits:
            labels = self._split_labels(split)
            wrong = (labels < 0) | (labels >= classes)
            if wrong.any():
                first = int(np.flatnonzero(wrong)[0])
                message = (
                    f"{split}, {self.sample_name(split, first)}: label {labels[first]} is out of "
                    f"range; wanted 0 to {classes - 1}. {int(wrong.sum())} labels are."
                )
                faults.append(Fault("data", message))
        return faults

    def _absent_classes(self) -> list[Fault]:
        if self._names_are_given and self.train_limit is None:
            return []  # a warning counts them
        described = self.describe()
        others = [each["per_class"] for split, each in described.items() if split != "train"]
        missing = [name for name, count in described["train"]["per_class"].items() if count == 0]
        if self.train_limit is None:  # those that another split has are told of that split
            missing = [name for name in missing if not any(each[name] for each in others)]
        if not missing:
            return []
        message = f"no training image has the class {', '.join(missing[:NAMED])}; "
        if self.train_limit is None:
            message += "if it is an empty folder, fill or remove it."
        else:
            message += f"data.train_limit={self.train_limit} may leave it out: take more."
        return [Fault("data", message)]

    def _split_labels(self, split: str) -> np.ndarray:
        source, members = self._source_of(split)
        return source.labels[members]

    def _counts(self, split: str) -> np.ndarray:
        labels = self._split_labels(split)
        if labels.ndim == 2:
            return labels.sum(axis=0).astype(np.int64)
        if self._unlabelled:
            return np.zeros(0, dtype=np.int64)
        return np.bincount(labels, minlength=self.facts.num_classes)

    def _draw_weights(self) -> np.ndarray | None:
        if not self.balanced:
            return None
        if self._unlabelled:
            raise ValueError("data.balanced=true needs classes; these images have none.")
        if self.facts.multi_label:
            raise ValueError(
                "data.balanced=true needs one label per image; with several, weigh them in the "
                "loss by data.class_weights=balanced."
            )
        return 1 / self._counts("train")[self._split_labels("train")]
