"""Layouts of pictures with boxes, outlines and maps of classes."""

from layout_files import CLASSES, coco, maps, panoptic, pictures, text, voc, yolo
from PIL import Image

NAMES = "names: [cat, dog]\n"


def coco_usual(root, outlines=False):
    for split, count, start in (("train", 6, 0), ("val", 3, 10)):
        names = pictures(root / "images", count, start=start)
        coco(root / "annotations" / f"{split}.json", names, outlines)


def coco_outlines(root):
    coco_usual(root, outlines=True)


def coco_published(root):
    for split, count in (("train", 6), ("val", 3)):
        names = pictures(root / f"{split}2017", count, start=10 * count)
        for kind in ("instances", "person_keypoints"):
            coco(root / "annotations" / f"{kind}_{split}2017.json", names)


def coco_roboflow(root):
    for split, count in (("train", 6), ("valid", 3), ("test", 2)):
        names = pictures(root / split, count)
        coco(root / split / "_annotations.coco.json", names)


def coco_one_file(root):
    coco(root / "result.json", pictures(root / "images", 8))


def coco_beside(root):
    coco(root / "train.json", pictures(root, 6))
    coco(root / "valid.json", pictures(root, 3, start=10))


def coco_without_pictures(root):
    coco(root / "annotations" / "train.json", ["1.jpg", "2.jpg"])


def coco_panoptic(root):
    for split, count, start in (("train", 6, 0), ("val", 3, 10)):
        names = pictures(root / "images", count, start=start)
        panoptic(root / "annotations" / f"panoptic_{split}.json", names)


def voc_usual(root):
    names = pictures(root / "JPEGImages", 8)
    voc(root / "Annotations", names)
    for split, part in (("train", names[:5]), ("val", names[5:])):
        text(root / "ImageSets" / "Main" / f"{split}.txt", "".join(f"{n[:-4]}\n" for n in part))


def voc_small_letters(root):
    voc(root / "annotations", pictures(root / "images", 8))


def voc_beside(root):
    voc(root, pictures(root, 8))


def voc_devkit(root):
    voc_usual(root / "VOCdevkit" / "VOC2012")


def voc_own_lists(root):
    names = pictures(root / "JPEGImages", 8)
    voc(root / "Annotations", names)
    for split, part in (("training", names[:5]), ("validation", names[5:])):
        text(root / "splits" / f"{split}.txt", "".join(f"{name[:-4]}\n" for name in part))


def voc_one_list(root):
    names = pictures(root / "JPEGImages", 8)
    voc(root / "Annotations", names)
    lines = "".join(f"{name[:-4]}\n" for name in names)
    text(root / "ImageSets" / "Main" / "trainval.txt", lines)


def voc_roboflow(root):
    for split, count in (("train", 6), ("valid", 3)):
        voc(root / split, pictures(root / split, count))


def voc_without_pictures(root):
    voc(root / "Annotations", ["1.jpg", "2.jpg"])


def yolo_splits(root, upper=False):
    for split, count in (("train", 6), ("val", 3)):
        images, labels = ("Images", "Labels") if upper else ("images", "labels")
        yolo(root / labels / split, pictures(root / images / split, count))


def yolo_usual(root):
    yolo_splits(root)
    text(root / "data.yaml", f"train: images/train\nval: images/val\n{NAMES}")


def yolo_named_otherwise(root):
    yolo_splits(root)
    text(root / "cells.yml", "train: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n")


def yolo_capitals(root):
    yolo_splits(root, upper=True)
    text(root / "data.yaml", f"train: Images/train\nval: Images/val\n{NAMES}")


def yolo_roboflow(root):
    for split, count in (("train", 6), ("valid", 3)):
        yolo(root / split / "labels", pictures(root / split / "images", count))
    text(root / "data.yaml", f"train: ../train/images\nval: ../valid/images\nnc: 2\n{NAMES}")


def yolo_beside(root):
    yolo(root, pictures(root, 8))
    text(root / "classes.txt", "cat\ndog\n")


def yolo_elsewhere(root):
    yolo_splits(root)
    text(root / "data.yaml", f"train: /data/x/train\nval: /data/x/val\n{NAMES}")


def masks_usual(root):
    maps(root / "masks", pictures(root / "images", 8))
    text(root / "classes.txt", "soil\nleaf\nrot\n")


def masks_in_splits(root):
    for split, count in (("train", 6), ("val", 3)):
        maps(root / "masks" / split, pictures(root / "images" / split, count))
    text(root / "labels.txt", "soil\nleaf\nrot\n")


def masks_called_labels(root):
    maps(root / "labels", pictures(root / "images", 8), (0, 1, 255))


def masks_in_capitals(root):
    maps(root / "Masks", pictures(root / "Images", 8))


def masks_black_and_white(root):
    maps(root / "mask", pictures(root / "image", 8), (0, 255))


def masks_of_ade(root):
    for split, count in (("training", 6), ("validation", 3)):
        maps(root / "annotations" / split, pictures(root / "images" / split, count))


