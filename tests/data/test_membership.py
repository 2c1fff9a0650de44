"""Who is in which split: every sample once, found again by its name, for every kind of data."""

import gzip
import json
import os

import pytest
from PIL import Image

from vit.data.core.membership import positions_of, splits_of
from vit.data.digit_scenes import DigitScenes
from vit.data.digits import Digits
from vit.data.folder import Folder
from vit.data.table import Table
from vit.data.text_table import TextTable
from vit.runs.splits import MOST_PLAIN, Splits, read_splits, splits_file, write_splits


def photos(root, names=("a/1.png", "a/2.png", "a/3.png", 'b/ü ´".png', "b/5.png", "b/6.png")):
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number * 20, 0, 0)).save(root / name)


def folder(tmp_path):
    if not (tmp_path / "data").exists():
        photos(tmp_path / "data")
    return Folder(root=str(tmp_path / "data"), val_fraction=0.3)


def table(tmp_path):
    photos(tmp_path / "data")
    rows = [f"{name},{name[0]}" for name in ("a/1.png", "a/2.png", "b/5.png", "b/6.png")]
    (tmp_path / "t.csv").write_text("\n".join(["path,label", *rows]))
    return Table(root=str(tmp_path / "data"), table=str(tmp_path / "t.csv"), val_fraction=0.5)


def texts(tmp_path):
    for name in ("train", "test"):
        rows = [f"{name} {n}\t{'ab'[n % 2]}" for n in range(8)]
        (tmp_path / f"{name}.tsv").write_text("text\tclass\n" + "\n".join(rows) + "\n")
    files = {name: str(tmp_path / f"{name}.tsv") for name in ("train", "test")}
    return TextTable(**files, header=True, val_fraction=0.25)


KINDS = {
    "folder": (folder, "file"),
    "table": (table, "file"),
    "digits": (lambda _: Digits(train_limit=50), "index"),
    "scenes": (lambda _: DigitScenes(train_scenes=6, val_scenes=3, test_scenes=2), "index"),
    "texts": (texts, "row"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_sample_is_named_once_and_found_again(kind, tmp_path):
    make, named_by = KINDS[kind]
    data = make(tmp_path)
    written = write_splits(tmp_path, splits_of(data))
    assert written == splits_file(tmp_path)
    result = json.loads(written.read_text())
    assert result["schema_version"] == 1 and result["named_by"] == named_by
    assert result["counts"] == data.lengths
    splits = read_splits(tmp_path)
    assert splits == splits_of(data)
    seen = set()
    for split, (source, members) in data.splits.items():
        found, positions = positions_of(make(tmp_path), splits, split)
        assert positions.tolist() == members.tolist()
        assert len(found) == len(data.contents.sources[source])
        for index, name in enumerate(result["splits"][split]):
            assert str(name) in data.sample_name(split, index)
        seen |= {(source, name) for name in result["splits"][split]}
    assert len(seen) == sum(data.lengths.values())


def test_a_split_keeps_its_samples_when_others_come_and_tells_of_those_that_go(tmp_path):
    data = folder(tmp_path)
    splits = splits_of(data)
    photos(tmp_path / "data", ("a/0.png", "b/0.png"))
    source, positions = positions_of(folder(tmp_path), splits, "val")
    assert [source.names[at] for at in positions] == splits.members["val"]
    gone = os.fsdecode(splits.members["val"][0])
    (tmp_path / "data" / gone).unlink()
    with pytest.raises(ValueError, match=f"1 of the 2 samples of val .* file {gone}"):
        positions_of(folder(tmp_path), splits, "val")


def test_a_million_names_are_written_small(tmp_path):
    names = [b"n%05d/%d.JPEG" % (number // 1000, number) for number in range(MOST_PLAIN + 1)]
    splits = Splits("image", "file", {"train": "train"}, {"train": names})
    write_splits(tmp_path, Splits("image", "file", {"train": "train"}, {"train": names[:2]}))
    written = write_splits(tmp_path, splits)
    assert written.name == "splits.json.gz" and not splits_file(tmp_path).exists()
    assert written.stat().st_size < len(b"".join(names)) / 4
    assert read_splits(tmp_path) == splits


@pytest.mark.parametrize(
    "name", [b'a"b', b"a\\b", b"a\nb", b"a\tb", b"\xff\xfe", "ü".encode(), b""]
)
def test_any_name_that_a_file_can_have_comes_back(tmp_path, name):
    splits = Splits("image", "file", {"val": "train"}, {"val": [b"plain", name]})
    write_splits(tmp_path, splits)
    assert read_splits(tmp_path) == splits


def test_odd_files_are_none(tmp_path):
    assert read_splits(tmp_path) is None
    good = {"schema_version": 1, "unit": "image", "named_by": "index"}
    good |= {"sources": {"val": "train"}, "splits": {"val": [1, 2]}}
    odd = [[], 3, {}, {**good, "schema_version": 2}, {**good, "sources": {}}, {**good, "splits": 3}]
    odd += [{**good, "named_by": []}, {**good, "splits": {"val": 3}}]
    for content in odd:
        splits_file(tmp_path).write_text(json.dumps(content))
        assert read_splits(tmp_path) is None
    splits_file(tmp_path).write_text("[" * 100_000)
    assert read_splits(tmp_path) is None
    splits_file(tmp_path).unlink()
    splits_file(tmp_path).with_name("splits.json.gz").write_bytes(b"\x1f\x8b broken")
    assert read_splits(tmp_path) is None


def test_splits_of_a_stranger_are_waited_for_by_nobody(tmp_path, monkeypatch):
    run_dir, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    for folder in (run_dir, elsewhere):
        folder.mkdir()
    packed = run_dir / "splits.json.gz"
    os.mkfifo(packed)
    assert read_splits(run_dir) is None
    packed.unlink()
    write_splits(elsewhere, Splits("image", "index", {"val": "x"}, {"val": [1]}))
    splits_file(run_dir).symlink_to(splits_file(elsewhere))
    assert read_splits(elsewhere) and read_splits(run_dir) is None
    splits_file(run_dir).unlink()
    packed.write_bytes(gzip.compress(splits_file(elsewhere).read_bytes()))
    assert read_splits(run_dir) == read_splits(elsewhere)
    packed.write_bytes(gzip.compress(b" " * (1 << 26) + splits_file(elsewhere).read_bytes()))
    assert read_splits(run_dir) is None
