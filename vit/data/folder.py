"""Any folder of images: ROOT/CLASS/*.jpg, or ROOT/{train,val,test}/CLASS/*.jpg."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from vit.data.core.class_names import same_numbers
from vit.data.core.file_names import expanded
from vit.data.core.images import SUFFIXES
from vit.data.core.sources import Contents, FileSource, Source
from vit.data.core.split_lists import members, require_splits
from vit.data.core.split_names import split_of, words_for
from vit.data.core.unsound import require_sound
from vit.data.formats.archives import is_archive, unpacking
from vit.data.kinds.classification import ClassificationData
from vit.faults import Fault, did_you_mean, shorten

# The customary statistics for photos: those of ImageNet, arXiv:1512.03385 and ever since.
PHOTO_MEAN = (0.485, 0.456, 0.406)
PHOTO_STD = (0.229, 0.224, 0.225)
OF_THE_KERNEL = ("/proc/", "/sys/")  # whose links lead all over the disk
MASKS = re.compile(r"mask|label|annot|segm|^gt$|truth", re.I)  # what people call such folders
LITTER = ("thumbs.db", "desktop.ini")  # what Windows leaves in folders of images


@dataclass(kw_only=True, eq=False)
class Folder(ClassificationData):
    """Images in one folder per class, which gives the class its name.

    Where ROOT/train holds folders, these are the classes with their training images, and ROOT/val
    and ROOT/test are the other splits as far as they exist; else ROOT itself holds the classes,
    and val is carved from them. Class folders may have folders of their own inside.

    Args:
        root: the folder; `~` is understood.
        train_folder, val_folder, test_folder: the names in ROOT; null leaves one out. ImageNet
            has no test that one may see: val_folder=null test_folder=val keeps its val for that.
        split_files: split → a file in ROOT with the name of an image a line, such as
            {train: train.txt, val: val.txt}; ROOT itself then holds the classes. Images in no list
            are left out.
    """

    root: str
    train_folder: str = "train"
    val_folder: str | None = "val"
    test_folder: str | None = "test"
    split_files: dict[str, str] | None = None

    def read(self) -> Contents[Source]:
        root = existing_folder(self.root, "data.root")
        warnings: list[str] = []
        if self.split_files is not None:
            return self._read_lists(root, self.split_files, warnings)
        folders = split_folders(
            root, self.train_folder, self.val_folder, self.test_folder, warnings
        )
        sources, class_names = read_folders(folders, warnings)
        return Contents(
            sources=sources,
            class_names=class_names,
            channels=3,
            mean=PHOTO_MEAN,
            std=PHOTO_STD,
            origin={split: str(folder) for split, folder in folders.items()},
            faults=same_numbers(class_names, str(folders["train"])),
            warnings=warnings,
        )

    def _read_lists(
        self, root: Path, lists: dict[str, str], warnings: list[str]
    ) -> Contents[Source]:
        require_splits(lists)
        parted = [folder.name for folder in subfolders(root) if split_of(folder.name)]
        if parted and subfolders(root / parted[0]):
            raise ValueError(
                f"data.split_files names lists, and {root} holds the splits {shorten(parted)}; "
                "wanted the class folders in data.root, or data.split_files=null."
            )
        whole, class_names = read_folders({"train": root}, warnings)
        everything = whole["train"]
        assert isinstance(everything, FileSource)
        faults: list[Fault] = []
        chosen = members(lists, root, everything.names.tolist(), faults, warnings)
        require_sound(faults)
        return Contents(
            sources={
                split: FileSource(root, everything.names[at], everything.labels[at])
                for split, at in chosen.items()
            },
            class_names=class_names,
            channels=3,
            mean=PHOTO_MEAN,
            std=PHOTO_STD,
            origin={split: str(root / lists[split]) for split in chosen},
            faults=same_numbers(class_names, str(root)),
            warnings=warnings,
        )


def existing_folder(path: str, key: str) -> Path:
    """Raises ValueError, with what does exist, where there is no such folder."""
    folder = expanded(path)
    if folder.is_dir():
        if f"{os.path.realpath(folder)}/".startswith(OF_THE_KERNEL):
            raise ValueError(f"{key}={path} is the system's own; wanted a folder of data.")
        return folder
    if folder.exists() and is_archive(folder):
        raise ValueError(
            f"{key}={path} is an archive; wanted a folder. Unpack it once:\n"
            f"    {unpacking(folder, key)}"
        )
    if folder.exists():
        raise ValueError(f"{key}={path} is a file; wanted a folder.")
    nearest = next(parent for parent in folder.absolute().parents if parent.is_dir())
    missing = folder.absolute().relative_to(nearest).parts[0]
    near = did_you_mean(missing, sorted(entry.name for entry in nearest.iterdir()))
    raise ValueError(f"{key}={path} does not exist: {nearest} holds no {missing!r}.{near}")


def split_folders(
    root: Path, train: str, val: str | None, test: str | None, warnings: list[str]
) -> dict[str, Path]:
    """Split → the folder of its class folders: only train, and ROOT, where ROOT has no splits.

    Raises ValueError where there is a train folder and others that belong to no split, or folders
    that look like splits by another name. A folder that is left out goes into `warnings`.
    """
    present = {folder.name for folder in subfolders(root)}
    if train not in present or not subfolders(root / train):  # trains may be a class, with planes
        like = {name for name in present if split_of(name)}
        # Beside other folders, two splits that hold folders are hardly two classes.
        deep = {split_of(name) for name in like if subfolders(root / name)}
        if like and (present <= {train, *like} or {"train"} < deep):
            words = words_for(like, "folder")
            raise ValueError(
                f"{root} holds {shorten(sorted(like))}, which look like splits and not like "
                f"classes, but no class folders in {train!r}. Set data.train_folder to the one "
                f"to train on{f': {words}' if words else ''}."
            )
        _require_no_inner_splits(root, present)
        return {"train": root}
    wanted = {"train": train, "val": val, "test": test}
    found = {split: root / name for split, name in wanted.items() if name in present}
    for name in sorted(present - {folder.name for folder in found.values()}):
        split = split_of(name) or "train"
        if split not in found and wanted[split] is not None:
            raise ValueError(
                f"{root} holds {name!r} beside {train!r}; what is it for? Set "
                f"data.{split}_folder={name}, or data.{split}_folder=null to leave it out."
            )
        if split in found:
            count = sum(1 for _ in image_files(root, name))
            warnings.append(f"{root}: the folder {name!r} with {count:,} images is left out.")
    return found


def _require_no_inner_splits(root: Path, present: set[str]) -> None:
    """Raises ValueError where ROOT holds one folder only, which holds the splits."""
    if len(present) != 1:
        return
    (name,) = present
    inner = sorted(folder.name for folder in subfolders(root / name))
    if "train" in map(split_of, inner):
        raise ValueError(
            f"{root} holds {name!r} alone, and that holds {shorten(inner)}; set "
            f"data.root={root / name}."
        )


def read_folders(
    folders: dict[str, Path], warnings: list[str]
) -> tuple[dict[str, Source], tuple[str, ...]]:
    """Split → its files with their classes; and the names of the classes, sorted.

    The class folders of all splits are the classes, the empty ones too: the check tells those, and
    those that train lacks. Files that are left out, for their endings or since they lie in no class
    folder, are counted into `warnings`. Raises ValueError where train has none.
    """
    train = folders["train"]
    here = {split: [each.name for each in subfolders(folder)] for split, folder in folders.items()}
    class_names = tuple(sorted({name for names in here.values() for name in names}))
    if not here["train"]:
        loose = sum(1 for _ in image_files(train, ""))
        raise ValueError(
            f"{train} holds {loose} images but no folder; wanted a folder per class, "
            "ROOT/CLASS/*.jpg, or a table of paths and labels (data=table)."
        )
    sources: dict[str, Source] = {}
    for split, folder in folders.items():
        others: Counter[str] = Counter()
        files = {name: sorted(image_files(folder, name, others)) for name in here[split]}
        warnings += left_out(folder, others)
        names = [name for group in class_names for name in files.get(group, ())]
        counts = [len(files.get(name, ())) for name in class_names]
        sources[split] = FileSource(
            root=folder,
            names=np.array(names, dtype=bytes),
            labels=np.repeat(np.arange(len(class_names)), counts),
        )
    warnings += _like_masks(train, class_names, sources["train"])
    return sources, class_names


def _like_masks(train: Path, class_names: tuple[str, ...], source: Source) -> list[str]:
    """A warning where one of two classes is called as masks are, and has the other's file names."""
    masks = [name for name in class_names if MASKS.search(name)]
    if len(class_names) != 2 or len(masks) != 1 or not isinstance(source, FileSource):
        return []
    stems: dict[str, set[str]] = {name: set() for name in class_names}
    for name in source.names.tolist():
        path = PurePosixPath(os.fsdecode(name))
        stems[path.parts[0]].add(path.with_suffix("").relative_to(path.parts[0]).as_posix())
    one, other = stems.values()
    if not one or len(one & other) < len(one | other) / 2:
        return []
    images = next(name for name in class_names if name not in masks)
    return [
        f"{train}: {images!r} and {masks[0]!r} are taken for two classes, and their files have the "
        f"same names; if {masks[0]!r} holds masks: task=segmentation data=mask_folder "
        f"data.images={images} data.masks={masks[0]}"
    ]


