"""Our detection heads with the weights of Hugging Face's give their numbers: tiny, random."""

import re

import pytest
import torch
from randomised import randomised

from vit.models.backbone import ViT
from vit.models.detector import Detector
from vit.models.heads.deformable import DeformableHead
from vit.models.heads.detr import DetrHead
from vit.models.heads.tokens import TokensHead

transformers = pytest.importorskip("transformers")


def renamed(state, names):
    """The state with every pattern of `names` replaced in turn; an empty name drops the key."""
    result = {}
    for name, value in state.items():
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)
        if name:
            result[name] = value
    return result


def fused(state):
    """q, k and v in one matrix where tokens attend to one another, k and v in one elsewhere."""
    for name in [name for name in state if re.search(r"\.(q_proj|query)\.", name)]:
        stem, _, kind = re.sub(r"\.(q_proj|query)\.", "\0", name).partition("\0")
        parts = [state.pop(name)]
        for letter, word in (("k", "key"), ("v", "value")):
            parts.append(state.pop(name.replace("q_proj", f"{letter}_proj").replace("query", word)))
        if stem.endswith(".cross"):
            state[f"{stem}.query.{kind}"] = parts[0]
            state[f"{stem}.key_value.{kind}"] = torch.cat(parts[1:])
        else:
            state[f"{stem}.qkv.{kind}"] = torch.cat(parts)
    return state


def assert_same(ours, theirs, atol=1e-5):
    assert ours.shape == theirs.shape
    assert theirs.abs().mean() > 0.05  # else anything would pass
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=1e-5)


def assert_same_gradients(ours, theirs):
    model = theirs.model
    for own, other in [
        (ours.backbone.patch.proj.weight, model.backbone.backbone.embeddings.patch_embeddings),
        (ours.head.two_stage.content, model.query_feat),
        (ours.head.two_stage.choosers[2].boxes.layers[0].weight, model.enc_out_bbox_embed[2]),
        (ours.head.layers[0].cross.offsets.weight, model.decoder.layers[0].cross_attn),
    ]:
        # the first matrix of theirs, which the layer samples or embeds by
        expected = next(parameter for parameter in other.parameters() if parameter.ndim > 1).grad
        expected, grad = expected.flatten(), own.grad.flatten()
        assert expected.abs().max() > 0
        torch.testing.assert_close(grad, expected, atol=1e-5 * expected.abs().max(), rtol=0)


