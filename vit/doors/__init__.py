"""The commands. Only doors know Hydra, and none imports torch before it must."""
