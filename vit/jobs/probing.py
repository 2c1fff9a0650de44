"""What `vit probe` and `vit features` do, once their words are understood."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from vit.faults import Fault, Refused
from vit.jobs.frozen_backbone import (
    Asked,
    Frozen,
    about,
    freeze,
    is_weights,
    require_blocks,
    require_pool,
)
from vit.probes import linear, neighbours
from vit.probes.places import require_file
from vit.probes.probing import Grid, probe, require_classes
from vit.probes.vector_file import Table, write_vectors
from vit.probes.vectors import Pool, grid_pools, joined, most_blocks, parts_of, usual_pool
from vit.runs.links import refuse_links
from vit.runs.writing import write_json
from vit.version import __version__

SCHEMA_VERSION = 1


def write_features(
    asked: dict[str, Any], splits: list[str], pool: Pool | None, blocks: int, out: str
) -> dict[str, Any]:
    """Writes the vectors of the splits (none named: of all) into a file; plain values for the
    screen. `asked` are the fields of Asked. Raises Refused."""
    require_file(Path(out))
    if not is_weights(asked["source"]) and _is_below(Path(out), Path(asked["source"])):
        refuse_links(Path(out), Path(asked["source"]))
    frozen = freeze(Asked(**asked))
    splits = _splits(frozen, splits)
    chosen = pool or usual_pool(frozen.backbone, frozen.head)
    require_pool(frozen, chosen)
    if chosen != "head":
        require_blocks(frozen, blocks)
    elif blocks > 1:
        message = "several are joined of --pool cls, mean or cls+mean; a head pools the last block"
        raise Refused([Fault("--blocks", message)])
    names = parts_of(chosen, blocks)
    tables = {}
    labelled = bool(frozen.class_names)
    for split in splits:
        found = frozen.vectors(split, names)
        ids = [frozen.data.sample_name(split, at) for at in found.index.tolist()]
        labels = found.labels if labelled else None
        tables[split] = Table(joined(found.by_name, chosen, blocks), ids, labels, found.index)
    described = {
        "schema_version": SCHEMA_VERSION,
        "vit": __version__,
        **about(frozen),
        "pool": chosen,
        "blocks": blocks,
    }
    write_vectors(Path(out), tables, described)
    return {
        **described,
        "file": out,
        "bytes": Path(out).stat().st_size,
        "dim": next(iter(tables.values())).features.shape[1],
        "splits": frozen.passes,
        "cache": str(frozen.cache.folder) if frozen.cache else None,
        "remarks": frozen.remarks,
    }


def run_probes(
    asked: dict[str, Any],
    settings: dict[str, Any],
    split: str | None,
    out: str | None,
) -> dict[str, Any]:
    """Chooses the readers on held-out training data, measures them, and writes what was found into
    a file of the folder `out` (None: RUN_DIR/probes, or ./probes of weights from elsewhere).

    `asked` are the fields of Asked, `settings` those of Grid that the command names.
    Raises Refused.
    """
    source = asked["source"]
    folder = Path(out) if out else _usual_folder(source)
    refuse_links(folder, None if out or is_weights(source) else Path(source))
    frozen = freeze(Asked(**asked))
    _require_labels(frozen)
    reported = _reported(frozen, split)
    grid = _grid(frozen, settings)
    train = frozen.vectors("train", grid.names())
    others = {name: frozen.vectors(name, grid.names()) for name in reported}
    require_classes(train.labels, frozen.class_names)
    if frozen.place.type == "cuda":
        train = train.to(frozen.place)
        others = {name: own.to(frozen.place) for name, own in others.items()}
    found = probe(train, others, frozen.class_names, grid)
    described = about(frozen)
    result = {
        "schema_version": SCHEMA_VERSION,
        "vit": __version__,
        **described,
        "features": frozen.passes,
        "train": len(train),
        "reported": {name: len(own) for name, own in others.items()},
        "held_out": grid.held_out,
        "seed": grid.seed,
        "pool": grid.pool,
        "temperature": grid.temperature,
        "probes": [each.to_plain() for each in found],
        "at_the_edge": {each.reader: edges for each in found if (edges := each.edges())},
        "cache": str(frozen.cache.folder) if frozen.cache else None,
        "remarks": frozen.remarks,
    }
    name = _file_name(frozen, grid, reported)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / name, result)
        result["file"] = str(folder / name)
    except OSError as error:  # somebody else's run, a full disk: the figures are on the screen
        result["remarks"].append(f"not written: {folder / name}: {error.strerror or error}")
    return result


def _require_labels(frozen: Frozen) -> None:
    facts = frozen.data.facts
    if not facts.class_names:
        message = "has no labels; probes need images that have a class each"
        raise Refused([Fault("data", message)])
    if facts.multi_label:
        message = "has several labels an image; probes read data with one class an image"
        raise Refused([Fault("data", message)])


def _splits(frozen: Frozen, asked: list[str]) -> list[str]:
    there = list(frozen.data.lengths)
    for split in asked:
        if split not in there:
            message = f"this data has no {split!r}, only {', '.join(there)}"
            raise Refused([Fault("--split", message)])
    return asked or there


def _reported(frozen: Frozen, split: str | None) -> list[str]:
    """The splits that figures are given of; never train, which is learned from."""
    if split == "train":
        raise Refused([Fault("--split", "is train, which probes learn from; wanted val or test")])
    there = [name for name in frozen.data.lengths if name != "train"]
    return _splits(frozen, [split]) if split else there


def _grid(frozen: Frozen, settings: dict[str, Any]) -> Grid:
    """What the command names, and else what this backbone and these data allow."""
    backbone, head = frozen.backbone, frozen.head
    pool = settings.get("pool") or usual_pool(backbone, head)
    require_pool(frozen, pool)
    pools = (pool,) if settings.get("pool") else grid_pools(backbone, head)
    given = {key: value for key, value in settings.items() if value is not None}
    if "blocks" in given:
        for count in given["blocks"]:
            require_blocks(frozen, count)
    blocks = tuple(n for n in linear.BLOCKS if n <= most_blocks(backbone))
    if blocks != linear.BLOCKS and "blocks" not in given and "linear" in given["readers"]:
        most = most_blocks(backbone)
        has = f"has {most} blocks" if most > 1 else "tells of its last block alone"
        frozen.remarks.append(f"linear without the last 4 blocks: the backbone {has}")
    grid = Grid(**{"blocks": blocks, **given, "pool": pool, "pools": pools})
    if "neighbours" not in given and "knn" in grid.readers:
        left = int(frozen.data.lengths["train"] * (1 - grid.held_out)) - len(frozen.class_names)
        fit = tuple(count for count in neighbours.NEIGHBOURS if count <= left)
        if fit != neighbours.NEIGHBOURS:
            gone = ", ".join(str(n) for n in neighbours.NEIGHBOURS if n not in fit)
            frozen.remarks.append(f"kNN without {gone} neighbours: train is too small")
        grid = Grid(**{**vars(grid), "neighbours": fit or (min(5, max(left, 1)),)})
    return grid


def _is_below(path: Path, folder: Path) -> bool:
    """Whether the name says so, wherever links on the way may lead."""
    named = Path(os.path.normpath(path.absolute()))
    return named.is_relative_to(os.path.normpath(folder.absolute()))


def _usual_folder(source: str) -> Path:
    return Path("probes") if is_weights(source) else Path(source) / "probes"


def _file_name(frozen: Frozen, grid: Grid, reported: list[str]) -> str:
    """The same for the same weights, data and settings: `digits-1a2b3c4d.json`."""
    told = json.dumps([frozen.key, vars(grid), reported], sort_keys=True, default=str)
    short = hashlib.blake2b(told.encode(), digest_size=4).hexdigest()
    data = type(frozen.data).__name__.lower()
    if not is_weights(frozen.source):
        return f"{data}-{short}.json"
    model = re.sub(r"[^\w.-]+", "_", frozen.source.partition(":")[2]).strip("._")
    return f"{model or 'weights'}-{data}-{short}.json"
