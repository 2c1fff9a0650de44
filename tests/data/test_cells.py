"""Gaps, lists and columns that mean something else, in tables of every kind alike."""

import json

import pytest

from vit.data.folder import Folder
from vit.data.formats.text_files import texts_of
from vit.data.table import Table
from vit.data.text_table import TextTable

WORDS = ["red", "green", "blue", "house", "tree", "car", "sea", "sky"]


def text(n):
    return f"{WORDS[n % 8]} {WORDS[n * 3 % 8]} {n}"


@pytest.fixture
def write(tmp_path):
    """Writes rows as one kind of file, with the keys that read them."""

    def of(kind, rows, **settings):
        file = tmp_path / f"t.{kind}"
        if kind == "jsonl":
            lines = [json.dumps({"text": one, "label": other}) for one, other in rows]
            settings = {"input_column": "text", "target_column": "label", **settings}
        else:
            lines = ["\t".join("" if cell is None else str(cell) for cell in row) for row in rows]
        file.write_text("\n".join(lines) + "\n")
        return TextTable(train=str(file), **settings)

    return of


def messages_of(data):
    return "\n".join(str(fault) for fault in data.faults())


def labelled(count=80):
    return [
        (None if n % 8 == 5 else text(n), None if n % 8 == 2 else "ab"[n % 2]) for n in range(count)
    ]


@pytest.mark.parametrize("kind", ["jsonl", "tsv"])
def test_gaps_of_texts_and_classes_are_counted_together(write, kind):
    found = messages_of(write(kind, labelled()))
    assert "t." + kind + ", row 6: " in found and "10 of 80 rows have no text (rows 6, 14" in found
    assert "row 3: " in found and "10 of 80 rows have no class (rows 3, 11, 19, 27, 35" in found


def test_gaps_of_other_texts_are_counted_too(write):
    rows = [(text(n), None if n in (3, 4) else text(n + 1)) for n in range(30)]
    for kind in ("jsonl", "tsv"):
        assert "2 of 30 rows have no text (rows 4, 5)" in messages_of(
            write(kind, rows, target="text")
        )


def test_keys_that_some_rows_lack_are_gaps_and_keys_that_all_lack_are_misspelt(write, tmp_path):
    rows = [{"text": text(n)} | ({} if n == 3 else {"label": "ab"[n % 2]}) for n in range(30)]
    file = tmp_path / "t.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    keys = {"input_column": "text", "target_column": "label"}
    found = messages_of(TextTable(train=str(file), **keys))
    assert "1 of 30 rows have no class" in found and "row 4 has no 'label', only text" in found
    found = messages_of(TextTable(train=str(file), **{**keys, "target_column": "lable"}))
    assert "row 1 has no 'lable', only text, label" in found
    assert "is data.target_column too" in messages_of(
        TextTable(train=str(file), **{**keys, "input_column": "label"})
    )


def test_lists_and_objects_are_neither_text_nor_class(write):
    rows = [
        ([text(n)] if n < 3 else text(n), {"a": 1} if n == 6 else "ab"[n % 2]) for n in range(30)
    ]
    found = messages_of(write("jsonl", rows))
    assert "column 'text' is a list; 3 of 30 rows have a list for a text (rows 1, 2, 3)" in found
    assert "column 'label' is an object; 1 of 30 rows have an object for a class" in found


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([0, 1, 2], ("0", "1", "2")),
        ([0.0, 1.0, 2.5], ("0", "1", "2.5")),
        ([True, False, True], ("False", "True")),
        ([10, "9", 10], ("9", "10")),
    ],
)
def test_numbers_and_truth_values_are_classes_as_a_tsv_has_them(write, labels, names):
    for kind in ("jsonl", "tsv"):
        data = write(kind, [(n, labels[n % 3]) for n in range(30)])
        assert data.faults() == []
        as_written = tuple(sorted(map(str, labels)) if kind == "tsv" else names)
        assert set(data.contents.class_names) == set(as_written)
        assert data.contents.sources["train"].texts[:2] == ["0", "1"]


def test_nan_is_a_gap_and_a_word_for_it_a_warning(write):
    rows = [(text(n), float("nan") if n == 3 else "ab"[n % 2]) for n in range(30)]
    assert "row 4: column 'label' is empty; 1 of 30" in messages_of(write("jsonl", rows))
    data = write("tsv", rows)
    assert data.faults() == []
    assert any("'nan' is taken for a class" in line for line in data.warnings())


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (lambda n: ("ab"[n % 2], text(n)), "data.input_column=1 data.target_column=0"),
        (lambda n: (n, text(n), "ab"[n % 2]), "data.input_column=1 data.target_column=2"),
        (lambda n: (text(n), text(n + 1)), "data.target=text"),
        (lambda n: (text(n), n * 1.5), "60 classes of 60 samples"),
    ],
)
def test_a_class_for_each_row_is_no_class(write, row, said):
    found = messages_of(write("tsv", [row(n) for n in range(60)]))
    assert "nearly every sample has a class of its own" in found and said in found


