"""Maps of a model whose evidence is known: one patch among noise decides, and it was learned so."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vit.explain.faithful import faithfulness
from vit.explain.maps import seen_by
from vit.layers.norm import LayerNorm
from vit.layers.pool import ClsPool
from vit.models.backbone import ViT
from vit.models.classifier import Classifier, Head

torch.set_num_threads(1)
SIDE, PATCH, COUNT = 20, 4, 5  # pixels, pixels, patches along a side
# The classes: stripes down, stripes across, a chequerboard; the fourth is noise alone.
STRIPES = torch.tensor([1.0, -1.0, 1.0, -1.0])
DOWN, ACROSS = STRIPES.expand(4, 4), STRIPES[:, None].expand(4, 4)
MARKS = 2 * torch.stack([DOWN, ACROSS, DOWN * ACROSS])


def drawn(count, seed, unmarked=0):
    """Images of noise, all but the first `unmarked` with a mark; classes; the marks' patches."""
    draw = torch.Generator().manual_seed(seed)
    images = 0.5 * torch.randn(count, 1, SIDE, SIDE, generator=draw)
    classes = torch.randint(len(MARKS), (count,), generator=draw)
    places = torch.randint(COUNT**2, (count,), generator=draw)
    classes[:unmarked] = len(MARKS)
    for at in range(unmarked, count):
        top, left = PATCH * (places[at] // COUNT), PATCH * (places[at] % COUNT)
        images[at, 0, top : top + PATCH, left : left + PATCH] += MARKS[classes[at]]
    return images, classes, places


def trained(norm, depth, seed, steps):
    torch.manual_seed(seed)
    parts = {"dim": 24, "depth": depth, "heads": 2, "patch_size": PATCH, "norm": norm}
    body = ViT((SIDE, SIDE), 1, class_token=True, **parts)
    model = Classifier(body, Head(24, len(MARKS) + 1, pool=ClsPool))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(steps):
        images, classes, _ = drawn(64, step, unmarked=16)
        optimizer.zero_grad()
        F.cross_entropy(model(images), classes).backward()
        optimizer.step()
    return model.eval()


def looked_at(model, count):
    """Of images it never saw: the share whose mark each map names first, and the mean areas."""
    images, classes, places = drawn(count, 10_000)
    with torch.no_grad():
        assert (model(images).argmax(-1) == classes).float().mean() >= 0.95
    hits, areas = {"relevance": 0, "rollout": 0}, {}
    for image, place in zip(images, places.tolist(), strict=True):
        seen = seen_by(model, image)
        maps = {"relevance": seen.relevance, "rollout": seen.rollout}
        for name, values in maps.items():
            hits[name] += int(values.argmax()) == place

        def score(x, label=seen.label):
            return model(x).softmax(-1)[:, label]

        for name, own in faithfulness(score, image, seen.grid, maps).items():
            deletion, insertion = areas.get(name, (0.0, 0.0))
            areas[name] = deletion + own["deletion_area"], insertion + own["insertion_area"]
    shares = {name: hit / count for name, hit in hits.items()}
    return shares, {name: (one / count, other / count) for name, (one, other) in areas.items()}


def no_norm(dim):
    return nn.Identity()


def test_maps_name_the_one_patch_that_decides():
    shares, areas = looked_at(trained(no_norm, depth=2, seed=0, steps=50), count=12)
    assert shares["relevance"] >= 0.9 and shares["rollout"] >= 0.9
    for name in ("relevance", "rollout"):
        for other in ("random", "centre"):
            assert areas[name][0] < areas[other][0] - 0.1  # gone sooner where it is taken away
            assert areas[name][1] > areas[other][1] + 0.1  # there sooner where it is put in


@pytest.mark.slow
def test_where_a_norm_hides_the_evidence_from_gradients_the_curves_say_so():
    """A norm has no gradient along what it scales: once the answer points all one way, more of the
    same changes nothing, and relevance, which multiplies by it, may name another patch.
    """
    found = [looked_at(trained(LayerNorm, depth=1, seed=seed, steps=120), 40) for seed in (0, 1, 2)]
    print(found)
    for shares, areas in found:
        assert shares["rollout"] >= 0.9
        missed = shares["relevance"] < 0.9
        assert missed == (areas["relevance"][0] > areas["rollout"][0] + 0.02)
    assert any(shares["relevance"] < 0.9 for shares, _ in found)
