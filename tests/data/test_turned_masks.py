"""Images that EXIF turns, and their masks: they cover each other pixel by pixel, or it is said."""

import numpy as np
import pytest
from mask_files import MaskFiles
from panoptic_files import PanopticFolder
from PIL import Image

from vit.data.coco import Coco
from vit.data.core.images import BadImage
from vit.data.mask_folder import MaskFolder

ALL = range(1, 9)
# Where the pixels of an upright picture lie in a file of each orientation.
STORED = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels, -1),
}


def save(path, pixels, orientation=1):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(path, "png", **({"exif": exif} if orientation > 1 else {}))


def made(root, orientation, mask_as, mask_orientation, side=40):
    """One map with grey values for classes; train's first is turned, its mask as asked."""
    files = MaskFiles(root)
    values = np.random.default_rng(0).integers(0, 3, (30, side), dtype=np.uint8)
    path = root / "images/train/1.jpg"
    save(path, STORED[orientation](100 * values), orientation)
    save(root / "masks/train/1.png", STORED[mask_as](values), mask_orientation)
    return MaskFolder(root=files.write(), image_size=32)


def covers(data):
    image, values = data.contents.sources["train"].mapped(0, 1)
    found = np.asarray(image)
    return found.shape == values.shape and bool((found == 100 * values).all())


@pytest.mark.parametrize("side", [40, 30])
@pytest.mark.parametrize("orientation", ALL)
@pytest.mark.parametrize("mask", ["upright", "alike"])
def test_upright_masks_and_those_turned_alike_cover_their_images(tmp_path, orientation, mask, side):
    own = orientation if mask == "alike" else 1
    data = made(tmp_path, orientation, own, own, side)
    assert data.faults() == []
    assert covers(data)


@pytest.mark.parametrize("orientation", ALL)
def test_masks_as_their_images_lie_in_the_file_cover_them_or_it_is_said(tmp_path, orientation):
    data = made(tmp_path, orientation, orientation, 1)
    assert data.faults() == []
    said = "\n".join(data.warnings())
    assert ("annotated as they lie in the file" in said) == (orientation >= 5)
    assert ("their size does not tell" in said) == (orientation in (2, 3, 4))
    assert covers(data) == (orientation not in (2, 3, 4))


@pytest.mark.parametrize("own", range(2, 9))
def test_a_turn_of_the_masks_own_is_right_where_sizes_prove_it_and_else_refused(tmp_path, own):
    data = made(tmp_path / "a", 1, own, own)
    if own >= 5:
        assert data.faults() == [] and covers(data)
    else:
        assert "masks that EXIF turns otherwise than their images" in str(data.faults()[0])
    # The note was copied from the picture onto a mask that lies upright already.
    (fault,) = made(tmp_path / "b", own, 1, own).faults() if own >= 5 else [None]
    assert own < 5 or f"orientation {own}, its image's is {own}" in str(fault)
    (fault,) = made(tmp_path / "c", 9 - own, 1, own).faults() if own != 8 else [None]
    assert own == 8 or "1.png" in str(fault)
    square = made(tmp_path / "d", 1, own, own, side=30).faults()
    assert "turned by its own EXIF" in str(square[0])


@pytest.mark.parametrize("orientation", ALL)
def test_panoptic_maps_cover_the_images_that_they_were_drawn_on(tmp_path, orientation):
    files = PanopticFolder(tmp_path)
    for written_as in (1, orientation):
        # The picture's three bands are the map's own: R + 256 G + 65536 B.
        folder = tmp_path / "annotations/panoptic_train"
        files.save("train", 1, picture := colours(orientation, written_as))
        pixels = np.asarray(Image.open(folder / "1.png"))
        turned = STORED[orientation](pixels) if written_as == 1 else pixels
        save(tmp_path / "images/1.jpg", turned, orientation)
        size = {"height": picture.shape[0], "width": picture.shape[1]}
        files.content["train"]["images"][0] |= size
        infos = [files.info(picture, 70001, 90), files.info(picture, 300, 7)]
        files.content["train"]["annotations"][0]["segments_info"] = infos
        data = files.data()
        assert data.faults() == []
        source = data.contents.sources["train"]
        image, marked = source.marked(0, 3, masks=True)
        same = image.size == picture.shape[::-1] and bool((np.asarray(image) == pixels).all())
        unclear = written_as in (2, 3, 4)
        assert same != unclear
        assert any("their size does not tell" in line for line in data.warnings()) == (
            orientation in (2, 3, 4)
        )
        assert (marked.masks[1] == (picture == 300)).all()
    save(folder / "1.png", pixels, 3)
    with pytest.raises(BadImage, match=r"1\.png: is turned by EXIF"):
        data.panoptic("train", 0)
    assert any("is turned by EXIF" in str(fault) for fault in data.faults())


def colours(orientation, written_as):
    upright = np.full((30, 40), 70001)
    upright[3:9, 5:20] = 300
    return upright if written_as == 1 else STORED[orientation](upright)


@pytest.mark.parametrize("orientation", ALL)
def test_outlines_cover_the_images_that_they_were_drawn_on(coco_files, orientation):
    upright = np.zeros((30, 40), dtype=np.uint8)
    upright[3:9, 5:20] = 200
    for content in coco_files.content.values():
        for one in content["annotations"]:
            one["segmentation"] = [[2, 3, 8, 3, 8, 9, 2, 9]]
    path = coco_files.root / "images/1.png"
    for written_as in (1, orientation):
        save(path, STORED[orientation](upright), orientation)
        drawn = STORED[written_as](upright)
        rows, cols = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
        x, y, right, low = cols[0], rows[0], cols[-1] + 1, rows[-1] + 1
        x, y, right, low = map(int, (x, y, right, low))
        coco_files.images[0] |= {"height": drawn.shape[0], "width": drawn.shape[1]}
        outline = [[x, y, right, y, right, low, x, low]]
        one = coco_files.annotation(100, 10, 7, [x, y, right - x, low - y], segmentation=outline)
        coco_files.content["train"]["annotations"] = [one]
        data = Coco(root=coco_files.write(), image_size=32, masks=True)
        assert data.faults() == []
        image, marked = data.contents.sources["train"].marked(0, 1, masks=True)
        same = image.size == drawn.shape[::-1] and bool(
            ((np.asarray(image) > 0) == marked.masks[0]).all()
        )
        assert same != (written_as in (2, 3, 4))
        assert any("their size does not tell" in line for line in data.warnings()) == (
            orientation in (2, 3, 4)
        )
