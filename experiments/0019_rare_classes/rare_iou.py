"""The IoU of the rarest class in each run of a sweep, compared by the test that vit report uses.

python experiments/0019_rare_classes/rare_iou.py runs/rare
"""

import json
import math
import sys
from pathlib import Path
from statistics import fmean, stdev

from vit.review.statistics import difference, holm
from vit.sweeps.seeds import quantile


def told(values: list[float]) -> str:
    """Mean and half the width of its 95 % interval."""
    half = quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return f"{100 * fmean(values):.1f} ± {100 * half:.1f} %"


rare: dict[str, dict[int, float]] = {}
mean: dict[str, dict[int, float]] = {}
for file in sorted(Path(sys.argv[1]).glob("*/trial.json")):
    trial = json.loads(file.read_text())
    results = json.loads((file.parent / "metrics.json").read_text())
    tables, words = results["tables"], trial["overrides"]
    words = {key: value for key, value in words.items() if key != "seed" and value != "null"}
    name = " ".join(f"{key}={value}" for key, value in words.items()) or "plain cross-entropy"
    rarest = min(range(len(tables["classes"])), key=lambda at: tables["pixels"][at])
    rare.setdefault(name, {})[trial["seed"]] = tables["class_iou"][rarest]
    mean.setdefault(name, {})[trial["seed"]] = results["metrics"]["test/miou"]
plain = rare["plain cross-entropy"]
gains = {name: difference(own, plain) for name, own in rare.items() if own is not plain}
corrected = dict(zip(gains, holm([gain.p for gain in gains.values()]), strict=True))
print(f"| | test IoU of {tables['classes'][rarest]} | gain | p | p, Holm | test mIoU |")
print("|---|---|---|---|---|---|")
for name, own in sorted(rare.items(), key=lambda row: -fmean(row[1].values())):
    cells = [name, told([*own.values()])]
    if name in gains:
        gain, p = gains[name], corrected[name]
        half = "" if gain.half is None else f" ± {100 * gain.half:.1f}"
        cells += [
            f"{100 * gain.value:+.1f}{half}",
            *("–" if x is None else f"{x:.2g}" for x in (gain.p, p)),
        ]
    else:
        cells += ["", "", ""]
    print(f"| {' | '.join([*cells, told([*mean[name].values()])])} |")
