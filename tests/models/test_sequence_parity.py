"""Our sequence transformers against torch's and Hugging Face's, with the same random weights."""

from functools import partial

import pytest
import torch
from randomised import randomised
from torch import nn

from vit.bench.sequences import Shape, TorchTransformer, our_model
from vit.layers.mlp import Mlp
from vit.layers.norm import LayerNorm
from vit.layers.sequence_position import LearnedTokenPosition, NoTokenPosition, SinusoidalPosition
from vit.models.sequence import TokenTransformer
from vit.models.text_decoder import SequenceToSequence, TextDecoder

VOCABULARY, DIM, HEADS, HIDDEN, LENGTH = 50, 32, 4, 48, 40
TOLERANCE = 1e-5
norm = partial(LayerNorm, eps=1e-5)


def pair(own_pad=0, position=NoTokenPosition, **options):
    """An encoder and a decoder with a shared table of embeddings."""
    sizes = {"dim": DIM, "depth": 2, "heads": HEADS, "mlp_ratio": HIDDEN / DIM, "norm": norm}
    shared = sizes | {"position": position, "pad": own_pad} | options
    encoder = TokenTransformer(VOCABULARY, LENGTH, **shared)
    blocks = partial(TokenTransformer, **shared)
    head = TextDecoder(DIM, VOCABULARY, LENGTH, blocks=blocks, shared_table=True, output_bias=True)
    return SequenceToSequence(encoder, head)


def texts(pad, start, lengths=(9, 4, 1), width=9, avoid=()):
    """Random tokens, each row of its own length, filled up at its end."""
    tokens = torch.randint(3, VOCABULARY - 1, (len(lengths), width))
    tokens[torch.isin(tokens, torch.tensor(avoid, dtype=torch.long))] = 5
    for row, length in enumerate(lengths):
        tokens[row, length:] = pad
    if start is not None:
        tokens[:, 0] = start
    return tokens


def copy_attention(ours, weights, biases, out):
    """`weights` and `biases` of queries, keys and values; `out` the projection behind them."""
    if ours.context_dim is None:
        ours.qkv.weight.data, ours.qkv.bias.data = torch.cat(weights), torch.cat(biases)
    else:
        ours.query.weight.data, ours.query.bias.data = weights[0], biases[0]
        ours.key_value.weight.data = torch.cat(weights[1:])
        ours.key_value.bias.data = torch.cat(biases[1:])
    ours.proj.load_state_dict(out.state_dict())


def copy_torch_attention(ours, theirs):
    parts = theirs.in_proj_weight.data.chunk(3), theirs.in_proj_bias.data.chunk(3)
    copy_attention(ours, *parts, theirs.out_proj)


def copy_torch_layer(ours, theirs):
    copy_torch_attention(ours.attention, theirs.self_attn)
    ours.mlp.fc1.load_state_dict(theirs.linear1.state_dict())
    ours.mlp.fc2.load_state_dict(theirs.linear2.state_dict())
    ours.norm1.load_state_dict(theirs.norm1.state_dict())
    last = theirs.norm2 if ours.cross is None else theirs.norm3
    ours.norm2.load_state_dict(last.state_dict())
    if ours.cross is not None:
        copy_torch_attention(ours.cross, theirs.multihead_attn)
        ours.cross_norm.load_state_dict(theirs.norm2.state_dict())


def copy_torch(ours, theirs):
    for own, other in ((ours.backbone, theirs.encoder), (ours.head.blocks, theirs.decoder)):
        for block, layer in zip(own.blocks, other.layers, strict=True):
            copy_torch_layer(block, layer)
        own.norm.load_state_dict(other.norm.state_dict())


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("pre_norm", [True, False])
def test_the_same_numbers_as_torchs_transformer(pre_norm):
    ours = randomised(pair(pre_norm=pre_norm, final_norm=True))
    theirs = nn.Transformer(
        DIM, HEADS, 2, 2, HIDDEN, 0.0, "gelu", batch_first=True, norm_first=pre_norm
    )
    randomised(theirs).train()  # without dropout the same, and not by its prototype of a fast path
    copy_torch(ours, theirs)
    source, target = texts(pad=0, start=None), texts(pad=0, start=1, lengths=(7, 9, 2))
    table = ours.backbone.table
    causal = nn.Transformer.generate_square_subsequent_mask(9)
    with torch.no_grad():
        padding = source == 0
        found = theirs(
            table(source),
            table(target),
            tgt_mask=causal,
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
            tgt_is_causal=True,
        )
        expected = found @ table.weight.T + ours.head.bias
        assert (ours(source, target) - expected).abs().max() <= TOLERANCE * expected.abs().max()
        context, mask = ours.read(source)
        hidden = ours.head.blocks(target, context, mask, table=table.weight).patches
        assert (hidden - found).abs().max() <= TOLERANCE


def copy_hf_attention(ours, theirs):
    parts = [theirs.q_proj, theirs.k_proj, theirs.v_proj]
    weights, biases = [part.weight.data for part in parts], [part.bias.data for part in parts]
    copy_attention(ours, weights, biases, theirs.out_proj)


