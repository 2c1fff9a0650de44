"""Images of more than 8 bits: one scale for all of a set, and what is lost of them is said."""

import numpy as np
import pytest
from PIL import Image

from vit.data.core.deep_images import deep_in, remarks_on
from vit.data.core.images import eight_bit, open_image
from vit.data.folder import Folder
from vit.data.mask_folder import MaskFolder
from vit.facts import Facts, facts_from

RAMP = np.tile(np.linspace(0, 1, 64), (8, 1))


@pytest.fixture
def folder(tmp_path):
    """Two classes of ten images each, of the highest values given by turns."""

    def write(tops, kind, suffix):
        for name, ramp in (("a", RAMP), ("b", RAMP[:, ::-1])):
            (tmp_path / "set" / name).mkdir(parents=True)
            for number in range(10):
                values = (ramp * tops[number % len(tops)]).astype(kind)
                Image.fromarray(values).save(tmp_path / "set" / name / f"{number}.{suffix}")
        return Folder(root=str(tmp_path / "set"), image_size=(8, 64))

    return write


def highest(data, position):
    return int(np.asarray(data.contents.sources["train"].read(position, 1)).max())


def test_twelve_bits_in_sixteen_are_a_warning_with_their_share(folder):
    (warning,) = folder([4095], np.uint16, "png").warnings()
    assert "20 of 20 images looked at are deep: of 16 bits the upper 8 are kept" in warning
    assert "values reach 4,095 of 65,535 (6.2% of the range, 12 of 16 bits)" in warning
    assert "leaves 17 of 256 levels; stored times 16" in warning


def test_the_whole_range_of_sixteen_bits_is_reported_without_advice(folder):
    (warning,) = folder([65535], np.uint16, "tif").warnings()
    assert "16 of 16 bits), which leaves 256 of 256 levels" in warning and "stored" not in warning


@pytest.mark.parametrize(
    ("tops", "kind", "white", "shown"),
    [
        ([1.0, 1.2], np.float32, 1, [255, 255]),  # 1.2 made the whole image black
        ([1.0, 0.5], np.float32, 1, [255, 128]),
        ([255.0, 0.9], np.float32, 255, [255, 1]),  # a dark one stays dark
        ([300.0, 20.0], np.float32, 255, [255, 20]),
        ([4095.0, 100.0], np.float32, 65535, [16, 0]),
        ([200, 100], np.int32, 255, [200, 100]),
        ([65535, 100], np.int32, 65535, [255, 0]),
        ([1, 1], np.int32, 255, [1, 1]),
    ],
)
def test_all_images_of_a_set_have_one_scale(folder, tops, kind, white, shown):
    data = folder(tops, kind, "tif")
    assert data.facts.white == white
    assert [highest(data, 0), highest(data, 1)] == shown
    (warning,) = data.warnings()
    assert f"of which {white:,} is taken for white in all images" in warning
    assert ("what is above" in warning) == (max(tops) > white)
    image = Image.fromarray((RAMP * tops[1]).astype(kind))
    prepared = data.eval_transform(image) * 0.229 + 0.485  # of red; as predict does
    assert abs(float(prepared[0].max()) * 255 - shown[1]) < 3


def test_the_scale_travels_with_the_facts_and_old_facts_have_none():
    plain = {"num_classes": 2, "class_names": ("a", "b"), "image_size": (8, 8), "channels": 1}
    facts = facts_from({**plain, "mean": (0.5,), "std": (0.5,)})
    assert isinstance(facts, Facts) and facts.white is None


def test_eight_bits_are_no_cause_for_a_word(photos):
    data = Folder(root=str(photos), image_size=8)
    assert data.warnings() == [] and data.facts.white is None


def test_values_below_zero_are_reported(folder):
    (warning,) = folder([-1.0, 1.0], np.float32, "tif").warnings()
    assert "what is below 0 is black" in warning


def test_an_image_by_itself_is_not_black_for_a_little_above_one():
    for top in (1.0, 1.0001, 1.2, 1.5):
        shown = np.asarray(eight_bit(Image.fromarray((RAMP * top).astype(np.float32)), 1))
        assert shown.max() == 255 and len(np.unique(shown)) > 32


def test_masks_and_boxes_have_their_pictures_warned_of_too(mask_files):
    for path in (mask_files.root / "images" / "train").glob("*.jpg"):
        path.unlink()
        deep = (np.arange(1200).reshape(30, 40)).astype(np.uint16)
        Image.fromarray(deep).save(path.with_suffix(".png"))
    data = MaskFolder(root=mask_files.write(), image_size=32)
    assert any("of 16 bits the upper 8 are kept" in line for line in data.warnings())


def test_colours_of_sixteen_bits_are_known_from_the_head(tmp_path):
    write_rgb48(tmp_path / "deep.png", 4095)
    with Image.open(tmp_path / "deep.png") as image:
        deep = deep_in(image)
    assert deep is not None and deep.kind == "16 bits"
    (line,) = remarks_on([deep], "1 of 1 images", None)
    assert "12 of 16 bits" in line
    assert np.asarray(open_image(tmp_path / "deep.png", 3)).max() == 15


def write_rgb48(path, top):
    """By hand: Pillow writes no colours of 16 bits."""
    import struct
    import zlib

    def chunk(kind, data):
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    values = np.repeat((RAMP * top).astype(">u2")[:, :, None], 3, axis=2)
    lines = b"".join(b"\0" + row.tobytes() for row in values)
    header = struct.pack(">IIBBBBB", 64, 8, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
