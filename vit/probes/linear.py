"""Linear classifiers on frozen features: many learning rates trained side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

# For a batch of 256: DINOv2's, to 0.1, and larger ones, since small sets have fewer steps.
RATES = (
    *(1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1),
    0.2,
    0.5,
    1.0,
)
BLOCKS = (1, 4)
MOMENTUM = 0.9
START = 0.01  # deviation of the first weights
LARGEST_BATCH, SMALLEST_BATCH = 1024, 256
EPOCHS = 10
FEWEST_STEPS = 500  # where ten epochs of a small set are fewer


@dataclass
class Readers:
    """Linear classifiers side by side: one for each learning rate."""

    weights: Float[Tensor, "members dim classes"]
    biases: Float[Tensor, "members classes"]

    def logits(self, vectors: Float[Tensor, "batch dim"]) -> Float[Tensor, "members batch classes"]:
        return torch.einsum("bd,mdc->mbc", vectors, self.weights) + self.biases[:, None]


@dataclass(frozen=True)
class Course:
    """How long such classifiers are trained, and by what batches."""

    batch_size: int
    steps: int

    def scaled(self, rate: float) -> float:
        """A rate for batches of 256 as one for these."""
        return rate * self.batch_size / 256


def course_for(samples: int) -> Course:
    """DINOv2's ten epochs of batches of 1024; of small sets a sixteenth, and 500 steps or more."""
    batch_size = min(max(samples // 16, SMALLEST_BATCH), LARGEST_BATCH, samples)
    return Course(batch_size, max(math.ceil(EPOCHS * samples / batch_size), FEWEST_STEPS))


def train_readers(
    vectors: Float[Tensor, "samples dim"],
    labels: Int[Tensor, " samples"],
    num_classes: int,
    rates: Sequence[float],
    course: Course,
    seed: int = 0,
) -> Readers:
    """A linear classifier for each of the `rates`, trained by SGD with momentum on one pass.

    All start from the same weights and see the same batches, so that each is what it would be
    alone: cross-entropy, no weight decay, a cosine from its rate to 0. One that diverges holds
    numbers that are not finite and leaves the others as they are.

    Source: DINOv2 (Oquab et al. 2023, arXiv:2304.07193), eval/linear.py.
    """
    samples, dim = vectors.shape
    members, device = len(rates), vectors.device
    generator = torch.Generator().manual_seed(seed)
    start = START * torch.randn(dim, 1, num_classes, generator=generator)
    # Side by side: [dim, members · classes], so that each step is two products of matrices.
    weights = start.repeat(1, members, 1).flatten(1).to(device, vectors.dtype)
    biases = torch.zeros(members * num_classes, dtype=vectors.dtype, device=device)
    of_weights, of_biases = torch.zeros_like(weights), torch.zeros_like(biases)
    scale = torch.tensor(rates, dtype=vectors.dtype, device=device)
    scale = scale.repeat_interleave(num_classes)
    order = _batches(samples, course, generator)
    for step, batch in enumerate(order):
        rate = scale * (0.5 * (1 + math.cos(math.pi * step / course.steps)))
        batch = batch.to(device)
        seen, right = vectors[batch], labels[batch]
        logits = torch.addmm(biases, seen, weights).unflatten(1, (members, num_classes))
        slope = logits.softmax(2)
        slope.scatter_add_(
            2,
            right[:, None, None].expand(-1, members, 1),
            slope.new_full((1, 1, 1), -1.0).expand(len(batch), members, 1),
        )
        slope = slope.flatten(1).div_(len(batch))
        of_weights.mul_(MOMENTUM).addmm_(seen.T, slope)
        of_biases.mul_(MOMENTUM).add_(slope.sum(0))
        weights.addcmul_(of_weights, rate, value=-1)
        biases.addcmul_(of_biases, rate, value=-1)
    apart = weights.unflatten(1, (members, num_classes)).transpose(0, 1).contiguous()
    return Readers(apart, biases.unflatten(0, (members, num_classes)))


def _batches(samples: int, course: Course, generator: torch.Generator) -> Iterator[Tensor]:
    """Each sample once an epoch; a batch may end one epoch and begin the next."""
    left = torch.zeros(0, dtype=torch.int64)
    for _ in range(course.steps):
        while len(left) < course.batch_size:
            left = torch.cat([left, torch.randperm(samples, generator=generator)])
        yield left[: course.batch_size]
        left = left[course.batch_size :]


def measured(
    readers: Readers, vectors: Float[Tensor, "samples dim"], labels: Int[Tensor, " samples"]
) -> tuple[Float[Tensor, " members"], Float[Tensor, " members"]]:
    """Of each member the accuracy and the mean log loss; 0 and infinity of one that diverged."""
    members, _, classes = readers.weights.shape
    right = torch.zeros(members, dtype=torch.float64, device=vectors.device)
    loss = torch.zeros_like(right)
    at_once = max((1 << 24) // (members * classes), 1)
    for part, own in zip(vectors.split(at_once), labels.split(at_once), strict=True):
        logits = readers.logits(part)
        right += (logits.argmax(2) == own).sum(1)
        each = F.cross_entropy(logits.flatten(0, 1), own.repeat(members), reduction="none")
        loss += each.unflatten(0, (members, len(own))).double().sum(1)
    sound = loss.isfinite()
    accuracy = torch.where(sound, right / len(labels), 0.0)
    return accuracy, torch.where(sound, loss / len(labels), math.inf)
