"""This package's version, by itself: whoever writes it down needs no more of vit."""

__version__ = "0.1.0"
