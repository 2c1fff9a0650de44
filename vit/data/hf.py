"""Image data sets of the Hugging Face hub, or saved from there in a folder."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vit.data.core.class_names import same_numbers, sorted_names
from vit.data.core.file_names import expanded
from vit.data.core.sources import ArrowSource, Contents, Source
from vit.data.core.split_names import split_of
from vit.data.folder import PHOTO_MEAN, PHOTO_STD
from vit.data.formats.cells import CONTAINERS, as_text
from vit.data.kinds.classification import ClassificationData
from vit.data.table import label_array
from vit.faults import did_you_mean

SAVED = ("dataset_dict.json", "dataset_info.json", "state.json")  # files that save_to_disk writes


@dataclass(kw_only=True, eq=False)
class HuggingFace(ClassificationData):
    """A data set with an image column and a label column, one label per image or a list.

    Args:
        path: its name on the hub, such as "ylecun/mnist", or a folder: one that `save_to_disk`
            wrote, or of Parquet files or images as `load_dataset` reads it.
        name: its configuration, where it has several.
        revision: a commit of the hub, so that the data stay what they are.
        image_column, label_column: names of columns.
        train_split, val_split, test_split: names of its splits; None leaves one out.
    """

    path: str
    name: str | None = None
    revision: str | None = None
    image_column: str = "image"
    label_column: str = "label"
    train_split: str = "train"
    val_split: str | None = "validation"
    test_split: str | None = "test"

    def read(self) -> Contents[Source]:
        found = self._load()
        wanted = {"train": self.train_split, "val": self.val_split, "test": self.test_split}
        if self.train_split not in found:
            raise ValueError(
                f"{self.path} has no split {self.train_split!r} (data.train_split), "
                f"only {', '.join(found)}." + did_you_mean(self.train_split, found)
            )
        chosen = {split: found[name] for split, name in wanted.items() if name in found}
        left = [name for name in found if name not in wanted.values()]
        for split, name in wanted.items():
            near = [other for other in left if split_of(other) == split]
            if name is not None and split not in chosen and near:
                raise ValueError(
                    f"{self.path} has a split {near[0]!r}, which looks like the {split} of these "
                    f"data; set data.{split}_split={near[0]}, or data.{split}_split=null to leave "
                    "it out."
                )
        warnings = [f"{self.path}: the split {name!r} is left out." for name in left]
        columns = chosen["train"].column_names
        for key in ("image_column", "label_column"):
            column = getattr(self, key)
            if column not in columns:
                raise ValueError(
                    f"{self.path} has no column {column!r} (data.{key}), only "
                    f"{', '.join(columns)}." + did_you_mean(column, columns)
                )
        for split, dataset in chosen.items():
            self._require_alike(dataset.features, chosen["train"].features, str(wanted[split]))
        class_names, several, labels = self._labels(chosen)
        given = _names_in(chosen["train"].features[self.label_column]) is not None
        return Contents(
            sources={
                split: self._source(dataset, labels[split]) for split, dataset in chosen.items()
            },
            class_names=class_names,
            channels=3,
            mean=PHOTO_MEAN,
            std=PHOTO_STD,
            multi_label=several,
            origin={split: f"{self.path}, split {wanted[split]}" for split in chosen},
            faults=[] if given else same_numbers(class_names, self.path),
            warnings=warnings,
        )

    def _load(self) -> Any:
        if not self.path.strip():
            raise ValueError("data.path is empty; wanted a name on huggingface.co or a folder.")
        try:
            import datasets
        except ImportError:
            raise ValueError(
                "data=huggingface needs a package more: pip install 'vit-experiments[hf]'"
            ) from None
        try:
            folder = expanded(self.path)
            if any((folder / name).is_file() for name in SAVED):
                saved = datasets.load_from_disk(str(folder))
                one = isinstance(saved, datasets.Dataset)
                return {self.train_split: saved} if one else saved
            path = str(folder) if folder.is_dir() else self.path
            return datasets.load_dataset(path, self.name, revision=self.revision)
        # The package passes on whatever the network, the hub or a builder raises.
        except Exception as fault:
            raise ValueError(
                f"data.path={self.path} cannot be loaded: {type(fault).__name__}: {fault}. It is "
                "either a name on huggingface.co, fetched once with a network, or a folder "
                "that Dataset.save_to_disk wrote or load_dataset reads."
            ) from fault

    def _require_alike(self, features: Any, train: Any, name: str) -> None:
        """Raises ValueError where a split has no images, or not the columns of train."""
        import datasets

        images, labels = features.get(self.image_column), features.get(self.label_column)
        if not isinstance(images, datasets.Image):
            kind = "not there" if images is None else f"of {images}"
            raise ValueError(
                f"{self.path}, split {name!r}: the column {self.image_column!r} (data.image_column)"
                f" is {kind}; wanted datasets.Image. Of a column of paths: "
                f"dataset.cast_column({self.image_column!r}, datasets.Image())."
            )
        # Numbers stand for names: by another list they would be other classes.
        if labels is None or _names_in(labels) != _names_in(train[self.label_column]):
            found = "not there" if labels is None else labels
            raise ValueError(
                f"{self.path}, split {name!r}: the column {self.label_column!r} "
                f"(data.label_column) is {found}, and in train {train[self.label_column]}. Set the "
                "split's key (data.val_split or data.test_split) to null to leave it out."
            )

    def _source(self, dataset: Any, labels: np.ndarray) -> Source:
        import datasets

        encoded = dataset.select_columns([self.image_column])
        encoded = encoded.cast_column(self.image_column, datasets.Image(decode=False))
        return ArrowSource(encoded, self.image_column, labels)

    def _labels(self, chosen: dict) -> tuple[tuple[str, ...], bool, dict[str, np.ndarray]]:
        """Class names, whether an image has several, and the labels of every split."""
        import datasets

        feature = chosen["train"].features[self.label_column]
        several = isinstance(feature, datasets.List | datasets.LargeList)
        kind = feature.feature if several else feature
        values = {
            split: [
                row if several and row is not None else [row]
                for row in dataset.with_format(None)[self.label_column]
            ]
            for split, dataset in chosen.items()
        }
        if isinstance(kind, datasets.ClassLabel):
            class_names = tuple(kind.names)
            named = {split: _named(rows, class_names, split) for split, rows in values.items()}
        else:
            named = {split: _required(rows, split) for split, rows in values.items()}
            found = {label for rows in named.values() for row in rows for label in row}
            class_names = sorted_names(found)
        labels = {split: label_array(rows, class_names, several) for split, rows in named.items()}
        return class_names, several, labels


def _names_in(feature: Any) -> Any:
    """The list of names that a column's numbers stand for, or None."""
    return getattr(getattr(feature, "feature", feature), "names", None)


