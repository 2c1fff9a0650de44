"""Folders of masks: how they are read, and what is wrong with them said before training."""

import shutil

import numpy as np
import pytest
from PIL import Image

from vit.data.annotations.class_maps import meanings, read_class_map
from vit.data.core.images import BadImage
from vit.data.core.sampling import Key
from vit.data.mask_folder import MaskFolder


def checked(files, **settings):
    data = MaskFolder(root=files.write(), image_size=32, **settings)
    return [str(fault) for fault in data.faults(full=True)], data.warnings(), data


def test_sound_files_have_neither_faults_nor_warnings(mask_files):
    faults, warnings, data = checked(mask_files)
    assert faults == warnings == []
    assert data.lengths == {"train": 3, "val": 2}
    assert data.facts.class_names == ("soil", "leaf", "rot")
    assert data.sample_name("val", 1) == "val/5.jpg"
    assert np.array_equal(data.class_map("train", 2), mask_files.values("train/3"))
    counted = data.describe()["train"]
    assert counted["per_class"] == {"soil": 3, "leaf": 3, "rot": 3}
    assert counted["ignored"] == pytest.approx(6 / 1200, abs=1e-4)


def test_without_splits_all_is_train_and_names_pair_in_any_folder(mask_files):
    for kind in ("images", "masks"):
        for old, new in (("train", "a"), ("val", "b")):
            (mask_files.root / kind / old).rename(mask_files.root / kind / new)
    faults, warnings, data = checked(mask_files, val_fraction=0.4)
    assert faults == warnings == []
    assert data.lengths == {"train": 3, "val": 2}
    names = {data.sample_name(split, at) for split, n in data.lengths.items() for at in range(n)}
    assert names == {"a/1.jpg", "a/2.jpg", "a/3.jpg", "b/4.jpg", "b/5.jpg"}
    for split, count in data.lengths.items():
        for at in range(count):
            name = data.sample_name(split, at).removesuffix(".jpg")
            assert np.array_equal(data.class_map(split, at), mask_files.values(name))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("val", "validation", "holds 'validation', .* data.val_folder=validation, or to null"),
        ("train", "training", "holds 'training', .* data.train_folder=training"),
        ("train", "first", "holds 'val' but no 'train'; set data.train_folder"),
    ],
)
def test_a_split_of_another_name_is_no_training_data(mask_files, old, new, said):
    (mask_files.root / "images" / old).rename(mask_files.root / "images" / new)
    with pytest.raises(ValueError, match=said):
        _ = checked(mask_files)[2].contents


def test_names_are_given_or_read_from_the_file(mask_files):
    assert checked(mask_files, classes=("a", "b", "c"))[2].facts.class_names == ("a", "b", "c")
    (mask_files.root / "classes.txt").rename(mask_files.root / "class.txt")
    data = MaskFolder(root=str(mask_files.root), image_size=32)
    (fault,) = data.faults()
    assert "data.classes_file: there is no " in str(fault)
    assert "Did you mean 'class.txt'?" in str(fault)
    mask_files.classes = "soil\nleaf\nsoil\n"
    assert "classes.txt: the name 'soil' comes twice" in checked(mask_files)[0][0]
    mask_files.classes = ""
    assert "classes.txt: 0 names; wanted 1 to 254" in checked(mask_files)[0][0]


def test_images_without_a_mask_are_a_fault_and_masks_without_an_image_a_warning(mask_files):
    (mask_files.root / "masks" / "train" / "2.png").unlink()
    (mask_files.root / "images" / "val" / "4.jpg").unlink()
    (fault,), (warning,), data = checked(mask_files)
    assert "images without a mask: train/2.jpg (1 in all)" in fault
    assert "1 masks have no image, and are left out: val/4.png" in warning
    with pytest.raises(ValueError, match="images without a mask"):
        data.loader("train")


def test_images_that_share_a_mask_are_a_fault(mask_files):
    folder = mask_files.root / "images" / "train"
    shutil.copy(folder / "2.jpg", folder / "2.jpeg")
    (fault,) = checked(mask_files)[0]
    assert "differ by their ending alone: train/2.png (1 in all)" in fault


