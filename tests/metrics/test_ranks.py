"""Two processes with uneven shares of the images tell what one process tells."""

import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as processes

from vit.losses.classification import binary_cross_entropy, cross_entropy
from vit.metrics.classification import ClassificationMetrics
from vit.metrics.multilabel import MultilabelMetrics
from vit.metrics.panoptic import PanopticMetrics
from vit.metrics.predictions import PerSample
from vit.metrics.running import RunningMeans
from vit.metrics.segmentation import SemanticMetrics
from vit.metrics.worst import Worst
from vit.metrics.written import WrittenMetrics
from vit.structures import PanopticMap

CPU = torch.device("cpu")
NAMES = tuple("abcdefg")
SHARES = [(0, 41), (41, 50)]  # of 50 images
BATCH = {0: 10, 1: 4}


def evaluated(first: int, last: int, size: int) -> list:
    draw = torch.Generator().manual_seed(3)
    logits = torch.randn(50, 7, generator=draw)
    labels = torch.randint(7, (50,), generator=draw)
    several = (torch.rand(50, 7, generator=draw) < 0.4).float()
    single, multi = ClassificationMetrics(NAMES), MultilabelMetrics(NAMES)
    for rows in torch.arange(first, last).split(size):
        own = logits[rows]
        single.update(own, own.softmax(-1), labels[rows], cross_entropy(own, labels[rows]))
        losses = binary_cross_entropy(own, several[rows])
        multi.update(own, own.sigmoid(), several[rows], losses)
    return [single.compute(CPU), single.tables(), multi.compute(CPU), multi.tables()]


def segmented(first: int, last: int) -> list:
    """Of the same 50 images, some with pixels to ignore, as classes and as segments."""
    draw = torch.Generator().manual_seed(4)
    truth = torch.randint(7, (50, 9, 11), generator=draw)
    wrong = torch.rand(truth.shape, generator=draw) < 0.3
    guesses = torch.where(wrong, torch.randint(7, truth.shape, generator=draw), truth)
    void = torch.rand(truth.shape, generator=draw) < 0.1
    semantic, panoptic = SemanticMetrics(NAMES), PanopticMetrics(NAMES, [True] * 3 + [False] * 4)
    labels = torch.arange(7)
    for image in range(first, last):
        semantic.update(guesses[image, None], truth[image, None].masked_fill(void[image], 255))
        true = (truth[image] + 1).masked_fill(void[image], 0)
        panoptic.update([PanopticMap(guesses[image] + 1, labels)], [PanopticMap(true, labels)])
    return [semantic.compute(CPU), semantic.tables(), panoptic.compute(CPU), panoptic.tables()]


def per_sample(batches: list[range]) -> list:
    """What is kept of each of 50 samples, and the five worst with a payload."""
    draw = torch.Generator().manual_seed(5)
    logits = torch.randn(50, 7, generator=draw)
    labels = torch.randint(7, (50,), generator=draw)
    scores = torch.rand(50, generator=draw)
    kept, worst = PerSample(), Worst(5)
    for rows in map(torch.tensor, map(list, batches)):
        kept.update(rows, logits[rows], logits[rows].softmax(-1), labels[rows])
        result = logits[rows].tolist()
        worst.update(scores[rows].tolist(), rows.tolist(), result.__getitem__)
    kept.compute()
    worst.compute()
    result = kept.collected("test")
    columns = [result.index, result.target, result.predicted, result.confidence]
    rows = [(score, index, own) for score, index, own in worst.rows]
    return [[column.tolist() for column in columns], rows]


def compared(first: int, last: int) -> dict[str, float]:
    """Of the same 50 places, texts of a few words each."""
    draw = torch.Generator().manual_seed(5)
    words = [" ".join(f"w{i}" for i in torch.randint(6, (7,), generator=draw)) for _ in range(100)]
    metrics = WrittenMetrics(["bleu", "chrf", "rouge"])
    metrics.update(range(first, last), words[first:last], words[50 + first : 50 + last])
    return metrics.compute()


def recorded(rank: int, bad_at: dict[int, int]) -> list:
    """Two windows; this rank's loss is NaN from the step that `bad_at` says for it."""
    means, result = RunningMeans(), []
    for step in range(6):
        loss = math.nan if step >= bad_at.get(rank, 99) else float(rank)
        means.add({"loss": torch.tensor(loss)}, 10 + 20 * rank, step, torch.tensor([rank, step]))
        if step in (2, 5):
            flushed, bad = means.flush(CPU), means.first_bad(CPU)
            result.append((flushed, bad and tuple(bad)))
    return result


def one_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    result = [
        evaluated(*SHARES[rank], BATCH[rank]),
        recorded(rank, {}),
        recorded(rank, {1: 4, 0: 5}),
    ]
    result += [segmented(*SHARES[rank]), segmented(*[(0, 50), (50, 50)][rank])]  # or one does all
    # In turn, as an evaluation deals its batches; then all to the first.
    result.append(per_sample([range(7 * at, min(7 * at + 7, 50)) for at in range(rank, 8, 2)]))
    result.append(per_sample([[range(50)], []][rank]))
    result += [compared(*SHARES[rank])]
    torch.save(result, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    processes.spawn(one_rank, args=(str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.slow
def test_evaluation_is_that_of_one_process_on_every_rank(results):
    single, single_tables, multi, multi_tables = evaluated(0, 50, 50)
    for found in (rank[0] for rank in results):
        assert found[0] == pytest.approx(single, abs=1e-13)
        assert found[0]["accuracy"] == single["accuracy"] and found[0]["top5"] == single["top5"]
        for name in ("images", "class_accuracy", "confusion", "most_confused"):
            assert found[1][name] == single_tables[name]
        assert found[2] == pytest.approx(multi, abs=1e-7)
        assert found[3] == multi_tables


def test_segmentation_is_that_of_one_process_to_the_last_bit(results):
    whole = segmented(0, 50)
    assert 0.3 < whole[0]["miou"] < 0.9
    assert 0.1 < whole[2]["pq"] < 0.9
    for *_, shared, lopsided, _, _, _ in results:
        assert shared == whole
        assert lopsided == whole


def test_flushed_means_weigh_the_images_of_all_ranks(results):
    for _, found, *_ in results:
        assert found == [({"loss": 0.75}, None)] * 2


def test_all_ranks_name_the_earliest_bad_step(results):
    for _, _, found, *_ in results:
        assert found[0] == ({"loss": 0.75}, None)
        assert found[1][1] == (4, [1, 4], 1)


def test_each_sample_is_kept_once_and_in_order(results):
    draw = torch.Generator().manual_seed(5)
    logits = torch.randn(50, 7, generator=draw)
    labels = torch.randint(7, (50,), generator=draw)
    scores = torch.rand(50, generator=draw)
    surest, classes = logits.softmax(-1).max(-1)
    wanted = [list(range(50)), labels.tolist(), classes.tolist(), surest.tolist()]
    order = scores.argsort(descending=True)[:5].tolist()
    worst = [(scores[at].item(), at, logits[at].tolist()) for at in order]
    for *_, dealt, lopsided, _ in results:
        assert dealt == lopsided == [wanted, worst]


def test_texts_of_two_processes_are_compared_as_those_of_one(results):
    assert results[0][-1] == results[1][-1] == compared(0, 50)
