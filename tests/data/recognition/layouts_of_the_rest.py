"""Layouts of texts and sounds, what is packed, and what is no data."""

import gzip
import io
import itertools
import json
import tarfile
import zipfile

from layout_files import CLASSES, classes, pictures, sounds, text
from PIL import Image

WORDS = ("the", "cat", "sat", "on", "a", "mat", "while", "one", "dog", "ran")


def sentence(at):
    return f"{' '.join(WORDS[at % 4 : at % 4 + 5])} {at}"


def rows(count=60, start=0):
    return [(sentence(at), CLASSES[at % 3]) for at in range(start, start + count)]


def lines(found, mark="\t", header=None):
    every = [header, *found] if header else found
    return "".join(f"{mark.join(row)}\n" for row in every)


def tsv(root):
    text(root / "reviews.tsv", lines(rows()))


def tsv_with_names(root):
    text(root / "reviews.tsv", lines(rows(), header=("review", "sentiment")))


def tsv_of_two_texts(root):
    pairs = [(sentence(at), f"{sentence(at + 1)} again") for at in range(60)]
    text(root / "en-de.train.tsv", lines(pairs[:50]))
    text(root / "en-de.val.tsv", lines(pairs[50:]))


def tsv_gzipped(root):
    for split, start, count in (("train", 0, 60), ("dev", 60, 12), ("test", 80, 12)):
        file = root / f"{split}.tsv.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(lines(rows(count, start)).encode()))


def jsonl(root):
    found = [json.dumps({"text": said, "label": label}) for said, label in rows()]
    text(root / "train.jsonl", "\n".join(found) + "\n")


def csv(root):
    text(root / "reviews.csv", lines(rows(), ",", ("text", "label")))


def csv_in_splits(root):
    text(root / "train.csv", lines(rows(), ",", ("text", "label")))
    text(root / "test.csv", lines(rows(12, 80), ",", ("text", "label")))


def parquet(root):
    import pyarrow
    import pyarrow.parquet

    root.mkdir()
    said, labels = zip(*rows(), strict=True)
    table = pyarrow.table({"text": said, "label": labels})
    pyarrow.parquet.write_table(table, root / "train.parquet")


def sound_folders(root):
    sounds(root, [f"{name}/{at}" for name in CLASSES for at in range(4)])


def sound_splits(root):
    for split, count in (("Train", 4), ("Test", 2)):
        sounds(root, [f"{split}/{name}/{at}" for name in CLASSES for at in range(count)])


def sound_names(root):
    made = itertools.product(range(3), ("ann", "bob", "cy"), range(4))
    sounds(root / "recordings", [f"{digit}_{who}_{take}" for digit, who, take in made])


def sound_names_of_one(root):
    sounds(root, [f"{name}-{at}" for name in CLASSES for at in range(5)])


def sounds_without_classes(root):
    sounds(root, ["alpha", "b1", "c-2-3", "delta_4"])


def compressed_sounds(root):
    for at in range(4):
        text(root / "cat" / f"{at}.mp3", "ID3")


def archive(root):
    root.mkdir()
    with zipfile.ZipFile(root / "photos.zip", "w") as packed:
        packed.writestr("photos/cat/1.jpg", b"")


def tar(root):
    root.mkdir()
    with tarfile.open(root / "photos.tar.gz", "w:gz") as packed:
        packed.addfile(tarfile.TarInfo("photos/cat/1.jpg"), io.BytesIO())


def saved(root, features=None):
    chosen = features or {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": [*CLASSES]},
    }
    text(root / "dataset_dict.json", json.dumps({"splits": ["train", "valid"]}))
    for split in ("train", "valid"):
        text(root / split / "dataset_info.json", json.dumps({"features": chosen}))
        text(root / split / "state.json", "{}")


def saved_texts(root):
    saved(root, {"text": {"_type": "Value", "dtype": "string"}})


def parquet_of_images(root):
    import pyarrow
    import pyarrow.parquet

    (root / "data").mkdir(parents=True)
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "png")
    images = [{"bytes": stream.getvalue(), "path": "1.png"}] * 4
    table = pyarrow.table({"image": images, "label": [0, 1, 0, 1]})
    pyarrow.parquet.write_table(table, root / "data" / "train-00000-of-00001.parquet")


def run(root):
    text(root / "config.yaml", "seed: 0\n")
    text(root / "stamp.json", "{}")
    text(root / "state.json", "{}")


def sweep(root):
    text(root / "sweep.json", "{}")
    run(root / "trial-0")


def several_runs(root):
    run(root / "a")
    run(root / "b")


def empty(root):
    root.mkdir()


def empty_folders(root):
    (root / "cat").mkdir(parents=True)
    (root / "dog").mkdir()


def programs(root):
    text(root / "main.py", "print(1)\n")
    text(root / "notes.docx", "no\n")


# name → maker, kind, the word for its data ("" where no kind reads it)
LAYOUTS = {
    "tsv": (tsv, "text_table", "data=text_table"),
    "tsv with names": (tsv_with_names, "text_table", "data=text_table"),
    "tsv of two texts": (tsv_of_two_texts, "text_table", "data=text_table"),
    "tsv gzipped": (tsv_gzipped, "text_table", "data=text_table"),
    "jsonl": (jsonl, "text_table", "data=text_table"),
    "csv of texts": (csv, "text_table", "data=text_table"),
    "csv of texts in splits": (csv_in_splits, "text_table", "data=text_table"),
    "parquet of texts": (parquet, "text_table", "data=text_table"),
    "sounds in folders": (sound_folders, "sounds", "data=wav_folder"),
    "sounds in splits": (sound_splits, "sounds", "data=wav_folder"),
    "sounds by name, one part": (sound_names_of_one, "sounds", "data=wav_folder"),
    "sounds without classes": (sounds_without_classes, "sounds", ""),
    "compressed sounds": (compressed_sounds, "sounds", ""),
    "a folder with a zip": (archive, "archive", ""),
    "a folder with a tar": (tar, "archive", ""),
    "saved by datasets": (saved, "huggingface", "data=huggingface"),
    "saved texts": (saved_texts, "huggingface", ""),
    "parquet of pictures": (parquet_of_images, "huggingface", "data=huggingface"),
    "a run": (run, "run", ""),
    "a sweep": (sweep, "sweep", ""),
    "runs": (several_runs, "runs", ""),
    "empty": (empty, "empty", ""),
    "empty folders": (empty_folders, "empty", ""),
    "programs": (programs, "unknown", ""),
}
AMBIGUOUS = {"sounds by name": (sound_names, "sounds", "data=wav_folder")}


def a_file_each(root):
    """Files that are named themselves, with the kind of each."""
    csv(root / "texts")
    archive(root / "packed")
    pictures(root / "photos", 2)
    classes(root / "animals")
    text(root / "notes.docx", "no\n")
    return {
        root / "texts" / "reviews.csv": "text_table",
        root / "packed" / "photos.zip": "archive",
        root / "photos" / "000.jpg": "image",
        root / "notes.docx": "unknown",
    }
