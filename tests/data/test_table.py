"""Labels from tables: one or several an image, splits by column, and faults by row."""

import pytest

from vit.data.core.sources import FileSource
from vit.data.table import Table, sorted_names

SINGLE = [("cat/000.png", "b"), ("cat/001.png", "a"), ("dog/000.png", "b"), ("dog/001.png", "a")]


@pytest.fixture
def table(photos):
    """Writes rows below a header into a table beside the images and reads it."""

    def write(rows, header=("path", "label"), suffix="csv", **settings):
        file = photos / f"labels.{suffix}"
        separator = "\t" if suffix == "tsv" else ","
        file.write_text("\n".join(separator.join(row) for row in [header, *rows]) + "\n")
        return Table(table=str(file), batch_size=2, **settings)

    return write


def refusal(data):
    with pytest.raises(ValueError) as caught:
        _ = data.contents
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_paths_and_labels_come_from_columns(table, suffix):
    data = table(SINGLE, suffix=suffix, val_fraction=0.5)
    assert data.facts.class_names == ("a", "b")
    assert data.lengths == {"train": 2, "val": 2}
    for batch in data.loader("val"):
        names = [data.sample_name("val", sample) for sample in batch.index.tolist()]
        wanted = [dict(SINGLE)[name] for name in names]
        assert [data.facts.class_names[target] for target in batch.targets] == wanted


def test_parquet_is_read_alike(photos):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet, table

    columns = {"path": [path for path, _ in SINGLE], "label": [["a", "b"], ["a"], ["b"], []]}
    parquet.write_table(table(columns), photos / "labels.parquet")
    data = Table(table=str(photos / "labels.parquet"), separator="|")
    assert data.contents.sources["train"].labels.tolist() == [[1, 1], [1, 0], [0, 1], [0, 0]]


def test_gaps_in_a_column_of_numbers_are_no_class(photos):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet, table

    columns = {"path": [path for path, _ in SINGLE[:3]], "label": [2.0, 10.0, float("nan")]}
    parquet.write_table(table(columns), photos / "labels.parquet")
    data = Table(table=str(photos / "labels.parquet"))
    assert "row 3: label is empty" in refusal(data)
    parquet.write_table(table(columns).slice(0, 2), photos / "labels.parquet")
    assert Table(table=str(photos / "labels.parquet")).facts.class_names == ("2", "10")


def test_several_labels_become_rows_of_zeros_and_ones(table):
    rows = [(f"cat/{i:03}.png", label) for i, label in enumerate(["x|y", "y", "", "z | x", "y"])]
    data = table(rows, separator="|", class_weights="balanced", val_fraction=0.2)
    assert data.facts.multi_label
    assert data.facts.class_names == ("x", "y", "z")
    batch = next(iter(data.loader("val")))
    assert batch.targets.dtype.is_floating_point
    assert batch.targets.shape[1] == 3
    weights = table(rows, separator="|", class_weights="balanced").class_weight_values()
    assert len(weights) == 3


def test_a_column_says_the_splits(table):
    header = ("path", "label", "part")
    rows = [
        (*row, part) for row, part in zip(SINGLE, ["train", "train", "val", "test"], strict=True)
    ]
    data = table(rows, header, split_column="part")
    assert data.lengths == {"train": 2, "val": 1, "test": 1}
    assert data.sample_name("test", 0) == "dog/001.png"
    rows[2] = (*SINGLE[2], "vali")
    assert "row 3: part is 'vali'; wanted train, val or test" in refusal(
        table(rows, header, split_column="part")
    )


def test_numbers_are_sorted_by_value():
    assert sorted_names(["10", "9", "-1", "9"]) == ("-1", "9", "10")
    assert sorted_names(["10", "9", "x"]) == ("10", "9", "x")


def test_faults_name_the_column_the_row_and_the_nearest(table, photos):
    assert "no column 'lable' (data.label_column), only path, label. Did you mean 'label'?" in (
        refusal(table(SINGLE, label_column="lable"))
    )
    assert "row 2: label is empty" in refusal(table([SINGLE[0], ("cat/001.png", "")]))
    assert "row 1: path is empty" in refusal(table([("", "a")]))
    assert "row 1: 3 fields under 2 column names" in refusal(table([("a.png", "a", "b")]))
    assert "holds no rows" in refusal(table([]))
    assert "row 1: label 'b' is not among the 2 names" in refusal(table(SINGLE, classes=("a", "c")))
    assert "is no file" in refusal(Table(table=str(photos / "absent.csv")))
    (photos / "labels.xlsx").write_text("")
    assert "wanted .csv, .tsv or .parquet" in refusal(Table(table=str(photos / "labels.xlsx")))
    (photos / "labels.parquet").write_text("no parquet")
    assert "cannot be read as parquet" in refusal(Table(table=str(photos / "labels.parquet")))
    (photos / "labels.csv").write_bytes(b"path,label\n\xff\xfe,a\n")
    assert "cannot be read as a table" in refusal(Table(table=str(photos / "labels.csv")))


def test_files_that_only_the_table_knows_are_faults(table):
    faults = table([*SINGLE, ("cat/999.png", "a")]).faults()
    assert any("cat/999.png: No such file" in fault.message for fault in faults)
    source = table(SINGLE).contents.sources["train"]
    assert isinstance(source, FileSource)
    assert not table(SINGLE).faults()


def test_labels_that_are_one_number_hide_no_other_fault(table):
    rows = [
        ("cat/000.png", "007", "train"),
        ("cat/001.png", "07", "test"),
        *[("gone.png", "1", "train")],
    ]
    data = table([*rows, rows[0]], header=("path", "label", "part"))
    said = "\n".join(str(fault) for fault in data.faults())
    assert "'007' and '07' are one number" in said
    assert "1 images have more than one row" in said
    assert "gone.png: No such file" in said
    assert any("data.split_column=part" in line for line in data.warnings())
    with pytest.raises(ValueError, match="are one number"):
        data.dataset("train", training=True)


def test_all_columns_gaps_splits_and_labels_are_reported_at_once(table):
    data = table(SINGLE, path_column="pat", label_column="lable", split_column="part")
    said = [str(fault) for fault in data.faults()]
    assert len(said) == 3
    rows = [("", "a", "train"), ("cat/000.png", "", "train"), ("cat/001.png", "z", "Train")]
    header, classes = ("path", "label", "split"), ("a", "b")
    data = table(rows, header=header, split_column="split", classes=classes)
    said = "\n".join(str(fault) for fault in data.faults())
    for wanted in ("path is empty", "label is empty", "split is 'Train'", "'z' is not among the 2"):
        assert wanted in said


@pytest.mark.parametrize("folder", ["cat", "CAT"])
def test_names_in_other_capitals_are_reported_as_such(table, folder):
    (fault, *_) = table([*SINGLE, (f"{folder}/002.PNG", "a")]).faults()
    assert f"{folder}/002.PNG: No such file or directory, but " in fault.message
    assert fault.message.endswith("002.png is there, in other capitals.")
    rows = [(path.upper(), label) for path, label in SINGLE]
    faults = table([*rows, ("gone.png", "a")]).faults()
    (line,) = [fault.message for fault in faults if "other capitals" in fault.message]
    assert line.startswith("4 files are there in other capitals alone, such as ")
    assert "but cat/000.png is there" in line


def test_an_image_with_two_rows_is_a_fault(table):
    (fault,) = table([*SINGLE, SINGLE[0]]).faults()
    assert "1 images have more than one row" in fault.message
    assert "cat/000.png" in fault.message
