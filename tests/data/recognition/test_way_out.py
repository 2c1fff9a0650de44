"""Data that cannot be read as they were asked for: the error says what lies there."""

import tarfile

import pytest
from layout_checks import check_faults, data_faults
from layout_files import classes
from layouts_of_images import plain, table
from layouts_of_marks import coco_published, masks_usual, voc_small_letters, yolo_usual
from layouts_of_the_rest import jsonl, sound_folders

from vit.check.misfits import misfit_of
from vit.cli.compose import compose
from vit.data.recognition.recognise import recognise
from vit.faults import Refused

LABELS = table(("id", "label"), lambda at, name: (name, "ab"[at % 2]), name="labels.csv")
# What lies in the folder `set`, the words of a command, and what they should have been.
MISSED = {
    "another kind": (voc_small_letters, "data=coco data.root=set", "data=voc data.annotations="),
    "small letters": (voc_small_letters, "data=voc data.root=set", ": data.annotations=anno"),
    "a plural": (voc_small_letters, "data=voc data.root=sets", "data.root=set data.annotations="),
    "a capital": (plain, "data=folder data.root=Set", "data.root=set"),
    "published names": (coco_published, "data=yolo data.root=set", "data.train_images=train2017"),
    "yolo": (yolo_usual, "data=mask_folder data.root=set", "data=yolo"),
    "boxes, taken for classes": (coco_published, "data=folder data.root=set", "data=coco data.tr"),
    "sounds": (sound_folders, "data=folder data.root=set", "data=wav_folder"),
    "pictures": (plain, "data=wav_folder data.root=set", "data=folder"),
    "masks": (masks_usual, "data=voc data.root=set", "data=mask_folder"),
    "a table of its name": (
        LABELS,
        "data=table data.table=set/label.csv",
        "data.table=set/labels.csv",
    ),
    "texts": (jsonl, "data=text_table data.train=set/trains.jsonl", "data.input_column=text"),
}


@pytest.fixture
def faults_of(tmp_path, monkeypatch):
    """The faults of data that a command's words ask for."""

    def faults(maker, words):
        monkeypatch.chdir(tmp_path)
        maker(tmp_path / "set")
        return data_faults(compose(words.split()))

    return faults


@pytest.mark.parametrize("name", MISSED)
def test_an_error_names_the_words_that_read_what_lies_there(faults_of, name):
    maker, asked, wanted = MISSED[name]
    assert wanted in " ".join(faults_of(maker, asked))


def test_the_example_of_a_detector_on_voc(faults_of):
    (told,) = faults_of(voc_small_letters, "experiment=detection data.root=set")
    assert told.endswith(
        "8 VOC files (.xml) lie in annotations/: data=voc data.annotations=annotations "
        "data.images=images"
    )


def test_words_that_fit_are_told_nothing_more(faults_of):
    assert faults_of(plain, "data=folder data.root=set data.image_size=32") == []
    (told,) = faults_of(plain, "data=folder data.root=set data.train_limit=99")
    assert "data=" not in told


def test_a_folder_that_is_nowhere_is_told_as_before(faults_of):
    (told,) = faults_of(plain, "data=folder data.root=elsewhere")
    assert told.endswith("holds no 'elsewhere'.")


def test_damage_in_a_layout_that_fits_is_told_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    voc_small_letters(tmp_path / "set")
    (tmp_path / "set" / "annotations" / "000.xml").write_text("<annotation>")
    words = "data=voc data.root=set data.annotations=annotations data.images=images"
    (told,) = data_faults(compose(words.split()))
    assert "no XML" in told


@pytest.mark.parametrize(
    ("words", "way"),
    [
        ("experiment=detection data=folder data.root=set", "task=classification head=linear"),
        ("task=detection data=folder data.root=set", "task=classification head=linear"),
        ("experiment=digits data=voc data.root=set", "task=detection head=deformable"),
        ("experiment=detection data=mask_folder data.root=set", "task=segmentation head=semantic"),
    ],
)
def test_data_of_another_task_are_refused_with_the_words_for_it(tmp_path, monkeypatch, words, way):
    monkeypatch.chdir(tmp_path)
    (voc_small_letters if "voc" in words else masks_usual if "mask" in words else classes)(
        tmp_path / "set"
    )
    asked = words.split()
    if "voc" in words:
        asked += ["data.annotations=annotations", "data.images=images", "data.image_size=32"]
    ((where, message),) = check_faults(compose(asked))
    assert where == "task" and f"Take {way}" in message
    assert "override" not in message


def test_data_without_their_place_are_refused_with_the_words_for_their_task():
    with pytest.raises(Refused) as refused:
        compose(["experiment=detection", "data=folder"])
    faults = check_faults(refused.value.rest)
    assert any("Take task=classification" in message for _, message in faults)
    assert misfit_of(compose(["experiment=digits"]), [], []) is None


def test_an_archive_is_named_as_one_once(tmp_path):
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("a/x.png"))
    config = compose(["experiment=detection", f"data.root={tmp_path / 'set.tar'}"])
    assert sum(message.count("is an archive") for _, message in check_faults(config)) == 1


def test_looking_that_fails_leaves_the_error_as_it_is(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("vit.data.recognition.way_out.way_out", fails)
    config = compose(["experiment=detection", f"data.root={tmp_path / 'none'}"])
    assert any("does not exist" in message for _, message in check_faults(config))


def test_the_home_of_a_user_who_is_not_there_is_a_fault_in_words():
    for data in ("folder", "mask_folder", "coco", "voc", "yolo"):
        config = compose([f"data={data}", "data.root='~nobody-here/x'", "data.image_size=32"])
        assert any("~nobody-here" in message for message in data_faults(config))


def test_a_yaml_that_is_there_is_not_written_over(tmp_path):
    yolo_usual(tmp_path)
    (tmp_path / "data.yaml").write_text("nc: 1\ntrain: images/train\nanchors: 3\n")
    (layout,) = recognise(tmp_path).layouts
    (line,) = layout.first
    assert line.endswith("vit-data.yaml") and "data.file=vit-data.yaml" in layout.data
