"""Folders of images, in the layouts in which they come, and what is said of those that fail."""

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from vit.data.folder import Folder
from vit.data.torchvision_sets import TorchvisionSet


def refusal(**settings):
    with pytest.raises(ValueError) as caught:
        _ = Folder(**settings).facts
    return str(caught.value)


def test_class_folders_alone_give_train_and_a_val_carved_from_it(photos):
    data = Folder(root=str(photos))
    assert data.facts.class_names == ("cat", "dog", "owl")
    assert data.facts.image_size == (10, 12)
    assert data.lengths == {"train": 27, "val": 3}
    description = data.describe()
    assert description["train"]["per_class"] == {"cat": 13, "dog": 9, "owl": 5}
    assert description["val"]["from"] == "set aside from train"


def test_split_folders_are_splits(photos, tmp_path, write_images):
    for split in ("train", "val", "test"):
        shutil.copytree(photos, tmp_path / "root" / split)
    shutil.rmtree(tmp_path / "root" / "test" / "owl")  # a test may lack a class
    data = Folder(root=str(tmp_path / "root"))
    assert data.lengths == {"train": 30, "val": 30, "test": 24}
    assert Folder(root=str(tmp_path / "root"), val_folder=None).lengths["val"] == 3
    official = Folder(root=str(tmp_path / "root"), val_folder=None, test_folder="val")
    assert official.lengths == {"train": 27, "val": 3, "test": 30}


def test_folders_inside_class_folders_hidden_files_and_other_files(photos, write_images):
    write_images(photos / "cat" / "older" / "oldest", 4, suffix="JPG")
    (photos / "cat" / "again").symlink_to(photos / "cat")  # a link in a circle
    (photos / "dog" / "notes.txt").write_text("bark")
    (photos / "dog" / "._000.png").write_text("from a Mac")
    (photos / ".cache").mkdir()
    data = Folder(root=str(photos))
    assert sum(data.lengths.values()) == 34
    assert data.facts.class_names == ("cat", "dog", "owl")


def test_a_missing_root_names_what_is_there(photos):
    said = refusal(root=str(photos.parent / "fotos" / "more"))
    assert "holds no 'fotos'. Did you mean 'photos'?" in said
    assert "is a file; wanted a folder" in refusal(root=str(photos / "cat" / "000.png"))


def test_empty_class_folders_are_all_named(photos):
    (photos / "ant").mkdir()
    (photos / "bee").mkdir()
    (photos / "cat" / "broken.jpg").write_text("no image")
    said = "\n".join(str(fault) for fault in Folder(root=str(photos)).faults(full=True))
    assert "class ant, bee; if it is an empty folder" in said
    assert "broken.jpg" in said  # one fault hides no other


def test_images_beside_their_masks_are_pointed_at(tmp_path, write_images):
    write_images(tmp_path / "a" / "images", 6)
    write_images(tmp_path / "a" / "masks", 6)
    (line,) = [
        line for line in Folder(root=str(tmp_path / "a")).warnings() if "mask_folder" in line
    ]
    assert "task=segmentation data=mask_folder data.images=images data.masks=masks" in line
    write_images(tmp_path / "b" / "cat", 6)
    write_images(tmp_path / "b" / "masks", 6)
    for file in (tmp_path / "b" / "masks").iterdir():
        file.rename(file.with_stem(f"other{file.stem}"))
    assert "mask_folder" not in "".join(Folder(root=str(tmp_path / "b")).warnings())


def test_a_class_may_be_called_train(photos, write_images):
    write_images(photos / "train", 5)
    assert Folder(root=str(photos)).facts.class_names == ("cat", "dog", "owl", "train")


def test_a_split_folder_without_images_is_a_fault(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "root" / "train")
    (tmp_path / "root" / "val").mkdir()
    fault, *_ = Folder(root=str(tmp_path / "root")).faults()
    assert "val holds no image" in fault.message
    assert "root/val" in fault.message


def test_loose_images_without_class_folders_are_refused(photos):
    assert "14 images but no folder; wanted a folder per class" in refusal(root=str(photos / "cat"))


