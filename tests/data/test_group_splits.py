"""No group is in two splits: tables of images, texts and boxes, and sounds."""

import numpy as np
import pytest
from every_kind import noise, write_ppm

from vit.data.box_table import BoxTable
from vit.data.core.groups import group_like, shared_groups
from vit.data.core.sources import ArraySource
from vit.data.core.splits import grouped_split, split_members
from vit.data.table import Table
from vit.data.text_table import TextTable
from vit.data.wav_folder import WavFolder

RANDOM = np.random.default_rng(0)
GROUPS = RANDOM.integers(0, 60, 900)
LABELS = (GROUPS % 3 + (RANDOM.random(900) < 0.3)) % 3


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_whole_and_classes_keep_their_shares(seed):
    rest, part = grouped_split(LABELS, GROUPS, 0.2, seed)
    assert sorted([*rest, *part]) == list(range(900))
    assert not set(GROUPS[rest]) & set(GROUPS[part])
    share = np.bincount(LABELS[part]) / np.bincount(LABELS)
    assert np.abs(share - 0.2).max() < 0.05


def test_the_same_seed_draws_the_same_groups_and_another_others():
    drawn = [set(GROUPS[grouped_split(LABELS, GROUPS, 0.2, seed)[1]]) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_class_of_one_group_stays_in_the_rest_and_a_large_group_is_taken_if_it_must():
    labels, groups = np.array([0, 0, 1, 1, 0]), np.array(["a", "b", "c", "c", "a"])
    rest, part = grouped_split(labels, groups, 0.1, 0)
    assert groups[part].tolist() == ["b"] and set(labels[rest]) == {0, 1}


@pytest.mark.parametrize(
    ("labels", "groups", "told"),
    [([0, 1, 0], ["a", "a", "a"], "one group only"), ([0, 0, 1], ["a", "a", "b"], "each has all")],
)
def test_groups_of_which_none_can_be_set_aside_are_told(labels, groups, told):
    with pytest.raises(ValueError, match=told):
        grouped_split(np.array(labels), np.array(groups), 0.1, 0)


def test_val_and_test_share_no_group_either():
    samples = ArraySource(np.zeros((900, 1, 1), np.uint8), LABELS)
    fractions = {"test": 0.2, "val": 0.2}
    found = split_members({"train": samples}, fractions, 0, groups=GROUPS)
    sets = [set(GROUPS[members]) for _, members in found.values()]
    assert sum(map(len, sets)) == len(set.union(*sets)) == 60


def table(root, **more):
    for at in range(24):
        write_ppm(root / f"{at}.ppm", noise(at, 8, 8, 3))
    rows = [f"{at}.ppm,{'ab'[at % 2]},p{at // 4}" for at in range(24)]
    (root / "t.csv").write_text("\n".join(["path,label,patient", *rows]) + "\n")
    return Table(table=str(root / "t.csv"), val_fraction=0.3, **more)


def texts(root, **more):
    rows = [f"text {at}\t{'ab'[at % 2]}\tp{at // 4}" for at in range(24)]
    (root / "t.tsv").write_text("\n".join(["text\tlabel\tpatient", *rows]) + "\n")
    columns = {"input_column": "text", "target_column": "label", "header": True}
    return TextTable(train=str(root / "t.tsv"), vocabulary=300, val_fraction=0.3, **columns, **more)


def boxes(root, **more):
    for at in range(24):
        write_ppm(root / f"{at}.ppm", noise(at, 30, 40, 3))
    rows = [f"{at}.ppm,40,30,{'ab'[at % 2]},p{at // 4},2,2,9,9" for at in range(24) for _ in "ab"]
    heading = "filename,width,height,class,patient,xmin,ymin,xmax,ymax"
    (root / "t.csv").write_text("\n".join([heading, *rows]) + "\n")
    return BoxTable(train=str(root / "t.csv"), val_fraction=0.3, image_size=16, **more)


@pytest.mark.parametrize("kind", [table, texts, boxes])
def test_a_column_of_groups_keeps_each_in_one_split(kind, tmp_path):
    apart = kind(tmp_path, group_column="patient", test_fraction=0.2)
    assert apart.faults() == []
    groups = [{at // 4 for at in members.tolist()} for _, members in apart.splits.values()]
    assert all(groups) and sum(map(len, groups)) == 6
    mixed = kind(tmp_path).splits
    assert {at // 4 for at in mixed["val"][1]} & {at // 4 for at in mixed["train"][1]}


def test_a_column_of_groups_is_pointed_at_and_a_far_share_is_told(tmp_path):
    told = "\n".join(table(tmp_path).warnings())
    assert "data.group_column=patient keeps each in one split" in told
    data = table(tmp_path, group_column="patient")
    assert not [line for line in data.warnings() if "group" in line]
    data.val_fraction = 0.05
    del data.splits
    (line,) = [line for line in data.warnings() if "groups stay whole" in line]
    assert "val holds 17% of the samples" in line and "has 1 of 6" in line


def test_groups_in_two_splits_that_the_data_come_with_are_a_fault(tmp_path):
    (tmp_path / "t.tsv").write_text("one\ta\tp1\ntwo\tb\tp2\n")
    (tmp_path / "v.tsv").write_text("three\ta\tp2\nfour\tb\tp3\n")
    files = {"train": str(tmp_path / "t.tsv"), "val": str(tmp_path / "v.tsv")}
    (fault,) = TextTable(**files, vocabulary=300, group_column=2).faults()
    assert fault.where == "data.group_column" and "1 of its groups are in train and in val: p2" in (
        fault.message
    )
    assert TextTable(**files, vocabulary=300).faults() == []


@pytest.mark.parametrize(
    ("cell", "told"), [("", "row 1: patient is empty"), ("p0", "each has all of some class")]
)
def test_gaps_and_groups_that_cannot_part_are_faults(tmp_path, cell, told):
    data = table(tmp_path, group_column="patient")
    rows = (tmp_path / "t.csv").read_text().splitlines()
    kept = [rows[0], f"0.ppm,a,{cell}", *(f"{at}.ppm,b,p9" for at in (1, 3, 5, 7))]
    (tmp_path / "t.csv").write_text("\n".join(kept) + "\n")
    assert told in "\n".join(map(str, data.faults()))
    other = Table(table=data.table, group_column="patiant")
    assert "Did you mean 'patient'?" in "\n".join(map(str, other.faults()))


def test_rows_of_an_image_with_several_groups_are_a_fault(tmp_path):
    boxes(tmp_path)
    file = tmp_path / "t.csv"
    file.write_text(file.read_text().replace("p0", "p5", 1))
    (fault,) = BoxTable(train=str(file), image_size=16, group_column="patient").faults()
    assert "images of several groups in patient: row 2 (0.ppm)" in str(fault)


def test_sounds_are_set_aside_by_who_speaks(tmp_path):
    import wave

    for at in range(24):
        with wave.open(str(tmp_path / f"{'ab'[at % 2]}_s{at // 4}_{at}.wav"), "wb") as stream:
            stream.setnchannels(1)
            stream.setsampwidth(2)
            stream.setframerate(8000)
            stream.writeframes(noise(at, 1600).tobytes())
    keys = {"sample_rate": 8000, "mels": 16, "seconds": 0.128, "window_ms": 16.0, "hop_ms": 8.0}
    keys |= {"root": str(tmp_path), "pattern": "{class}_{group}_{take}"}
    data = WavFolder(**keys, split_by_group=True, val_fraction=0.3)
    assert data.faults() == []
    source = data.contents.sources["train"]
    said = [{source.name(at).split("_")[1] for at in m.tolist()} for _, m in data.splits.values()]
    assert len(said) == 2 and not set.intersection(*said)
    with pytest.raises(ValueError, match=r"data.split_by_group=true wants \{group\}"):
        WavFolder(**{**keys, "pattern": "{class}_{name}"}, split_by_group=True)


def test_columns_are_known_by_their_names_and_by_values_that_repeat():
    columns = {"Patient_ID": ["a", "a", "b", "b"], "user": ["a", "b", "c", "d"], "n": ["a"] * 4}
    assert group_like({**columns, "site": ["x"] * 4}) == ["Patient_ID"]
    assert shared_groups({"train": np.array(["a"]), "val": np.array(["b"])}, "x") == []
