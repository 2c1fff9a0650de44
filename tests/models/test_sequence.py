"""What must hold for texts whatever the weights: padding, order, causality, memory, switches."""

from functools import partial

import pytest
import torch
from randomised import randomised
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vit.layers.mlp import SwiGlu
from vit.layers.norm import RMSNorm
from vit.layers.pool import AttentionPool, ClsPool, MeanPool
from vit.layers.sequence_position import (
    LearnedTokenPosition,
    NoTokenPosition,
    RotaryPosition,
    SinusoidalPosition,
)
from vit.models.backbone import ViT
from vit.models.classifier import Head
from vit.models.sequence import TextClassifier, TokenTransformer
from vit.models.text_decoder import SequenceToSequence, TextDecoder
from vit.structures import PAD, START

VOCABULARY, LENGTH, DIM = 30, 12, 16
KINDS = {
    "plain": {},
    "post-norm": {"pre_norm": False},
    "rope, rms, swiglu": {"position": RotaryPosition, "norm": RMSNorm, "mlp": SwiGlu},
    "learned, qk": {"position": LearnedTokenPosition, "qk_norm": True, "key_bias": False},
    "scaled": {"embedding_scale": True, "embedding_norm": True, "layer_scale": 0.5},
    "no position": {"position": NoTokenPosition},
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def small(kind="plain", **more):
    options = {"dim": DIM, "depth": 2, "heads": 2} | KINDS[kind] | more
    return partial(TokenTransformer, **options)


def both(kind="plain", **options):
    head = TextDecoder(DIM, VOCABULARY, LENGTH, blocks=small(kind), **options)
    return randomised(SequenceToSequence(small(kind)(VOCABULARY, LENGTH), head))


def classifier(kind="plain", pool=MeanPool):
    head = Head(DIM, 5, pool=pool)
    return randomised(TextClassifier(small(kind)(VOCABULARY, LENGTH), head))


def texts(*lengths, width=None):
    tokens = torch.randint(4, VOCABULARY, (len(lengths), width or max(lengths)))
    for row, length in enumerate(lengths):
        tokens[row, length:] = PAD
    return tokens


def started(tokens):
    return torch.cat([torch.full((len(tokens), 1), START), tokens], dim=1)


def near(found, expected, tolerance=1e-6):
    return (found - expected).abs().max() <= tolerance * max(1, expected.abs().max())


@each_kind
def test_padding_and_the_order_of_the_batch_change_nothing(kind):
    source, target = texts(8, 3, 5, 1), started(texts(4, 7, 1, 2))
    classify = classifier(kind)
    for model in (both(kind), lambda source, _: classify(source)):
        with torch.no_grad():
            together = model(source, target)
            mixed = model(source[[2, 0, 3, 1]], target[[2, 0, 3, 1]])
            assert near(mixed, together[[2, 0, 3, 1]])
            for row, (length, written) in enumerate(zip((8, 3, 5, 1), (5, 8, 2, 3), strict=True)):
                alone = model(source[row : row + 1, :length], target[row : row + 1, :written])[0]
                assert near(together[row][: len(alone)], alone)


@each_kind
def test_a_token_changes_nothing_that_is_written_before_it(kind):
    model, source, target = both(kind), texts(5, 2), started(texts(6, 6))
    other = target.clone()
    other[:, 4] = (other[:, 4] + 1 - 4) % (VOCABULARY - 4) + 4
    with torch.no_grad():
        one, two = model(source, target), model(source, other)
    assert torch.equal(one[:, :4], two[:, :4]) and not torch.equal(one[:, 4], two[:, 4])


@each_kind
@pytest.mark.parametrize("steps", [(1,) * 8, (3, 1, 4), (1, 7)])
def test_a_memory_gives_the_numbers_of_the_whole(kind, steps):
    model, source, target = both(kind).double(), texts(5, 2), started(texts(7, 7))
    with torch.no_grad():
        expected = model(source, target)
        context, memory = model.read(source), model.memory()
        parts = [model.continued(part, context, memory) for part in target.split(steps, dim=1)]
    assert near(torch.cat(parts, dim=1), expected, 1e-12)


def test_a_memory_grows_beyond_its_first_room_and_rows_can_be_taken():
    torch.manual_seed(3)
    blocks = small(position=RotaryPosition)
    head = TextDecoder(DIM, VOCABULARY, 200, blocks=blocks)
    model = randomised(SequenceToSequence(blocks(VOCABULARY, LENGTH), head)).double()
    source, target = texts(5, 2, 4), started(texts(150, 150, 150))
    rows = torch.tensor([2, 0, 0])
    with torch.no_grad():
        context, memory = model.read(source), model.memory()
        for part in target[:, :100].split(1, dim=1):
            model.continued(part, context, memory)
        for one in memory:
            one.tokens.take(rows)
            one.context.take(rows)
        chosen = tuple(part[rows] for part in context)
        found = [model.continued(part, chosen, memory) for part in target[:, 100:].split(1, dim=1)]
        written = torch.cat([target[rows, :100], target[:, 100:]], dim=1)
        expected = model(source[rows], written)[:, 100:]
    assert near(torch.cat(found, dim=1), expected, 1e-12)


def test_sinusoids_are_those_of_the_founding_article():
    table = SinusoidalPosition(8, 1, 50)(torch.zeros(1, 50, 8))[0]
    for place, pair in ((0, 0), (7, 1), (49, 3)):
        angle = torch.tensor(place / 10_000 ** (2 * pair / 8))
        torch.testing.assert_close(table[place, 2 * pair], angle.sin())
        torch.testing.assert_close(table[place, 2 * pair + 1], angle.cos())


def test_rotary_scores_depend_on_the_distance_alone():
    position = RotaryPosition(16, 2, 40)
    q, k = torch.randn(8), torch.randn(8)
    scores = []
    for start in (0, 11, 60):  # the last beyond the table
        turned, _ = position.rotation(start, start + 4)(q.expand(4, 8), k.expand(4, 8))
        _, keys = position.rotation(start + 3, start + 7)(q.expand(4, 8), k.expand(4, 8))
        scores.append((turned * keys).sum(-1))
    assert near(torch.stack(scores), scores[0][0].expand(3, 4), 1e-5)
    near_by = position.rotation(0, 1)(q[None], k[None])
    assert not torch.isclose((near_by[0] * near_by[1]).sum(), scores[0][0])


@pytest.mark.parametrize("position", [SinusoidalPosition, RotaryPosition])
def test_a_text_longer_than_those_of_training_goes_on_as_a_longer_table_would(position):
    short, long = (
        randomised(
            TokenTransformer(VOCABULARY, length, dim=16, depth=1, heads=2, position=position)
        )
        for length in (6, 20)
    )
    long.load_state_dict(short.state_dict())
    tokens = texts(15)
    with torch.no_grad():
        assert torch.equal(short(tokens).patches, long(tokens).patches)


def test_a_learned_position_says_where_it_ends():
    model = small("learned, qk")(VOCABULARY, LENGTH)
    with pytest.raises(ValueError, match="13 tokens, and positions were learned for 12"):
        model(texts(13))


def test_the_table_is_shared_or_tied_or_neither():
    counts = {}
    for tied, shared in ((True, True), (True, False), (False, False)):
        model = both(tied=tied, shared_table=shared)
        names = dict(model.named_parameters())
        counts[tied, shared] = sum(p.numel() for p in names.values())
        assert list(model.state_dict()) == list(dict(model.state_dict()))
        one = model.backbone.table.weight
        model(texts(3), started(texts(2))).sum().backward()
        assert one.grad is not None
    table = VOCABULARY * DIM
    assert counts[True, False] - counts[True, True] == table
    assert counts[False, False] - counts[True, False] == table


def test_a_table_that_does_not_fit_is_refused():
    head = TextDecoder(DIM, VOCABULARY + 1, LENGTH, blocks=small(), shared_table=True)
    with pytest.raises(ValueError, match=r"\(31, 16\).*found \(30, 16\).*shared_table=false"):
        SequenceToSequence(small()(VOCABULARY, LENGTH), head)


def test_images_can_be_what_a_text_is_written_from():
    backbone = ViT((8, 8), 1, dim=16, depth=1, heads=2, patch_size=4, class_token=True)
    blocks = small(dim=24)
    model = SequenceToSequence(backbone, TextDecoder(16, VOCABULARY, LENGTH, blocks=blocks))
    assert model.read(torch.rand(2, 1, 8, 8))[0].shape == (2, 5, 16)
    assert model(torch.rand(2, 1, 8, 8), started(texts(3, 2))).shape == (2, 4, VOCABULARY)


@pytest.mark.parametrize("pool", [MeanPool, AttentionPool])
def test_a_pool_leaves_out_what_only_fills_up(pool):
    built = randomised(pool(dim=16)) if pool is AttentionPool else pool(dim=16)
    patches, mask = torch.randn(2, 6, 16), torch.tensor([[True] * 6, [True] * 2 + [False] * 4])
    with torch.no_grad():
        found = built(patches, patches[:, :0], mask)
        assert near(found[0], built(patches[:1], patches[:1, :0])[0])
        assert near(found[1], built(patches[1:, :2], patches[:1, :0])[0])


def test_a_class_token_is_refused_for_texts():
    with pytest.raises(ValueError, match="head/pool=mean"):
        classifier(pool=ClsPool)


@each_kind
def test_every_parameter_has_a_depth_and_a_gradient(kind):
    for model, inputs in (
        (both(kind, tied=False), (texts(5, 3), started(texts(4, 6)))),
        (classifier(kind), (texts(5, 3),)),
    ):
        names = {name for name, _ in model.named_parameters()}
        assert set(model.depths()) == names and model.no_weight_decay() <= names
        assert "backbone.table.weight" in model.no_weight_decay()
        assert not any(name.endswith("fc1.weight") for name in model.no_weight_decay())
        model.train()(*inputs).square().sum().backward()
        lacking = [name for name, p in model.named_parameters() if p.grad is None]
        assert lacking == []


def test_the_counted_products_are_those_that_torch_counts():
    model, source, target = both(), texts(7), started(texts(4))
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(source, target)
    assert counter.get_total_flops() == model.flops(7, 5)


def test_dropout_acts_in_training_alone():
    model = small(dropout=0.5, attention_dropout=0.2)(VOCABULARY, LENGTH)
    tokens = texts(6)
    assert not torch.equal(model(tokens).patches, model(tokens).patches)
    model.eval()
    assert torch.equal(model(tokens).patches, model(tokens).patches)


def test_impossible_sizes_are_refused():
    for wrong, said in (({"dim": 15}, "heads=2"), ({"dropout": 1.0}, "dropout is 1.0")):
        with pytest.raises(ValueError, match=said):
            small(**wrong)(VOCABULARY, LENGTH)
