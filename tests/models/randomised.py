"""Weights that show: for comparing a model with another library's."""

from torch import nn


def randomised(model):
    """Every parameter random, also those that start at 0 or 1, so that each one shows."""
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter, std=0.2)
        if "norm" in name and name.endswith("weight"):
            parameter.data += 1
    return model.eval()