# Hugging Face's names of a DINOv2 backbone's parameters, and ours.
DINOV2 = [
    (r"^embeddings\.(mask_token)$", ""),
    (r"^embeddings\.cls_token$", "class_token"),
    (r"^embeddings\.position_embeddings$", "position.table"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch.proj."),
    (r"^encoder\.layer\.", "blocks."),
    (r"\.attention\.attention\.", ".attention."),
    (r"\.attention\.(output\.dense|o_proj)\.", ".attention.proj."),
    (r"\.layer_scale(\d)\.lambda1$", r".scale\1.gain"),
    (r"^layernorm\.", "norm."),
]


def dinov2(state, grid):
    """The class token takes its own position along; the convolution becomes a matrix."""
    state = fused(renamed(state, DINOV2))
    table = state["position.table"]
    state["class_token"] = state["class_token"] + table[:, :1]
    state["position.table"] = table[0, 1:].unflatten(0, grid)
    state["patch.proj.weight"] = state["patch.proj.weight"].flatten(1)
    return state


# RF-DETR: Hugging Face's names, and ours.
RF_DETR = [
    (r"^model\.backbone\.projector\.layer_norm\.", "neck.norm."),
    (r"^model\.backbone\.projector\.projector_layer\.", "neck."),
    (r"^neck\.conv1\.", "neck.expand."),
    (r"^neck\.conv2\.", "neck.fuse."),
    (r"^(neck\.bottlenecks\.\d)\.conv1\.", r"\1.first."),
    (r"^(neck\.bottlenecks\.\d)\.conv2\.", r"\1.second."),
    (r"^model\.enc_output\.(\d)\.", r"two_stage.choosers.\1.linear."),
    (r"^model\.enc_output_norm\.(\d)\.", r"two_stage.choosers.\1.norm."),
    (r"^model\.enc_out_class_embed\.(\d)\.", r"two_stage.choosers.\1.classes."),
    (r"^model\.enc_out_bbox_embed\.(\d)\.", r"two_stage.choosers.\1.boxes."),
    (r"^model\.query_feat\.weight$", "two_stage.content"),
    (r"^model\.reference_point_embed\.weight$", "two_stage.change"),
    (r"^model\.decoder\.ref_point_head\.", "position."),
    (r"^model\.decoder\.layernorm\.", "norm."),
    (r"^model\.decoder\.layers\.", "layers."),
    (r"\.self_attn\.o_proj\.", ".attention.proj."),
    (r"\.self_attn\.", ".attention."),
    (r"\.self_attn_layer_norm\.", ".norm1."),
    (r"\.cross_attn\.sampling_offsets\.", ".cross.offsets."),
    (r"\.cross_attn\.attention_weights\.", ".cross.weights."),
    (r"\.cross_attn\.value_proj\.", ".cross.value."),
    (r"\.cross_attn\.output_proj\.", ".cross.proj."),
    (r"\.cross_attn_layer_norm\.", ".norm2."),
    (r"\.layer_norm\.", ".norm3."),
    (r"\.mlp\.fc1\.", ".mlp.layers.0."),
    (r"\.mlp\.fc2\.", ".mlp.layers.1."),
    (r"^class_embed\.", "classes."),
    (r"^bbox_embed\.", "boxes."),
]


def rf_detr(groups=3, num_queries=7):
    """Theirs and ours with the same numbers; images of 16x16 pixels make a grid of 4x4."""
    backbone = transformers.RfDetrDinov2Config(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=16,
        patch_size=4,
        num_windows=1,
        out_features=["stage1", "stage2", "stage3"],
    )
    config = transformers.RfDetrConfig(
        backbone_config=backbone,
        d_model=32,
        c2f_num_blocks=2,
        decoder_ffn_dim=48,
        decoder_n_points=2,
        decoder_layers=2,
        decoder_self_attention_heads=4,
        decoder_cross_attention_heads=8,
        num_queries=num_queries,
        group_detr=groups,
        num_labels=5,
        dropout=0.0,
        layer_norm_eps=1e-6,
    )
    theirs = randomised(transformers.RfDetrForObjectDetection(config))
    ours = Detector(
        ViT((16, 16), 3, dim=32, depth=3, heads=2, patch_size=4, class_token=True, layer_scale=1.0),
        DeformableHead(
            32,
            5,
            4,
            3,
            width=32,
            num_queries=num_queries,
            num_layers=2,
            heads=4,
            cross_heads=8,
            hidden=48,
            groups=groups,
        ),
    ).eval()
    head = ours.head
    head.neck = type(head.neck)(32, 32, 3, bottlenecks=2)  # as many blocks as there are: 3
    backbone_state, state = {}, {}
    for name, value in theirs.state_dict().items():
        stem = "model.backbone.backbone."
        (backbone_state if name.startswith(stem) else state)[name.removeprefix(stem)] = value
    ours.backbone.load_state_dict(dinov2(backbone_state, (4, 4)))
    state = fused(renamed(state, RF_DETR))
    for name in ("two_stage.content", "two_stage.change"):
        state[name] = state[name].unflatten(0, (groups, num_queries))
    for number in range(2):  # theirs has one norm for all blocks
        for kind in ("weight", "bias"):
            state[f"neck.norms.{number}.{kind}"] = backbone_state[f"layernorm.{kind}"]
    head.load_state_dict(state)
    return theirs, ours


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [(16, 16), (12, 24), (4, 208)])  # 208: centres within 1% of edges
def test_deformable_equals_rf_detr_with_backbone_and_projector(size, training):
    theirs, ours = rf_detr()
    for model in (theirs, ours):
        model.train(training)
    images = torch.randn(2, 3, *size)
    labels = [{"class_labels": torch.tensor([1]), "boxes": torch.rand(1, 4)}] * 2
    expected = theirs(images, labels=labels)
    answer = ours(images)
    assert answer.groups == (3 if training else 1)
    stages = [
        (expected.enc_outputs_class, expected.enc_outputs_coord_logits),
        *((part["logits"], part["pred_boxes"]) for part in expected.auxiliary_outputs),
        (expected.logits, expected.pred_boxes),
    ]
    assert len(answer.stages) == len(stages) == 1 + 2
    for stage, (logits, boxes) in zip(answer.stages, stages, strict=True):
        assert_same(stage.logits, logits)
        assert_same(stage.boxes_cxcywh, boxes)
    if training:
        total = sum(stage.logits.sin().sum() + stage.boxes_cxcywh.sum() for stage in answer.stages)
        total.backward()
        # The encoder's logits that come with the losses are those of the stage, as above.
        sum(logits.sin().sum() + boxes.sum() for logits, boxes in stages).backward()
        assert_same_gradients(ours, theirs)


# DETR: Hugging Face's names, and ours.
DETR = [
    (r"^model\.input_projection\.", "project."),
    (r"^model\.query_position_embeddings\.weight$", "queries"),
    (r"^model\.decoder\.layernorm\.", "norm."),
    (r"^model\.decoder\.layers\.", "layers."),
    (r"\.self_attn\.o_proj\.", ".attention.proj."),
    (r"\.self_attn\.", ".attention."),
    (r"\.self_attn_layer_norm\.", ".norm1."),
    (r"\.encoder_attn\.o_proj\.", ".cross.proj."),
    (r"\.encoder_attn\.", ".cross."),
    (r"\.encoder_attn_layer_norm\.", ".norm2."),
    (r"\.final_layer_norm\.", ".norm3."),
    (r"\.mlp\.fc1\.", ".mlp.layers.0."),
    (r"\.mlp\.fc2\.", ".mlp.layers.1."),
    (r"^class_labels_classifier\.", "classes."),
    (r"^bbox_predictor\.", "boxes."),
]