def subfolders(folder: Path) -> list[Path]:
    return sorted(
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith((".", "__MACOSX")) and entry.is_dir()
    )


def left_out(folder: Path, others: Counter[str]) -> list[str]:
    """A line for files that are no images by their endings, and one for images beside classes."""
    lines = []
    if others:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(others.items()))
        ends = ", ".join(SUFFIXES)
        lines.append(f"{folder}: files that are left out, as none ends with {ends}: {kinds}.")
    with os.scandir(folder) as entries:
        loose = sorted(
            entry.name
            for entry in entries
            if entry.name.lower().endswith(SUFFIXES) and not entry.is_dir()
        )
    loose = [name for name in loose if not name.startswith(".")]
    if loose:
        lines.append(
            f"{folder}: {len(loose):,} images lie beside its folders, and are left out: "
            f"{shorten(loose)}."
        )
    return lines


def image_files(
    root: Path,
    inside: str,
    others: Counter[str] | None = None,
    suffixes: tuple[str, ...] = SUFFIXES,
) -> Iterator[bytes]:
    """Paths under `root`, from the folder `inside` down; links to folders are followed once.

    What has another ending, in small letters, or is no regular file, is counted in `others`.
    """
    others = Counter() if others is None else others
    seen: set[str] = set()
    begin = os.path.realpath(root / inside)
    waiting = [inside]
    while waiting:
        where = waiting.pop()
        real = os.path.realpath(root / where)
        if real in seen:
            continue
        if real != begin and Path(begin).is_relative_to(real):
            others["links in a circle"] += 1
            continue
        seen.add(real)
        with os.scandir(root / where) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                name = f"{where}/{entry.name}" if where else entry.name
                if is_folder(entry):
                    waiting.append(name)
                elif not entry.name.lower().endswith(suffixes):
                    if entry.name.lower() not in LITTER:
                        others[Path(entry.name).suffix.lower() or "without ending"] += 1
                elif entry.is_symlink() or entry.is_file():
                    yield os.fsencode(name)  # where a link leads to is for the look at the image
                else:
                    others["pipes and devices"] += 1


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Also of a link to one; False for a link that leads back to itself."""
    try:
        return entry.is_dir()
    except OSError:
        return False
