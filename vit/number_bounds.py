"""What the numbers of a config may be, by the words that name them.

`dropout` or `depth` mean the same in every part that takes them, so words have their bounds here; a
class may refuse more of its own accord. vit/number_faults.py holds a config against them.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_WHOLE = 2**32  # of seeds; nothing is counted beyond


@dataclass(frozen=True)
class Bound:
    """From `low` to `high`; with `above`, or `below`, without that end itself."""

    low: int | float
    high: int | float
    above: bool = False
    below: bool = False

    def holds(self, value: int | float) -> bool:
        over = value > self.low if self.above else value >= self.low
        return over and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        low = "more than" if self.above else "at least"
        high = "less than" if self.below else "at most"
        return f"{low} {self.low:,.12g} and {high} {self.high:,.12g}"


SHARE = Bound(0, 1)
RATE = Bound(0, 1, below=True)
POSITIVE = Bound(0, 1e6, above=True)
WEIGHT = Bound(0, 1e6)
COUNT = Bound(1, 1_000_000)
SOME = Bound(0, 1_000_000)
SIZE = Bound(1, 16_384)  # pixels, widths
LAYERS = Bound(1, 1_000)
FEW = Bound(0, 1_000)

# Of every part of vit; a word that means something else in one part stands under that part below.
WORDS: dict[str, Bound] = {
    # data
    "batch_size": COUNT,
    "eval_batch_size": COUNT,
    "train_limit": Bound(1, 1e9),
    "val_fraction": RATE,
    "test_fraction": RATE,
    "num_workers": FEW,
    "image_size": SIZE,
    "train_sizes": SIZE,
    "class_values": Bound(0, 255),
    "ignore_value": Bound(0, 255),
    "mean": Bound(-10, 10),
    "std": Bound(0.001, 100),
    "erasing": SHARE,
    "crop_fraction": Bound(0.01, 1),
    "class_sampling": SHARE,
    "mosaic": SHARE,
    "mosaic_epochs": SOME,
    "train_scenes": COUNT,
    "val_scenes": COUNT,
    "test_scenes": SOME,
    "min_digits": FEW,
    "max_digits": Bound(1, 100),
    "digit_size": SIZE,
    "noise": SHARE,
    "vocabulary": Bound(2, 1_000_000),
    "max_tokens": Bound(1, 100_000),
    "max_target_tokens": Bound(1, 100_000),
    "samples": COUNT,
    "test_samples": COUNT,
    "largest": Bound(1, 999_999),
    "input_column": SOME,
    "target_column": SOME,
    "group_column": SOME,
    "sample_rate": Bound(100, 1_000_000),
    "window_ms": Bound(0.01, 10_000),
    "hop_ms": Bound(0.01, 10_000),
    "mels": Bound(1, 4_096),
    "seconds": Bound(0.001, 3_600),
    "range_db": Bound(0.1, 1_000),
    # augmentations
    "degrees": Bound(0, 180),
    "translate": SHARE,
    "padding": Bound(0, 16_384),
    "flip": SHARE,
    "p": SHARE,
    "ratio": Bound(0.01, 100),
    "scale": Bound(0.001, 100),
    "severity": Bound(1, 10),
    "width": SIZE,
    "num_ops": Bound(0, 100),
    "magnitude": Bound(0, 30),
    "jitter": Bound(0, 100),
    "time_shift": SHARE,
    "pitch_shift": SHARE,
    "stretch": RATE,
    "time_masks": FEW,
    "time_width": SHARE,
    "frequency_masks": FEW,
    "frequency_width": SHARE,
    # models
    "dim": SIZE,
    "depth": LAYERS,
    "heads": SIZE,
    "patch_size": SIZE,
    "mlp_ratio": Bound(0.001, 1_000),
    "registers": Bound(0, 10_000),
    "prefix_positions": Bound(0, 10_000),
    "reference_grid": SIZE,
    "offset": Bound(-16_384, 16_384),
    "layer_scale": Bound(0, 1e3),
    "drop_path": RATE,
    "dropout": RATE,
    "attention_dropout": RATE,
    "proj_dropout": RATE,
    "patch_dropout": RATE,
    "bias_init": Bound(-100, 100),
    "eps": Bound(0, 1, above=True),
    "base": Bound(1, 1e9, above=True),
    "temperature": Bound(1, 1e9, above=True),
    "shift": Bound(0, 100),
    "rescale": Bound(1, 100),
    "num_queries": Bound(1, 100_000),
    "num_layers": LAYERS,
    "hidden": Bound(1, 1_000_000),
    "bias_hidden": Bound(1, 1_000_000),
    "groups": Bound(1, 100),
    "cross_heads": SIZE,
    "points": Bound(1, 1_000),
    "label_flip": SHARE,
    "box_noise": Bound(0, 10),
    "joint_blocks": LAYERS,
    "blocks": FEW,
    "stages": Bound(-1_000, 1_000),
    "num_blocks": LAYERS,
    "bottlenecks": FEW,
    "expansion": Bound(0.001, 100),
    "rank": SIZE,
    "scales": Bound(0.001, 100),
    # recipe
    "lr": Bound(0, 1e4, above=True),
    "weight_decay": Bound(0, 1e3),
    "layer_decay": Bound(0, 1, above=True),
    "head_lr_scale": Bound(0, 1e6, above=True),
    "betas": RATE,
    "momentum": RATE,
    "warmup_steps": Bound(0, 1e9),
    "warmup_epochs": SOME,
    "warmup_start": SHARE,
    "final_lr_scale": SHARE,
    "cooldown": SHARE,
    "decay": RATE,
    "every_n_steps": Bound(1, 1e9),
    "weights_every": Bound(1, 1e9),
    "hang_seconds": Bound(1, 1e8),
    "pictures": Bound(0, 24),
    "probe_every": SOME,
    "probe_neighbours": COUNT,
    "attention": Bound(0, 24),
    # tasks
    "label_smoothing": RATE,
    "bce_threshold": SHARE,
    "mixup": Bound(0, 1_000),
    "cutmix": Bound(0, 1_000),
    "mix_probability": SHARE,
    "mix_off_fraction": SHARE,
    "beams": Bound(1, 1_000),
    "length_penalty": Bound(-100, 100),
    "alpha": SHARE,
    "gamma": Bound(0, 100),
    "no_object_weight": WEIGHT,
    **{f"weight_{term}": WEIGHT for term in ("class", "box", "giou", "mask", "dice")},
    **{f"cost_{term}": WEIGHT for term in ("class", "box", "giou", "mask", "dice")},
    **dict.fromkeys(("cross_entropy", "focal", "dice", "lovasz"), WEIGHT),
    "num_points": Bound(1, 10_000_000),
    "max_detections": Bound(1, 100_000),
    # sweeps
    "jobs": Bound(1, 10_000),
    "retries": FEW,
    "max_failures": COUNT,
    "hang_minutes": Bound(0.05, 1e6),
    "grace_seconds": POSITIVE,
    "keep_best": COUNT,
    "n_trials": COUNT,
    "min_resource": COUNT,
    "reduction_factor": Bound(2, 1_000),
    "minutes": COUNT,
    "cpus": Bound(1, 100_000),
    "mem_gb": POSITIVE,
    "poll_seconds": POSITIVE,
    "order_seed": Bound(0, MOST_WHOLE),
    "split_seed": Bound(0, MOST_WHOLE),
    "draw_seed": Bound(0, MOST_WHOLE),
}
AREA = {"scale": Bound(0.001, 1)}  # a share of it
OF_ONE_PART: dict[str, dict[str, Bound]] = {
    "vit.data.augment.RandomResizedCrop": AREA,
    "vit.data.augment_boxes.BoxCrop": AREA,
    "vit.tuning.lora.Lora": {"alpha": Bound(0, 1e6, above=True)},
    "pytorch_lightning.Trainer": {
        "max_epochs": Bound(-1, 1_000_000),
        "min_epochs": SOME,
        "max_steps": Bound(-1, 1e9),
        "min_steps": Bound(0, 1e9),
        "accumulate_grad_batches": COUNT,
        "gradient_clip_val": Bound(0, 1e6),
        "check_val_every_n_epoch": COUNT,
        "val_check_interval": Bound(0, 1e9, above=True),
        "limit_train_batches": Bound(0, 1e9, above=True),
        "limit_val_batches": Bound(0, 1e9),
        "limit_test_batches": Bound(0, 1e9),
        "limit_predict_batches": Bound(0, 1e9),
        "overfit_batches": Bound(0, 1e9),
        "fast_dev_run": SOME,
        "num_sanity_val_steps": Bound(-1, 1e9),
        "log_every_n_steps": Bound(1, 1e9),
        "devices": Bound(1, 10_000),
        "num_nodes": Bound(1, 10_000),
        "reload_dataloaders_every_n_epochs": SOME,
    },
}
RANGES = ("scale", "ratio", "digit_size")  # of vit's parts: from, to
ORDERED = (
    ("min_epochs", "max_epochs"),
    ("min_steps", "max_steps"),
    ("min_digits", "max_digits"),
)
# What is asked for, and the word that takes it back for good at that value.
IDLE: dict[str, tuple[tuple[tuple[str, ...], str, int], ...]] = {
    "vit.tasks.classification.Classification": (
        (("mixup", "cutmix"), "mix_probability", 0),
        (("mixup", "cutmix"), "mix_off_fraction", 1),
    ),
}
TOP: dict[str, Bound] = {
    "threads": Bound(1, 1_024),
    "seed": Bound(0, MOST_WHOLE, below=True),
    "extend": COUNT,
    "extend_lr_scale": Bound(0, 1, above=True),
}
CHECKPOINT = {
    "every_n_steps": Bound(1, 1e9),
    "patience": COUNT,
    "keep_last": Bound(1, 10_000),
    "keep_best": Bound(1, 10_000),
    "keep_every_n_steps": Bound(1, 1e9),
    "keep_every_n_epochs": COUNT,
}


def words_of(target: str) -> dict[str, Bound]:
    """The bounds of a part's numbers, by their words."""
    general = WORDS if target.startswith("vit.") else {}
    return {**general, **OF_ONE_PART.get(target, {})}
