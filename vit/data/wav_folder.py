"""Any folder of wav files, seen as pictures of their sound."""

import os
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from vit.data.core.class_names import same_numbers
from vit.data.core.file_names import stored
from vit.data.core.groups import shared_groups
from vit.data.core.images import BadImage, eight_bit
from vit.data.core.sources import Contents, FileSource, Source
from vit.data.core.split_names import split_of
from vit.data.core.unsound import require_sound
from vit.data.folder import existing_folder, image_files
from vit.data.formats.spectrograms import Spectrogram
from vit.data.formats.wav_files import format_of, read_wav
from vit.data.kinds.checks import IMAGES_DECODED, evenly_spaced
from vit.data.kinds.classification import ClassificationData
from vit.faults import Fault, did_you_mean, shorten

LOOKED_AT = 128  # training files from which mean and deviation are taken
KEPT_BYTES = 1 << 28  # of pictures of one split, so that each file is read once
SPLITS = ("train", "val", "test")


@dataclass(eq=False)
class WavSource(FileSource):
    """Sounds as pictures; each is made once where all of them have room in memory."""

    spectrogram: Spectrogram = field(kw_only=True)
    pictures: ClassVar[bool] = False  # the files are none that Pillow could open

    def __post_init__(self) -> None:
        self._made: dict[int, Image.Image] = {}

    def __getstate__(self) -> dict:
        return {**vars(self), "_made": {}}  # workers make their own

    def read(self, position: int, channels: int) -> Image.Image:
        made = self._made.get(position)
        if made is None:
            made = self.spectrogram.picture(self.path(position))
            if len(self) * made.width * made.height <= KEPT_BYTES:
                self._made[position] = made
        return eight_bit(made, channels)

    def size(self, position: int) -> tuple[int, int]:
        return self.spectrogram.mels, self.spectrogram.frames