class Attentive(ViT):
    """Attends to padding too, as Hugging Face's backbone does."""

    def encode(self, tokens, grid, blocks=(), *, kept=None, mask=None):
        return super().encode(tokens, grid, blocks, kept=kept)


@pytest.mark.parametrize("padded", [False, True])
def test_detr_equals_detr_without_its_encoder(padded):
    backbone = transformers.Dinov2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=16,
        patch_size=4,
        out_features=["stage2"],
        reshape_hidden_states=True,
    )
    config = transformers.DetrConfig(
        use_timm_backbone=False,
        backbone_config=backbone,
        d_model=32,
        encoder_layers=0,
        decoder_layers=2,
        decoder_attention_heads=4,
        decoder_ffn_dim=48,
        num_queries=7,
        num_labels=5,
        activation_function="relu",
        auxiliary_loss=False,  # with it, theirs feeds the norm's answer to the next layer
    )
    theirs = randomised(transformers.DetrForObjectDetection(config))
    vit = Attentive(
        (16, 16), 3, dim=32, depth=2, heads=2, patch_size=4, class_token=True, layer_scale=1.0
    )
    head = DetrHead(32, 5, 4, 2, width=32, num_queries=7, num_layers=2, heads=4, hidden=48)
    ours = Detector(vit, head).eval()
    stem = "model.backbone.model."
    state = theirs.state_dict()
    body = {name.removeprefix(stem): state.pop(name) for name in list(state) if stem in name}
    vit.load_state_dict(dinov2(body, (4, 4)))
    state = fused(renamed(state, DETR))
    state["project.weight"] = state["project.weight"].flatten(1)
    state["queries"] = state["queries"][None]
    head.load_state_dict(state)
    images = torch.randn(2, 3, 16, 16)
    padding = torch.zeros(2, 16, 16, dtype=torch.bool)
    if padded:
        padding[0, 12:], padding[1, :, 4:] = True, True
    expected = theirs(images, pixel_mask=(~padding).long())
    answer = ours(images, padding if padded else None).answer
    assert_same(answer.logits, expected.logits)
    boxes = expected.pred_boxes
    if padded:  # theirs are fractions of the real image
        boxes = boxes * torch.tensor([[1.0, 0.75], [0.25, 1.0]]).repeat(1, 2)[:, None]
    assert_same(answer.boxes_cxcywh, boxes)


# YOLOS: Hugging Face's names, and ours.
YOLOS = [
    (r"^vit\.encoder\.layer\.", "backbone.blocks."),
    (r"^vit\.layernorm\.", "backbone.norm."),
    (r"^vit\.embeddings\.cls_token$", "backbone.class_token"),
    (r"^vit\.embeddings\.patch_embeddings\.projection\.", "backbone.patch.proj."),
    (r"^vit\.embeddings\.detection_tokens$", "head.tokens"),
    (r"^vit\.embeddings\.position_embeddings$", "position"),
    (r"\.attention\.attention\.", ".attention."),
    (r"\.attention\.output\.dense\.", ".attention.proj."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"(blocks\.\d)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"^class_labels_classifier\.", "head.classes."),
    (r"^bbox_predictor\.", "head.boxes."),
]


def test_tokens_equal_yolos():
    config = transformers.YolosConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=128,
        image_size=[16, 24],
        patch_size=4,
        num_detection_tokens=7,
        num_labels=5,
        use_mid_position_embeddings=False,
        layer_norm_eps=1e-6,
    )
    theirs = randomised(transformers.YolosForObjectDetection(config))
    vit = ViT((16, 24), 3, dim=32, depth=3, heads=2, patch_size=4, class_token=True)
    ours = Detector(vit, TokensHead(32, 5, 4, 3, num_queries=7)).eval()
    state = fused(renamed(theirs.state_dict(), YOLOS))
    position = state.pop("position")
    state["backbone.class_token"] = state["backbone.class_token"] + position[:, :1]
    state["backbone.position.table"] = position[0, 1:-7].unflatten(0, (4, 6))
    state["head.tokens"] = state["head.tokens"] + position[:, -7:]
    state["backbone.patch.proj.weight"] = state["backbone.patch.proj.weight"].flatten(1)
    ours.load_state_dict(state)
    images = torch.randn(2, 3, 16, 24)
    expected, answer = theirs(images), ours(images).answer
    assert_same(answer.logits, expected.logits)
    assert_same(answer.boxes_cxcywh, expected.pred_boxes)
