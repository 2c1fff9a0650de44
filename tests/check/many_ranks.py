"""Memory and traffic of a process, for ViT-S to ViT-g on 1 to 1,024 processes: table and picture.

    python tests/check/many_ranks.py --out experiments/0006_many_ranks

Every row is what `vit check` would say. With --verify the steps of FSDP2 are taken among 1,024
processes that are not there, and must send what the row says; needs minutes. The picture wants
matplotlib, and is left out without it.
"""

import argparse
import csv
import sys
import time
from pathlib import Path

import torch
from fake_ranks import step

from vit.check.communication import traffic_of
from vit.check.memory import training_memory
from vit.cli.compose import compose
from vit.facts import facts_from_summary
from vit.tasks.assembly import assemble_model

SIZES = ("vit_s", "vit_b", "vit_l", "vit_h", "vit_g")
RANKS = (1, 8, 64, 1024)
MICRO_BATCH = 8
COLUMNS = ("model", "strategy", "processes", "parameters", "memory_gb", "state_gb", "sent_gb")


def planned(size, strategy, count):
    words = [f"backbone={size}", "data.image_size=224", "data.channels=3", "ema=none", "threads=1"]
    config = compose([*words, f"trainer={strategy}", "trainer.precision=bf16-mixed"])
    summary = {"image_size": [224, 224], "channels": 3, "num_classes": 1000}
    return config, facts_from_summary(summary)


def row(size, strategy, count):
    config, facts = planned(size, strategy, count)
    with torch.device("meta"):
        model = assemble_model(config, facts)
    memory = training_memory(config, facts, MICRO_BATCH, count)
    traffic = traffic_of(config, model, count)
    state = memory.parameters + memory.gradients + memory.optimizer + memory.communication
    return {
        "model": size,
        "strategy": strategy,
        "processes": count,
        "parameters": sum(p.numel() for p in model.parameters()),
        "memory_gb": round(memory.total / 1e9, 3),
        "state_gb": round(state / 1e9, 3),
        "sent_gb": round(traffic.sent_bytes / 1e9, 3),
    }


def verified(size, count=1024):
    """Seconds of a step among so many processes; raises where it sends something else."""
    config, facts = planned(size, "fsdp", count)
    with torch.device("meta"):
        model = assemble_model(config, facts)
    said = traffic_of(config, model, count)
    found, seconds, _ = step(model, (224, 224), count, batch=MICRO_BATCH)
    assert found["_allgather_base_"] == said.all_gather_bytes, (size, found, said)
    assert found["_reduce_scatter_base_"] == said.reduce_scatter_bytes, (size, found, said)
    return seconds


def picture(rows, file):
    try:
        from matplotlib import pyplot
    except ImportError:
        print("no picture: pip install matplotlib", file=sys.stderr)
        return
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2))
    for axis, key, title in (
        (axes[0], "state_gb", "memory of a process beside activations, GB"),
        (axes[1], "sent_gb", "sent by a process in a step, GB"),
    ):
        for at, size in enumerate(SIZES):
            for strategy, style in (("ddp", "--"), ("fsdp", "-")):
                own = [r for r in rows if (r["model"], r["strategy"]) == (size, strategy)]
                own = [r for r in own if float(r[key]) > 0]
                axis.plot(
                    [int(r["processes"]) for r in own],
                    [float(r[key]) for r in own],
                    style,
                    color=f"C{at}",
                    marker="o",
                    markersize=4,
                    label=f"{size} {strategy}",
                )
        axis.set(xscale="log", yscale="log", xlabel="processes", title=title, xticks=RANKS)
        axis.set_xticklabels([f"{count:,}" for count in RANKS])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[1].legend(fontsize=7, ncols=2, loc="center left", bbox_to_anchor=(1.02, 0.5))
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--verify", action="store_true")
    parser.add_argument("--picture", action="store_true", help="only draw what the table holds")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    table = arguments.out / "results.csv"
    if not arguments.picture:
        began = time.perf_counter()
        rows = [row(s, how, n) for s in SIZES for how in ("ddp", "fsdp") for n in RANKS]
        print(f"{len(rows)} plans in {time.perf_counter() - began:.0f} s")
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    with table.open(encoding="utf-8") as file:
        picture(list(csv.DictReader(file)), arguments.out / "many_ranks.png")
    for size in SIZES if arguments.verify else ():
        print(f"{size}: a step among 1,024 processes sends what was said, {verified(size):.0f} s")


if __name__ == "__main__":
    main()
