"""Prints by how many bytes three training steps of a frozen config raised this process's peak."""

import json
import resource
import sys
from pathlib import Path

import timm.optim  # noqa: F401  (what is imported before the first reading is not counted)
import torch

from vit.build import build_slot
from vit.facts import facts_from_summary
from vit.losses.classification import cross_entropy
from vit.tasks.assembly import assemble_model


def step(model, optimizer, images):
    targets = torch.zeros(len(images), dtype=torch.long)
    cross_entropy(model(images).float(), targets).mean().backward()
    optimizer.step()
    optimizer.zero_grad()


def main():
    config, summary, batch = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    allow, size = config["allow_targets"], summary["image_size"]
    with torch.device("meta"):  # what building imports is not counted either
        build_slot("optim", config, allow).build(
            assemble_model(config, facts_from_summary(summary), allow)
        )
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    model = assemble_model(config, facts_from_summary(summary), allow).train()
    optimizer = build_slot("optim", config, allow).build(model)
    for _ in range(3):
        step(model, optimizer, torch.rand(batch, summary["channels"], *size))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before)


if __name__ == "__main__":
    main()