def test_columns_of_json_that_are_swapped_are_named(write):
    found = messages_of(write("jsonl", [("ab"[n % 2], text(n)) for n in range(60)]))
    assert "data.input_column=label data.target_column=text" in found


def test_ids_in_place_of_texts_are_a_warning(write):
    data = write("tsv", [(n, "ab"[n % 2], text(n)) for n in range(30)])
    assert data.faults() == []
    assert any("column 2 has sentences: data.input_column=2" in line for line in data.warnings())


def test_a_first_row_of_names_is_reported_both_ways(write):
    rows = [(text(n), "ab"[n % 2]) for n in range(30)]
    assert "data.header=true" in messages_of(write("tsv", [("sentence", "sentiment"), *rows]))
    (warning,) = write("tsv", rows, header=True).warnings()
    assert "has the class 'a'; without such a row: data.header=false" in warning
    named = [("text", "text", "label"), *((one, one, two) for one, two in rows)]
    columns = {"header": True, "input_column": "text", "target_column": "label"}
    assert "more than one column 'text'" in messages_of(write("tsv", named, **columns))


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("a\tb", r"row 8: 3 columns, where most have 2 (1 rows in all). Is there a tab"),
        (None, "row 8: column 0 is empty"),
    ],
)
def test_rows_that_do_not_fit_are_reported(write, cell, said):
    rows = [(cell if n == 7 else text(n), "ab"[n % 2]) for n in range(30)]
    assert said in messages_of(write("tsv", rows))


def test_texts_parted_by_commas_and_in_quotation_marks_are_reported(write):
    commas = [(f"{text(n)},{'ab'[n % 2]}",) for n in range(30)]
    assert "seem to be parted by ','; wanted tabs" in messages_of(write("tsv", commas))
    quoted = write("tsv", [(f'"{text(n)}"', "ab"[n % 2]) for n in range(30)])
    assert any("stand in quotation marks" in line for line in quoted.warnings())
    assert "wanted a number from 0" in messages_of(write("tsv", quoted_rows(), target_column=-1))


def quoted_rows():
    return [(text(n), "ab"[n % 2]) for n in range(30)]


def test_rows_to_predict_follow_the_same_rule(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "one"}\n{"text": null}\n{"text": ["two"]}\n')
    with pytest.raises(ValueError, match="row 2: column 'text' is empty; 1 of 3 rows"):
        texts_of(file)


def test_unknown_classes_of_other_splits_are_counted(write, tmp_path):
    val = tmp_path / "val.tsv"
    val.write_text("x\tA\ny\tb\nz\tA\n")
    data = write("tsv", [(text(n), "ab"[n % 2]) for n in range(30)], val=str(val))
    assert "val.tsv: classes that train lacks: A. Nothing teaches them" in messages_of(data)
    assert "leaves their 2 texts out, such as row 1" in messages_of(data)


# Tables of images.


@pytest.fixture
def table(photos):
    """Writes rows below a header into a table beside 30 images, whose paths it is given."""
    paths = sorted(str(path.relative_to(photos)) for path in photos.rglob("*.png"))

    def write(row, header="path,label", mark=",", suffix="csv", **settings):
        file = photos / f"labels.{suffix}"
        lines = [header.split(","), *(row(n, path) for n, path in enumerate(paths))]
        file.write_text("\n".join(mark.join(map(str, line)) for line in lines) + "\n")
        return Table(table=str(file), **settings)

    return write


def test_gaps_of_paths_and_labels_are_counted_together(table):
    found = messages_of(
        table(lambda n, path: ("" if n == 4 else path, "" if n in (5, 6) else "ab"[n % 2]))
    )
    assert "labels.csv, row 5: path is empty; 1 of 30 rows have no path" in found
    assert "labels.csv, row 6: label is empty; 2 of 30 rows have no label (rows 6, 7)" in found


@pytest.mark.parametrize(("mark", "suffix"), [(";", "csv"), ("\t", "csv"), (",", "tsv")])
def test_the_names_of_columns_say_what_parts_them(table, mark, suffix):
    data = table(lambda n, path: (path, "ab"[n % 2]), mark=mark, suffix=suffix)
    assert data.faults() == data.warnings() == []
    assert data.facts.class_names == ("a", "b")