def masks_of_camvid(root):
    for split, count in (("train", 6), ("val", 3)):
        maps(root / f"{split}annot", pictures(root / split, count, ".png"))


def masks_with_void(root):
    for split, count in (("train", 6), ("val", 3)):
        maps(root / f"{split}annot", pictures(root / split, count, ".png"), (0, 1, 2, 11))


def masks_in_each_split(root):
    for split, count in (("train", 6), ("val", 3)):
        maps(root / split / "masks", pictures(root / split / "images", count))


def masks_behind_names(root):
    maps(root, pictures(root, 8), behind="_mask")


def masks_behind_names_elsewhere(root):
    maps(root / "masks", pictures(root / "images", 8), behind="_mask")


def masks_in_colours(root):
    names = pictures(root / "images", 6)
    maps(root / "masks", names)
    for file in (root / "masks").iterdir():
        Image.open(file).convert("RGB").save(file)


def masks_in_named_colours(root):
    masks_in_colours(root)
    text(root / "class_dict.csv", "name,r,g,b\nsoil,0,0,0\nleaf,1,1,1\nrot,2,2,2\n")


def masks_as_jpeg(root):
    maps(root / "masks", pictures(root / "images", 6), ending=".jpg")


def masks_of_some(root):
    maps(root / "masks", pictures(root / "images", 8)[:6])


# name → maker, kind, the word for its data ("" where no kind reads it)
LAYOUTS = {
    "COCO": (coco_usual, "coco", "data=coco"),
    "COCO with outlines": (coco_outlines, "coco", "data=coco"),
    "COCO as published": (coco_published, "coco", "data=coco"),
    "COCO of Roboflow": (coco_roboflow, "coco", "data=coco"),
    "COCO in one file": (coco_one_file, "coco", "data=coco"),
    "COCO beside pictures": (coco_beside, "coco", "data=coco"),
    "COCO without pictures": (coco_without_pictures, "coco", ""),
    "panoptic": (coco_panoptic, "coco_panoptic", "data=coco_panoptic"),
    "VOC": (voc_usual, "voc", "data=voc"),
    "VOC in small letters": (voc_small_letters, "voc", "data=voc"),
    "VOC beside pictures": (voc_beside, "voc", "data=voc"),
    "VOCdevkit": (voc_devkit, "voc", "data=voc"),
    "VOC with lists elsewhere": (voc_own_lists, "voc", "data=voc"),
    "VOC with one list": (voc_one_list, "voc", "data=voc"),
    "VOC of Roboflow": (voc_roboflow, "voc", "data=voc"),
    "VOC without pictures": (voc_without_pictures, "voc", ""),
    "YOLO": (yolo_usual, "yolo", "data=yolo"),
    "YOLO, another name": (yolo_named_otherwise, "yolo", "data=yolo"),
    "YOLO in capitals": (yolo_capitals, "yolo", "data=yolo"),
    "YOLO of Roboflow": (yolo_roboflow, "yolo", "data=yolo"),
    "YOLO without yaml": (yolo_splits, "yolo", "data=yolo"),
    "YOLO beside pictures": (yolo_beside, "yolo", "data=yolo"),
    "YOLO of another machine": (yolo_elsewhere, "yolo", ""),
    "masks": (masks_usual, "masks", "data=mask_folder"),
    "masks in splits": (masks_in_splits, "masks", "data=mask_folder"),
    "masks called labels": (masks_called_labels, "masks", "data=mask_folder"),
    "masks in capitals": (masks_in_capitals, "masks", "data=mask_folder"),
    "masks of 0 and 255": (masks_black_and_white, "masks", "data=mask_folder"),
    "ADE20K": (masks_of_ade, "masks", "data=mask_folder"),
    "CamVid": (masks_of_camvid, "masks", "data=mask_folder"),
    "CamVid with a void": (masks_with_void, "masks", "data=mask_folder"),
    "masks in each split": (masks_in_each_split, "masks", "data=mask_folder"),
    "masks behind names": (masks_behind_names, "masks", "data=mask_folder"),
    "masks behind names elsewhere": (masks_behind_names_elsewhere, "masks", "data=mask_folder"),
    "masks in colours": (masks_in_colours, "masks", "data=mask_folder"),
    "masks in named colours": (masks_in_named_colours, "masks", "data=mask_folder"),
    "masks as JPEG": (masks_as_jpeg, "masks", ""),
    "masks of some": (masks_of_some, "masks", ""),
}


def two_years(root):
    voc_usual(root / "VOC2007")
    voc_usual(root / "VOC2012")


def many_kinds(root):
    coco_usual(root / "cells")
    masks_usual(root / "leaves")
    for name in CLASSES:
        pictures(root / "animals" / name, 4)


AMBIGUOUS = {
    "VOC of two years": (two_years, "voc", "data=voc"),
    "sets side by side": (many_kinds, "class_folders", "data=folder"),
}