def test_values_that_are_no_class_are_a_fault_with_their_file_and_count(mask_files):
    for name in ("train/1", "train/3"):
        values = mask_files.values(name)
        values[0, :5] = 7
        mask_files.save(name, values)
    (fault,), _, data = checked(mask_files)
    assert "pixels of no class: " in fault
    assert "1.png: 5 pixels have values that are no class, such as 7; wanted 0 to 2" in fault
    assert "(2 in all)" in fault
    with pytest.raises(BadImage, match=r"3\.png: 5 pixels"):
        data.dataset("train", training=True).__getitems__([Key(0, 2)])


def test_masks_that_are_broken_or_of_another_kind_are_faults(mask_files):
    folder = mask_files.root / "masks" / "train"
    stored = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(stored[: len(stored) // 2])
    Image.new("RGB", (40, 30)).save(folder / "2.png")
    Image.new("L", (40, 30)).save(folder / "3.png", format="JPEG")
    (fault,) = checked(mask_files)[0]
    assert "masks that cannot be read" in fault
    assert "1.png: cannot be read to its end" in fault
    assert "2.png: is a PNG of mode RGB; wanted a PNG of 8 bits" in fault
    assert "3.png: is a JPEG of mode L" in fault
    assert "(3 in all)" in fault


def test_masks_of_another_size_are_a_fault(mask_files):
    mask_files.save("val/5", np.zeros((30, 41), dtype=np.uint8))
    (fault,), _, data = checked(mask_files)
    assert "masks of another size than their images" in fault
    assert "5.png has 41×30" in fault
    assert "5.jpg 40×30 (1 in all)" in fault
    with pytest.raises(BadImage, match=r"5\.jpg: is 40×30 pixels, but the annotations"):
        list(data.loader("val"))


def test_broken_images_are_faults_and_what_is_bad_may_be_left_out(mask_files):
    path = mask_files.root / "images" / "train" / "1.jpg"
    path.write_bytes(path.read_bytes()[:200])
    mask_files.save("train/2", np.full((30, 40), 9, dtype=np.uint8))
    faults = checked(mask_files)[0]
    assert any("1.jpg: cannot be read to its end" in fault for fault in faults)
    assert any("2.png: 1200 pixels" in fault for fault in faults)
    faults, _, data = checked(mask_files, on_bad_image="skip", batch_size=3)
    assert faults == []
    (batch,) = data.loader("train")
    assert len(batch.left_out) == 2
    assert batch.index.tolist() == [2]


def test_a_picture_lies_as_its_mask_does(mask_files):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter to the right
    pixels = np.zeros((30, 40, 3), dtype=np.uint8)
    pixels[:15, :20] = 255
    path = mask_files.root / "images" / "train" / "1.jpg"
    Image.fromarray(pixels).save(path, exif=exif)
    faults, _, data = checked(mask_files)
    assert faults == []
    assert data.picture("train", 0).size == (40, 30)
    mask_files.save("train/1", np.zeros((40, 30), dtype=np.uint8))
    faults, _, data = checked(mask_files)
    assert faults == []
    assert data.picture("train", 0).size == (30, 40)


@pytest.mark.parametrize(("orientation", "size"), [(2, (30, 40)), (3, (30, 40)), (6, (40, 40))])
def test_a_turn_that_the_size_of_the_mask_does_not_tell_is_a_warning(mask_files, orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = mask_files.root / "images" / "train" / "1.jpg"
    Image.fromarray(np.zeros((*size, 3), dtype=np.uint8)).save(path, exif=exif)
    values = np.zeros(size, dtype=np.uint8)
    values[0, 0] = 1
    mask_files.save("train/1", values)
    faults, (warning,), data = checked(mask_files)
    assert faults == []
    assert "1 images are turned by EXIF" in warning
    assert "whether the masks were made before or after; taken as after: train/1.jpg" in warning
    # A mask with a turn of its own leaves nothing to guess.
    mask_files.save("train/1", values, palette=False, exif=exif)
    faults, warnings, data = checked(mask_files)
    assert faults == warnings == []
    corner = {2: (0, -1), 3: (-1, -1), 6: (0, -1)}[orientation]
    assert data.class_map("train", 0)[corner] == 1
    assert data.class_map("train", 0).sum() == 1


def test_an_image_that_lies_as_its_mask_does_is_a_warning(mask_files):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = mask_files.root / "images" / "train" / "1.jpg"
    Image.fromarray(np.zeros((30, 40, 3), dtype=np.uint8)).save(path, exif=exif)
    (warning,) = checked(mask_files)[1]
    assert "1 images are annotated as they lie in the file" in warning


def test_masks_of_other_names_are_one_fault_and_no_warning(mask_files):
    for split, numbers in (("train", (1, 2, 3)), ("val", (4, 5))):
        for n in numbers:
            path = mask_files.root / "masks" / split / f"{n}.png"
            path.rename(path.with_name(f"{n}_mask.png"))
    faults, warnings, _ = checked(mask_files)
    assert all("Rename the masks without '_mask'" in fault for fault in faults)
    assert warnings == []


def test_zero_is_where_nobody_said_if_reported_so(mask_files):
    values = mask_files.values("train/1")
    data = checked(mask_files, reduce_zero_label=True, classes=("leaf", "rot"))[2]
    assert data.faults(full=True) == []
    wanted = np.where((values == 0) | (values == 255), 255, values - 1)
    assert np.array_equal(data.class_map("train", 0), wanted)
    (fault,) = checked(mask_files, reduce_zero_label=True, classes=("leaf",))[0][-1:]
    assert "such as 2; wanted 1 to 1" in fault


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_few_bits_are_read_as_the_values_they_store(tmp_path, bits):
    """Pillow spreads grey values of 2 and 4 bits over 8; a palette's it leaves alone."""
    values = np.arange(24).reshape(4, 6).astype(np.uint8) % min(2**bits, 24)
    image = Image.fromarray(values)
    image.putpalette([7 * n % 256 for n in range(3 * 256)])
    image.save(tmp_path / "palette.png", bits=bits)
    assert np.array_equal(read_class_map(tmp_path / "palette.png", meanings(24)), values)
    grey_png(tmp_path / "grey.png", values, bits)
    assert np.array_equal(read_class_map(tmp_path / "grey.png", meanings(24)), values)


def grey_png(path, values, bits):
    """Written by hand: Pillow writes no grey PNG of 2 or 4 bits."""
    import struct
    import zlib

    def chunk(kind, data):
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    height, width = values.shape
    lines = b""
    for row in values:
        text = "".join(f"{value:0{bits}b}" for value in row.tolist())
        text += "0" * (-len(text) % 8)
        lines += b"\0" + bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_a_class_that_no_map_shows_is_a_warning(mask_files):
    mask_files.classes += "rust\n"
    faults, (warning,), _ = checked(mask_files)
    assert faults == []
    assert "none of 3 training maps shows rust" in warning


def test_the_fingerprint_changes_with_a_map_a_picture_and_what_values_mean(mask_files):
    prints = [checked(mask_files)[2].fingerprint()]
    assert checked(mask_files, batch_size=2)[2].fingerprint() == prints[0]
    values = mask_files.values("train/1")
    values[9, 9] = (values[9, 9] + 1) % 3
    mask_files.save("train/1", values)
    prints.append(checked(mask_files)[2].fingerprint())
    Image.new("RGB", (40, 30)).save(mask_files.root / "images" / "val" / "4.jpg")
    prints.append(checked(mask_files)[2].fingerprint())
    prints.append(checked(mask_files, reduce_zero_label=True)[2].fingerprint())
    mask_files.classes = "soil\nleaf\nrust\n"
    prints.append(checked(mask_files)[2].fingerprint())
    assert len(set(prints)) == 5
