"""How long the readers take on cached features, on one core.

python tests/probes/speed.py [SAMPLES DIM CLASSES]     50,000 samples of 384 numbers, 10 classes
"""

from __future__ import annotations

import sys
import time

import torch

from vit.probes.collecting import Vectors
from vit.probes.probing import READERS, Grid, probe


def clouds(count: int, dim: int, classes: int, seed: int) -> Vectors:
    """Classes that overlap, with features as long as those behind a LayerNorm."""
    generator = torch.Generator().manual_seed(seed)
    centres = 0.3 * torch.randn(classes, dim, generator=torch.Generator().manual_seed(99))
    labels = torch.randint(classes, (count,), generator=generator)
    seen = centres[labels] + torch.randn(count, dim, generator=generator)
    return Vectors({"cls@1": seen}, labels, torch.arange(count))


def main() -> None:
    count, dim, classes = map(int, sys.argv[1:4] or (50_000, 384, 10))
    torch.set_num_threads(1)
    train, test = clouds(count, dim, classes, 0), clouds(count // 5, dim, classes, 1)
    for reader in READERS:
        grid = Grid("cls", ("cls",), readers=(reader,))
        began = time.process_time()
        (found,) = probe(train, {"test": test}, [str(each) for each in range(classes)], grid)
        used = time.process_time() - began
        accuracy = found.splits["test"]["accuracy"]
        print(
            f"{reader:<9}{found.seconds:7.1f} s, {used:.1f} s of CPU  {len(found.tried)} tried  "
            f"{found.chosen}  {accuracy:.2%}"
        )


if __name__ == "__main__":
    main()
