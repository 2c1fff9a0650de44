"""Texts with a class or with another text: .tsv and .jsonl, and what has to become one of them."""

from __future__ import annotations

import shlex

from vit.data.core.images import SUFFIXES
from vit.data.recognition.box_tables import HOMES
from vit.data.recognition.columns import Columns, columns_of, of_objects
from vit.data.recognition.heads import json_rows, table_head
from vit.data.recognition.layout import Layout, commands, count, word
from vit.data.recognition.listing import Listing, join, stem
from vit.data.recognition.splits import SPLITS, parted

READ = (".tsv", ".jsonl")  # what data=text_table reads, maybe with .gz
OTHERS = (".csv", ".parquet", ".json", ".txt")
MOST_FILES = 30
CLASSES = 2  # columns of classes that are offered


def text_tables(listing: Listing) -> list[Layout]:
    """A layout for each group of files that differ by their splits alone."""
    groups: dict[tuple[str, str, str], dict[str, tuple[str, Columns]]] = {}
    looked = 0
    for place in listing.below(""):
        if place and not HOMES.match(place):
            continue
        for name in listing.folders[place].files:
            kind = kind_of(name)
            if kind not in (*READ, ".csv", ".parquet") or looked > MOST_FILES:
                continue
            looked += 1
            columns = _columns(listing, place, name, kind)
            if columns is None or not columns.texts or columns.corners:
                continue
            if any(
                v.lower().endswith(SUFFIXES) for p in columns.paths for v in columns.values(p)[:5]
            ):
                continue  # a table of images with descriptions
            front, split = parted(bare(name))
            group = groups.setdefault((place, front, kind), {})
            group.setdefault(split or "train", (name, columns))
    return [one for key, files in groups.items() for one in _layouts(listing, *key, files)]


def kind_of(name: str) -> str:
    """The ending before .gz."""
    name = name.lower().removesuffix(".gz")
    return next((one for one in (*READ, *OTHERS) if name.endswith(one)), "")


def bare(name: str) -> str:
    return stem(name[:-3] if name.lower().endswith(".gz") else name)


def _columns(listing: Listing, place: str, name: str, kind: str) -> Columns | None:
    file = listing.path(place, name)
    if kind == ".jsonl":
        return of_objects(json_rows(file))
    if kind == ".parquet":
        return parquet_columns(listing, place, name)
    return columns_of(table_head(file))


def parquet_columns(listing: Listing, place: str, name: str) -> Columns | None:
    """The first rows of columns of plain values; None where they are no such, or unreadable."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        return None
    try:
        file = parquet.ParquetFile(listing.path(place, name))
        if any(arrow.types.is_nested(one.type) for one in file.schema_arrow):
            return None
        batch = next(file.iter_batches(batch_size=200), None)
    except (OSError, arrow.ArrowException):
        return None
    return None if batch is None else of_objects(batch.to_pylist())


def _layouts(
    listing: Listing,
    place: str,
    front: str,
    kind: str,
    files: dict[str, tuple[str, Columns]],
) -> list[Layout]:
    if "train" not in files:
        return []
    columns = files["train"][1]
    others = columns.texts
    labels = [one for one in columns.labels([others[0]]) if one not in columns.texts][:CLASSES]
    evidence = [
        f"{join(place, each)}: {count(len(columns.names), 'column')}, for {split}"
        for split, (each, _) in files.items()
    ]
    evidence.append("the first row names the columns" if columns.header else "no row of names")
    if "val" not in files:
        evidence.append("no val: a part of train is set aside")
    paths = {s: listing.at(place, each) for s, (each, _) in files.items() if s in SPLITS}
    first: tuple[str, ...] = ()
    change = ""
    if kind not in READ:
        change = "data=text_table reads .tsv and .jsonl; these lines write .jsonl beside."
        first = tuple(_rewriting(path, kind) for path in paths.values())
        paths = {split: f"{_whole_stem(path)}.jsonl" for split, path in paths.items()}
    words = [word(f"data.{split}", path) for split, path in paths.items()]
    header = ["data.header=true"] if kind == ".tsv" and columns.header else []
    offered = [(label, "text_classification") for label in labels]
    offered += [(others[1], "text_to_text")] if len(others) > 1 else []
    if not offered:
        return []
    made = []
    for target, task in offered:
        of = ["data.target=text"] if task == "text_to_text" else []
        asked = (("input", others[0], 0), ("target", target, 1))
        columns_named = [
            word(f"data.{key}_column", column) for key, column, usual in asked if column != usual
        ]
        data = ("data=text_table", *words, *header, *of, *columns_named)
        (command,) = commands(data, (), task)
        to = f"column {others[0]!r} → {target!r}"
        made.append((data, type(command)(f"{command.purpose}: {to}", command.words)))
    odd = columns.group_words() if "val" not in files and columns.header else []
    if len(offered) > 1:
        odd.append("what is to be learnt from what, the columns do not say: choose a command")
    return [
        Layout(
            kind="text_table",
            title=f"texts in a table{f' ({front})' if front else ''}",
            certainty="certain" if len(offered) == 1 else "likely",
            evidence=tuple(evidence),
            oddities=tuple(odd),
            data=made[0][0],
            commands=tuple(command for _, command in made),
            change=change,
            first=first,
        )
    ]


def _whole_stem(path: str) -> str:
    above, slash, name = path.rpartition("/")
    return f"{above}{slash}{bare(name)}"


def _rewriting(path: str, kind: str) -> str:
    """A line that writes a .jsonl beside a file that data=text_table does not read."""
    target = f"{_whole_stem(path)}.jsonl"
    if kind == ".parquet":
        code = (
            "import json, sys; from pyarrow.parquet import read_table; f = open(sys.argv[2], 'w'); "
            "[print(json.dumps(row), file=f) for row in read_table(sys.argv[1]).to_pylist()]"
        )
    else:
        opened = "gzip.open(sys.argv[1], 'rt', newline='', encoding='utf-8')"
        if not path.lower().endswith(".gz"):
            opened = "open(sys.argv[1], newline='', encoding='utf-8-sig')"
        code = (
            "import csv, gzip, json, sys; f = open(sys.argv[2], 'w'); "
            f"[print(json.dumps(row), file=f) for row in csv.DictReader({opened})]"
        )
    return shlex.join(["python", "-c", code, path, target])
