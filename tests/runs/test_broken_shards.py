"""Broken shards, splits.json and tokenizers: read as something whole, or refused in words."""

import copy
import json
import random
import warnings

import pytest
import torch
import torch.distributed as dist
from test_broken_tensor_files import bytes_changed, structure_changed

from vit.data.formats.tokenizing import Tokenizer, train_tokenizer
from vit.faults import Refused
from vit.runs import shards
from vit.runs.checkpoint import look_at_checkpoint, read_checkpoint, write_checkpoint
from vit.runs.splits import Splits, read_splits, splits_file, write_splits

ODD = [None, True, -1, 0, 10**30, 1.5, "", "a", "x" * 3000, [], {}, [[]], [None], {"a": []}]


@pytest.fixture(scope="module", autouse=True)
def one_process():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def values_changed(text, draw):
    """JSON of which a value is another, lost or doubled."""
    whole = json.loads(text)
    places = []

    def walk(value):
        for key, inside in value.items() if isinstance(value, dict) else enumerate(value):
            places.append((value, key))
            if isinstance(inside, dict | list):
                walk(inside)

    walk(whole)
    holder, key = draw.choice(places)
    if draw.random() < 0.2:
        del holder[key]
    else:
        holder[key] = copy.deepcopy(draw.choice(ODD))
    return json.dumps(whole)


def broken_shards(folder, count, draw):
    """How often a checkpoint whose shards are broken, with checksums that fit, is refused."""
    content = {
        "state_dict": {f"blocks.{n}.w": torch.arange(20.0) + n for n in range(3)},
        "optimizer_states": [
            {"state": {"blocks.0.w": {"m": torch.ones(20), "step": torch.tensor(1.0)}},
             "param_groups": [{"params": ["blocks.0.w"], "lr": 0.1}]}
        ],
        "epoch": 1,
    }  # fmt: skip
    path = folder / "last.ckpt"
    told = shards.write_shards(content, path, "step-000001-a", None)
    (file,) = (folder / "shards" / "step-000001-a").iterdir()
    sound, refused = file.read_bytes(), 0
    for turn in range(count):
        change = structure_changed if turn % 2 else bytes_changed
        file.write_bytes(change(sound, draw))
        new = copy.deepcopy(told)
        if turn % 5:
            new["shards"]["files"][file.name] = [file.stat().st_size, shards.crc32(file)]
        else:
            new = {**told, "shards": json.loads(values_changed(json.dumps(told["shards"]), draw))}
        write_checkpoint(new, path)
        for read in (read_checkpoint, look_at_checkpoint):
            try:
                read(path)
            except Refused as error:
                refused += 1
                assert str(path) in str(error) and len(str(error)) < 900, str(error)
    return refused


def broken_splits(folder, count, draw):
    members = {"train": [b"a.png", b"b.png"], "val": [b"c.png"], "test": [b"d.png"]}
    splits = Splits("image", "file", dict.fromkeys(members, "train"), members)
    sound, none = write_splits(folder, splits).read_text(), 0
    for turn in range(count):
        text = values_changed(sound, draw).encode()
        splits_file(folder).write_bytes(text if turn % 2 else bytes_changed(sound.encode(), draw))
        found = read_splits(folder)
        none += found is None
        # Never some of the splits that the file holds.
        if found is not None:
            assert len(found.members) == len(json.loads(splits_file(folder).read_bytes())["splits"])
            assert found.sources.keys() >= found.members.keys()
    return none


def broken_tokenizers(count, draw):
    sound, refused = train_tokenizer(["some words and 42", "other words"] * 5, 60), 0
    for turn in range(count):
        if turn % 2:
            text = values_changed(sound, draw)
        else:
            text = bytes_changed(sound.encode(), draw).decode(errors="replace")
        try:
            rows, _ = Tokenizer(text).encode(["some words 4"], 9)
            Tokenizer(text).decode(rows)
        except ValueError as error:
            refused += 1
            assert "tokenizer" in str(error)
    return refused


def survey(folder, each, seed):
    draw = random.Random(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert broken_shards(folder, each, draw) > each / 2
    assert broken_splits(folder, each, draw) > each / 4
    pytest.importorskip("tokenizers")
    assert broken_tokenizers(each, draw) > each / 4


def test_some_broken_files_are_read_whole_or_refused(tmp_path):
    survey(tmp_path, 100, 1)


@pytest.mark.slow
def test_six_thousand_broken_files_are_read_whole_or_refused(tmp_path):
    survey(tmp_path, 2_000, 2)
