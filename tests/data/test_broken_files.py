"""Readers of data on broken files: each gives data, or says in words which file is wrong."""

import time
import traceback
import warnings
from collections import Counter

import numpy as np
import pytest
from broken_files import kinds

SLOWEST = 10  # seconds of computing


def outcome(kind, content):
    """ "data" or "faults"; fails for an error of another kind, and for one that names no file."""
    kind.file.write_bytes(content)
    begin = time.process_time()
    data = kind.data()
    try:
        faults = [str(fault) for fault in data.faults()]
        if not faults:
            data.warnings()
            data.fingerprint()
    except Exception:
        raise AssertionError(f"{kind.name}: {content[:2000]!r}\n{traceback.format_exc()}") from None
    took = time.process_time() - begin
    assert took < SLOWEST, f"{kind.name} took {took:.0f} s: {content[:2000]!r}"
    for fault in faults:
        assert fault.encode(), kind.name
    return "faults" if faults else "data"


def survey(tmp_path, count, seed):
    """How often each kind gave data and named faults, over `count` broken files of each."""
    found = Counter()
    warnings.simplefilter("ignore")
    for kind in kinds(tmp_path):
        sound = kind.file.read_bytes()
        for number in range(count):
            draw = np.random.default_rng([seed, number])
            mutate = kind.mutate[number % len(kind.mutate)]
            found[kind.name, outcome(kind, mutate(sound, draw))] += 1
        kind.file.write_bytes(sound)
    return found


def test_sound_files_of_every_kind_are_read(tmp_path):
    for kind in kinds(tmp_path):
        assert outcome(kind, kind.file.read_bytes()) == "data", kind.name


def test_some_broken_files_of_every_kind_give_data_or_words(tmp_path):
    found = survey(tmp_path, 19, 0)
    assert found.total() >= 300


@pytest.mark.slow
def test_twenty_thousand_broken_files_give_data_or_words(tmp_path):
    found = survey(tmp_path, 1_260, 1)
    assert found.total() >= 20_000
    print(sorted(found.items()))


YAML_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
LAUGHS = "".join(f'<!ENTITY l{at} "{f"&l{at - 1};" * 10}">' for at in range(1, 12))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("coco", "[" * 200_000, "nested too deeply"),
        ("coco", '{"images": ' + '{"a":' * 100_000, "nested too deeply"),
        ("panoptic", "[" * 200_000, "nested too deeply"),
        ("yolo yaml", "train: " + "[" * 20_000, "nested too deeply"),
        ("yolo yaml", YAML_BOMB + "train: images\nnames: *i\n", "names=something else; wanted"),
        (
            "yolo yaml",
            YAML_BOMB + "train: images\nnames: [a]\nkpt_shape: *i\n",
            "kpt_shape is no list of two numbers",
        ),
        ("yolo yaml", YAML_BOMB + "train: *i\nnames: [a]\npath: *i\n", "train is no path"),
        ("voc", "<a>" * 100_000, "no XML: 0.xml"),
        ("voc", f'<!DOCTYPE a [<!ENTITY l0 "l">{LAUGHS}]><a>&l11;</a>', "no XML: 0.xml"),
        ("voc", "<a>" + "<object/>" * 2_000 + "</a>", "not four finite numbers"),
        ("jsonl", '{"text": ' + "[" * 100_000, "row 1 is nested too deeply"),
        ("csv", "path,label\n" + '"' + "x" * 1_000_000, "field larger than field limit"),
        ("csv", "path,label\n" + "x" * 10_000 + ",a\n0.png,b\n", "is 10000 bytes long"),
        # A label of so many digits is a class; of two images nothing can be set aside.
        ("csv", "path,label\n0.png," + "9" * 10_000 + "\n1.png,1\n", "val holds no image"),
    ],
)
def test_what_grows_or_is_deep_is_reported_in_seconds(tmp_path, name, content, said):
    kind = next(kind for kind in kinds(tmp_path) if kind.name == name)
    kind.file.write_text(content)
    assert outcome(kind, kind.file.read_bytes()) == "faults"
    assert said in "\n".join(str(fault) for fault in kind.data().faults())


def test_an_outline_of_a_hundred_thousand_numbers_is_data_in_seconds(tmp_path):
    kind = next(kind for kind in kinds(tmp_path) if kind.name == "yolo labels")
    assert outcome(kind, ("0 " + "0.5 " * 100_000).encode()) == "data"
    assert any("no area, dropped: ann labels/0.txt:1" in line for line in kind.data().warnings())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"segmentation": {"counts": "o" * 300_000, "size": [30, 40]}},
            "the `segmentation` is broken: ann 100: run lengths with something that is no count",
        ),
        ({"bbox": [0, 0, 1e300, 1e300]}, "not four finite numbers: ann 100"),
        ({"bbox": ["1", "2", "3", "4"]}, "not four finite numbers: ann 100"),
        ({"category_id": True}, "the category is not listed: ann 100: 'True'"),
        ({"segmentation": [[1.5, 2.5] * 20_000]}, None),  # an outline as others, but long
    ],
)
def test_objects_of_coco_that_are_none_are_reported(coco_files, change, said):
    from vit.data.coco import Coco

    for content in coco_files.content.values():
        for one in content["annotations"]:
            one["segmentation"] = [[1, 1, 9, 1, 9, 9]]
    coco_files.annotations[0].update(change)
    begin = time.process_time()
    found = [str(fault) for fault in Coco(root=coco_files.write(), masks=True).faults()]
    assert time.process_time() - begin < SLOWEST
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


@pytest.mark.parametrize("size", [(10**30, 10), (60_000, 60_000), (-3, 5), (0, 0)])
def test_sizes_that_no_image_has_are_reported(coco_files, size):
    from vit.data.coco import Coco

    coco_files.images[0]["height"], coco_files.images[0]["width"] = size
    faults = Coco(root=coco_files.write(), image_size=32).faults()
    assert any("no size of an image: images[0]" in str(fault) for fault in faults)


def test_panoptic_notes_that_stand_twice_are_reported(tmp_path):
    from panoptic_files import PanopticFolder

    files = PanopticFolder(tmp_path / "p")
    notes = files.content["train"]["annotations"]
    notes.append({**notes[0], "file_name": "2.png"})
    said = "\n".join(str(fault) for fault in files.data().faults())
    assert "images with two annotations: 1 (1 in all)" in said
    assert "PNGs of two images: 2.png (1 in all)" in said
