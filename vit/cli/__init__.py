"""The commands. Only they know Hydra, and none imports torch before it must."""
