"""Texts from models with random weights: with and without a memory, against all there are."""

import itertools
import random
from functools import partial

import pytest
import torch
from randomised import randomised

from vit.layers.mlp import Mlp, SwiGlu
from vit.layers.norm import LayerNorm, RMSNorm
from vit.layers.sequence_position import LearnedTokenPosition, RotaryPosition, SinusoidalPosition
from vit.models.generation import beam_search, greedy, likeliest, sample
from vit.models.sequence import TokenTransformer
from vit.models.text_decoder import SequenceToSequence, TextDecoder
from vit.structures import END, PAD, START


def writer(vocabulary=9, dim=8, seed=0, most=32, tied=False, **options):
    torch.manual_seed(seed)
    blocks = partial(TokenTransformer, dim=dim, depth=2, heads=2, mlp_ratio=2.0, **options)
    head = TextDecoder(dim, vocabulary, most, blocks=blocks, tied=tied, output_bias=True)
    return randomised(SequenceToSequence(blocks(vocabulary, 16), head)).double()


def random_source(vocabulary, lengths):
    source = torch.randint(2, vocabulary, (len(lengths), max(lengths)))
    for row, length in enumerate(lengths):
        source[row, length:] = PAD
    return source


def random_case(number):
    """A model of random shape, a batch of sources, a way to write."""
    draw = random.Random(number)
    vocabulary, most = draw.randint(6, 24), draw.randint(1, 24)
    model = writer(
        vocabulary,
        dim=draw.choice([8, 16]),
        seed=number,
        most=most,
        tied=draw.random() < 0.5,
        position=draw.choice([SinusoidalPosition, LearnedTokenPosition, RotaryPosition]),
        norm=draw.choice([LayerNorm, RMSNorm]),
        mlp=draw.choice([Mlp, SwiGlu]),
        pre_norm=draw.random() < 0.5,
        qk_norm=draw.random() < 0.5,
        embedding_scale=draw.random() < 0.5,
    )
    source = random_source(vocabulary, [draw.randint(1, 10) for _ in range(draw.randint(1, 4))])

    def by_chance(*given, **options):
        generator = torch.Generator().manual_seed(number)
        return sample(*given, top_p=0.9, top_k=10, generator=generator, **options)

    def beams(*given, **options):
        return beam_search(*given, width=draw_width, length_penalty=penalty, **options)

    draw_width, penalty = draw.randint(1, 5), draw.choice([0.0, 0.6, 1.0])
    return draw.choice([greedy, by_chance, beams]), model, source, most


def cached_is_uncached(numbers):
    longest = 0
    for number in numbers:
        write, model, source, most = random_case(number)
        found, expected = (write(model, source, most, cached=c) for c in (True, False))
        if isinstance(found, tuple):
            (found, score), (expected, expected_score) = found, expected
            torch.testing.assert_close(score, expected_score, rtol=0, atol=1e-9)
        assert torch.equal(found, expected), f"case {number}"
        longest = max(longest, found.shape[-1])
    assert longest > 10  # else nothing was remembered


@pytest.mark.slow
def test_a_memory_writes_the_same_texts():
    cached_is_uncached(range(60))


@pytest.mark.slow
def test_a_memory_writes_the_same_texts_in_a_thousand_cases():
    cached_is_uncached(range(1000))


def every_text(vocabulary, most):
    """All token sequences that end, or that reach `most` tokens."""
    letters = [t for t in range(vocabulary) if t not in (PAD, START, END)]
    for length in range(most + 1):
        for body in itertools.product(letters, repeat=length):
            yield (*body, END) if length < most else body


