"""Checkpoints: what is kept, how it is written, how a run goes on."""