def test_labels_that_are_ids_are_a_fault_that_names_the_classes(table):
    found = messages_of(table(lambda n, path: (path, f"id{n}", "ab"[n % 2]), "path,label,kind"))
    assert "30 classes of 30 samples. The classes may be in 'kind': data.label_column=kind" in found
    assert "holds no image" not in found
    swapped = messages_of(table(lambda n, path: ("ab"[n % 2], path)))
    assert "The classes may be in 'path': data.label_column=path" in swapped


@pytest.mark.parametrize(
    ("row", "header", "said"),
    [
        (
            lambda n, path: (path, "ab"[n % 2], "train" if n < 20 else "test"),
            "path,label,part",
            "'part' has test, train, and all rows are trained on; data.split_column=part",
        ),
        (
            lambda n, path: (path, "ab"[n % 2], "xyz"[n % 3]),
            "path,label,class",
            "'class' could be meant too, with 3 values: data.label_column=class",
        ),
        (lambda n, path: (path, ["Cat", "cat", "dog"][n % 3]), "path,label", "'Cat', 'cat' differ"),
        (
            lambda n, path: (path, ["cat ", "cat", "dog"][n % 3]),
            "path,label",
            "10 labels have spaces around them, such as 'cat '",
        ),
        (lambda n, path: (path, ["a", "b", "NaN"][n % 3]), "path,label", "'NaN' is taken for"),
    ],
)
def test_what_a_table_tells_beside_its_labels_is_a_warning(table, row, header, said):
    data = table(row, header)
    assert data.faults() == []
    (warning,) = data.warnings()
    assert said in warning


def test_names_of_the_same_classes_are_no_other_labels(table):
    data = table(lambda n, path: (path, n % 2, "ab"[n % 2]), "path,label,class_name")
    assert data.faults() == data.warnings() == []


def test_lists_of_labels_are_reported_with_the_key_that_reads_them(photos):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet
    from pyarrow import table as arrow

    paths = sorted(str(path.relative_to(photos)) for path in photos.rglob("*.png"))
    labels = [["a"] if n % 2 else ["a", "b"] for n in range(30)]
    parquet.write_table(arrow({"path": paths, "label": labels}), photos / "labels.parquet")
    found = messages_of(Table(table=str(photos / "labels.parquet")))
    assert "30 of 30 rows have a list for a label" in found and "data.separator='|'" in found
    assert Table(table=str(photos / "labels.parquet"), separator="|").faults() == []


def test_labels_of_a_hub_set_follow_the_same_rule(tmp_path):
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    from vit.data.hf import HuggingFace

    def saved(name, labels, feature):
        features = datasets.Features({"image": datasets.Image(), "label": feature})
        columns = {"image": [Image.new("RGB", (8, 8))] * len(labels), "label": labels}
        made = datasets.Dataset.from_dict(columns, features=features)
        datasets.DatasetDict({"train": made}).save_to_disk(str(tmp_path / name))
        return HuggingFace(path=str(tmp_path / name))

    words = datasets.Value("string")
    assert "row 1: no label; 2 of 4 rows" in messages_of(saved("a", ["a", None, " ", "b"], words))
    many = datasets.List(words)
    assert "row 0: no label; 1 of 3 rows" in messages_of(saved("b", [None, ["a"], ["b"]], many))
    kind = datasets.ClassLabel(names=["x", "y"])
    assert "row 1: label -1 is out of range; wanted 0 to 1 (2 of 4 rows)" in messages_of(
        saved("c", [0, -1, -1, 1], kind)
    )


def test_a_folder_for_each_image_is_no_class(tmp_path, write_images):
    for number in range(24):
        write_images(tmp_path / "set" / f"patient{number}", 1)
    found = messages_of(Folder(root=str(tmp_path / "set")))
    assert "24 classes of 24 samples. Is it the classes that are read?" in found


def test_labels_of_a_hub_set_are_counted_where_they_lack():
    """Without the package of these sets; the test above has it read them."""
    from vit.data.hf import _named, _required

    for rows, said in (
        ([["a"], [None], [" "]], "val, row 1: no label; 2 of 3 rows have none"),
        ([["a"], [float("nan")]], "val, row 1: no label; 1 of 2"),
        ([[["a"]]], "val, row 0: the label is a list; wanted text or a number"),
        ([[{"a": 1}]], "val, row 0: the label is an object"),
    ):
        with pytest.raises(ValueError, match=said):
            _required(rows, "val")
    assert _required([[1.0], ["b "], []], "val") == [["1"], ["b"], []]
    with pytest.raises(ValueError, match=r"row 1: label None is out of range; .*\(2 of 3 rows\)"):
        _named([[0], [None], [2]], ("x", "y"), "test")
    assert _named([[0, 1], [1]], ("x", "y"), "val") == [["x", "y"], ["y"]]
