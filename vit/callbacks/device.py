"""What a device can do at best, and the most memory that a process has held."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

import torch


class Peak(NamedTuple):
    """Dense FLOP/s: bf16 and fp16 on tensor cores, TF32 on tensor cores, plain float32."""

    half: float
    tf32: float
    single: float


# As NVIDIA's data sheets give them, without sparsity; by whole words of the device's name, the more
# special name first. Not each was looked up again: half precision of H200 NVL and A10G, and most of
# TF32 and float32, are from memory.
PEAKS = {
    "B200": Peak(2.25e15, 1.1e15, 75e12),
    "GH200": Peak(989e12, 494e12, 67e12),
    "H200 NVL": Peak(835e12, 417e12, 60e12),
    "H200": Peak(989e12, 494e12, 67e12),
    "H100 PCIe": Peak(756e12, 378e12, 51e12),
    "H100 NVL": Peak(835e12, 417e12, 60e12),
    "H100": Peak(989e12, 494e12, 67e12),
    "A100": Peak(312e12, 156e12, 19.5e12),
    "L40S": Peak(362e12, 183e12, 91.6e12),
    "L40": Peak(181e12, 90.5e12, 90.5e12),
    "L4": Peak(121e12, 60e12, 30.3e12),
    "A40": Peak(150e12, 74.8e12, 37.4e12),
    "A30": Peak(165e12, 82e12, 10.3e12),
    "A10G": Peak(70e12, 35e12, 31.5e12),
    "A10": Peak(125e12, 62.5e12, 31.2e12),
    "RTX 4090": Peak(165e12, 82.6e12, 82.6e12),
    "RTX 3090": Peak(71e12, 35.6e12, 35.6e12),
}


def device_name(device: torch.device) -> str:
    """What a person calls it: `NVIDIA H200`, or `cpu`, `mps`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def peak_flops(device: torch.device, precision: str) -> float | None:
    """The device's peak in FLOP/s for the arithmetic of a precision as Lightning names it.

    None where it is not known: on CPUs, on cards that are not in the table or are only a part of
    one, and for arithmetic that is neither half nor single precision.
    """
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    if "MIG" in name or "Laptop" in name:  # a part of the card, or a slower one of the same name
        return None
    # Whole words: an RTX A4000 is no A40.
    named = (peak for part, peak in PEAKS.items() if re.search(rf"\b{part}\b", name))
    peak = next(named, None)
    if peak is None:
        return None
    if precision.startswith(("16", "bf16")):
        return peak.half
    if not precision.startswith("32"):
        return None
    return peak.single if torch.get_float32_matmul_precision() == "highest" else peak.tf32


def peak_memory(device: torch.device) -> int | None:
    """Bytes: on a GPU the most that tensors held there, else the most the process had resident.

    Asks the allocator or the system, not the device. None where the system does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "linux":  # getrusage would also count whoever started this process
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        peaks = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
        return peaks[0] if peaks else None
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
