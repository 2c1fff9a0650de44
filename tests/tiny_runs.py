"""A run folder of every task, as a training leaves it, of a tiny model that was not trained."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.io import wavfile

from vit.cli.compose import compose
from vit.runs.checkpoint import write_checkpoint
from vit.runs.directory import RunFolder
from vit.tasks.assembly import assemble_data, assemble_model

TINY = ["backbone.dim=16", "backbone.depth=2", "backbone.heads=2", "tracking=none", "threads=1"]
IMAGES = [*TINY, "backbone.patch_size=8"]
SCENES = ["data.train_scenes=4", "data.val_scenes=2", "data.test_scenes=2", "data.image_size=32"]
SCENES += ["data.digit_size=[8,16]"]
WORDS = {
    "classes": ["data=digits", "data.image_size=32", *IMAGES],
    "boxes": ["task=detection", "head=detr", "data=digit_scenes", *SCENES, *IMAGES],
    "masks": ["task=detection", "head=masks", "data=digit_scenes", "data.masks=true"],
    "maps": ["task=segmentation", "head=semantic", "data=digit_scenes_semantic", *SCENES, *IMAGES],
    "captions": ["task=captioning", "head=caption_decoder", "data=digit_captions", *SCENES],
    "texts": [
        "task=text_to_text",
        "head=text_decoder",
        "data=number_words",
        "backbone=text",
        *TINY,
    ],
    "topics": ["task=text_classification", "head=linear", "data=text_table", "backbone=text"],
    "sounds": ["data=wav_folder", "data.sample_rate=8000", "data.window_ms=16", "data.hop_ms=8"],
}
WORDS["boxes"] += ["head.num_queries=10"]
WORDS["masks"] += ["head.joint_blocks=1", "head.num_queries=10", *SCENES, *IMAGES]
WORDS["captions"] += ["head.blocks.depth=1", *IMAGES]
WORDS["texts"] += ["head.blocks.depth=1", "data.samples=400", "data.test_samples=20"]
WORDS["topics"] += ["data.val_fraction=0.25", *TINY]
WORDS["sounds"] += ["data.mels=16", "data.seconds=0.128", "data.test_fraction=0", *IMAGES]
KINDS = tuple(WORDS)
# A training of one step, for what comes before it and after.
BRIEF = [
    "experiment=digits",
    "backbone.dim=8",
    "backbone.heads=2",
    "backbone.depth=1",
    "schedule.warmup_epochs=0",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=1",
    "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1",
    "tracking=none",
]


class TinyRuns:
    """Called with a kind it gives the folder of such a run, made when it is first asked for."""

    def __init__(self, root: Path):
        self.root = root
        self.made: dict[str, Path] = {}

    def __call__(self, kind: str) -> Path:
        if kind not in self.made:
            self.made[kind] = freeze(self.root / kind / "run", self.words(kind))
        return self.made[kind]

    def words(self, kind: str) -> list[str]:
        """What the run was composed of, its data's files among it."""
        given = {"sounds": "data.root", "topics": "data.train"}
        found = [f"{given[kind]}={getattr(self, kind)()}"] if kind in given else []
        return [*WORDS[kind], *found]

    def inputs(self, kind: str) -> list[str]:
        """What such a run can be asked of: files, or texts."""
        if kind in ("texts", "topics"):
            return ["forty two", "seven"]
        if kind == "sounds":
            return [str(file) for file in sorted(self.sounds().rglob("*.wav"))[:3]]
        return self.pictures()

    def pictures(self) -> list[str]:
        """Of three sizes and two modes."""
        root = self.root / "pictures"
        if not root.exists():
            root.mkdir()
            draw = np.random.default_rng(1)
            for name, shape in (
                ("a.png", (40, 30, 3)),
                ("b.jpg", (20, 50, 3)),
                ("c.png", (32, 32)),
            ):
                Image.fromarray(draw.integers(0, 256, shape, dtype=np.uint8)).save(root / name)
        return [str(path) for path in sorted(root.iterdir())]

    def sounds(self) -> Path:
        root, seconds = self.root / "wav", np.arange(1024) / 8000
        for name, hertz in (("high", 2500), ("low", 400)) if not root.exists() else ():
            (root / name).mkdir(parents=True)
            for take in range(6):
                tone = 16000 * np.sin(2 * np.pi * (hertz + 20 * take) * seconds)
                wavfile.write(root / name / f"{take}.wav", 8000, tone.astype(np.int16))
        return root

    def topics(self) -> Path:
        file = self.root / "topics.tsv"
        words = ("one two", "three four", "forty two", "seven")
        rows = [f"{text} {n}\t{'low' if n % 2 else 'high'}" for n in range(5) for text in words]
        file.write_text("\n".join(rows) + "\n")
        return file


def freeze(path: Path, words: list[str]) -> Path:
    """The folder of a run of these words, with a checkpoint of its first weights."""
    folder = RunFolder(path)
    folder.freeze(compose(words))
    facts = assemble_data(folder.config()).facts
    torch.manual_seed(3)
    state = assemble_model(folder.config(), facts).state_dict()
    weights = {f"model.{key}": value for key, value in state.items()}
    content = {"state_dict": weights, "facts": dataclasses.asdict(facts)}
    write_checkpoint(content, folder.best_checkpoint)
    return folder.path