@dataclass(kw_only=True, eq=False)
class WavFolder(ClassificationData):
    """Sounds with a class each, as log-mel pictures for an image backbone.

    Classes, and where there are any groups and splits, are read from the files' paths by
    `pattern`: the path under `root` without `.wav`, with `{class}` where the class stands.
    `{group}` is who speaks or where it was recorded; `{split}` is train, val or test; any other
    name stands for whatever else there is. "{class}/{name}" is a folder for each class;
    "{class}_{group}_{take}" reads "7_jackson_32.wav".

    Args:
        root: the folder, not an archive of it; `~` is understood.
        pattern: see above.
        test_groups, val_groups: groups that are the test, and val, and never trained on.
        split_by_group: what is set aside of train are whole groups, drawn by `split_seed`.
        sample_rate: Hz that all files are resampled to.
        window_ms, hop_ms: of the Fourier transforms, milliseconds.
        mels: rows of a picture.
        seconds: of sound that a picture shows, a column a hop.
        range_db: what is fainter than the loudest by more is black.
    """

    unit: ClassVar[str] = "sound"

    root: str
    pattern: str = "{class}/{name}"
    test_groups: tuple[str, ...] = ()
    val_groups: tuple[str, ...] = ()
    split_by_group: bool = False
    sample_rate: int = 16_000
    window_ms: float = 25.0
    hop_ms: float = 10.0
    mels: int = 64
    seconds: float = 0.96
    range_db: float = 80.0

    def __post_init__(self) -> None:
        super().__post_init__()
        names = re.findall(r"{(\w+)}", self.pattern)
        wrong = []
        if names.count("class") != 1 or len(set(names)) < len(names):
            wrong.append(
                f"data.pattern={self.pattern!r}; wanted {{class}} and each name once, as in "
                '"{class}_{group}_{take}".'
            )
        if (self.test_groups or self.val_groups) and "group" not in names:
            wrong.append(
                f"data.test_groups and data.val_groups want {{group}} in data.pattern, which is "
                f"{self.pattern!r}."
            )
        if self.split_by_group and "group" not in names:
            wrong.append(
                f"data.split_by_group=true wants {{group}} in data.pattern, which is "
                f"{self.pattern!r}."
            )
        if twice := set(self.test_groups) & set(self.val_groups):
            wrong.append(f"data.test_groups and data.val_groups both have {sorted(twice)}.")
        if wrong:
            raise ValueError(" Also: ".join(wrong))
        _ = self.spectrogram

    @cached_property
    def spectrogram(self) -> Spectrogram:
        return Spectrogram(
            sample_rate=self.sample_rate,
            window_ms=self.window_ms,
            hop_ms=self.hop_ms,
            mels=self.mels,
            seconds=self.seconds,
            range_db=self.range_db,
        )

    def open_file(self, file: Path) -> Image.Image:
        """The picture of a sound of a person's own. Raises BadImage where it is none."""
        return self.spectrogram.picture(file)

    def read(self) -> Contents[Source]:
        root = existing_folder(self.root, "data.root")
        others: Counter[str] = Counter()
        rows = self._files(root, others)
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(others.items()))
        if not rows:
            holds = f", only {kinds}" if kinds else ""
            raise ValueError(f"data.root={self.root} holds no .wav files{holds}.")
        class_names = tuple(sorted({row["class"] for _, row in rows}))
        number = {name: at for at, name in enumerate(class_names)}
        places: dict[str, list[int]] = {}
        for at, (_, row) in enumerate(rows):
            places.setdefault(row["split"], []).append(at)
        if "train" not in places:
            raise ValueError(f"data.root={self.root}: no file is left to train on.")
        sources: dict[str, Source] = {
            split: WavSource(
                root=root,
                names=stored([rows[at][0] for at in places[split]], str(root)),
                labels=np.array([number[rows[at][1]["class"]] for at in places[split]]),
                spectrogram=self.spectrogram,
            )
            for split in SPLITS
            if split in places
        }
        groups: dict[str, np.ndarray] = {}
        if self.split_by_group:
            groups = {
                split: np.array([rows[at][1]["group"] for at in places[split]]) for split in sources
            }
        mean, deviation = _statistics(sources["train"])
        return Contents(
            sources=sources,
            class_names=class_names,
            channels=1,
            mean=(mean,),
            std=(deviation,),
            image_size=(self.mels, self.spectrogram.frames),
            groups=groups,
            origin={split: self._origin(root, split) for split in sources},
            faults=[
                *same_numbers(class_names, str(root)),
                *shared_groups(groups, "true", "data.split_by_group"),
            ],
            warnings=[f"{root}: files that are left out, as no .wav: {kinds}."] if kinds else [],
        )

    def _own_warnings(self) -> list[str]:
        """Also of rates that differ and of channels that cancel each other, in 256 a split."""
        rates: Counter[int] = Counter()
        cancelled = []
        for source in self.contents.sources.values():
            assert isinstance(source, WavSource)
            for position in evenly_spaced(np.arange(len(source)), IMAGES_DECODED).tolist():
                path = source.path(position)
                with suppress(BadImage):  # a fault, reported as such
                    form = format_of(path)
                    rates[form.rate] += 1
                    if form.channels > 1 and read_wav(path).cancelled:
                        cancelled.append(source.name(position))
        lines = super()._own_warnings()
        if len(rates) > 1:
            counts = ", ".join(f"{count} of {rate:,} Hz" for rate, count in rates.most_common())
            lines.append(
                f"sounds of {len(rates)} rates ({counts}) are resampled to {self.sample_rate:,} "
                "Hz; one of a lower rate has no high notes, and a model may go by that"
            )
        if cancelled:
            lines.append(
                f"{len(cancelled)} sounds have channels of opposite phases, whose mean is nothing; "
                f"their loudest channel is taken: {shorten(cancelled)}"
            )
        return lines

    def _origin(self, root: Path, split: str) -> str:
        groups = {"test": self.test_groups, "val": self.val_groups}.get(split, ())
        return f"{root}{': ' if groups else ''}{', '.join(groups)}"

    def _files(self, root: Path, others: Counter[str]) -> list[tuple[str, dict[str, str]]]:
        """Each file's path under root, and what the pattern says of it, its split too.

        What is no .wav is counted in `others` by its ending.
        Raises Unsound naming files that do not fit the pattern, groups that are not there, and
        splits that are none.
        """
        fits = _expression(self.pattern)
        paths = sorted(Path(os.fsdecode(name)) for name in image_files(root, "", others, (".wav",)))
        names = [path.as_posix() for path in paths]
        found = [(name, fits.fullmatch(name[:-4])) for name in names]
        faults: list[Fault] = []
        if unfit := [name for name, match in found if match is None]:
            message = (
                f"{len(unfit)} of {len(names)} files do not fit data.pattern={self.pattern!r}, "
                f"such as {', '.join(unfit[:3])}. Say where the class stands, as in "
                "'data.pattern=\"{class}_{group}_{take}\"' with both kinds of quotes."
            )
            faults.append(Fault("data", message))
        rows = [(name, match.groupdict()) for name, match in found if match is not None]
        groups = {row["group"] for _, row in rows if "group" in row}
        for key, wanted in (("test", self.test_groups), ("val", self.val_groups)):
            for group in wanted if groups else ():
                if group not in groups:
                    near = did_you_mean(group, sorted(groups))
                    known = ", ".join(sorted(groups)[:10])
                    message = f"no {group!r} among {known}.{near}"
                    faults.append(Fault(f"data.{key}_groups", message))
        unknown: list[str] = []
        files = []
        for name, row in rows:
            split = row.get("split", "train")
            split = split_of(split) or split
            if row.get("group") in self.test_groups:
                split = "test"
            elif row.get("group") in self.val_groups:
                split = "val"
            if split not in SPLITS:
                unknown.append(f"{name}: {split!r}")
            files.append((name, {**row, "split": split}))
        if unknown:
            message = (
                f"{{split}} is none of train, val, test: {shorten(unknown)} "
                f"({len(unknown)} in all)."
            )
            faults.append(Fault(str(root), message))
        require_sound(faults)
        return files


def _expression(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"{(\w+)}", pattern)  # text and names by turns
    within = {"class", "group", "split"}  # names of one folder or file
    parts = [
        re.escape(part) if at % 2 == 0 else f"(?P<{part}>{'[^/]+?' if part in within else '.+?'})"
        for at, part in enumerate(parts)
    ]
    return re.compile("".join(parts))


def _statistics(source: Source) -> tuple[float, float]:
    """Mean and deviation of some pictures; those that cannot be read are left to the check."""
    seen = []
    for position in evenly_spaced(np.arange(len(source)), LOOKED_AT).tolist():
        try:
            seen.append(np.asarray(source.read(position, 1)) / 255)
        except BadImage as fault:
            last = fault
    if not seen:
        raise last
    values = np.stack(seen)
    return round(float(values.mean()), 4), max(round(float(values.std()), 4), 0.01)
