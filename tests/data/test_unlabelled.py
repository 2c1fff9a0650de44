"""Images that nobody has sorted: contents without class names, for tasks that need no classes."""

import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest

from vit.check.preflight import preflight
from vit.cli.compose import compose
from vit.cli.data import _show_splits
from vit.cli.screen import _kind
from vit.data.core.sources import ArraySource, Contents
from vit.data.digits import Digits
from vit.pictures.sheets import sample_sheet

HERE = __name__.partition(".")[0]


@dataclass(kw_only=True, eq=False)
class Unsorted(Digits):
    """The digits, of which nobody says which they are."""

    several: bool = False

    def read(self) -> Contents[ArraySource]:
        contents = super().read()
        shape = (0,) if self.several else ()
        sources = {
            name: ArraySource(source.images, np.zeros((len(source), *shape), dtype=np.int64))
            for name, source in contents.sources.items()
        }
        return replace(contents, sources=sources, class_names=(), multi_label=self.several)


@dataclass(kw_only=True, eq=False)
class Raises(Digits):
    """Data of somebody's own whose code has a mistake."""

    def read(self) -> Contents[ArraySource]:
        raise KeyError("labels is not a file in the archive")


def test_they_are_sound_and_are_counted_without_classes(capsys):
    data = Unsorted(val_fraction=0.25)
    assert data.faults() == [] and data.facts.num_classes == 0
    assert data.lengths == {"train": 1047, "val": 349, "test": 401}
    assert data.describe()["val"]["per_class"] == {}
    batch = next(iter(data.loader("train")))
    assert batch.targets.tolist() == [0] * 128
    assert len(np.unique(np.asarray(sample_sheet(data, "val", 4)))) > 20
    _show_splits(data)
    said = capsys.readouterr().out
    assert "no classes, 8×8 pixels, grey" in said and "per class" not in said
    assert _kind(data.facts.summary()) == "no classes, 8×8 px, 1 channel"


def test_several_labels_of_which_there_is_none_are_not_unlabelled():
    assert Unsorted(several=True).task == "classification" and Unsorted().task == ""


def test_what_needs_classes_is_refused_by_its_key():
    with pytest.raises(ValueError, match=r"data\.balanced=true needs classes; these images have"):
        Unsorted(balanced=True).loader("train")


def test_a_task_of_classes_takes_none_and_names_no_other(monkeypatch):
    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])
    config = compose(["data=digits", "tracking=none", "trainer=cpu", "threads=1"])
    config["data"] |= {"_target_": f"{HERE}.Unsorted"}
    config["allow_targets"] = [HERE]
    (fault,) = preflight(config).faults
    assert fault.where == "task"
    assert fault.message == "task=classification wants classes, and these images have none"


def test_a_mistake_in_data_of_ones_own_is_a_fault(monkeypatch):
    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])
    config = compose(["data=digits", "tracking=none", "trainer=cpu", "threads=1"])
    config["data"] |= {"_target_": f"{HERE}.Raises"}
    config["allow_targets"] = [HERE]
    (fault,) = preflight(config).faults
    assert fault.where == "data" and "KeyError in test_unlabelled.py, line" in fault.message