def copy_hf_layer(ours, theirs):
    copy_hf_attention(ours.attention, theirs.self_attn)
    ours.norm1.load_state_dict(theirs.self_attn_layer_norm.state_dict())
    ours.mlp.fc1.load_state_dict(theirs.fc1.state_dict())
    ours.mlp.fc2.load_state_dict(theirs.fc2.state_dict())
    ours.norm2.load_state_dict(theirs.final_layer_norm.state_dict())
    if ours.cross is not None:
        copy_hf_attention(ours.cross, theirs.encoder_attn)
        ours.cross_norm.load_state_dict(theirs.encoder_attn_layer_norm.state_dict())


def copy_hf(ours, theirs):
    """The weights of a Bart, MBart or Marian model for conditional generation."""
    ours.backbone.table.weight.data = theirs.model.shared.weight.data
    ours.head.bias.data = theirs.final_logits_bias[0]
    for own, other in (
        (ours.backbone, theirs.model.encoder),
        (ours.head.blocks, theirs.model.decoder),
    ):
        for block, layer in zip(own.blocks, other.layers, strict=True):
            copy_hf_layer(block, layer)
        if own.embedding_norm is not None:
            own.embedding_norm.load_state_dict(other.layernorm_embedding.state_dict())
        if own.norm is not None:
            own.norm.load_state_dict(other.layer_norm.state_dict())
        if isinstance(own.position, LearnedTokenPosition):
            own.position.table.data = other.embed_positions.weight.data[2:]  # two are never used


def hf_options(**more):
    return {
        "vocab_size": VOCABULARY,
        "d_model": DIM,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": HEADS,
        "decoder_attention_heads": HEADS,
        "encoder_ffn_dim": HIDDEN,
        "decoder_ffn_dim": HIDDEN,
        "max_position_embeddings": LENGTH,
        "activation_function": "gelu",
        "dropout": 0.0,
    } | more


def compare_with_hf(ours, theirs, pad):
    randomised(theirs)
    for model in (theirs.model.encoder, theirs.model.decoder):
        if hasattr(model.embed_positions, "create_weight"):
            model.embed_positions.weight.data = model.embed_positions.create_weight()
    theirs.final_logits_bias.normal_(std=0.2)
    copy_hf(ours, theirs)
    source, target = (texts(pad, start, avoid=(pad,)) for start in (None, 2))
    source = source.flip(0)  # a text and its translation differ in length
    with torch.no_grad():
        answer = theirs(input_ids=source, attention_mask=source != pad, decoder_input_ids=target)
        found = ours.eval()(source, target)
    real = target != pad
    assert answer.logits.abs().max() > 1  # else the tolerance would say little
    assert (found - answer.logits)[real].abs().max() <= TOLERANCE


@pytest.mark.parametrize("scale", [False, True])
def test_the_same_numbers_as_bart(scale):
    from transformers import BartConfig, BartForConditionalGeneration

    theirs = BartForConditionalGeneration(BartConfig(**hf_options(scale_embedding=scale)))
    options = {"pre_norm": False, "embedding_norm": True, "embedding_scale": scale}
    ours = pair(own_pad=1, position=LearnedTokenPosition, **options)
    compare_with_hf(ours, theirs, pad=1)


def test_the_same_numbers_as_mbart_which_normalises_first():
    from transformers import MBartConfig, MBartForConditionalGeneration

    theirs = MBartForConditionalGeneration(MBartConfig(**hf_options(scale_embedding=True)))
    options = {"pre_norm": True, "embedding_norm": True, "embedding_scale": True}
    ours = pair(own_pad=1, position=LearnedTokenPosition, **options)
    compare_with_hf(ours, theirs, pad=1)


def test_the_same_numbers_as_marian():
    from transformers import MarianConfig, MarianMTModel

    pad = VOCABULARY - 1
    config = MarianConfig(
        **hf_options(scale_embedding=True, pad_token_id=pad, decoder_start_token_id=pad)
    )
    position = partial(SinusoidalPosition, interleaved=False)
    mlp = partial(Mlp, gelu="exact")
    ours = pair(own_pad=pad, position=position, pre_norm=False, embedding_scale=True, mlp=mlp)
    compare_with_hf(ours, MarianMTModel(config), pad=pad)


def test_the_bench_gives_torch_the_same_model_as_ours():
    shape = Shape(DIM, HEADS, 2, HIDDEN, VOCABULARY, source=9, target=9)
    ours, theirs = randomised(our_model(shape)), randomised(TorchTransformer(shape)).train()
    theirs.dropout = 0.0  # then the same, and not by its prototype of a fast path
    for part in theirs.modules():
        if isinstance(part, nn.Dropout | nn.MultiheadAttention):
            part.p = part.dropout = 0.0
    copy_torch(ours, theirs.inner)
    ours.backbone.table.load_state_dict(theirs.table.state_dict())
    source, target = texts(pad=0, start=None), texts(pad=0, start=1, lengths=(7, 9, 2))
    with torch.no_grad():
        expected = theirs(source, target)
        assert (ours(source, target) - expected).abs().max() <= TOLERANCE * expected.abs().max()