def _required(rows: list[list[Any]], split: str) -> list[list[str]]:
    """The labels of each row as text; raises ValueError that counts those without."""
    for at, row in enumerate(rows):
        if kind := next((CONTAINERS[type(one)] for one in row if type(one) in CONTAINERS), ""):
            raise ValueError(f"{split}, row {at}: the label is {kind}; wanted text or a number.")
    found = [[as_text(label) for label in row] for row in rows]
    if none := [at for at, row in enumerate(found) if "" in row]:
        raise ValueError(
            f"{split}, row {none[0]}: no label; {len(none)} of {len(rows)} rows have none."
        )
    return found


def _named(rows: list[list[Any]], class_names: tuple[str, ...], split: str) -> list[list[str]]:
    """The labels of each row by name; raises ValueError that counts those out of range."""
    wrong = [
        (at, label)
        for at, row in enumerate(rows)
        for label in row
        if label is None or not 0 <= label < len(class_names)
    ]
    if wrong:
        at, label = wrong[0]
        raise ValueError(
            f"{split}, row {at}: label {label} is out of range; wanted 0 to "
            f"{len(class_names) - 1} ({len(wrong)} of {len(rows)} rows). Hidden labels are often "
            f"-1: set data.{split}_split=null."
        )
    return [[class_names[label] for label in row] for row in rows]
