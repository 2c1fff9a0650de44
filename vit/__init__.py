"""Experiments with vision transformers whose answers you can trust."""

__version__ = "0.1.0"
