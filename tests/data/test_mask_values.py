"""Values of maps that mean something else, and folders that are laid out in another way."""

import re

import numpy as np
import pytest
from PIL import Image

from vit.data.mask_folder import MaskFolder

BOX = np.zeros((24, 32), dtype=np.uint8)
BOX[5:15, 5:20] = 1
EDGE = BOX + 2 * np.eye(24, 32, dtype=np.uint8) * (1 - BOX)


@pytest.fixture
def folder(tmp_path):
    """Writes images and maps of the given values, beside classes.txt, and returns the root."""

    def write(values, count=4, name="{}.png", mode=None, **saving):
        for kind in ("images", "masks"):
            (tmp_path / kind).mkdir()
        (tmp_path / "classes.txt").write_text("background\nlesion\n")
        for number in range(count):
            photo = np.random.default_rng(number).integers(0, 255, (24, 32, 3), dtype=np.uint8)
            Image.fromarray(photo).save(tmp_path / "images" / f"{number}.jpg")
            image = Image.fromarray(values)
            image = image if mode is None else image.convert(mode)
            image.save(tmp_path / "masks" / name.format(number), **saving)
        return tmp_path

    return write


def data_of(root, **settings):
    return MaskFolder(root=str(root), image_size=32, val_fraction=0.25, **settings)


def message_of(root, **settings):
    (fault,) = data_of(root, **settings).faults()
    return str(fault)


@pytest.mark.parametrize("on_bad_image", ["error", "skip"])
def test_maps_of_0_and_255_alone_are_a_fault_that_says_how_to_read_them(folder, on_bad_image):
    root = folder(BOX * 255)
    fault = message_of(root, on_bad_image=on_bad_image)
    assert "the maps hold 0 and 255 only, and 255 is where nobody said" in fault
    assert "If 0 is 'background' and 255 is 'lesion': data.class_values=[0,255]" in fault
    data = data_of(root, class_values=(0, 255))
    assert data.faults() == data.warnings() == []
    assert np.array_equal(data.class_map("train", 0), BOX)
    assert data.fingerprint() != data_of(root).fingerprint()


def test_any_value_may_be_where_nobody_said(folder):
    root = folder(EDGE)
    assert (
        "If 2 is a class, name it; if it is where nobody said: data.ignore_value=2"
        in message_of(root)
    )
    for given in (2, (2, 255)):
        data = data_of(root, ignore_value=given)
        assert data.faults() == data.warnings() == []
        assert np.array_equal(data.class_map("train", 0), np.where(EDGE == 2, 255, EDGE))
    swapped = data_of(root, class_values=(1, 0), ignore_value=2).class_map("train", 0)
    assert np.array_equal(swapped, np.where(EDGE == 2, 255, 1 - BOX))


def test_what_is_ignored_leaves_one_class_or_none(folder):
    root = folder(BOX)
    assert "hold 0 and 1 only, and 0 is where nobody said" in message_of(root, ignore_value=0)
    fault = message_of(root, ignore_value=(0, 1))
    assert "0 and 1 are where nobody said: no class is left" in fault


def test_a_key_added_later_changes_no_fingerprint(folder):
    """Measured before the keys came; the fingerprint is in the identity of every trial."""
    root = folder(np.kron(np.arange(12, dtype=np.uint8).reshape(3, 4) % 2, np.ones((8, 8), "u1")))
    for path in (root / "images").iterdir():
        path.write_bytes(b"only its size and bytes count")
    for path in (root / "masks").iterdir():
        path.write_bytes(b"likewise")
    assert data_of(root).fingerprint() == "8ed7e06bf929c20e5f02dddb475d7275"
    assert data_of(root, reduce_zero_label=True).fingerprint() == "1686df8b7c59d63486df5d44287a86fe"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"class_values": (0, 256)}, r"data.class_values=\(0, 256\); wanted 0 to 255"),
        ({"ignore_value": -1}, "data.ignore_value=-1; wanted 0 to 255"),
        ({"class_values": (3, 3)}, "wanted each value once"),
        ({"class_values": (0, 7), "ignore_value": 7}, "7 is in data.class_values too"),
        ({"class_values": (0, 7), "reduce_zero_label": True}, "take one of them"),
        ({"class_values": (0, 1, 2)}, "a value for each of the 2 classes background, lesion"),
    ],
)
def test_odd_values_are_refused(folder, settings, said):
    with pytest.raises(ValueError, match=said):
        _ = data_of(folder(BOX), **settings).contents


