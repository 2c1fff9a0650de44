"""Speeds, measured side by side in one process: of models, and of the training loop."""
