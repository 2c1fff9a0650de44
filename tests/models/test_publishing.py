"""Folders that timm and transformers load, of runs of ours: the same numbers, or a refusal."""

import json

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from vit.cli.compose import compose
from vit.data.core.transforms import EvaluationTransform
from vit.data.kinds.detection_transforms import DetectionTransform
from vit.facts import Facts
from vit.models.pretrained.conversion import TIMM
from vit.models.pretrained.origin import Unfit
from vit.models.pretrained.preparation import hf_preparation, timm_preparation
from vit.models.pretrained.publishing import write_hf, write_timm
from vit.tasks.assembly import assemble_data, assemble_model

TINY = [
    "data=digits",
    "data.image_size=32",
    "backbone.dim=32",
    "backbone.depth=2",
    "backbone.heads=2",
    "backbone.patch_size=8",
]
CLASS_TOKEN = ["backbone.class_token=true", "head/pool=cls"]
ROPE = [*CLASS_TOKEN, "backbone/position=rope"]
HF = [*CLASS_TOKEN, "backbone.prefix_positions=1"]


def made(*words):
    config = compose([*TINY, *words])
    data = assemble_data(config)
    model = assemble_model(config, data.facts).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model, config["backbone"], data.facts, data.transform_for(data.facts)


def tokens_of(backbone, images):
    found = backbone(images)
    return torch.cat([found.prefix, found.patches], dim=1)


@pytest.fixture
def images():
    return torch.randn(3, 1, 32, 32)


