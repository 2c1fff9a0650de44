"""torch.compile on a GPU: `make gpu-check`. Written where there was none, so not yet proven there.

In processes of their own: the shape checks of the tests are no part of a graph.
"""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

DEVICE = "cuda"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]


@pytest.mark.parametrize("position", ["learned", "rope"])
@pytest.mark.parametrize("work", ["forward", "step"])
def test_the_model_compiles_as_one_graph_with_the_same_numbers(work, position):
    command = [sys.executable, __file__, work, position]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def compile_model(work: str, position: str) -> None:
    from vit.layers.position import AxialRope, LearnedPosition
    from vit.models.backbone import ViT
    from vit.models.classifier import Classifier, Head

    parts = {"learned": LearnedPosition, "rope": AxialRope}
    backbone = ViT((64, 64), 3, dim=192, depth=4, heads=3, position=parts[position])
    model = Classifier(backbone, Head(192, 10)).to(DEVICE)
    images = torch.randn(8, 3, 64, 64, device=DEVICE)
    targets = torch.arange(8, device=DEVICE)
    if work == "forward":
        compiled = torch.compile(model, fullgraph=True)  # raises at a graph break
        with torch.inference_mode():
            torch.testing.assert_close(compiled(images), model(images), atol=1e-4, rtol=1e-3)
        return

    def loss_of(images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        with torch.autocast(DEVICE, torch.bfloat16):
            return F.cross_entropy(model(images).float(), targets)

    loss_of(images, targets).backward()
    eager = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    torch.compile(loss_of, fullgraph=True)(images, targets).backward()
    largest = max(gradient.abs().max().item() for gradient in eager.values())
    for name, parameter in model.named_parameters():  # bf16 rounds elsewhere in a fused graph
        off = (parameter.grad - eager[name]).abs().max().item()
        assert off < 0.05 * largest, f"{name}: off by {off}, the largest gradient is {largest}"


if __name__ == "__main__":
    compile_model(*sys.argv[1:])
