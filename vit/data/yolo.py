"""Boxes, or polygons, as YOLO's tools write them: a data.yaml, and a .txt beside each image."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from vit.data.annotations.files import AnnotatedFiles, contents_of
from vit.data.annotations.raw import Bad, RawAnnotations, from_records
from vit.data.annotations.yolo_labels import LabelFiles, meanings, read_labels, under
from vit.data.annotations.yolo_yaml import read_yaml
from vit.data.core.sources import Contents
from vit.data.folder import existing_folder
from vit.data.kinds.detection import DetectionData
from vit.faults import Fault


@dataclass(kw_only=True, eq=False)
class Yolo(DetectionData[AnnotatedFiles]):
    """Images in .../images/..., and for each a file of the same name in .../labels/...

    A line is an object: class number, centre x and y, width and height, as fractions of the image;
    or class number and the x and y of a polygon's corners; or, where the file below has
    `kpt_shape`, class number, box and keypoints, of which the box is read. An image without a
    file, or with an empty one, has no object. Reads the header of every image, since fractions say
    no pixels.

    Args:
        root: the folder of the file below; `~` is understood.
        file: names the folders (or lists of files) of the splits, and the classes.
    """

    root: str
    file: str = "data.yaml"

    def read(self) -> Contents[AnnotatedFiles]:
        root = existing_folder(self.root, "data.root")
        file = root / self.file
        if file.is_dir():
            raise ValueError(f"data.file={self.file}: {file} is a folder; wanted a YAML file.")
        if not file.is_file():
            near = ", ".join(sorted(path.name for path in root.glob("*.y*ml"))) or "no .yaml"
            raise ValueError(f"data.file={self.file}: there is no {file}; {root} holds {near}.")
        yaml = read_yaml(file)
        faults: list[Fault] = []
        warnings: list[str] = []
        splits: dict[str, RawAnnotations] = {}
        class_of = {number: number for number in range(len(yaml.class_names))}
        label_files = LabelFiles()
        for split, images in yaml.images.items():
            origin = f"{file}, {split}"
            warnings += [f"{origin}: {line}" for line in yaml.left_out[split]]
            splits[split] = _read_split(
                origin, root, images, yaml.keypoint_numbers, label_files, class_of, faults, warnings
            )
        class_ids = tuple(class_of)
        contents = contents_of(splits, yaml.class_names, class_ids, self.masks, faults)
        contents.warnings += [*warnings, *label_files.unused(), *yaml.warnings]
        return contents


def _read_split(
    origin: str,
    root: Path,
    images: list[Path],
    keypoint_numbers: int,
    label_files: LabelFiles,
    class_of: dict[int, int],
    faults: list[Fault],
    warnings: list[str],
) -> RawAnnotations:
    """The objects of a split's images; what is wrong and what is odd go into the two lists."""
    bad, lines = Bad(), Counter[int]()
    users = Counter(labels for path in dict.fromkeys(images) if (labels := label_files.of(path)))
    shared = {labels for labels, count in users.items() if count > 1}
    for labels in sorted(shared):
        bad.add("one file of labels is of two or more images", under(root, labels))
    records = []
    for path in images:
        own = label_files.of(path)
        labels = None if own in shared else own
        records.append(read_labels(path, labels, root, keypoint_numbers, lines, bad))
    faults += bad.faults(origin)
    warnings += [f"{origin}: {line}" for line in meanings(lines, keypoint_numbers)]
    lacking = sum(label_files.of(path) is None for path in images)
    if lacking:
        warnings.append(f"{origin}: {lacking:,} of {len(images):,} images have no file of labels.")
    return from_records(origin, root, records, class_of)
