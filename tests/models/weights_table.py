"""Which of timm's models become our backbone, as docs/weights.md says.

python tests/models/weights_table.py    write the table into docs/weights.md anew

Each is made without values, converted, and held against a backbone of ours of the keys that follow,
by names and shapes; tests/models/test_from_timm.py compares what they answer.
"""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict
from pathlib import Path

import timm
import torch

from vit.build import build
from vit.models.pretrained.conversion import TIMM
from vit.runs.checkpoint import misfit

DOCS = Path(__file__).parents[2] / "docs" / "weights.md"
BEGIN, END = "<!-- table -->\n", "<!-- /table -->"
FAMILIES = ("vit_*", "deit*", "eva*", "beit*", "flexivit*", "samvit*", "test_vit*", "*cait*")

KINDS = (
    "dinov2 dinov3 pe_core pe_lang pe_spatial siglip clip eva02 eva deit3 distilled deit flexivit"
)


def names() -> list[str]:
    found = {name for family in FAMILIES for name in timm.list_models(family)}
    return sorted(found)


def reason(name: str) -> str | None:
    """Why a model is refused; None where it is not."""
    warnings.simplefilter("ignore")
    try:
        with torch.device("meta"):
            model = timm.create_model(name, pretrained=False)
            found = TIMM.converted(model, name)
            origin = found.origin
            ours = build(found.keys, (), image_size=origin.image_size, channels=origin.channels)
        if difference := misfit(found.state, ours.state_dict()):
            return difference
    except ValueError as error:
        return str(error).rpartition("ours: ")[2]
    return None


def table(every: list[str]) -> str:
    taken, refused = [], defaultdict(list)
    for name in every:
        why = reason(name)
        (taken if why is None else refused[why]).append(name)
    lines = [
        f"{len(taken)} of {len(every)} models of timm {timm.__version__} ({_listed(FAMILIES)}):",
        "",
    ]
    lines += ["| taken | models |", "|---|---|"]
    families = defaultdict(list)
    for name in taken:
        families[family_of(name)].append(name)
    lines += [f"| {each} | {_listed(found)} |" for each, found in sorted(families.items())]
    lines += ["", "| refused, since they have | models |", "|---|---|"]
    lines += [f"| {why} | {_listed(found)} |" for why, found in sorted(refused.items())]
    return "\n".join(lines) + "\n"


def family_of(name: str) -> str:
    return next((each for each in KINDS.split() if each in name), "vit")


def _listed(found) -> str:
    return ", ".join(f"`{each}`" for each in found)


def write() -> None:
    text = DOCS.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    DOCS.write_text(f"{before}{BEGIN}{table(names())}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:]:
        for each in sys.argv[1:]:
            print(each, reason(each))
    else:
        write()