def smooth(values):
    small = Image.fromarray(values).resize((16, 12), Image.Resampling.BICUBIC)
    return np.asarray(small.resize((32, 24), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    ("values", "saving", "said"),
    [
        (smooth(BOX * 255), {}, "So many values come of smoothed edges, of JPEG"),
        (BOX * 255, {"format": "JPEG"}, "is a JPEG of mode L.*JPEG changes values"),
        (BOX, {"mode": "RGB"}, r"is a PNG of mode RGB.*getchannel\(0\)"),
        (BOX.astype(np.uint16), {}, "is a PNG of mode I;16.*a grey PNG of 8 bits"),
        (BOX * 128, {}, r": data\.class_values=\[0,128\]"),
        (BOX + 1, {}, r"such as 2; wanted 0 to 1, or 255 where nobody said; likewise 1.png"),
    ],
)
def test_what_is_wrong_with_all_maps_is_said_once(folder, values, saving, said):
    fault = message_of(folder(values, **saving))
    assert re.search(said, fault)
    assert "(4 in all)" in fault and fault.count("wanted") == 1 and len(fault) < 700


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("{}_mask.png", "named otherwise, 0_mask.png, .*Rename the masks without '_mask'"),
        ("mask-{}.png", "named otherwise, mask-0.png, .*Rename the masks without 'mask-'"),
        ("x{}y.png", "named otherwise, x0y.png, .*wanted 0.png for 0.jpg"),
        ("{}.jpg", r"are no PNG \(4 .jpg\); wanted 0.png for 0.jpg. JPEG changes values"),
        ("{}.tif", r"are no PNG \(4 .tif\); wanted 0.png for 0.jpg"),
    ],
)
def test_masks_that_are_not_found_are_reported_with_what_is_there(folder, name, said):
    data = data_of(folder(BOX, name=name))
    (fault,) = data.faults()
    assert "none of 4 images has a mask" in str(fault) and re.search(said, str(fault))
    assert data.warnings() == []


def test_images_and_masks_lie_in_folders_of_the_same_names(folder):
    root = folder(BOX)
    (root / "masks" / "train").mkdir()
    for path in (root / "masks").glob("*.png"):
        path.rename(root / "masks" / "train" / path.name)
    assert "Images and masks are to lie in folders of the same names" in message_of(root)
    (root / "images" / "train").mkdir()
    (root / "images" / "val").mkdir()
    for number in range(4):
        name = f"{number}.jpg"
        (root / "images" / name).rename(root / "images" / ("val" if number else "train") / name)
    assert "masks/val: none of 3 images has a mask: there is no such folder" in message_of(root)


def test_empty_folders_are_reported_once(folder):
    root = folder(BOX)
    for path in (root / "masks").iterdir():
        path.unlink()
    assert "none of 4 images has a mask: the folder is empty" in message_of(root)
    for path in (root / "images").iterdir():
        path.unlink()
    for size in (32, None):
        data = MaskFolder(root=str(root), image_size=size)
        (fault,) = data.faults()
        assert "train holds no image" in str(fault)
        assert data.warnings() == []


def test_only_a_file_of_names_is_suggested_for_one(folder):
    root = folder(BOX)
    (root / "classes.txt").rename(root / "test.txt")
    assert "Did you mean" not in message_of(root)
    (root / "test.txt").rename(root / "class_names.txt")
    assert "Did you mean 'class_names.txt'?" in message_of(root)


def test_names_that_differ_by_capitals_alone_are_a_warning(folder):
    root = folder(BOX)
    (root / "classes.txt").write_text("Lesion\nlesion\n")
    (warning,) = data_of(root).warnings()
    assert "the classes 'Lesion', 'lesion' differ by capitals or spaces alone" in warning


def test_nothing_is_left_out_in_silence_where_nothing_would_be_left(folder):
    root = folder(BOX + 7)
    assert "pixels of no class" in message_of(root, on_bad_image="skip")
    for path in (root / "images").iterdir():
        path.write_bytes(b"")
    faults = [str(fault) for fault in data_of(root, on_bad_image="skip").faults()]
    assert any("not one of 4 images can be read" in fault for fault in faults)


def test_a_key_that_conf_does_not_have_is_asked_for_with_a_plus():
    from omegaconf import OmegaConf

    from vit.cli.override_errors import _value_fault

    base = OmegaConf.create({"data": {"_target_": "vit.data.mask_folder.MaskFolder", "root": "x"}})
    fault = _value_fault("data.ignore_value=0", base, ValueError())
    assert str(fault).endswith("is added with a plus: +data.ignore_value=0")
    assert "no such key" in str(_value_fault("data.ignored=0", base, ValueError()))
