"""Well-known sets by name, in the layout in which torchvision keeps them, or as folders."""

import gzip
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from vit.data.core.class_names import same_numbers
from vit.data.core.file_names import expanded
from vit.data.core.sources import ArraySource, Contents, FileSource, Source
from vit.data.folder import PHOTO_MEAN, PHOTO_STD, read_folders
from vit.data.kinds.classification import ClassificationData

# Where Debian's and Ubuntu's package `dataset-fashion-mnist` puts it.
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

Name = Literal[
    "MNIST",
    "FashionMNIST",
    "KMNIST",
    "CIFAR10",
    "CIFAR100",
    "SVHN",
    "STL10",
    "Flowers102",
    "Food101",
    "DTD",
    "FGVCAircraft",
    "EuroSAT",
    "Imagenette",
]


class Known(NamedTuple):
    """What torchvision does not say of a set: its splits, and the statistics of train."""

    splits: dict[str, dict[str, Any]]  # ours → what torchvision's constructor wants
    mean: tuple[float, ...] = PHOTO_MEAN
    std: tuple[float, ...] = PHOTO_STD
    size: tuple[int, int] | None = None


_TWO = {"train": {"train": True}, "test": {"train": False}}
_TWO_NAMED = {"train": {"split": "train"}, "test": {"split": "test"}}
_THREE_NAMED = {name: {"split": name} for name in ("train", "val", "test")}
KNOWN: dict[str, Known] = {
    "MNIST": Known(_TWO, (0.1307,), (0.3081,), (28, 28)),
    "FashionMNIST": Known(_TWO, (0.2860,), (0.3530,), (28, 28)),
    "KMNIST": Known(_TWO, (0.1918,), (0.3483,), (28, 28)),
    "CIFAR10": Known(_TWO, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), (32, 32)),
    "CIFAR100": Known(_TWO, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), (32, 32)),
    "SVHN": Known(_TWO_NAMED, (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970), (32, 32)),
    "STL10": Known(_TWO_NAMED, (0.4467, 0.4398, 0.4066), (0.2603, 0.2566, 0.2713), (96, 96)),
    "Flowers102": Known(_THREE_NAMED),
    "Food101": Known(_TWO_NAMED),
    "DTD": Known(_THREE_NAMED),
    "FGVCAircraft": Known(_THREE_NAMED),
    "EuroSAT": Known({"train": {}}, size=(64, 64)),
    "Imagenette": Known({"train": {"split": "train"}, "test": {"split": "val"}}),
}
IDX = ("MNIST", "FashionMNIST", "KMNIST")
FILES = ("Flowers102", "Food101", "DTD", "FGVCAircraft", "EuroSAT", "Imagenette")


