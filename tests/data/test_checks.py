"""Faults found before training, images looked at once, and a fingerprint that means something."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from every_kind import EVERY

from vit.data.core import manifest
from vit.data.core.manifest import DECODED, HEADER, bad_files
from vit.data.digits import Digits
from vit.data.folder import Folder
from vit.data.kinds import checks
from vit.data.wav_folder import WavFolder


def cut(file):
    file.write_bytes(file.read_bytes()[:200])


def test_sound_data_have_no_faults(photos):
    assert not Folder(root=str(photos)).faults()
    assert not Digits().faults(full=True)


def test_one_class_only_is_a_fault(photos):
    shutil.rmtree(photos / "dog")
    shutil.rmtree(photos / "owl")
    (fault,) = Folder(root=str(photos)).faults()
    assert "only one class, 'cat'" in fault.message


def test_truncated_images_are_named_and_skip_is_offered(photos):
    cut(photos / "dog" / "004.png")
    faults = Folder(root=str(photos)).faults()
    assert "dog/004.png: cannot be read to its end" in faults[0].message
    assert faults[1].where == "data.on_bad_image"
    assert not Folder(root=str(photos), on_bad_image="skip").faults()


def test_a_sample_is_decoded_and_all_where_asked(photos, monkeypatch):
    monkeypatch.setattr(checks, "IMAGES_DECODED", 2)
    cut(photos / "dog" / "004.png")
    assert not Folder(root=str(photos)).faults()
    assert "dog/004.png" in Folder(root=str(photos)).faults(full=True)[0].message
    (photos / "cat" / "005.png").write_bytes(b"")
    messages = [fault.message for fault in Folder(root=str(photos)).faults()]
    assert any("cat/005.png: an empty file" in message for message in messages)


def test_many_bad_images_are_summed_up(photos):
    for file in (photos / "cat").iterdir():
        cut(file)
    faults = Folder(root=str(photos), image_size=8).faults()
    assert [str(fault) for fault in faults][5] == "data: 9 more images like these."
    assert len(faults) == 7


def test_each_file_is_opened_once_until_it_changes(photos, monkeypatch):
    files = sorted((photos / "cat").iterdir())
    cut(files[0])
    assert list(bad_files(files, DECODED)) == files[:1]
    opened = []
    monkeypatch.setattr(manifest, "_look", lambda path, depth: opened.append(path))
    assert list(bad_files(files, DECODED)) == files[:1]
    assert list(bad_files(files, HEADER)) == files[:1]
    assert opened == []
    os.utime(files[1], ns=(1, 1))
    bad_files(files, DECODED)
    assert opened == [files[1]]


def test_a_look_at_the_header_does_not_stand_for_one_at_the_pixels(photos):
    files = sorted((photos / "cat").iterdir())
    cut(files[0])
    assert bad_files(files, HEADER) == {}
    assert list(bad_files(files, DECODED)) == files[:1]


def test_a_file_that_could_not_be_reached_is_looked_at_again(photos):
    file = photos / "cat" / "absent.png"
    assert "No such file" in bad_files([file], DECODED)[file]
    shutil.copy(photos / "cat" / "000.png", file)
    assert bad_files([file], DECODED) == {}


def test_without_a_cache_folder_everything_still_works(photos, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    cut(photos / "dog" / "004.png")
    assert "dog/004.png" in Folder(root=str(photos)).faults()[0].message


def test_labels_out_of_range_and_classes_without_images_are_faults():
    data = Digits()
    data.contents.sources["train"].labels[7] = 12
    (fault,) = data.faults()
    assert "image 7: label 12 is out of range; wanted 0 to 9" in fault.message
    data = Digits()
    for source in data.contents.sources.values():
        source.labels[source.labels == 4] = 5
    (fault,) = data.faults()
    assert "no training image has the class 4" in fault.message


def test_the_fingerprint_is_that_of_the_data_wherever_they_lie(photos, tmp_path):
    some = Folder(root=str(photos)).fingerprint()
    shutil.copytree(photos, tmp_path / "moved", copy_function=shutil.copy)
    assert Folder(root=str(tmp_path / "moved"), seed=4, image_size=8).fingerprint() == some


@pytest.mark.parametrize("change", ["pixels", "name", "class", "split", "removed"])
def test_the_fingerprint_changes_with_the_data(photos, change):
    some = Folder(root=str(photos)).fingerprint()
    first = photos / "cat" / "000.png"
    settings = {"split_seed": 1} if change == "split" else {}
    if change == "pixels":
        content = bytearray(first.read_bytes())
        content[60] ^= 1
        first.write_bytes(content)
    elif change == "name":
        first.rename(photos / "cat" / "0000.png")  # stays the first
    elif change == "class":
        (photos / "cat").rename(photos / "lynx")
    elif change == "removed":
        first.unlink()
    assert Folder(root=str(photos), **settings).fingerprint() != some


def test_the_fingerprint_changes_with_one_label():
    data = Digits()
    some = data.fingerprint()
    data.contents.sources["test"].labels[3] += 1
    assert data.fingerprint() != some


def test_evenly_spread_positions_hold_both_ends():
    assert checks.evenly_spaced(np.arange(100), 4).tolist() == [0, 33, 66, 99]
    assert checks.evenly_spaced(np.arange(3), 4).tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", ["folder", "coco", "coco_panoptic", "mask_folder"])
def test_skipping_bad_images_needs_some_that_are_good(kind, tmp_path):
    data = EVERY[kind](tmp_path / "data")
    for file in (tmp_path / "data").rglob("*.ppm"):
        file.write_bytes(b"no image")
    said = [str(fault) for fault in replace(data, on_bad_image="skip").faults()]
    assert any("not one of" in line and "can be read" in line for line in said), said


def test_what_is_a_fault_is_no_warning_too(tmp_path):
    assert WavFolder(root=str(tmp_path / "nowhere")).warnings() == []
    assert Folder(root=str(tmp_path / "nowhere")).warnings() == []
