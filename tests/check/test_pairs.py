"""Choices go together: each pair composes and is sound, or is refused in our words.

The quick part tries each pair of options at least once, many pairs in one composition; the slow one
walks every experiment with every head, and every part of a backbone with every other, by the check.
"""

import functools
import itertools
from argparse import Namespace

import pytest
import torch

from vit.build import build_slot
from vit.check.preflight import Shared, preflight
from vit.cli.compose import composer, config_folder
from vit.cli.config_groups import choosable
from vit.faults import Refused
from vit.schema import schema_faults

NOT_OURS = ("Could not override", "defaults list", "Traceback", "Hydra", "omegaconf", "__init__")
PARTS = ("patch", "position", "norm", "mlp", "attention")
GIVEN = {
    **{f"{name}_small": ["data.root=x"] for name in ("classify", "detect", "segment")},
    **{
        f"{name}_gpu": ["data.root=x", "backbone.pretrained=false"]
        for name in ("classify", "detect", "segment")
    },
    "detection": ["data.root=x", "backbone.pretrained=false"],
    "imagenet_deit": ["data.root=x"],
    "package_sections": ["data.train=x"],
    "synopses": ["data.train=x"],
    "translation": ["data.train=x"],
    "spoken_digits": ["data.root=x", "data.test_groups=[a]"],
}
DRAWN = ("digits", "digit_scenes_small", "digit_segments", "digit_captions", "number_words")
TINY = ["trainer=cpu", "threads=1"]


def options(group):
    files = (config_folder() / group).glob("*.yaml")
    return choosable([config_folder()], group, (file.stem for file in files))


@pytest.fixture(scope="module")
def composed():
    """Words → the config, or the faults; each composition is made once."""
    arguments = Namespace(overrides=[], config_dir=None, config_name="train")
    with composer(arguments) as compose_one:

        @functools.cache
        def made(*words):
            try:
                return compose_one(list(words)).config, ()
            except Refused as refused:
                return None, tuple(str(fault) for fault in refused.faults)

        yield made


def require_our_words(faults, words):
    for fault in faults:
        assert not any(word in fault for word in NOT_OURS), f"{words}: {fault}"


def rows_with_all_pairs(columns):
    """Few rows in which each option of a column meets each option of every other one."""
    names = list(columns)
    wanted = {
        frozenset({(a, x), (b, y)})
        for a, b in itertools.combinations(names, 2)
        for x in columns[a]
        for y in columns[b]
    }

    def pairs(row):
        return {frozenset(pair) for pair in itertools.combinations(row.items(), 2)}

    every = [dict(zip(names, each, strict=True)) for each in itertools.product(*columns.values())]
    rows = []
    while wanted:
        rows.append(max(every, key=lambda row: len(pairs(row) & wanted)))
        wanted -= pairs(rows[-1])
    return rows


COLUMNS = {part: options(f"backbone/{part}") for part in PARTS}


def test_few_rows_hold_all_pairs():
    rows = rows_with_all_pairs({"a": "xyz", "b": "123", "c": "pq"})
    assert len(rows) < 18
    assert {(row["a"], row["b"]) for row in rows} == set(itertools.product("xyz", "123"))


@pytest.mark.slow
def test_each_part_of_a_backbone_goes_with_each_option_of_every_other(composed):
    rows = rows_with_all_pairs({**COLUMNS, "pool": options("head/pool")})
    assert len(rows) < 25
    for row in rows:
        pool = row.pop("pool")
        parts = [f"backbone/{part}={option}" for part, option in row.items()]
        words = ("experiment=digits", f"head/pool={pool}", "backbone.class_token=true", *parts)
        config, faults = composed(*words)
        assert faults == () and schema_faults(config) == [], words
        given = {"image_size": (8, 8), "channels": 1}
        with torch.device("meta"), torch.no_grad():
            backbone = build_slot("backbone", config, **given).eval()
            head = build_slot("head", config, dim=backbone.dim, num_classes=3).eval()
            assert head(backbone(torch.empty(2, 1, 8, 8))).shape == (2, 3), words


@pytest.mark.parametrize("experiment", ["digits", "imagenet_deit", "digit_scenes"])
def test_each_head_composes_on_an_experiment_or_is_refused_in_our_words(composed, experiment):
    for head in options("head"):
        words = (f"experiment={experiment}", f"head={head}", *GIVEN.get(experiment, ()))
        config, faults = composed(*words)
        require_our_words([*faults, *map(str, schema_faults(config) if config else ())], words)
        images = "decoder" not in head  # those of texts link to keys of their backbone
        assert config is not None or not images, faults


@pytest.mark.slow
@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_head_backbone_and_data_on_every_experiment(composed, experiment):
    """With the data at hand by the whole check, elsewhere up to what its classes take."""
    shared = Shared()
    given = (*GIVEN.get(experiment, ()), *TINY)
    for group in ("head", "backbone", "data", "task", "optim", "schedule", "ema", "trainer"):
        for option in options(group):
            words = (f"experiment={experiment}", f"{group}={option}", *given)
            if group == "trainer":
                words = words[:-2]
            config, faults = composed(*words)
            require_our_words(faults, words)
            if config is None:
                continue
            require_our_words(map(str, schema_faults(config)), words)
            if experiment in DRAWN and group in ("head", "task"):
                messages = [fault.message for fault in preflight(config, shared=shared).faults]
                require_our_words(messages, words)


@pytest.mark.slow
def test_every_part_of_a_backbone_with_all_others(composed):
    for row in itertools.product(*COLUMNS.values()):
        parts = [f"backbone/{part}={option}" for part, option in zip(PARTS, row, strict=True)]
        config, faults = composed("experiment=digits", *parts)
        assert faults == () and schema_faults(config) == [], parts
        with torch.device("meta"), torch.no_grad():
            backbone = build_slot("backbone", config, image_size=(8, 8), channels=1).eval()
            assert backbone(torch.empty(2, 1, 8, 8)).patches.shape == (2, 16, 64)
