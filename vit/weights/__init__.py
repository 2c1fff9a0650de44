"""Weights that a training starts from: where they come from, and what of them fits."""
