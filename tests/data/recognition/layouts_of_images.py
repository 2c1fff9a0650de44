"""Layouts of pictures with classes, in folders or tables, and of pictures alone."""

from layout_files import CLASSES, classes, pictures, text

NUMBERED = ("n01440764", "n01443537", "n01484850")


def split_folders(*names):
    def make(root):
        for at, name in enumerate(names):
            classes(root / name, count=8 - at)

    return make


def plain(root):
    classes(root)


def two_classes(root):
    classes(root, CLASSES[:2])


def capital_endings(root):
    classes(root, ending=".JPG")


def imagenet(root):
    for name in ("train", "val"):
        classes(root / name, NUMBERED, count=40)


def one_folder_down(root):
    classes(root / "animals" / "photos")
    text(root / "README.md", "photos of animals\n")


def deeper_in_classes(root):
    classes(root, ("cat", "dog"))
    pictures(root / "owl" / "barn", 4)
    pictures(root / "owl" / "snowy", 4)


def splits_in_classes(root):
    for name in CLASSES:
        pictures(root / name / "train", 5)
        pictures(root / name / "test", 3)


def doubled_split(root):
    split_folders("train", "valid")(root)
    classes(root / "validation", count=2)


def groups_of_classes(root):
    classes(root / "birds", ("owl", "hen", "jay"))
    classes(root / "beasts", ("cat", "dog", "elk"))


def pictures_alone(root):
    pictures(root, 8)


def classes_in_names(root):
    pictures(root, 8, front="cat.")
    pictures(root, 8, front="dog.")


def table(
    columns, row, name="train.csv", folder="train", count=24, ending=".jpg", mark=",", header=True
):
    """A table of pictures: `row` makes the fields of a picture from its number and its name."""

    def make(root):
        names = pictures(root / folder, count, ending)
        rows = [row(at, picture) for at, picture in enumerate(names)]
        rows = [columns, *rows] if header else rows
        text(root / name, "".join(f"{mark.join(map(str, each))}\n" for each in rows))

    return make


def label(at):
    return CLASSES[at % 3]


def several(at):
    return "|".join(CLASSES[: 1 + at % 3])


BOX = ("xmin", "ymin", "xmax", "ymax")
TENSORFLOW = ("filename", "width", "height", "class", *BOX)
OPEN_IMAGES = ("ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax")


def box_rows(at, name):
    return name, 40, 32, label(at), 1, 2, 12, 20


def box_splits(root):
    for split in ("train", "test"):
        table(TENSORFLOW, box_rows, f"{split}_labels.csv", f"images/{split}", 6, f"{split}.jpg")(
            root
        )


def box_tables_of_roboflow(root):
    for split in ("train", "valid"):
        table(TENSORFLOW, box_rows, "_annotations.csv", ".", 6)(root / split)


# name → maker, kind, the word for its data ("" where no kind reads it)
LAYOUTS = {
    "classes": (plain, "class_folders", "data=folder"),
    "two classes": (two_classes, "class_folders", "data=folder"),
    "endings in capitals": (capital_endings, "class_folders", "data=folder"),
    "train val test": (split_folders("train", "val", "test"), "class_folders", "data=folder"),
    "Train Validation": (split_folders("Train", "Validation"), "class_folders", "data=folder"),
    "TRAIN VAL": (split_folders("TRAIN", "VAL"), "class_folders", "data=folder"),
    "training testing": (split_folders("training", "testing"), "class_folders", "data=folder"),
    "train valid": (split_folders("train", "valid"), "class_folders", "data=folder"),
    "train dev": (split_folders("train", "dev"), "class_folders", "data=folder"),
    "train_images": (split_folders("train_images", "val_images"), "class_folders", "data=folder"),
    "train test": (split_folders("train", "test"), "class_folders", "data=folder"),
    "a split twice": (doubled_split, "class_folders", "data=folder"),
    "ImageNet": (imagenet, "imagenet", "data=imagenet"),
    "one folder down": (one_folder_down, "class_folders", "data=folder"),
    "folders in classes": (deeper_in_classes, "class_folders", "data=folder"),
    "splits in classes": (splits_in_classes, "class_folders", ""),
    "pictures alone": (pictures_alone, "images", ""),
    "classes in names": (classes_in_names, "images", ""),
    "path and label": (
        table(("path", "label"), lambda at, name: (f"train/{name}", label(at))),
        "label_table",
        "data=table",
    ),
    "Kaggle": (
        table(("id", "label"), lambda at, name: (name, label(at))),
        "label_table",
        "data=table",
    ),
    "Kaggle, names without ending": (
        table(("id", "label"), lambda at, name: (name[:-4], label(at))),
        "label_table",
        "",
    ),
    "a column of groups": (
        table(("image", "patient", "label"), lambda at, name: (name, f"p{at // 4}", label(at))),
        "label_table",
        "data=table",
    ),
    "a column of splits": (
        table(
            ("image", "species", "split"),
            lambda at, name: (name, label(at), ("train", "train", "val", "test")[at // 6]),
        ),
        "label_table",
        "data=table",
    ),
    "several labels": (
        table(("image", "tags"), lambda at, name: (name, several(at)), name="tags.csv"),
        "label_table",
        "data=table",
    ),
    "tabs": (
        table(("file", "class"), lambda at, name: (name, label(at)), name="labels.tsv", mark="\t"),
        "label_table",
        "data=table",
    ),
    "semicolons": (
        table(("file", "class"), lambda at, name: (name, label(at)), mark=";"),
        "label_table",
        "data=table",
    ),
    "a column for each class": (
        table(("image", *CLASSES), lambda at, name: (name, *(int(at % 3 == k) for k in range(3)))),
        "label_table",
        "",
    ),
    "no row of names": (
        table((), lambda at, name: (name, label(at)), header=False),
        "label_table",
        "",
    ),
    "TensorFlow's boxes": (
        table(TENSORFLOW, lambda at, name: (name, 40, 32, label(at), 1, 2, 12, 20)),
        "box_table",
        "data=box_table",
    ),
    "Open Images' boxes": (
        table(OPEN_IMAGES, lambda at, name: (name[:-4], "x", "/m/1", 1, 0.1, 0.5, 0.2, 0.9)),
        "box_table",
        "data=box_table",
    ),
    "a table of boxes for each split": (box_splits, "box_table", "data=box_table"),
    "Roboflow's tables of boxes": (box_tables_of_roboflow, "box_table", "data=box_table"),
    "RetinaNet's boxes": (
        table((), lambda at, name: (f"train/{name}", 1, 2, 12, 20, label(at)), header=False),
        "box_table",
        "",
    ),
}
# Of which nobody can tell by the folder alone what is meant.
AMBIGUOUS = {
    "groups of classes": (groups_of_classes, "class_folders", "data=folder"),
    "two columns of classes": (
        table(
            ("image", "colour", "shape"),
            lambda at, name: (name, ("red", "blue")[at % 2], ("round", "square")[at // 2 % 2]),
        ),
        "label_table",
        "data=table",
    ),
}
