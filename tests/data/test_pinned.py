"""What runs of earlier versions go on with: fingerprints of data, and batches bit for bit.

A figure here changes only where the data themselves are to change. A fingerprint that is another
refuses every old run its own data; other batches are another training.
"""

import hashlib
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import torch
from every_kind import EVERY

FINGERPRINTS: dict[str, str] = {
    "digits": "47397320c51b2ec261f898d9d67b3632",
    "folder": "9b7bb2d679d82c252b2812680c3721c8",
    "table": "1f592305d6ee8eb9f742fa5159d539b7",
    "torchvision": "4b57dc885e4ae3f5de25c5a2369f41c7",
    "wav_folder": "c894d926252ad050464943b62160ba68",
    "coco": "62eec07d5d22c4c082099278c98f0687",
    "coco_panoptic": "79b71327a6d814cfce4e5cd064141e69",
    "voc": "80721d62d91f16368c4e858f4c82d60c",
    "yolo": "1d5aa673d7ee7198b5efad0d1fb9ff97",
    "box_table": "dd06989c186fcab90caf970e9859ebd2",
    "digit_scenes": "a4bd5a715afab2653867a93d1ad68f35",
    "mask_folder": "054e5f15813d776098b00dc05dc2f965",
    "digit_scenes_semantic": "ec60a78da36747f991828d3f94afebc3",
    "digit_captions": "013caaa61306c4649f118c8e49570331",
    "number_words": "cb5f07139085d541624a04b8d8385033",
    "text_classes": "c19103eabeca2f1e826c942d526101a8",
    "text_pairs": "3c05719a0cf63f3fdc8fba72233ffa4c",
}
BATCHES: dict[str, str] = {
    "digits": "61e1e1f8ec889072ca78a0b93b206d88",
    "folder": "cb9c44e439ac54954c371948bb10079d",
    "table": "34e053aad13b2f90a3d3af857c680e72",
    "torchvision": "a9a19c38878eda1982e1ebaf0accde72",
    "wav_folder": "e964d6f734139e65f471e14d7c14a6fa",
    "coco": "55c93e2bcfcbd56cfa465f58c9f064bc",
    "coco_panoptic": "ba307639ae8d25e5e67ec85e865d8b10",
    "voc": "2dd5e554fe182b4293c45ef28cd4651d",
    "yolo": "d266b6451c9fc11f6eaf8cc90a8fbf41",
    "box_table": "b85686bda6805d9b5c2e5fd8d5bf6a79",
    "digit_scenes": "371bd161bf56225aa00c73bc163ed977",
    "mask_folder": "a9db92e803f8a4dfd6ca1b8f58718879",
    "digit_scenes_semantic": "4062381d836559f461e01462ac494635",
    "digit_captions": "bce14d95800167aa8b9d3ab14277dc20",
    "number_words": "0501737e307d0ebd44912dbf497a686c",
    "text_classes": "b8a4bce0f94ec42841142c96784c7547",
    "text_pairs": "7b759942851241de9f8b352672a38648",
}


# Fields of batches that were called otherwise when the figures were taken.
EARLIER_NAMES = {"num_borrowed": "lent"}


def add(digest: Any, value: Any) -> None:
    """All that a batch holds, by the names of its fields."""
    if isinstance(value, torch.Tensor):
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.contiguous().numpy().tobytes())
    elif is_dataclass(value):
        for each in fields(value):
            if each.name == "left_out" and not getattr(value, each.name):
                continue  # which batches of earlier versions had not
            digest.update(EARLIER_NAMES.get(each.name, each.name).encode())
            add(digest, getattr(value, each.name))
    elif isinstance(value, tuple):
        digest.update(str(len(value)).encode())
        for each in value:
            add(digest, each)
    else:
        digest.update(repr(value).encode())


def digest_of(data: Any) -> str:
    """Two epochs of training and one of val, from the first to the last batch."""
    digest = hashlib.blake2b(digest_size=16)
    loader = data.loader("train")
    for epoch in (0, 1):
        loader.batch_sampler.start(epoch)
        for batch in loader:
            add(digest, batch)
    for batch in data.loader("val"):
        add(digest, batch)
    return digest.hexdigest()


@pytest.mark.parametrize("kind", EVERY)
def test_the_fingerprint_is_that_of_earlier_versions(kind, tmp_path):
    assert EVERY[kind](tmp_path / "data").fingerprint() == FINGERPRINTS[kind]


@pytest.mark.parametrize("kind", EVERY)
def test_batches_are_those_of_earlier_versions_bit_for_bit(kind, tmp_path):
    assert digest_of(EVERY[kind](tmp_path / "data")) == BATCHES[kind]
