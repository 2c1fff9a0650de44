"""Facts travel in checkpoints: those of earlier versions are read, and they read ours."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import pytest
import torch

from vit.facts import (
    CaptionFacts,
    Facts,
    TextFacts,
    facts_from,
    facts_from_summary,
    kind_of,
)
from vit.faults import Refused
from vit.trained import facts_of

SAYS = {"num_classes": 2, "class_names": ["cat", "dog"], "multi_label": False}
IMAGES = {"image_size": [8, 6], "channels": 1, "mean": [0.5], "std": [0.25], "class_ids": [3, 7]}
# As checkpoints of before there were kinds hold them, word for word.
BEFORE = {
    "images": {**SAYS, **IMAGES, "white": None},
    "texts": {
        **SAYS,
        "tokenizer": "{}",
        "vocabulary": 300,
        "max_tokens": 16,
        "max_target_tokens": 16,
    },
    "captions": {
        **SAYS,
        **IMAGES,
        "white": None,
        "tokenizer": "{}",
        "vocabulary": 300,
        "max_target_tokens": 9,
    },
}
CLASSES = {"images": Facts, "texts": TextFacts, "captions": CaptionFacts}


@dataclass(frozen=True)
class WaveFacts(TextFacts):
    """A kind of somebody's own, which looks like another by its keys."""

    kind: ClassVar[str] = "waves"

    @classmethod
    def from_summary(cls, summary: Mapping[str, Any]) -> "WaveFacts":
        return cls(**vars(TextFacts.from_summary(summary)))


@pytest.mark.parametrize("kind", BEFORE)
def test_facts_of_checkpoints_from_before_there_were_kinds_are_read(kind):
    facts = facts_of({"facts": BEFORE[kind]})
    assert type(facts) is CLASSES[kind]
    assert facts.kind == kind
    assert facts.class_names == ("cat", "dog")


@pytest.mark.parametrize("kind", BEFORE)
def test_what_is_written_is_what_earlier_versions_read(kind):
    facts = facts_of({"facts": BEFORE[kind]})
    plain = facts.plain()
    assert plain == asdict(facts)  # they pass every key on, and know of no `kind`
    assert plain.keys() == BEFORE[kind].keys()
    assert facts_from(plain) == facts


@pytest.mark.parametrize("kind", BEFORE)
def test_a_report_makes_facts_of_its_kind(kind):
    facts = facts_of({"facts": BEFORE[kind]})
    summary = facts.summary()
    assert "kind" not in summary
    made = facts_from_summary(summary)
    assert type(made) is CLASSES[kind]
    assert made.input_size() == facts.input_size()
    for one, other in zip(made.example(2), facts.example(2), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)


def test_a_kind_of_ones_own_says_its_name_and_comes_back():
    facts = WaveFacts(2, ("a", "b"), "", 300, 16, 16)
    plain = facts.plain()
    assert kind_of(plain) == plain["kind"] == "waves"
    assert facts_from(plain) == facts_of({"facts": plain}) == facts
    assert type(facts_from_summary(facts.summary())) is WaveFacts
    assert torch.equal(facts.example(1)[0], TextFacts(**vars(facts)).example(1)[0])


def test_a_kind_that_nobody_knows_is_refused_by_name():
    with pytest.raises(Refused, match="of the kind 'smells'; known here are captions, images, te"):
        facts_from({**BEFORE["images"], "kind": "smells"})
