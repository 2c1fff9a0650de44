"""A training step of each tuning over that of full training, in pairs: python step_cost.py"""

import statistics
import time

import torch
from torch import nn

from vit.models.backbone import ViT
from vit.models.classifier import Classifier, Head
from vit.optim.optimizer import Optim
from vit.tuning.freezing import Bias, LastBlocks, keep_still
from vit.tuning.freezing import Head as HeadOnly
from vit.tuning.lora import Lora

ROUNDS, BATCH = 12, 8
TUNINGS = {"full": None, "head": HeadOnly(), "last_blocks": LastBlocks(), "bias": Bias()}
TUNINGS["lora"] = Lora(rank=8)


def stepper(tuning):
    torch.manual_seed(0)
    backbone = ViT((96, 96), 3, dim=384, depth=12, heads=6, patch_size=16)
    model = Classifier(backbone, Head(384, 10))
    if tuning is not None:
        tuning.apply(model)
    keep_still(model.train())
    optimizer = Optim().build(model)
    images, labels = torch.randn(BATCH, 3, 96, 96), torch.randint(10, (BATCH,))

    def step():
        began = time.process_time()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        return time.process_time() - began

    return step


def main():
    torch.set_num_threads(1)
    steps = {name: stepper(tuning) for name, tuning in TUNINGS.items()}
    for step in steps.values():
        step()
    rounds = [{name: step() for name, step in steps.items()} for _ in range(ROUNDS)]
    print(f"ViT-S/16 at 96 px, batch {BATCH}, one thread, {ROUNDS} rounds: median of the ratios")
    for name in steps:
        ratios = [each[name] / each["full"] for each in rounds]
        seconds = statistics.median(each[name] for each in rounds)
        print(f"{name:12} {seconds:.3f} s of CPU  {statistics.median(ratios):.2f} of full")


if __name__ == "__main__":
    main()
