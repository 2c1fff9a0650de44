"""Boxes in tables, a row each: TensorFlow's form, Open Images', or columns that are named."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vit.data.annotations.box_rows import ImageNames, columns_of, records_of
from vit.data.annotations.files import AnnotatedFiles, contents_of
from vit.data.annotations.raw import Bad, ImageRecord, from_records, size_or_none
from vit.data.annotations.unseen_objects import without_unseen_objects
from vit.data.core.class_names import same_numbers, sorted_names
from vit.data.core.file_names import expanded
from vit.data.core.groups import shared_groups
from vit.data.core.sources import Contents
from vit.data.core.split_names import counterparts
from vit.data.core.unseen_classes import UnseenClasses
from vit.data.core.unsound import require_sound
from vit.data.folder import existing_folder, image_files
from vit.data.kinds.detection import DetectionData
from vit.data.table import read_columns
from vit.faults import Fault, shorten


@dataclass(kw_only=True, eq=False)
class BoxTable(DetectionData[AnnotatedFiles]):
    """A table (.csv, .tsv, .parquet) with a row a box; several rows have one image.

    Corners are pixels from the image's corner, or fractions of its sides where the boxes as a
    whole stay within 1, as Open Images' do. A row without class and corners is an image without a
    box. Where no columns give width and height, the header of every image is read. Open Images'
    IsGroupOf is a crowd: neither trained on nor counted.

    Args:
        train, val, test: the tables; without val or test a part of train is set aside
            (val_fraction, test_fraction).
        root: where the names of images start; None is the folder of each table. A name may lack
            its ending, or folders in root, where one file alone is meant.
        image_column, class_column: names of columns; None takes those of the two forms.
        box_columns: of left, top, right, bottom; None takes xmin, ymin, xmax, ymax or x1, ….
        split_column: a column of train, val and test in the table of train; None: all is train.
        group_column: of what belongs together, such as a camera: no group is in two splits.
        classes: all class names in order; None takes those of train, sorted.
        on_unseen_class: stop at classes of val or test that train lacks, or leave their boxes out;
            with `classes` None.
        first_pixel: 0 where corners are edges, as in TensorFlow's form; 1 where they count pixels
            from 1, the last one inside, as in tables made of VOC's files.
        unlisted: what an image under root is that no row names: "leave_out", or an image of train
            without a box ("background").
    """

    train: str
    val: str | None = None
    test: str | None = None
    root: str | None = None
    image_column: str | None = None
    class_column: str | None = None
    box_columns: tuple[str, ...] | None = None
    split_column: str | None = None
    group_column: str | None = None
    classes: tuple[str, ...] | None = None
    on_unseen_class: UnseenClasses = "error"
    first_pixel: Literal[0, 1] = 0
    unlisted: Literal["leave_out", "background"] = "leave_out"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.masks:
            raise ValueError("data.masks=true: a table of boxes holds no outlines; wanted false.")
        if self.split_column is not None and (self.val or self.test):
            raise ValueError(
                f"data.split_column={self.split_column} parts data.train, and data.val or test "
                "is a table too; wanted one of them."
            )

    def read(self) -> Contents[AnnotatedFiles]:
        files = self._tables()
        roots = {split: self._root_of(file) for split, file in files.items()}
        images = {root: ImageNames(sorted(image_files(root, ""))) for root in {*roots.values()}}
        faults: list[Fault] = []
        splits: dict[str, list[ImageRecord]] = {}
        for split, file in files.items():
            splits |= self._records(split, file, roots[split], images[roots[split]], faults)
        if not faults and "train" not in splits:
            message = f"no row has {self.split_column} = train."
            faults.append(Fault(str(files["train"]), message))
        require_sound(faults)
        warnings = self._left_out(roots, images, splits) + self._beside(files)
        first = str(files["train"])
        names = self.classes
        if names is None:
            names = sorted_names({str(ref) for one in splits["train"] for ref in one.class_refs})
            faults += same_numbers(names, first)
        if not names:
            require_sound([Fault(first, "no row that is in train has a class.")])
        class_of = {name: number for number, name in enumerate(names)}
        tables = {split: files.get(split, files["train"]) for split in splits}
        origins = {
            split: str(file) if split in files else f"{file}, {split}"
            for split, file in tables.items()
        }
        if self.classes is None:
            how = self.on_unseen_class
            without_unseen_objects(splits, origins, names, how, faults, warnings)
        ready = {
            split: from_records(origins[split], self._root_of(tables[split]), records, class_of)
            for split, records in splits.items()
        }
        ids = tuple(range(1, len(names) + 1))
        contents = contents_of(ready, tuple(names), ids, False, faults)
        contents.warnings += warnings
        if self.group_column is not None:
            # An image without a row is a group of its own.
            contents.groups = {
                split: np.array([one.group or f"\0{one.name}" for one in records])
                for split, records in splits.items()
            }
            contents.faults += shared_groups(contents.groups, self.group_column)
        return contents

    def _tables(self) -> dict[str, Path]:
        """Split → its table; raises Unsound with each that is not there, or is of two splits."""
        faults: list[Fault] = []
        found: dict[str, Path] = {}
        for split, name in (("train", self.train), ("val", self.val), ("test", self.test)):
            if name is None:
                continue
            file = expanded(name)
            other = next((one for one in found if found[one].resolve() == file.resolve()), None)
            if not file.is_file():
                message = f"data.{split}={name} is no file; wanted .csv, .tsv or .parquet."
                faults.append(Fault("data", message))
            elif other is not None:
                message = (
                    f"data.{split}={name} is the file of {other} too; a test on training data "
                    f"says nothing. data.{split}=null sets a part of train aside."
                )
                faults.append(Fault("data", message))
            else:
                found[split] = file
        require_sound(faults)
        return found

    def _root_of(self, file: Path) -> Path:
        return file.parent if self.root is None else existing_folder(self.root, "data.root")

    def _records(
        self, split: str, file: Path, root: Path, images: ImageNames, faults: list[Fault]
    ) -> dict[str, list[ImageRecord]]:
        """The images of a table, by their splits where it has such a column."""
        table = read_columns(file)
        asked = self.image_column, self.class_column, self.box_columns
        columns, wrong = columns_of([*table], *asked, self.split_column, self.group_column)
        if columns is None:
            faults += [Fault(str(file), line) for line in wrong]
            return {}
        bad = Bad()
        found = records_of(table, columns, split, images, root, self.first_pixel, bad)
        faults += bad.faults(str(file))
        return found

    def _left_out(
        self,
        roots: dict[str, Path],
        images: dict[Path, ImageNames],
        splits: dict[str, list[ImageRecord]],
    ) -> list[str]:
        """A line for images that no row names; those of train's folder may become its own."""
        lines = []
        for root, there in images.items():
            at = [split for split in splits if roots.get(split, roots["train"]) == root]
            named = {one.name for split in at for one in splits[split]}
            left = [name for name in there.files if name not in named]
            if left and self.unlisted == "background" and root == roots["train"]:
                splits["train"] += [ImageRecord(name, size_or_none(root / name)) for name in left]
            elif left:
                lines.append(
                    f"{root}: {len(left):,} of {len(there.files):,} images stand in no row, and "
                    f"are left out, such as {shorten(left[:1])}; data.unlisted=background takes "
                    "them for images without a box."
                )
        return lines

    def _beside(self, files: dict[str, Path]) -> list[str]:
        """A line for each table that looks like a split that nobody asked for."""
        return [
            f"{near[0]} looks like the {split} of these data, and is not read: "
            f"data.{split}={near[0]}."
            for split in ("val", "test")
            if split not in files and self.split_column is None
            if (near := counterparts(files["train"], split))
        ]
