"""Boxes and masks in COCO's JSON: ROOT/annotations/{train,val,test}.json with ROOT/images."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import join

from vit.data.annotations.categories import class_names, same_names
from vit.data.annotations.coco_json import raw_annotations, read_splits, require_named
from vit.data.annotations.files import AnnotatedFiles, contents_of
from vit.data.core.sources import Contents, FileSource, Source
from vit.data.folder import existing_folder, image_files
from vit.data.kinds.detection import DetectionData
from vit.faults import Fault

SPLITS = ("train", "val", "test")


@dataclass(kw_only=True, eq=False)
class Coco(DetectionData[AnnotatedFiles]):
    """A COCO file per split, and the folder of its images.

    Classes are numbered by the order of their ids in the training file; `facts.class_ids` keep
    those.

    Args:
        root: the folder; `~` is understood.
        train_file, val_file, test_file: JSON files under root; of the last two, the usual names may
            be absent, as null says they are: val is then set aside from train.
        train_images, val_images, test_images: where the names of images start, under root.
    """

    root: str
    train_file: str = "annotations/train.json"
    val_file: str | None = "annotations/val.json"
    test_file: str | None = "annotations/test.json"
    train_images: str = "images"
    val_images: str = "images"
    test_images: str = "images"

    def read(self) -> Contents[AnnotatedFiles]:
        root = existing_folder(self.root, "data.root")
        faults: list[Fault] = []
        files = {"train": self.train_file, "val": self.val_file, "test": self.test_file}
        if not (root / self.train_file).is_file() and (words := layout_words(root)):
            raise ValueError(
                f"data.train_file={self.train_file}: there is no such file in {root}. What is "
                f"there would be read with: {words}"
            )
        require_named(root, files, type(self), "_file")
        found, train = read_splits(root, files, faults)
        class_ids = tuple(sorted(train))
        published = {
            split: raw_annotations(
                file, root / getattr(self, f"{split}_images"), content, class_ids, faults
            )
            for split, (file, content) in found.items()
        }
        names = class_names(train)
        contents = contents_of(published, names, class_ids, self.masks, faults)
        contents.warnings += [
            *unlisted(contents.sources),
            *same_names(train, str(found["train"][0])),
        ]
        return contents


def layout_words(root: Path) -> str:
    """What to say on the command line for a folder as COCO publishes it or Roboflow exports it.

    Empty where it is neither.
    """
    words = []
    for split in SPLITS:
        other = {"val": "valid"}.get(split, split)  # as Roboflow calls it
        files = sorted(root.glob(f"annotations/instances_{split}*.json"))
        for file in [*files, *(root / name / "_annotations.coco.json" for name in (split, other))]:
            if not file.is_file():
                continue
            own = file.stem.removeprefix("instances_")
            near = [own, split, f"images/{own}", f"images/{split}", "images"]
            places = near if file in files else [file.parent.name]
            images = next((name for name in places if (root / name).is_dir()), "images")
            values = {"file": file.relative_to(root), "images": images}
            words += [f"data.{split}_{key}={path}" for key, path in values.items()]
            break
    return join(words) if words and words[0].startswith("data.train_file") else ""


def unlisted(sources: Mapping[str, Source]) -> list[str]:
    """A line for each folder that holds images of which no file of annotations speaks."""
    listed: dict[Path, set[str]] = {}
    for source in sources.values():
        if isinstance(source, FileSource):
            # A name may be absolute, or lead out of the folder and back.
            start = os.path.abspath(source.root)  # noqa: PTH100 - links stay as they are
            paths = (
                os.path.normpath(f"{start}/{name}" if name[:1] != "/" else name)
                for name in map(os.fsdecode, source.names.tolist())
            )
            within = (name.removeprefix(f"{start}/") for name in paths)
            listed.setdefault(source.root, set()).update(within)
    lines = []
    for root, names in listed.items():
        there = {os.fsdecode(name) for name in image_files(root, "")} if root.is_dir() else set()
        left = there - names
        if left:
            lines.append(
                f"{root}: {len(left):,} of {len(there):,} images stand in none of the files of "
                f"annotations, and are left out, such as {min(left)}."
            )
    return lines
