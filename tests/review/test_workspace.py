"""A workspace is built without a request: from the report's tables to W&B's own words."""

import sys

import pytest
from folders import make_sweep

import vit.review.workspace
from vit.cli.report import main
from vit.faults import Refused
from vit.review.report import build_report
from vit.review.sources import load
from vit.review.workspace import build_workspace

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the package's own


@pytest.fixture
def made(tmp_path):
    sweep = make_sweep(tmp_path / "depths")
    return build_report(load([sweep]), [sweep])


def test_runs_of_vit_are_grouped_by_the_hash_that_the_tracker_sends(made):
    built = build_workspace(made, "me/p")
    assert (built.entity, built.project, built.name) == ("me", "p", "vit report depths")
    (group,) = built.runset_settings.groupby
    assert group.name == "backbone.depth"
    curves = next(s for s in built.sections if s.name == "How did it learn?").panels
    assert [panel.y for panel in curves] == [["val/accuracy"], ["train/loss"]]
    assert {panel.groupby.name for panel in curves} == {"config_without_seed"}
    assert {panel.x for panel in curves} == {"trainer/global_step"}
    columns = built.runset_settings.pinned_columns
    assert columns == ["run:displayName", "summary:val/accuracy", "config:backbone.value.depth"]


def test_one_configuration_asks_nothing_of_what_mattered(tmp_path):
    sweep = make_sweep(tmp_path / "one", depths=(4,))
    built = build_workspace(build_report(load([sweep]), [sweep]), "me/p")
    names = [section.name for section in built.sections]
    assert names == ["Which is best?", "How did it learn?", "What does it see?"]


def test_without_the_package_one_error_names_it(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    with pytest.raises(Refused, match=r"pip install 'vit-experiments\[workspaces\]'"):
        build_workspace(made, "me/p")


def test_it_is_missed_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(vit.review.workspace, "find_spec", lambda name: None)
    with pytest.raises(Refused, match="needs a package more"):
        main([str(tmp_path / "nothing"), "--workspace", "me/p"])


def test_a_target_names_entity_and_project(made):
    with pytest.raises(Refused, match="is 'p'; wanted ENTITY/PROJECT"):
        build_workspace(made, "p")
