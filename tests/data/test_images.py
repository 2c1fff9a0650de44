"""Whatever mode an image has, it arrives as eight bits, upright, in the channels asked for."""

import numpy as np
import pytest
from PIL import Image

from vit.data.core.images import BadImage, eight_bit, image_size, open_image
from vit.data.core.transforms import EvaluationTransform

GREY = np.tile(np.arange(0, 256, 16, dtype=np.uint8), (8, 1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_grey_or_rgb(mode, channels):
    image = eight_bit(Image.fromarray(GREY).convert("RGB").convert(mode), channels)
    assert image.mode == {1: "L", 3: "RGB"}[channels]
    shown = np.asarray(image.convert("L")).astype(int)
    if mode not in ("1", "P", "PA"):  # those have too few colours
        assert abs(shown - GREY).max() <= 3


@pytest.mark.parametrize("kind", ["<u2", ">u2", "i4"])
def test_sixteen_bits_keep_their_high_byte(kind, tmp_path):
    Image.fromarray(GREY.astype(kind) * 257).save(tmp_path / "deep.tiff")
    assert (np.asarray(open_image(tmp_path / "deep.tiff", 1)) == GREY).all()
    Image.fromarray(GREY.astype("<u2") * 257).save(tmp_path / "deep.png")
    assert (np.asarray(open_image(tmp_path / "deep.png", 1)) == GREY).all()


def test_floats_are_fractions_or_bytes_and_must_be_finite():
    fractions, values = GREY.astype(np.float32) / 255, GREY.astype(np.float32)
    for array in (fractions, values):
        assert (np.asarray(eight_bit(Image.fromarray(array), 1)) == GREY).all()
    with pytest.raises(BadImage, match="not finite"):
        eight_bit(Image.fromarray(values * np.nan), 1)


def test_transparent_pixels_lie_on_white():
    image = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    shown = eight_bit(image, 3)
    assert [shown.getpixel((x, 0)) for x in (0, 1)] == [(200, 0, 0), (255, 255, 255)]
    palette = Image.new("P", (1, 1), 0)
    palette.putpalette([9, 9, 9])
    palette.info["transparency"] = 0
    assert eight_bit(palette, 1).getpixel((0, 0)) == 255


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_exif_turns_the_image_and_its_size(suffix, tmp_path):
    values = np.zeros((20, 30), dtype=np.uint8)
    values[:10] = 255  # the upper half is white; turned clockwise, the right one
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / f"turned.{suffix}"
    Image.fromarray(values).save(file, exif=exif)
    image = open_image(file, 1)
    assert image.size == (20, 30)
    assert image_size(file) == (30, 20)
    shown = np.asarray(image)
    assert shown[:, 12:].min() > 200
    assert shown[:, :8].max() < 50


def test_bad_files_are_named_with_what_is_wrong(tmp_path, write_images):
    file = write_images(tmp_path / "some", 1, size=(64, 64), suffix="jpg") / "000.jpg"
    whole = file.read_bytes()
    for content, wrong in (
        (b"", "an empty file"),
        (b"hello", "not an image"),
        (whole[: len(whole) // 2], "cannot be read to its end"),
    ):
        file.write_bytes(content)
        with pytest.raises(BadImage, match=f"000.jpg: {wrong}"):
            open_image(file, 3)
    with pytest.raises(BadImage, match=r"absent\.jpg: No such file"):
        open_image(tmp_path / "absent.jpg", 3)
    with pytest.raises(BadImage, match="Is a directory"):
        open_image(tmp_path, 3)


def transform(size, **settings):
    return EvaluationTransform(size, 1, (0.5,), (0.25,), **settings)


def test_evaluation_crops_the_centre_or_squashes_the_whole():
    stripes = Image.fromarray(np.repeat([[0, 0, 255, 255, 0, 0]], 2, axis=0).astype(np.uint8))
    assert (transform((2, 2))(stripes) == 2.0).all()
    squashed = transform((2, 2), fit="squash")(stripes)
    assert squashed.shape == (1, 2, 2)
    assert abs(squashed).max() < 1.9


def test_evaluation_equals_torchvisions_resize_and_centre_crop():
    from torchvision.transforms import InterpolationMode, v2

    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (75, 101), dtype=np.uint8))
    for size, fraction, shorter in ((32, 0.875, 36), (32, 1.0, 32), (96, 0.9, 106)):
        theirs = v2.Compose([v2.Resize(shorter, InterpolationMode.BICUBIC), v2.CenterCrop(size)])(
            image
        )
        assert np.array_equal(transform((size, size), crop_fraction=fraction).fitted(image), theirs)


def test_sizes_that_are_not_square_and_images_that_are_very_long_fit():
    for shape in ((3, 40), (40, 3), (1, 1), (1, 60000)):
        image = Image.fromarray(np.zeros(shape, dtype=np.uint8))
        assert transform((16, 24), crop_fraction=0.9).fitted(image).size == (24, 16)
