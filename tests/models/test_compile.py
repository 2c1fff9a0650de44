"""Models become one graph each. In a process of their own: shape checks are no part of a graph."""

import subprocess
import sys

import pytest
import torch


def compile_in_a_process(*names: str) -> None:
    command = [sys.executable, __file__, *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_classifier_with_everything_on_compiles_into_one_graph():
    compile_in_a_process("everything")


@pytest.mark.slow
def test_every_variant_compiles_into_one_graph_with_the_same_numbers():
    compile_in_a_process()


@pytest.mark.slow
def test_a_detector_compiles_into_one_graph():
    compile_in_a_process("detectors", "eager", "deformable")


@pytest.mark.slow
def test_every_detector_compiles_into_one_graph_with_the_same_numbers():
    compile_in_a_process("detectors", "eager")


@pytest.mark.slow
def test_noised_copies_compile_once_whatever_there_is_to_find():
    compile_in_a_process("denoising")


@pytest.mark.slow
def test_a_detector_compiles_into_kernels_with_the_same_numbers():
    compile_in_a_process("detectors", "inductor", "deformable")


@pytest.mark.slow
def test_heads_for_segmentation_compile_into_one_graph_with_the_same_numbers():
    compile_in_a_process("segmenters")


@pytest.mark.slow
def test_models_of_timm_with_maps_compile_into_one_graph_with_the_same_numbers():
    compile_in_a_process("maps")


def compile_maps() -> None:
    from vit.models.pretrained import TimmBackbone

    images = torch.randn(2, 3, 32, 32)
    for name in ("test_resnet", "test_convnext"):
        for stages in (None, (-2, -1)):
            torch._dynamo.reset()
            model = TimmBackbone((32, 32), 3, name=name, stages=stages)
            compiled = torch.compile(model, fullgraph=True, backend="eager")
            assert torch.equal(compiled(images).patches, model(images).patches)
            compiled(images).patches.sum().backward()
            assert torch.equal(compiled.eval()(images).patches, model.eval()(images).patches)


def compile_detectors(backend: str, *heads: str) -> None:
    from head_makers import HEADS, detector

    padding = torch.zeros(2, 16, 24, dtype=torch.bool)
    padding[0, :, 13:] = True
    for name in heads or HEADS:
        torch._dynamo.reset()
        model = detector(name)
        # Sizes apart: as of torch 2.14.1, inductor cannot order the strides of maps of any size.
        compiled = torch.compile(model, fullgraph=True, backend=backend, dynamic=False)
        for given in [(torch.randn(2, 3, 16, 24), padding), (torch.randn(1, 3, 24, 8),)]:
            own, other = model.eval()(*given), compiled(*given)
            for stage, expected in zip(other.stages, own.stages, strict=True):
                torch.testing.assert_close(stage.logits, expected.logits, atol=1e-5, rtol=1e-4)
                boxes = (stage.boxes_cxcywh, expected.boxes_cxcywh)
                torch.testing.assert_close(*boxes, atol=1e-5, rtol=1e-4)
        model.train()
        sum(stage.logits.sum() for stage in compiled(*given).stages).backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def compile_denoising() -> None:
    """The copies are made outside of the graph, which would else be one for each count."""
    from functools import partial

    from head_makers import CLASSES, detector

    from vit.models.heads.denoising import Denoising
    from vit.structures import Objects

    graphs = torch._dynamo.utils.counters["stats"]
    for name in ("deformable", "boxrpb"):
        torch._dynamo.reset()
        graphs.clear()
        model = detector(name, denoising=partial(Denoising, num_queries=12)).train()
        compiled = torch.compile(model, backend="eager")
        for counts in [(3, 2), (0, 0), (0, 5), (40, 1)]:
            labels, boxes = torch.randint(CLASSES, (sum(counts),)), torch.rand(sum(counts), 4)
            given = torch.randn(2, 3, 16, 24), None, Objects(labels, boxes, counts)
            found = []
            for called in (model, compiled):
                torch.manual_seed(0)
                found.append(called(*given).denoised.stages[-1].logits)
            torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)
            assert graphs["unique_graphs"] == 2


def compile_segmenters() -> None:
    from head_makers import backbone

    from vit.models.detector import Detector
    from vit.models.heads.masks import MasksHead
    from vit.models.heads.semantic import SemanticHead

    body = {"dim": 16, "num_classes": 5, "patch_size": 4, "depth": 3}
    masks = MasksHead(**body, num_queries=6, joint_blocks=2)
    mask_transformer = SemanticHead(**body, decoder="segmenter", heads=4)
    padding = torch.zeros(2, 16, 24, dtype=torch.bool)
    padding[0, :, 13:] = True
    images = torch.randn(2, 3, 16, 24)
    for head in (masks, SemanticHead(**body, blocks=(0, -1)), mask_transformer):
        torch._dynamo.reset()
        model = Detector(backbone(), head)
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        for progress in (0.0, 0.6, 1.0) if head is masks else (0.0,):
            if head is masks:
                head.set_progress(progress)
            for training, given in [(False, (images, padding)), (True, (images,))]:
                model.train(training)
                answers = []
                for one in (model, compiled):
                    torch.manual_seed(0)  # of the queries that are held to their masks
                    answer = one(*given)
                    stages = answer.stages if head is masks else [answer]
                    answers.append([getattr(stage, "masks", stage.logits) for stage in stages])
                torch.testing.assert_close(*answers, atol=1e-5, rtol=1e-4)
            torch.cat([part.flatten() for part in answers[1]]).sum().backward()
            assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def compile_all(names: list[str]) -> None:
    from functools import partial

    from test_backbone import VARIANTS, make

    from vit.layers.pool import AttentionPool
    from vit.models.classifier import Classifier, Head
    from vit.models.pretrained import TimmBackbone

    everything: dict = {}
    for name in ("prefix", "rms", "rope", "gains", "dropouts", "checkpointing"):
        everything |= VARIANTS[name]
    makers = {name: partial(make, **switches) for name, switches in VARIANTS.items()}
    makers["everything"] = lambda: Classifier(make(**everything), Head(16, 5, pool=AttentionPool))
    makers["timm"] = lambda: TimmBackbone((32, 48), 1, name="test_vit", drop_path=0.1)
    for name in names or makers:
        torch._dynamo.reset()
        model = makers[name]()
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        for size in [(32, 48), (64, 32)] if name == "timm" else [(8, 12), (12, 4)]:
            images = torch.randn(2, 1, *size)
            model.eval()  # in training, dropped paths draw other numbers
            answers = [one(images) for one in (model, compiled)]
            tensors = [getattr(answer, "patches", answer) for answer in answers]
            torch.testing.assert_close(*tensors, msg=lambda text, name=name: f"{name}: {text}")
            model.train()
            answer = compiled(images)
            getattr(answer, "patches", answer).sum().backward()


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["detectors"]:
        compile_detectors(*sys.argv[2:])
    elif sys.argv[1:2] == ["denoising"]:
        compile_denoising()
    elif sys.argv[1:2] == ["maps"]:
        compile_maps()
    elif sys.argv[1:2] == ["segmenters"]:
        compile_segmenters()
    else:
        compile_all(sys.argv[1:])
