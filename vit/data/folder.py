"""Any folder of images: ROOT/CLASS/*.jpg, or ROOT/{train,val,test}/CLASS/*.jpg."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vit.data.archives import is_archive, unpacking
from vit.data.classification import ClassificationData
from vit.data.images import SUFFIXES
from vit.data.sources import Contents, FileSource, Source
from vit.faults import did_you_mean

# The customary statistics for photos: those of ImageNet, arXiv:1512.03385 and ever since.
PHOTO_MEAN = (0.485, 0.456, 0.406)
PHOTO_STD = (0.229, 0.224, 0.225)

# Names of folders that are hardly ever classes, and what they are then.
SPLIT_LIKE = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


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
    """

    root: str
    train_folder: str = "train"
    val_folder: str | None = "val"
    test_folder: str | None = "test"

    def read(self) -> Contents:
        root = existing_folder(self.root, "data.root")
        folders = split_folders(root, self.train_folder, self.val_folder, self.test_folder)
        sources, class_names = read_folders(folders)
        return Contents(
            sources=sources,
            class_names=class_names,
            channels=3,
            mean=PHOTO_MEAN,
            std=PHOTO_STD,
            origin={split: str(folder) for split, folder in folders.items()},
        )


def existing_folder(path: str, key: str) -> Path:
    """Raises ValueError, with what does exist, where there is no such folder."""
    folder = Path(path).expanduser()
    if folder.is_dir():
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


def split_folders(root: Path, train: str, val: str | None, test: str | None) -> dict[str, Path]:
    """Split → the folder of its class folders: only train, and ROOT, where ROOT has no splits.

    Raises ValueError where there is a train folder and others that belong to no split.
    """
    present = {folder.name for folder in subfolders(root)}
    if train not in present or not subfolders(root / train):  # trains may be a class, with planes
        if present and present <= {train, *SPLIT_LIKE}:
            raise ValueError(
                f"{root} holds {_few(sorted(present))}, which look like splits and not like "
                f"classes, but no class folders in {train!r}. Set data.train_folder to the one "
                "to train on."
            )
        return {"train": root}
    wanted = {"train": train, "val": val, "test": test}
    found = {split: root / name for split, name in wanted.items() if name in present}
    for name in sorted(present - {folder.name for folder in found.values()}):
        split = SPLIT_LIKE.get(name, "train")
        if split not in found and wanted[split] is not None:
            raise ValueError(
                f"{root} holds {name!r} beside {train!r}; what is it for? Set "
                f"data.{split}_folder={name}, or data.{split}_folder=null to leave it out."
            )
    return found


def read_folders(folders: dict[str, Path]) -> tuple[dict[str, Source], tuple[str, ...]]:
    """Split → its files with their classes; and the names of the classes, sorted.

    The class folders of train are the classes, the empty ones too: the check tells those. Raises
    ValueError naming every class folder elsewhere that train does not have.
    """
    train = folders["train"]
    class_names = tuple(folder.name for folder in subfolders(train))
    if not class_names:
        loose = sum(1 for _ in image_files(train, ""))
        raise ValueError(
            f"{train} holds {loose} images but no folder; wanted a folder per class, "
            "ROOT/CLASS/*.jpg, or a table of paths and labels (data=table)."
        )
    sources: dict[str, Source] = {}
    for split, folder in folders.items():
        here = {entry.name for entry in subfolders(folder)}
        unknown = sorted(here - set(class_names))
        if unknown:
            near = did_you_mean(unknown[0], class_names)
            raise ValueError(
                f"{folder} has classes that {train} lacks: {_few(unknown)}.{near} "
                "Every class must have training images."
            )
        files = {name: sorted(image_files(folder, name)) for name in class_names if name in here}
        names = [name for group in files.values() for name in group]
        counts = [len(files.get(name, ())) for name in class_names]
        sources[split] = FileSource(
            root=folder,
            names=np.array(names, dtype=bytes),
            labels=np.repeat(np.arange(len(class_names)), counts),
        )
    return sources, class_names


def subfolders(folder: Path) -> list[Path]:
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.is_dir() and not entry.name.startswith((".", "__MACOSX"))
    )


def image_files(root: Path, inside: str) -> Iterator[bytes]:
    """Paths under `root`, from the folder `inside` down; links to folders are followed once."""
    seen: set[str] = set()
    waiting = [inside]
    while waiting:
        where = waiting.pop()
        real = os.path.realpath(root / where)
        if real in seen:
            continue
        seen.add(real)
        with os.scandir(root / where) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                name = f"{where}/{entry.name}" if where else entry.name
                if entry.is_dir():
                    waiting.append(name)
                elif entry.name.lower().endswith(SUFFIXES):
                    yield os.fsencode(name)


def _few(names: list[str], most: int = 5) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
