"""Handwritten digits that come with scikit-learn: nothing to download.

Source: the test part of the UCI set of Alpaydin and Kaynak 1998, doi:10.24432/C50P49.
"""

from dataclasses import dataclass

import numpy as np

from vit.data.core.sources import ArraySource, Contents
from vit.data.core.splits import stratified_split
from vit.data.kinds.classification import ClassificationData

TEST_FRACTION = 0.223  # 401 of the 1,797; the same for everyone, whatever data.split_seed


@dataclass(kw_only=True, eq=False)
class Digits(ClassificationData):
    """1,797 grey digits of 8×8 pixels; 401 of them, fixed, are the test."""

    def read(self) -> Contents[ArraySource]:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
        labels = digits.target.astype(np.int64)
        train, test = stratified_split(labels, TEST_FRACTION, seed=0)
        seen = images[train] / 255
        return Contents(
            sources={
                "train": ArraySource(images[train], labels[train]),
                "test": ArraySource(images[test], labels[test]),
            },
            class_names=tuple(str(name) for name in digits.target_names),
            channels=1,
            mean=(round(float(seen.mean()), 4),),
            std=(round(float(seen.std()), 4),),
            image_size=(8, 8),
            origin={"train": "scikit-learn's digits", "test": "401 of scikit-learn's digits"},
        )
