"""What other programs have packed: archives, Hugging Face's folders, parquet sets of images."""

from __future__ import annotations

from typing import Any

from vit.data.core.split_names import split_of
from vit.data.formats.archives import is_archive, unpacking
from vit.data.recognition.heads import small_json
from vit.data.recognition.layout import Layout, commands, count, word
from vit.data.recognition.listing import Listing, join

SAVED = ("dataset_dict.json", "dataset_info.json", "state.json")  # that save_to_disk writes
USUAL = {"train": "train", "val": "validation", "test": "test"}
PACKAGE = "it needs a package more: pip install 'vit-experiments[hf]'"


def archives(listing: Listing) -> list[Layout]:
    found = [name for name in listing.top.files if is_archive(listing.path("", name))]
    if not found:
        return []
    return [
        Layout(
            kind="archive",
            title="archives that are not unpacked",
            certainty="likely",
            evidence=(f"{count(len(found), 'archive')}: {', '.join(found[:5])}",),
            change="An archive is unpacked once, and then looked at again by vit data FOLDER.",
            first=tuple(
                unpacking(listing.path("", name), "data.root").splitlines()[0] for name in found[:5]
            ),
        )
    ]


def saved(listing: Listing) -> list[Layout]:
    """A folder that Dataset.save_to_disk wrote."""
    if not listing.top.names & {"dataset_dict.json", "dataset_info.json"}:
        return []
    whole = small_json(listing.path("", "dataset_dict.json"))
    if isinstance(whole, dict) and isinstance(whole.get("splits"), list):
        splits = [str(name) for name in whole["splits"]]
    elif listing.top.names >= {"dataset_info.json", "state.json"}:
        splits = []
    else:
        return []
    info = small_json(listing.path(splits[0] if splits else "", "dataset_info.json"))
    features = info.get("features") if isinstance(info, dict) else None
    columns: dict[str, Any] = features if isinstance(features, dict) else {}
    images = [name for name, kind in columns.items() if _kind(kind) == "Image"]
    labels = [name for name, kind in columns.items() if _kind(kind) == "ClassLabel"]
    labels += [name for name in columns if name.lower() == "label" and name not in labels]
    evidence = [f"a folder of datasets' save_to_disk with the columns {', '.join(columns)}"]
    if splits:
        evidence.append(f"splits: {', '.join(splits)}")
    if not images or not labels:
        return [
            Layout(
                kind="huggingface",
                title="a saved data set of Hugging Face's",
                certainty="certain",
                evidence=tuple(evidence),
                change="data=huggingface reads images with classes, and here is no column of "
                f"{'images' if not images else 'classes'}; texts are read from .jsonl "
                "(dataset.to_json) by data=text_table.",
            )
        ]
    words = [
        word(f"data.{key}_column", name)
        for key, name in (("image", images[0]), ("label", labels[0]))
        if name != key
    ]
    words += _split_words(splits)
    return [_hugging(listing, "a saved data set of Hugging Face's", evidence, words)]


def parquet_images(listing: Listing) -> list[Layout]:
    """Parquet files with images inside, as the hub has them."""
    files = [
        join(place, name)
        for place in listing.below("")
        if place.count("/") < 2
        for name in listing.folders[place].having((".parquet",))
    ]
    if not files:
        return []
    columns = _columns_of_images(listing, files[0])
    if columns is None:
        return []
    image, labels = columns
    evidence = [f"{count(len(files), 'parquet file')} with images in the column {image!r}"]
    odd = []
    if len(labels) > 1:
        odd.append(f"the classes may be in {' or '.join(labels)}")
    if not labels:
        return []
    words = [
        word(f"data.{key}_column", name)
        for key, name in (("image", image), ("label", labels[0]))
        if name != key
    ]
    return [_hugging(listing, "images in parquet files", evidence, words, odd)]


def _hugging(
    listing: Listing,
    title: str,
    evidence: list[str],
    words: list[str],
    odd: list[str] | None = None,
) -> Layout:
    data = ("data=huggingface", word("data.path", listing.shown), *words)
    return Layout(
        kind="huggingface",
        title=title,
        certainty="certain",
        evidence=(*evidence, PACKAGE),
        oddities=tuple(odd or ()),
        data=data,
        commands=commands(data, ("data.image_size=224",), "classification"),
    )


def _columns_of_images(listing: Listing, path: str) -> tuple[str, list[str]] | None:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        return None
    try:
        schema = parquet.read_schema(listing.path("", path))
    except (OSError, arrow.ArrowException):
        return None
    images = [
        one.name
        for one in schema
        if arrow.types.is_struct(one.type) and one.type.get_field_index("bytes") >= 0
    ]
    if not images:
        return None
    whole = (arrow.types.is_integer, arrow.types.is_string, arrow.types.is_large_string)
    others = [one.name for one in schema if any(is_kind(one.type) for is_kind in whole)]
    called = [name for name in others if name.lower() in ("label", "labels", "class", "fine_label")]
    return images[0], called + [name for name in others if name not in called]


def _split_words(names: list[str]) -> list[str]:
    words = []
    for split, usual in USUAL.items():
        fit = [name for name in names if split_of(name) == split]
        if fit and usual not in fit:
            words.append(word(f"data.{split}_split", fit[0]))
    return words


def _kind(feature: Any) -> str:
    return str(feature.get("_type")) if isinstance(feature, dict) else ""


def single_archive(listing: Listing, name: str) -> Layout:
    """What to say of one archive that was named itself."""
    lines = unpacking(listing.path("", name), "vit data").splitlines()
    target = lines[-1].strip().removeprefix("then vit data=")
    return Layout(
        kind="archive",
        title="an archive that is not unpacked",
        certainty="certain",
        evidence=(f"{name} is an archive; files are read one at a time, in any order",),
        change=f"Unpack it once, by this line, and look again: vit data {target}",
        first=(lines[0],),
    )
