"""Images with a class for each pixel: ROOT/images/*.jpg and ROOT/masks/*.png of the same names."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vit.data.annotations.class_maps import MappedFiles, meanings
from vit.data.annotations.map_classes import MapClasses, of_file, of_palette, of_values, sound
from vit.data.annotations.mask_names import ends_with, paired, unpaired
from vit.data.annotations.mask_places import (
    SPLIT,
    Place,
    folders_left_out,
    folders_within,
    siblings,
)
from vit.data.core.sources import Contents
from vit.data.core.split_lists import members, require_splits
from vit.data.folder import PHOTO_MEAN, PHOTO_STD, existing_folder, image_files
from vit.data.kinds.segmentation import SegmentationData
from vit.faults import did_you_mean, shorten
from vit.structures import IGNORED

NAMES = re.compile(r"class|label|name|categor", re.IGNORECASE)  # in the names of files of classes


@dataclass(kw_only=True, eq=False)
class MaskFolder(SegmentationData):
    """An image's map is the PNG of the same name under `masks`, whatever folders lie between.

    It has 8 bits per pixel, grey or with a palette, and its values are the classes; 255 is where
    nobody said, unless the keys below give it another meaning. Where ROOT/images/train exists, it
    holds the training images, and the other splits are its neighbours as far as they exist; else
    all images are train, and val is carved from them.

    Args:
        root: the folder; `~` is understood.
        images, masks: the folders in it; with {split} in both, such as {split} and {split}annot,
            each split has its own.
        train_folder, val_folder, test_folder: the names in both, or in place of {split}; null
            leaves one out.
        split_files: split → a file in root with the name of an image a line, such as
            {train: train.txt, val: val.txt}, where no folders part the images. Images in no list
            are left out.
        image_suffix, mask_suffix: what the names of images and of masks have behind what they
            share, such as _mask; masks may then lie beside their images.
        classes: the names of the classes in the order of their values; None reads classes_file.
        classes_file: in root, a name a line; or a .json with a list of names, or value → name.
        values: value → name, such as {0: background, 255: lesion}; stands for classes and
            class_values.
        palette: name → [red, green, blue], where maps have colours for classes; or a file in root
            that holds it (.json, .csv or .txt, with a name and three numbers a line).
        ignore_classes: names among these classes whose pixels neither train nor count.
        reduce_zero_label: the classes begin with value 1, and 0 is where nobody said.
        class_values: the value of each class in a map, such as 0 and 255; None counts from 0.
        ignore_value: the value, or values, where nobody said; None is 255, which is a class where
            class_values has it.
    """

    root: str
    images: str = "images"
    masks: str = "masks"
    train_folder: str = "train"
    val_folder: str | None = "val"
    test_folder: str | None = "test"
    split_files: dict[str, str] | None = None
    image_suffix: str = ""
    mask_suffix: str = ""
    classes: tuple[str, ...] | None = None
    classes_file: str = "classes.txt"
    values: dict[Any, str] | None = None
    palette: dict[str, Any] | str | None = None
    ignore_classes: tuple[str, ...] = ()
    reduce_zero_label: bool = False
    class_values: tuple[int, ...] | None = None
    ignore_value: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("class_values", "ignore_value"):
            given = getattr(self, key)
            values = () if given is None else given if isinstance(given, tuple) else (given,)
            if min(values, default=0) < 0 or max(values, default=0) > 255:
                raise ValueError(f"data.{key}={given}; wanted 0 to 255, as in a PNG of 8 bits.")
            if len(set(values)) < len(values):
                raise ValueError(f"data.{key}={given}; wanted each value once.")
        values = self.class_values or ()
        if values and self.reduce_zero_label:
            raise ValueError(
                "data.class_values says where classes begin, and data.reduce_zero_label=true that "
                "they begin with 1; take one of them."
            )
        if self.ignore_value not in (None, IGNORED) and (
            both := sorted({*values} & {*self._ignored})
        ):
            raise ValueError(
                f"data.ignore_value={self.ignore_value}: {both[0]} is in data.class_values too."
            )
        self._require_one_way()

    def _require_one_way(self) -> None:
        """Raises ValueError with all keys that say of one thing two things."""
        numbers = {
            "class_values": self.class_values is not None,
            "reduce_zero_label": self.reduce_zero_label,
        }
        others = {
            "values": {"classes": self.classes is not None, **numbers},
            "palette": {
                "classes": self.classes is not None,
                "values": self.values is not None,
                **numbers,
                "ignore_value": self.ignore_value is not None,
            },
            "ignore_classes": {"reduce_zero_label": self.reduce_zero_label},
        }
        clashes = [
            f"data.{key} and data.{other}"
            for key, of_key in others.items()
            if getattr(self, key)
            for other, is_set in of_key.items()
            if is_set
        ]
        apart = [key for key in ("images", "masks") if SPLIT in getattr(self, key)]
        if apart and self.split_files is not None:
            clashes.append(f"data.split_files and {SPLIT} in data.{apart[0]}")
        if clashes:
            raise ValueError(f"{'; '.join(clashes)}: each says what the other does; take one.")
        if len(apart) == 1:
            raise ValueError(
                f"data.images={self.images}, data.masks={self.masks}; wanted {SPLIT} in both, or "
                "in none."
            )
        if self.images == self.masks and self.image_suffix == self.mask_suffix:
            raise ValueError(
                f"data.images and data.masks are both {self.masks!r}; wanted data.mask_suffix, "
                "such as _mask, by which masks are told from images."
            )
        if self.split_files is not None:
            require_splits(self.split_files)

    @property
    def _folders(self) -> dict[str, str | None]:
        return {"train": self.train_folder, "val": self.val_folder, "test": self.test_folder}

    @property
    def _ignored(self) -> tuple[int, ...]:
        given = IGNORED if self.ignore_value is None else self.ignore_value
        return given if isinstance(given, tuple) else (given,)

    def read(self) -> Contents[MappedFiles]:
        root = existing_folder(self.root, "data.root")
        if SPLIT in self.images:
            usual = {"val": type(self).val_folder or "", "test": type(self).test_folder or ""}
            places = siblings(root, self.images, self.masks, self._folders, usual)
        else:
            images = existing_folder(str(root / self.images), "data.images")
            masks = existing_folder(str(root / self.masks), "data.masks")
            folders = folders_within(images, self._folders)
            places = {split: Place(images, masks, name) for split, name in folders.items()}
        classes = self._classes(root)
        meaning, colours = self._meaning(classes)
        contents: Contents[MappedFiles] = Contents(
            {},
            class_names=classes.names,
            channels=3,
            mean=PHOTO_MEAN,
            std=PHOTO_STD,
            origin={split: str(place.images / place.inside) for split, place in places.items()},
        )
        found = {
            split: self._mapped(place, meaning, colours, contents)
            for split, place in places.items()
        }
        if self.split_files is not None:
            found = self._of_lists(root, found["train"], self.split_files, contents)
        contents.sources = found
        if SPLIT not in self.images:
            contents.warnings += folders_left_out(images, folders)
        return contents

    def _mapped(
        self,
        place: Place,
        meaning: np.ndarray,
        colours: np.ndarray | None,
        contents: Contents[MappedFiles],
    ) -> MappedFiles:
        """A split's files; what is wrong and what is odd goes into `contents`."""
        images, masks, inside = place
        others: Counter[str] = Counter()
        found = sorted(image_files(images, inside, others))
        if others:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(others.items()))
            contents.warnings.append(f"{images / inside}: left out, as no images: {kinds}.")
        if images == masks and self.mask_suffix:
            found = [name for name in found if not ends_with(name, self.mask_suffix)]
        if self.image_suffix:
            every = len(found)
            found = [name for name in found if ends_with(name, self.image_suffix)]
            if len(found) < every:
                contents.warnings.append(
                    f"{images / inside}: {every - len(found):,} images without "
                    f"{self.image_suffix!r} (data.image_suffix) are left out."
                )
        pairs, lonely = paired(masks, inside, found, self.image_suffix, self.mask_suffix)
        if self.split_files is None:
            contents.faults += unpaired(images / inside, masks / inside, found, pairs, lonely)
            if lonely and any(pairs):
                contents.warnings.append(
                    f"{masks / inside}: {len(lonely)} masks have no image, and are left out: "
                    f"{shorten(lonely)}."
                )
        return MappedFiles(
            root=images,
            names=np.array(found, dtype=bytes),
            labels=np.zeros(len(found), dtype=np.int64),  # to tell would take reading all maps
            masks_root=masks,
            mask_names=np.array([name or b"" for name in pairs], dtype=bytes),
            meaning=meaning,
            colours=colours,
        )

    def _of_lists(
        self, root: Path, whole: MappedFiles, lists: dict[str, str], contents: Contents[MappedFiles]
    ) -> dict[str, MappedFiles]:
        """The splits of the lists; an image that is in none may lack its mask."""
        if (whole.root / self.train_folder).is_dir():
            raise ValueError(
                f"data.split_files names lists, and {whole.root} holds the split "
                f"{self.train_folder!r}; wanted one of them (data.split_files=null)."
            )
        names = whole.names.tolist()
        chosen = members(lists, root, names, contents.faults, contents.warnings)
        found = {}
        for split, at in chosen.items():
            masks = whole.mask_names[at]
            pairs = [name or None for name in masks.tolist()]
            inside = [names[position] for position in at.tolist()]
            contents.faults += unpaired(whole.root, whole.masks_root, inside, pairs, [])
            found[split] = replace(
                whole, names=whole.names[at], labels=whole.labels[at], mask_names=masks
            )
        contents.origin = {split: str(root / lists[split]) for split in found}
        return found

    def _classes(self, root: Path) -> MapClasses:
        found = self._named(root)
        if found.values is not None and len(found.values) != len(found.names):
            raise ValueError(
                f"data.class_values={list(found.values)}; wanted a value for each of the "
                f"{len(found.names)} classes {', '.join(found.names[:5])}."
            )
        if self.ignore_value not in (None, IGNORED) and self.ignore_value in (found.values or ()):
            name = found.names[(found.values or ()).index(self.ignore_value)]
            raise ValueError(f"data.ignore_value={self.ignore_value} is the value of {name!r} too.")
        return found.without(self.ignore_classes)

    def _named(self, root: Path) -> MapClasses:
        """The classes with those that are to be ignored."""
        if self.palette is not None:
            return of_palette(self.palette, root)
        if self.values is not None:
            return of_values(self.values, "data.values")
        if self.classes is not None:
            return MapClasses(sound(self.classes, "data.classes"), self.class_values)
        file = root / self.classes_file
        if not file.is_file():
            texts = sorted(path.name for path in root.iterdir() if NAMES.search(path.name))
            near = did_you_mean(self.classes_file, texts)
            raise ValueError(
                f"data.classes_file: there is no {file}.{near} Write the name of a class a "
                "line, in the order of their values, or set data.classes=[…]."
            )
        found = of_file(file)
        if found.values is None:
            return replace(found, values=self.class_values)
        if self.class_values is not None or self.reduce_zero_label:
            raise ValueError(
                f"{file} says the value of each class; wanted neither data.class_values nor "
                "data.reduce_zero_label beside it."
            )
        return found

    def _meaning(self, classes: MapClasses) -> tuple[np.ndarray, np.ndarray | None]:
        """See MappedFiles."""
        if classes.colours is not None:
            colours = np.array([*classes.colours, *classes.void_colours], dtype=np.uint8)
            void = tuple(range(len(classes.names), len(colours)))
            return meanings(len(classes.names), ignored=void), colours
        ignored = (*self._ignored, *classes.void_values)
        return meanings(len(classes.names), self.reduce_zero_label, ignored, classes.values), None
