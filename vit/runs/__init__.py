"""A run's folder: what it holds, how it is written, how it is read. Knows no torch, no Hydra."""