def test_splits_by_another_name_are_not_taken_for_classes(photos, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(photos, root / "training")
    shutil.copytree(photos, root / "validation")
    assert "look like splits" in refusal(root=str(root))
    assert "data.val_folder=validation" in refusal(root=str(root), train_folder="training")
    named = Folder(root=str(root), train_folder="training", val_folder="validation")
    assert named.lengths == {"train": 30, "val": 30}
    left_out = Folder(root=str(root), train_folder="training", val_folder=None)
    assert left_out.lengths == {"train": 27, "val": 3}


def test_a_class_that_train_lacks_is_refused_with_the_nearest(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "root" / "train")
    shutil.copytree(photos, tmp_path / "root" / "val")
    (tmp_path / "root" / "val" / "owl").rename(tmp_path / "root" / "val" / "owls")
    fault, *_ = Folder(root=str(tmp_path / "root")).faults()
    assert "owls. Did you mean 'owl'?" in str(fault)
    assert "data.on_unseen_class=skip leaves their 6 images out, such as owls/" in str(fault)


def test_classes_that_train_lacks_are_said_of_val_and_test_at_once(photos, tmp_path):
    for split, name in (("train", "owl"), ("val", "owls"), ("test", "cats")):
        shutil.copytree(photos, tmp_path / split)
        (tmp_path / split / "owl").rename(tmp_path / split / name)
    faults = Folder(root=str(tmp_path)).faults()
    places = sorted(Path(fault.where).name for fault in faults if "lacks: " in fault.message)
    assert places == ["test", "val"]


def test_images_of_several_sizes_need_a_size(photos, write_images):
    write_images(photos / "owl", 7, size=(20, 20))
    said = refusal(root=str(photos))
    assert "2 sizes, such as 10×12, 20×20" in said
    assert "data.image_size=224" in said
    assert Folder(root=str(photos), image_size=(8, 16)).facts.image_size == (8, 16)


def test_a_known_set_is_read_from_folders_too(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "root" / "train")
    shutil.copytree(photos, tmp_path / "root" / "test")
    data = TorchvisionSet(name="CIFAR10", root=str(tmp_path / "root"))
    assert data.lengths == {"train": 27, "val": 3, "test": 30}
    assert data.facts.mean == (0.4914, 0.4822, 0.4465)
    assert next(iter(data.loader("test"))).images.shape == (30, 3, 32, 32)


def test_names_in_other_encodings_than_utf_8_are_files_like_others(photos):
    name = os.fsencode(photos / "cat") + b"/\xe4.png"
    os.rename(photos / "cat" / "000.png", name)  # noqa: PTH104 - bytes are no Path
    data = Folder(root=str(photos))
    assert data.faults() == data.faults(full=True) == []
    Path(os.fsdecode(name)).write_text("no image")
    (fault, _) = Folder(root=str(photos)).faults(full=True)
    assert "not an image" in str(fault)
    assert len(Folder(root=str(photos)).faults(full=True)) == 2  # as it was remembered


def test_classes_that_differ_by_capitals_are_a_warning(photos):
    shutil.copytree(photos / "owl", photos / "Cat")
    warnings = Folder(root=str(photos)).warnings()
    assert any("the classes 'Cat', 'cat' differ by capitals" in line for line in warnings)


def test_splits_one_folder_further_down_are_named(photos, tmp_path):
    for split in ("train", "val"):
        shutil.copytree(photos, tmp_path / "root" / "x" / split)
    root = tmp_path / "root"
    said = refusal(root=str(root))
    assert f"holds 'x' alone, and that holds train, val; set data.root={root / 'x'}" in said


def test_names_that_differ_by_their_unicode_form_are_reported_so(photos, tmp_path):
    for split, name in (("train", "caf\u00e9"), ("val", "cafe\u0301")):
        shutil.copytree(photos, tmp_path / "root" / split)
        (tmp_path / "root" / split / "owl").rename(tmp_path / "root" / split / name)
    fault, *_ = Folder(root=str(tmp_path / "root")).faults()
    assert "differs from it by its Unicode form alone" in str(fault)


def test_a_class_that_the_limit_leaves_out_is_reported_so(photos):
    said = "\n".join(str(fault) for fault in Folder(root=str(photos), train_limit=1).faults())
    assert "data.train_limit=1 may leave it out" in said
    assert "empty folder" not in said


def test_animations_are_a_warning(photos):
    frames = [Image.new("L", (12, 10), shade) for shade in (0, 99, 200)]
    frames[0].save(photos / "cat" / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(photos / "cat" / "still.gif")
    (warning,) = Folder(root=str(photos)).warnings()
    assert "1 of 2 files looked at hold several frames or pages" in warning
    assert "cat/moving.gif" in warning