def score_of(model, source, text, penalty):
    tokens = torch.tensor([[START, *text[:-1]]])
    logits = model(source, tokens)[0]
    logits[:, [PAD, START]] = float("-inf")
    logs = logits.log_softmax(-1)[torch.arange(len(text)), torch.tensor(text)]
    return logs.sum().item() / len(text) ** penalty


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_wide_beam_finds_the_best_of_all_texts(penalty):
    model, source = writer(vocabulary=6), random_source(6, [4, 2])
    with torch.no_grad():
        texts, scores = beam_search(model, source, 3, width=60, length_penalty=penalty)
        for row in range(2):
            own = source[row : row + 1]
            scored = {text: score_of(model, own, text, penalty) for text in every_text(6, 3)}
            ranked = sorted(scored, key=scored.get, reverse=True)
            assert len(ranked) == 40  # 1 + 3 + 9 that end, and 27 that do not
            for place, text in enumerate(ranked[:20]):
                found = tuple(t for t in texts[row, place].tolist() if t != PAD)
                assert found == text
                assert scores[row, place].item() == pytest.approx(scored[text], abs=1e-9)


def test_a_beam_of_one_is_greedy_and_a_wider_one_is_never_worse():
    gained = 0
    for seed in range(10):
        model, source = writer(seed=seed, vocabulary=12), random_source(12, [5, 3, 1])
        one, score = beam_search(model, source, 12, width=1, length_penalty=0.0)
        assert torch.equal(one[:, 0], greedy(model, source, 12))
        _, wide = beam_search(model, source, 12, width=50, length_penalty=0.0)
        gained += int((wide[:, 0] > score[:, 0] + 1e-9).sum())
        assert (wide[:, 0] >= score[:, 0] - 1e-9).all()
    assert gained > 0


def test_a_text_is_the_same_alone_and_in_a_batch():
    model, source = writer(seed=4), random_source(9, [6, 2, 4])
    for write in (greedy, lambda *given: beam_search(*given, width=3)[0][:, 0]):
        together = write(model, source, 15)
        for row, length in enumerate((6, 2, 4)):
            alone = write(model, source[row : row + 1, :length], 15)[0]
            rest = together[row, len(alone) :]
            assert torch.equal(together[row, : len(alone)], alone) and (rest == PAD).all()


def test_nothing_follows_the_end_and_no_text_starts_twice():
    ends = 0
    for seed in range(6):
        model, source = writer(seed=seed), random_source(9, [3, 5])
        generator = torch.Generator().manual_seed(seed)
        written = [greedy(model, source, 20), sample(model, source, 20, generator=generator)]
        written.append(beam_search(model, source, 20)[0].flatten(0, 1))
        for row in itertools.chain(*(tokens.tolist() for tokens in written)):
            assert START not in row
            text = row[: row.index(END) + 1] if END in row else row
            assert PAD not in text and set(row[len(text) :]) <= {PAD}
            ends += END in row
    assert ends > 10


def test_samples_come_as_often_as_the_model_says():
    model, source = writer(seed=1), random_source(9, [4])
    rows = source.expand(20_000, -1)
    drawn = sample(model, rows, 1, generator=torch.Generator().manual_seed(0))[:, 0]
    with torch.no_grad():
        logits = model(source, torch.tensor([[START]]))[0, 0]
    logits[[PAD, START]] = float("-inf")
    shares = torch.bincount(drawn, minlength=9) / len(drawn)
    assert (shares - logits.softmax(-1)).abs().max() < 0.015
    cold = sample(model, rows[:50], 1, temperature=0.001)[:, 0]
    assert (cold == logits.argmax()).all()


def test_only_the_likeliest_tokens_are_drawn_from():
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    kept = [
        likeliest(logits, k, p)[0].isfinite().tolist()
        for k, p in ((2, 1.0), (None, 0.6), (None, 0.71), (None, 0.01), (3, 0.75), (9, 1.0))
    ]
    counts = [sum(row) for row in kept]
    # Of the three likeliest, two come with a probability of 7/9.
    assert counts == [2, 2, 3, 1, 2, 4] and all(row == sorted(row, reverse=True) for row in kept)


def test_senseless_wishes_are_refused():
    model, source = writer(), random_source(9, [2])
    with pytest.raises(ValueError, match="top_p=0"):
        sample(model, source, 3, top_p=0.0)
    with pytest.raises(ValueError, match="width=0"):
        beam_search(model, source, 3, width=0)
    with pytest.raises(ValueError, match="most=0"):
        greedy(model, source, 0)
