"""Maps of whole models: detectors of each head, timm's backbones, and pages of what was seen."""

from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from vit.explain.attend import chosen_layers, class_number
from vit.explain.files import write
from vit.explain.maps import box_of, seen_by
from vit.explain.record import recorded
from vit.explain.relevance import relevance, rollout
from vit.faults import Refused
from vit.layers.pool import AttentionPool
from vit.models.backbone import ViT
from vit.models.classifier import Classifier, Head
from vit.models.detector import Detector
from vit.models.heads.boxrpb import BoxRpbHead
from vit.models.heads.deformable import DeformableHead
from vit.models.heads.detr import DetrHead
from vit.models.heads.masks import MasksHead
from vit.models.heads.semantic import SemanticHead
from vit.models.heads.tokens import TokensHead
from vit.models.pretrained import TimmBackbone
from vit.structures import Stage

torch.set_num_threads(1)
SIZES = {"num_classes": 3, "patch_size": 4, "depth": 2}
SMALL = {"width": 16, "num_queries": 5, "num_layers": 2, "heads": 2, "hidden": 16}
GRID = (3, 4)


def body(**more):
    torch.manual_seed(0)
    return ViT((12, 16), 1, dim=16, depth=2, heads=2, patch_size=4, registers=1, **more)


def image():
    return torch.rand(1, 12, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "head",
    [
        lambda: DetrHead(16, **SIZES, **SMALL),
        lambda: BoxRpbHead(16, **SIZES, **SMALL, bias_hidden=8),
        lambda: TokensHead(16, **SIZES, num_queries=5),
        lambda: MasksHead(16, **SIZES, num_queries=5, joint_blocks=1),
    ],
    ids=["detr", "boxrpb", "tokens", "masks"],
)
def test_maps_of_a_detection_are_shares_of_the_image(head):
    model = Detector(body(), head()).eval()
    before = model(image()[None]).answer.logits
    seen = seen_by(model, image(), threshold=0.0)
    assert len(seen.detections) == 5
    for each in seen.detections:
        for name in ("last layer", "mean of layers"):
            assert each.maps[name].shape == GRID
            assert 0 < each.maps[name].sum() <= 1 + 1e-4  # other tokens have the rest
        assert set(each.maps) >= {"relevance"} or isinstance(model.head, BoxRpbHead)
    scores = [each.score for each in seen.detections]
    assert scores == sorted(scores, reverse=True)
    torch.testing.assert_close(model(image()[None]).answer.logits, before)  # as if not looked at


def test_queries_that_join_on_the_way_come_from_themselves_and_the_patches():
    model = Detector(body(), MasksHead(16, **SIZES, num_queries=5, joint_blocks=1)).eval()
    with recorded(model) as recording, torch.enable_grad():
        answer = model(image()[None]).answer
    first, second = (look.weights[0].detach().mean(0) for look in recording.backbone)
    assert (len(first), len(second)) == (13, 18)  # a register, 12 patches; 5 queries join
    grown = torch.eye(18)
    old = [0, *range(6, 18)]
    grown[torch.tensor(old)[:, None], old] = (first + torch.eye(13)) / 2
    expected = (second + torch.eye(18)) / 2 @ grown
    torch.testing.assert_close(rollout(recording.backbone, 12)[0], expected)
    own = relevance(recording, answer.logits[0, 2, 1], patches=12).own[0]
    assert own.shape == (18, 18) and own[3, 6:].max() > 0  # the third query stands fourth


def test_the_box_of_a_mask_is_around_it():
    masks = torch.full((1, 2, 4, 8), -1.0)
    masks[0, 0, 1:3, 2:4] = 1.0
    stage = Stage(torch.zeros(1, 2, 3), masks=masks)
    assert box_of(stage, 0) == [3 / 8, 0.5, 0.25, 0.5] and box_of(stage, 1) == [0.0] * 4


def test_places_of_a_deformable_detection_have_weights_that_sum_to_one():
    model = Detector(body(), DeformableHead(16, **SIZES, **SMALL, cross_heads=2)).eval()
    for each in seen_by(model, image(), threshold=0.0).detections:
        assert each.places.shape == (len(each.weights), 2)
        assert each.weights.sum().item() == pytest.approx(1, abs=1e-5)


def test_a_segmenter_has_no_detections_rather_than_none_found():
    seen = seen_by(Detector(body(), SemanticHead(16, **SIZES)).eval(), image())
    assert seen.detections is None and seen.relevance is None
    assert [tuple(layer.shape) for layer in seen.layers] == [(2, 12)] * 2


def test_timm_and_a_pool_that_attends_are_looked_into():
    torch.manual_seed(0)
    timm = TimmBackbone((32, 48), 1, name="vit_tiny_patch16_224")
    model = Classifier(timm, Head(timm.dim, 3, pool=AttentionPool)).eval()
    seen = seen_by(model, torch.rand(1, 32, 48), label=2)
    assert seen.label == 2 and seen.relevance.shape == (6,)
    assert seen.layers[0].shape[1] == 6 and seen.scores.sum().item() == pytest.approx(1)


def test_what_cannot_be_meant_is_refused():
    assert class_number(("cat", "dog"), "dog") == 1
    with pytest.raises(Refused, match="the run knows cat, dog"):
        class_number(("cat", "dog"), "dgo")
    assert chosen_layers([-1], SimpleNamespace(backbone=body())) == [1]
    with pytest.raises(Refused, match="the blocks 0 to 1"):
        chosen_layers([2], SimpleNamespace(backbone=body()))


def test_names_are_escaped_on_the_page(tmp_path):
    evil = "<script>alert(1)</script>"
    rows = [{"path": f"{evil}.png", "class": evil, "probability": 0.5}]
    write(tmp_path, {"run": evil, "images": rows}, [{"sheet": Image.new("RGB", (4, 4))}])
    page = (tmp_path / "attend.html").read_text()
    assert "<script" not in page and page.count("&lt;script&gt;") >= 2


def test_a_model_that_sees_a_part_of_the_patches_shows_no_map():
    class SeesHalf(Classifier):
        def forward(self, images):
            tokens, grid = self.backbone.embed(images)
            kept = torch.arange(6)[None]
            return self.head(self.backbone.encode(tokens[:, :7], grid, kept=kept))

    model = SeesHalf(body(), Head(16, 3)).eval()
    with pytest.raises(Refused, match=r"no attention among all patches; .* shown the whole image"):
        seen_by(model, image())
