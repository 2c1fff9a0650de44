"""Optimizers, their parameter groups, and how the learning rate goes over a training."""
