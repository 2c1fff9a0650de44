"""Sets of masks as people have them: siblings, suffixes, palettes, class maps, any values."""

import json

import numpy as np
import pytest
from PIL import Image

from vit.data.mask_folder import MaskFolder
from vit.structures import IGNORED

HIGH, WIDE = 24, 32
COLOURS = {"background": (0, 0, 0), "road": (128, 64, 128), "void": (128, 64, 129)}


def numbers(seed, classes=3):
    """[height, width], each class somewhere."""
    blocks = np.random.default_rng(seed).integers(0, classes, (6, 8), dtype=np.uint8)
    blocks[0, :classes] = range(classes)
    return np.kron(blocks, np.ones((4, 4), dtype=np.uint8))


def photo(file):
    file.parent.mkdir(parents=True, exist_ok=True)
    seed = [*str(file).encode()]  # no two alike
    pixels = np.random.default_rng(seed).integers(0, 255, (HIGH, WIDE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


def mask(file, values):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(file)


def coloured(values):
    return np.array([*COLOURS.values()], dtype=np.uint8)[values]


def write(root, names, images="images/{}.jpg", masks="masks/{}.png", change=lambda values: values):
    for seed, name in enumerate(names):
        photo(root / images.format(name))
        mask(root / masks.format(name), change(numbers(seed)))
    return root


def data_of(root, **settings):
    return MaskFolder(root=str(root), image_size=32, **{"val_fraction": 0.25, **settings})


def sound(data):
    assert data.faults() == []
    return data


def maps(data, split="train"):
    return {
        data.sample_name(split, at): data.class_map(split, at) for at in range(data.lengths[split])
    }


FOUR = ("0", "1", "2", "3")
NAMES = ("background", "road", "void")


def test_siblings_of_each_split_with_a_void_value_equal_the_usual_layout(tmp_path):
    void = np.array([0, 1, 11], dtype=np.uint8)
    for split, names in (("train", FOUR), ("val", ("8", "9"))):
        write(
            tmp_path / "a", names, f"{split}/{{}}.jpg", f"{split}annot/{{}}.png", void.__getitem__
        )
        write(
            tmp_path / "b",
            names,
            f"images/{split}/{{}}.jpg",
            f"masks/{split}/{{}}.png",
            void.__getitem__,
        )
    more = {"classes": NAMES[:2], "ignore_value": 11}
    siblings = sound(data_of(tmp_path / "a", images="{split}", masks="{split}annot", **more))
    usual = sound(data_of(tmp_path / "b", **more))
    assert siblings.lengths == usual.lengths == {"train": 4, "val": 2}
    for split in ("train", "val"):
        for (name, found), (other, wanted) in zip(
            maps(siblings, split).items(), maps(usual, split).items(), strict=True
        ):
            assert f"{split}/{name}" == other and np.array_equal(found, wanted)
    assert set(np.unique(found)) == {0, 1, IGNORED}


def test_a_sibling_that_looks_like_a_split_by_another_name_is_asked_about(tmp_path):
    for split in ("train", "validation"):
        write(tmp_path, FOUR, f"{split}/{{}}.jpg", f"{split}annot/{{}}.png")
    pattern = {"images": "{split}", "masks": "{split}annot", "classes": NAMES}
    (fault,) = data_of(tmp_path, **pattern).faults()
    assert "set data.val_folder=validation" in str(fault)
    named = sound(data_of(tmp_path, val_folder="validation", **pattern))
    assert named.lengths == {"train": 4, "val": 4}
    assert sound(data_of(tmp_path, val_folder=None, **pattern)).lengths == {"train": 3, "val": 1}


def test_folders_within_each_split(tmp_path):
    for split in ("train", "val"):
        write(tmp_path, FOUR, f"{split}/images/{{}}.jpg", f"{split}/masks/{{}}.png")
    pattern = {"images": "{split}/images", "masks": "{split}/masks"}
    assert sound(data_of(tmp_path, classes=NAMES, **pattern)).lengths == {"train": 4, "val": 4}


@pytest.mark.parametrize("end", ["jpg", "png"])
def test_masks_beside_their_images_are_told_by_their_suffix(tmp_path, end):
    write(tmp_path, FOUR, f"{{}}.{end}", "{}_mask.png")
    beside = {"images": ".", "masks": ".", "classes": NAMES}
    data = sound(data_of(tmp_path, mask_suffix="_mask", **beside))
    assert data.lengths == {"train": 3, "val": 1}
    for name, found in maps(data).items():
        assert np.array_equal(found, numbers(int(name[0])))
    with pytest.raises(ValueError, match="wanted data"):
        data_of(tmp_path, **beside)


def test_suffixes_of_both(tmp_path):
    write(tmp_path, FOUR, "left/{}_left.jpg", "fine/{}_fine_ids.png")
    mask(tmp_path / "fine" / "0_fine_colour.png", coloured(numbers(0)))
    places = {"images": "left", "masks": "fine", "classes": NAMES}
    data = sound(data_of(tmp_path, image_suffix="_left", mask_suffix="_fine_ids", **places))
    assert len(maps(data)) == 3
    (fault,) = data_of(
        write(tmp_path / "b", FOUR, masks="masks/{}_mask.png"), classes=NAMES
    ).faults()
    assert "data.mask_suffix=_mask" in str(fault)


def by_hand(pixels):
    """The classes of colours, a colour at a time; what is none of them stays 254."""
    found = np.full(pixels.shape[:2], 254, dtype=np.uint8)
    for number, colour in enumerate(COLOURS.values()):
        found[(pixels == colour).all(axis=-1)] = IGNORED if number == 2 else number
    return found


FILES = {
    "classes.json": json.dumps({name: list(colour) for name, colour in COLOURS.items()}),
    "class_dict.csv": "name,r,g,b\n"
    + "".join(f"{n},{r},{g},{b}\n" for n, (r, g, b) in COLOURS.items()),
    "label_colors.txt": "".join(f"{r} {g} {b}\t{n}\n" for n, (r, g, b) in COLOURS.items()),
}


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("given", ["keys", *FILES])
def test_colours_are_classes(tmp_path, given, mode):
    write(tmp_path, FOUR, change=coloured)
    for seed, name in enumerate(FOUR):
        image = Image.fromarray(coloured(numbers(seed)))
        if mode == "P":  # whose numbers are not those of the classes
            image = Image.fromarray(2 - numbers(seed))
            image.putpalette([n for colour in reversed(COLOURS.values()) for n in colour])
        image.convert(mode).save(tmp_path / "masks" / f"{name}.png")
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    palette = {name: list(colour) for name, colour in COLOURS.items()} if given == "keys" else given
    data = sound(data_of(tmp_path, palette=palette, ignore_classes=("void",)))
    assert data.facts.class_names == NAMES[:2]
    for name, found in maps(data).items():
        stored = np.asarray(Image.open(tmp_path / "masks" / f"{name[0]}.png").convert("RGB"))
        assert np.array_equal(found, by_hand(stored)) and IGNORED in found
    assert data.fingerprint() != data_of(tmp_path, palette=palette).fingerprint()


def test_a_colour_of_no_class_is_named(tmp_path):
    write(tmp_path, FOUR, change=coloured)
    palette = {name: list(COLOURS[name]) for name in NAMES[:2]}
    (fault,) = data_of(tmp_path, palette=palette).faults()
    assert "such as [128,64,129]" in str(fault) and "(4 in all)" in str(fault)
    photos = write(
        tmp_path / "b",
        FOUR,
        change=lambda v: np.random.default_rng(0).integers(0, 255, (*v.shape, 3), dtype=np.uint8),
    )
    (fault,) = data_of(photos, palette=palette).faults()
    assert "smoothed edges" in str(fault)
    (fault,) = data_of(write(tmp_path / "c", FOUR, change=coloured), classes=NAMES).faults()
    assert "data.palette" in str(fault)


LESION = {0: "background", 255: "lesion"}
CLASS_MAPS = {
    "keys": ({"values": LESION}, ""),
    "texts": ({"values": {"0": "background", "255": "lesion"}}, ""),
    "value to name": ({"classes_file": "classes.json"}, json.dumps(LESION)),
    "name to value": (
        {"classes_file": "classes.json"},
        json.dumps({"background": 0, "lesion": 255}),
    ),
    "list": (
        {"classes_file": "classes.json", "class_values": (0, 255)},
        json.dumps(["background", "lesion"]),
    ),
}


@pytest.mark.parametrize("how", CLASS_MAPS)
def test_values_have_names_however_they_are_given(tmp_path, how):
    settings, content = CLASS_MAPS[how]
    write(tmp_path, FOUR, change=lambda values: (values > 0).astype(np.uint8) * 255)
    (tmp_path / "classes.json").write_text(content)
    data = sound(data_of(tmp_path, **settings))
    assert data.facts.class_names == ("background", "lesion")
    for name, found in maps(data).items():
        assert np.array_equal(found, numbers(int(name[0])) > 0)
    older = data_of(tmp_path, classes=("background", "lesion"), class_values=(0, 255))
    assert data.fingerprint() == older.fingerprint()


def test_classes_are_ignored_by_their_names(tmp_path):
    write(tmp_path, FOUR)
    data = sound(data_of(tmp_path, classes=NAMES, ignore_classes=("road",)))
    assert data.facts.class_names == ("background", "void")
    for name, found in maps(data).items():
        wanted = np.array([0, IGNORED, 1], dtype=np.uint8)[numbers(int(name[0]))]
        assert np.array_equal(found, wanted)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"values": {0: "a", 300: "b"}}, "300 is no value"),
        ({"values": {0: "a", "x": "b"}}, "'x' is no value"),
        ({"values": {0: "a", 1: "a"}}, "'a' comes twice"),
        ({"palette": {"a": [0, 0, 0], "b": [0, 0]}}, "b: .* is no colour"),
        ({"palette": {"a": [0, 0, 0], "b": [0, 0, 0]}}, "a and b have one colour"),
        ({"palette": "colors.txt"}, "there is no file .*colors.txt"),
        ({"palette": "broken.txt"}, r"row 2 \(road 1 2\)"),
        ({"classes": NAMES, "ignore_classes": ("rode",)}, "Did you mean 'road'"),
        ({"classes": NAMES, "ignore_classes": NAMES}, "names every class"),
        ({"values": {0: "a", 1: "b"}, "ignore_value": 1}, "ignore_value=1 is the value of 'b' too"),
        ({"classes_file": "number.json"}, "wanted a list of names"),
        ({"classes_file": "colours.json"}, "data.palette=colours.json"),
    ],
)
def test_class_maps_that_say_nothing_are_faults(tmp_path, settings, said):
    write(tmp_path, FOUR)
    (tmp_path / "broken.txt").write_text("background 0 0 0\nroad 1 2\n")
    (tmp_path / "number.json").write_text("3")
    (tmp_path / "colours.json").write_text('{"a": [1, 2, 3]}')
    with pytest.raises(ValueError, match=said):
        data_of(tmp_path, **settings).read()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"values": LESION, "classes": NAMES, "reduce_zero_label": True},
            "data.values and data.classes; data.values and data.reduce_zero_label",
        ),
        ({"palette": "a.txt", "values": LESION, "ignore_value": 3}, "data.palette and data.values"),
        ({"images": "{split}"}, "in both, or in none"),
        (
            {"images": "{split}", "masks": "{split}m", "split_files": {"train": "t.txt"}},
            "data.split_files and {split} in data.images",
        ),
        ({"split_files": {"val": "v.txt"}}, "wanted {train: train.txt}"),
        ({"split_files": {"train": "t.txt", "trian": "v.txt"}}, "Did you mean 'train'"),
    ],
)
def test_keys_that_say_two_things_of_one_are_refused_together(tmp_path, settings, said):
    with pytest.raises(ValueError) as refused:
        data_of(tmp_path, **settings)
    assert said in str(refused.value)


def test_what_an_old_command_adds_is_the_same_run_as_before():
    from vit.cli.compose import compose

    words = ["data=mask_folder", "data.root=x", "task=segmentation", "head=semantic"]
    for plus in ("", "+", "++"):
        found = compose([*words, f"{plus}data.ignore_value=11", f"{plus}data.class_values=[0,255]"])
        assert found["data"]["ignore_value"] == 11 and found["data"]["class_values"] == [0, 255]
    named = compose([*words, "data.values={0: background, 255: lesion}"])["data"]
    assert named["values"] == LESION
    assert compose([*words, 'data.images="{split}"'])["data"]["images"] == "{split}"