def default_root() -> Path:
    """$VIT_DATA, or `vit/data` in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("VIT_DATA") or Path(cache) / "vit" / "data")


@dataclass(kw_only=True, eq=False)
class TorchvisionSet(ClassificationData):
    """A set that torchvision knows by name.

    Under `root` it may lie as torchvision keeps it (its files of digits and clothes also
    gzipped), or as folders of images, ROOT/{train,test}/CLASS/*. Fashion-MNIST is found by
    itself where Debian's package has put it. A set without val has one carved from train.

    Args:
        name: as the class in torchvision.datasets is called.
        root: the folder; None is $VIT_DATA, or `vit/data` in the cache folder.
        download: let torchvision fetch what is missing, once.
    """

    splits_are_published: ClassVar[bool] = True

    name: Name
    root: str | None = None
    download: bool = False

    def read(self) -> Contents[Source]:
        known = KNOWN[self.name]
        root = default_root() if self.root is None else expanded(self.root)
        warnings: list[str] = []
        if (root / "train").is_dir():
            folders = {split: root / split for split in ("train", "val", "test")}
            folders = {split: folder for split, folder in folders.items() if folder.is_dir()}
            sources, class_names = read_folders(folders, warnings)
            origin = {split: str(folder) for split, folder in folders.items()}
        elif self.name in IDX:
            sources, class_names, origin = self._read_idx(root)
        else:
            sources, class_names = self._read_torchvision(root)
            origin = dict.fromkeys(sources, f"{self.name} in {root}")
        return Contents(
            sources=sources,
            class_names=class_names,
            channels=len(known.mean),
            mean=known.mean,
            std=known.std,
            image_size=known.size,
            origin=origin,
            faults=same_numbers(class_names, str(root)),
            warnings=warnings,
        )

    def _read_idx(self, root: Path) -> tuple[dict[str, Source], tuple[str, ...], dict[str, str]]:
        import torchvision.datasets

        kind = getattr(torchvision.datasets, self.name)
        places = [root / self.name / "raw", root]
        if self.name == "FashionMNIST" and self.root is None:
            places.append(DEBIAN_FASHION_MNIST)
        place = next((place for place in places if _idx_file(place, IDX_FILES["train"][0])), None)
        if place is None and self.download:
            self._make(kind, root, {})
            place = places[0]
        if place is None:
            raise ValueError(self._missing(root))
        sources: dict[str, Source] = {}
        for split, (images, labels) in IDX_FILES.items():
            sources[split] = ArraySource(
                read_idx(place, images), read_idx(place, labels).astype(np.int64)
            )
            if len(sources[split]) != len(sources[split].labels):
                raise ValueError(f"{place}: {images} and {labels} differ in length.")
        return sources, tuple(kind.classes), {split: str(place) for split in sources}

    def _read_torchvision(self, root: Path) -> tuple[dict[str, Source], tuple[str, ...]]:
        import torchvision.datasets

        kind = getattr(torchvision.datasets, self.name)
        sources: dict[str, Source] = {}
        class_names: tuple[str, ...] = ()
        for split, arguments in KNOWN[self.name].splits.items():
            found = self._make(kind, root, arguments)
            sources[split] = _in_memory(found) if hasattr(found, "data") else _files(found)
            names = getattr(found, "classes", None) or range(int(sources[split].labels.max()) + 1)
            # Imagenette gives every class several names.
            class_names = tuple(name[0] if isinstance(name, tuple) else str(name) for name in names)
        return sources, class_names

    def _make(self, kind: Any, root: Path, arguments: dict[str, Any]) -> Any:
        try:
            if self.download:
                root.mkdir(parents=True, exist_ok=True)
            if self.name in FILES:
                arguments = {**arguments, "loader": _path_itself}
            return kind(str(root.absolute()), download=self.download, **arguments)
        # What torchvision raises where files are absent, wrong, or cannot be fetched.
        except (RuntimeError, OSError) as fault:
            raise ValueError(f"{self._missing(root)} ({type(fault).__name__}: {fault})") from fault

    def _missing(self, root: Path) -> str:
        debian = (
            "`apt install dataset-fashion-mnist` on Debian or Ubuntu (found by itself while "
            "data.root is null); "
            if self.name == "FashionMNIST"
            else ""
        )
        return (
            f"{self.name} is not in {root}. Ways to it: {debian}data.download=true to let "
            "torchvision fetch it; data.root=FOLDER where it lies as torchvision keeps it, or as "
            "FOLDER/{train,test}/CLASS/*.png."
        )


IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def _idx_file(place: Path, name: str) -> Path | None:
    return next((file for file in (place / name, place / f"{name}.gz") if file.is_file()), None)


def read_idx(place: Path, name: str) -> np.ndarray:
    """The array of bytes in an IDX file, gzipped or not.

    Raises ValueError where the file is absent, broken off, or something else.

    Source: the file format's description at yann.lecun.com/exdb/mnist, by LeCun, Cortes, Burges.
    """
    file = _idx_file(place, name)
    if file is None:
        raise ValueError(f"{place} lacks {name}, plain or with .gz, though it has other parts.")
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            data = stream.read()
        zeros, kind, dimensions = struct.unpack(">HBB", data[:4])
        shape = struct.unpack(f">{dimensions}I", data[4 : 4 + 4 * dimensions])
        if zeros or kind != 8:  # 8 is the code of unsigned bytes
            raise ValueError("not a file of bytes in IDX format")
        return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as fault:
        raise ValueError(f"{file} is broken ({fault}); remove it and fetch it again.") from None


def _path_itself(path: str | Path) -> str:
    """Stands in for torchvision's reader of images: paths and labels come without decoding."""
    return str(path)


def _files(found: Any) -> FileSource:
    pairs = [found[position] for position in range(len(found))]
    root = os.path.commonpath([path for path, _ in pairs])
    names = [os.fsencode(os.path.relpath(path, root)) for path, _ in pairs]
    return FileSource(
        Path(root), np.array(names, dtype=bytes), np.array([label for _, label in pairs], np.int64)
    )


def _in_memory(found: Any) -> ArraySource:
    images = np.asarray(found.data)
    if images.shape[1] == 3:  # SVHN and STL10 keep the channels first
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    labels = found.targets if hasattr(found, "targets") else found.labels
    return ArraySource(images, np.asarray(labels, dtype=np.int64))
