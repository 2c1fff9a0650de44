"""The founding article's samples, mended: what the page says is what happens."""

import doctest
from pathlib import Path

import torch

import vit.models


def test_the_mended_samples_run_as_they_are_written():
    torch.set_num_threads(1)
    page = Path(vit.models.__file__).with_name("article.md")
    found = doctest.testfile(str(page), module_relative=False)
    assert found.failed == 0 and found.attempted > 30
