"""Pictures in a run's folder: replaced as a whole, believed only where they are pictures."""

import json

import numpy as np
import pytest
from PIL import Image

from vit.runs.mistake_gallery import Album, Mistake, picture_content, read_album, shown, write_album


def noise(width, height):
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def album(count):
    return Album([Mistake(noise(8, 6), f"words {n}", f"{n}.png") for n in range(count)])


def test_an_album_replaces_the_one_before(tmp_path):
    write_album(tmp_path, "val", album(5), 10, 1)
    write_album(tmp_path, "val", Album(album(2).mistakes, [("found", "#00ff00")]), 20, 2)
    told = read_album(tmp_path, "val")
    assert told["step"] == 20 and told["legend"] == [("found", "#00ff00")]
    assert [row["words"] for row in told["pictures"]] == ["words 0", "words 1"]
    files = sorted(str(file) for file in (tmp_path / "pictures" / "val").glob("*.webp"))
    assert sorted(row["file"] for row in told["pictures"]) == files
    assert read_album(tmp_path, "test") is None


@pytest.mark.parametrize(
    ("size", "stored"), [((8, 6), (128, 96)), ((100, 40), (200, 80)), ((900, 300), (512, 171))]
)
def test_pictures_are_stored_at_a_size_for_people(tmp_path, size, stored):
    image = noise(*size)
    write_album(tmp_path, "test", Album([Mistake(image, "", "")]))
    (row,) = read_album(tmp_path, "test")["pictures"]
    kind, content, found = picture_content(tmp_path / row["file"])
    assert kind == "image/webp" and found == stored and len(content) < 200_000
    if size == (8, 6):  # enlarged without a loss
        with Image.open(row["file"]) as opened:
            np.testing.assert_array_equal(np.asarray(opened)[::16, ::16], np.asarray(image))


def test_what_has_no_colour_is_kept_in_grey(tmp_path):
    values = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    grey = Image.fromarray(values).convert("RGB")
    assert shown(grey).mode == "L" and shown(noise(8, 8)).mode == "RGB"
    write_album(tmp_path, "test", Album([Mistake(grey, "", "")]))
    (row,) = read_album(tmp_path, "test")["pictures"]
    with Image.open(row["file"]) as opened:
        np.testing.assert_array_equal(np.asarray(opened.convert("L"))[::16, ::16], values)


def test_a_list_names_files_of_its_own_folder_only(tmp_path):
    listing = write_album(tmp_path, "test", album(1))
    (tmp_path / "secret.webp").write_bytes(b"x")
    told = json.loads(listing.read_text())
    good = told["pictures"][0]
    rows = [{"file": name} for name in ("../../secret.webp", "/etc/hostname", "none.webp", 5)]
    for pictures, count in (([good, *rows, 3, None], 1), ("x", 0), ({}, 0)):
        listing.write_text(json.dumps({**told, "pictures": pictures, "legend": [1, ["a"]]}))
        found = read_album(tmp_path, "test")
        assert len(found["pictures"]) == count and found["legend"] == []
    listing.write_text(json.dumps({**told, "schema_version": 2}))
    assert read_album(tmp_path, "test") is None


def test_what_is_no_picture_has_no_content(tmp_path):
    file = tmp_path / "a.webp"
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
    for content in (b"", svg, b"RIFF\0\0\0\0WEBP", b"GIF89a" + bytes(50)):
        file.write_bytes(content)
        assert picture_content(file) is None
    assert picture_content(tmp_path / "none.webp") is None
