"""Linear classifiers trained side by side are what each would be alone."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from vit.probes import linear
from vit.probes.linear import Course, course_for, measured, train_readers


def clouds(count=120, dim=6, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, dim, generator=torch.Generator().manual_seed(99))
    labels = torch.arange(count) % classes
    return centres[labels] + torch.randn(count, dim, generator=generator), labels


def alone(seen, labels, classes, rate, course, seed=0):
    """The same in plain PyTorch: nn.Linear, SGD, LambdaLR, autograd."""
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(seen.shape[1], classes)
    start = linear.START * torch.randn(seen.shape[1], 1, classes, generator=generator)
    with torch.no_grad():
        layer.weight.copy_(start[:, 0].T)
        layer.bias.zero_()
    optimizer = torch.optim.SGD(layer.parameters(), lr=rate, momentum=linear.MOMENTUM)
    cosine = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / course.steps))
    )
    for batch in linear._batches(len(seen), course, generator):
        optimizer.zero_grad()
        F.cross_entropy(layer(seen[batch]), labels[batch]).backward()
        optimizer.step()
        cosine.step()
    return layer


def test_the_grid_equals_separate_trainings_of_its_members():
    seen, labels = clouds()
    course, rates = Course(batch_size=32, steps=60), (0.001, 0.03, 0.5)
    together = train_readers(seen, labels, 3, rates, course, seed=5)
    for at, rate in enumerate(rates):
        one = alone(seen, labels, 3, rate, course, seed=5)
        assert torch.allclose(together.weights[at], one.weight.T, atol=1e-5, rtol=0)
        assert torch.allclose(together.biases[at], one.bias, atol=1e-5, rtol=0)
        by_itself = train_readers(seen, labels, 3, (rate,), course, seed=5)
        assert torch.allclose(together.weights[at], by_itself.weights[0], atol=1e-6, rtol=0)
    assert not torch.allclose(together.weights[0], together.weights[1], atol=1e-2)


def test_one_that_diverges_leaves_the_others_alone_and_counts_for_nothing():
    seen, labels = clouds()
    course = Course(batch_size=32, steps=200)
    both = train_readers(100 * seen, labels, 3, (1e-4, 1e38), course)
    calm = train_readers(100 * seen, labels, 3, (1e-4,), course)
    assert torch.allclose(both.weights[0], calm.weights[0], atol=1e-6)
    accuracy, loss = measured(both, 100 * seen, labels)
    assert accuracy[1] == 0 and loss[1] == math.inf and accuracy[0] > 0.6


def test_each_sample_is_seen_as_often_as_any_other():
    batches = list(linear._batches(10, Course(4, 5), torch.Generator().manual_seed(0)))
    seen = torch.cat(batches)
    assert [len(batch) for batch in batches] == [4] * 5
    assert seen.bincount(minlength=10).tolist() == [2] * 10
    assert seen[:10].sort().values.tolist() == list(range(10))


def test_measures_are_those_of_the_logits():
    seen, labels = clouds()
    readers = train_readers(seen, labels, 3, (0.1, 0.01), Course(32, 30))
    accuracy, loss = measured(readers, seen, labels)
    for at in range(2):
        logits = seen @ readers.weights[at] + readers.biases[at]
        assert torch.isclose(loss[at], F.cross_entropy(logits, labels).double(), atol=1e-6)
        assert accuracy[at] == (logits.argmax(1) == labels).double().mean()


def test_a_large_set_has_dinov2_s_course_and_a_small_one_at_least_500_steps():
    assert course_for(1_281_167) == Course(1024, math.ceil(10 * 1_281_167 / 1024))
    assert course_for(1000) == Course(256, 500)
    assert course_for(8000) == Course(500, 500)
    assert course_for(5) == Course(5, 500)
    assert Course(1024, 1).scaled(0.1) == 0.4