@pytest.mark.parametrize(
    "words",
    [
        [],
        [*CLASS_TOKEN, "backbone.registers=2", "backbone.layer_scale=0.1", "backbone.qk_norm=true"],
        [*CLASS_TOKEN, "backbone.prefix_positions=1"],
        ["backbone/norm=rms_norm", "backbone.output_norm=none"],
        ["backbone.output_norm=pooled", "backbone/position=none", "backbone.mlp.gelu=tanh"],
    ],
    ids=" ".join,
)
@torch.no_grad()
def test_timm_loads_the_folder_and_says_the_same(tmp_path, images, words):
    model, keys, facts, transform = made(*words)
    assert write_timm(model, keys, facts, transform, tmp_path) == "with its head"
    theirs = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    torch.testing.assert_close(theirs(images), model(images), rtol=1e-5, atol=1e-5)
    shown = timm.data.resolve_model_data_config(theirs)
    assert shown["input_size"] == (1, 32, 32) and list(shown["mean"]) == list(facts.mean)
    assert json.loads((tmp_path / "config.json").read_text())["num_classes"] == 10


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (HF, "vit"),
        ([*HF, "backbone.layer_scale=0.1"], "dinov2"),
        ([*HF, "backbone.layer_scale=0.1", "backbone.registers=3"], "dinov2_with_registers"),
        (
            [*ROPE, "backbone.layer_scale=0.1", "backbone.registers=2"],
            "dinov3_vit",
        ),
    ],
    ids=["vit", "dinov2", "registers", "dinov3"],
)
@torch.no_grad()
def test_transformers_loads_the_folder_and_says_the_same(tmp_path, images, words, kind):
    transformers = pytest.importorskip("transformers")
    model, keys, facts, transform = made(*words)
    said = write_hf(model, keys, facts, transform, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == kind
    shown = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert shown["image_mean"] == list(facts.mean) and shown["crop_size"]["height"] == 32
    if kind == "vit":
        assert said == "with its head" and config["id2label"]["3"] == "3"
        theirs = transformers.AutoModelForImageClassification.from_pretrained(tmp_path)
        answer, wanted = theirs.eval()(images).logits, model(images)
    else:
        assert "without the head" in said
        theirs = transformers.AutoModel.from_pretrained(tmp_path).eval()
        answer, wanted = theirs(images).last_hidden_state, tokens_of(model.backbone, images)
    torch.testing.assert_close(answer, wanted, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_head_that_they_do_not_have_stays_here(tmp_path, images):
    model, keys, facts, transform = made("head/pool=attention")
    assert "without the head (Head)" in write_timm(model, keys, facts, transform, tmp_path)
    theirs = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    wanted = tokens_of(model.backbone, images)
    torch.testing.assert_close(theirs.forward_features(images), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("write", "words", "said"),
    [
        (write_timm, ["backbone/mlp=swiglu"], "a SwiGLU mlp"),
        (write_timm, ["backbone/position=rope"], "positions of the kind AxialRope"),
        (write_timm, ["backbone.input_norm=true"], "not the weights of timm.*patch.proj.bias"),
        (write_timm, ["backbone/patch=conv"], "its patches are a ConvPatch"),
        (write_timm, ["backbone.key_bias=false"], "query_bias"),
        (write_timm, ["backbone.proj_bias=false"], "layers without biases"),
        (write_hf, [], "have a class token and this one has none"),
        (write_hf, CLASS_TOKEN, "wanted backbone.prefix_positions=1"),
        (write_hf, [*HF, "backbone.qk_norm=true"], "query_norm"),
        (write_hf, [*HF, "backbone.layer_scale=1", "backbone.mlp_ratio=2.5"], "mlp_ratio=2.5"),
    ],
)
def test_what_is_none_of_theirs_is_refused_with_the_reason(tmp_path, write, words, said):
    with pytest.raises(Unfit, match=said):
        write(*made(*words), tmp_path)


def test_an_answer_that_differs_is_refused(tmp_path, monkeypatch):
    """Whatever the tables of names and arguments may miss, the image shows it."""
    model, keys, facts, transform = made(*CLASS_TOKEN)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    with pytest.raises(Unfit, match="answers otherwise"):
        write_timm(
            model, {**keys, "mlp": {**keys["mlp"], "gelu": "tanh"}}, facts, transform, tmp_path
        )


def test_no_tensor_is_lost_on_the_way_back():
    model, *_ = made("backbone.input_norm=true")
    bare = timm.create_model("vit_base_patch16_224", img_size=32, in_chans=1, patch_size=8)
    with pytest.raises(Unfit, match="input_norm"):
        TIMM.state_of(model.backbone, bare)


def photograph(mode="RGB"):
    """Not square, and smooth enough that ways of resizing agree."""
    rows, columns = np.mgrid[0:70, 0:110] / 110
    waves = [np.sin(9 * rows + 3 * k) + np.cos(7 * columns - k) for k in range(3)]
    image = Image.fromarray(((np.stack(waves, -1) + 2) * 63).astype(np.uint8))
    return image.convert(mode)


def prepared(fit, fraction=1.0, size=(32, 32), channels=3):
    numbers = {"mean": (0.45, 0.5, 0.4)[:channels], "std": (0.2, 0.25, 0.3)[:channels]}
    facts = Facts(
        image_size=size, channels=channels, num_classes=2, class_names=("a", "b"), **numbers
    )
    kind = EvaluationTransform if fit in ("crop", "squash") else DetectionTransform
    more = {"crop_fraction": fraction} if fit == "crop" else {}
    transform = kind(image_size=size, channels=channels, fit=fit, **numbers, **more)
    return facts, transform


FITS = [("crop", 1.0), ("crop", 0.875), ("squash", 1.0)]


@pytest.mark.parametrize(("fit", "fraction"), FITS)
@pytest.mark.parametrize(("size", "channels"), [((32, 32), 3), ((32, 48), 3), ((32, 32), 1)])
def test_timm_prepares_pictures_as_the_run_does(fit, fraction, size, channels):
    facts, transform = prepared(fit, fraction, size, channels)
    shown, otherwise = timm_preparation(transform, facts)
    model = timm.create_model("test_vit", in_chans=channels, img_size=size)
    model.pretrained_cfg.update(shown)
    theirs = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    image = photograph("RGB" if channels == 3 else "L")
    # For a shape that is not square timm rounds the longer side up or down, and we down.
    close = 0.02 if size[0] == size[1] else 0.2
    torch.testing.assert_close(theirs(image), transform(image), atol=close, rtol=0)
    assert otherwise == ""


@pytest.mark.parametrize(("fit", "fraction"), FITS)
@pytest.mark.parametrize("channels", [3, 1])
def test_transformers_prepares_pictures_as_the_run_does(tmp_path, fit, fraction, channels):
    transformers = pytest.importorskip("transformers")
    facts, transform = prepared(fit, fraction, channels=channels)
    shown, otherwise = hf_preparation(transform, facts)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(shown))
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    image = photograph("RGB" if channels == 3 else "L")
    (found,) = processor(image, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(found, transform(image), atol=0.05, rtol=0)
    assert otherwise == ""


def test_where_a_library_cannot_prepare_them_so_it_is_said():
    facts, transform = prepared("crop", 0.875, (32, 48))
    _, otherwise = hf_preparation(transform, facts)
    assert "squashes pictures to 32x48 px, and the run cuts out the centre" in otherwise
    facts, transform = prepared("letterbox")
    assert "the run keeps their shape and fills up" in hf_preparation(transform, facts)[1]
    assert timm_preparation(transform, facts)[0]["crop_mode"] == "border"
    assert "does not say how inputs are prepared" in timm_preparation(object(), facts)[1]


def test_the_folder_says_how_the_run_prepares_pictures(tmp_path):
    words = [*HF, "data.crop_fraction=0.875"]
    write_timm(*made(*words), tmp_path)
    theirs = timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    shown = timm.data.resolve_model_data_config(theirs)
    assert shown["crop_pct"] == 0.875 and shown["crop_mode"] == "center"
    assert shown["interpolation"] == "bicubic"
    transformers = pytest.importorskip("transformers")
    given = made(*words)
    write_hf(*given, tmp_path)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    image = photograph("L")
    (found,) = processor(image, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(found, given[-1](image), atol=0.05, rtol=0)
