"""What a file is that was taken for one of tensors: by its first bytes, its ending, its members."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

LIKE_A_PICKLE = b"\x80"
MAGIC = 0x1950A86A20F9469CFC6C.to_bytes(10, "little")  # of torch's form before 1.6
NO_CODE = (
    "is code to whoever reads it, and is not read. Ask for a .safetensors file, or for one that "
    "holds the state dict alone"
)
OTHERS = (
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file itself: `git lfs pull`"),
    (b"\x1f\x8b", "is packed by gzip; unpack it first"),
    (b"BZh", "is packed by bzip2; unpack it first"),
    (b"\xfd7zXZ", "is packed by xz; unpack it first"),
    (b"\x89HDF", "is HDF5, as of Keras; wanted weights of PyTorch or safetensors"),
    (b"GGUF", "is GGUF, as of llama.cpp; wanted weights of PyTorch or safetensors"),
    (b"\x93NUMPY", "is a NumPy array; wanted weights of PyTorch or safetensors"),
    (b"\xff\xd8\xff", "is a picture"),
    (b"\x89PNG", "is a picture"),
)
ENDINGS = {
    ".onnx": "is ONNX, a graph; wanted the weights it was made from",
    ".npz": "holds NumPy arrays; wanted weights of PyTorch or safetensors",
}


def kind_of_file(path: Path, head: bytes) -> str | None:
    """What to say of a file that begins with `head`; None where it may be of tensors."""
    for first, kind in OTHERS:
        if head.startswith(first):
            return kind
    if path.suffix.lower() in ENDINGS:
        return ENDINGS[path.suffix.lower()]
    if head[257:262] == b"ustar":
        return "is a tar archive; unpack it first"
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page, not what it links to: fetch the file itself"
    if head.startswith(LIKE_A_PICKLE) and MAGIC not in head[:20]:
        return f"is a pickle, which {NO_CODE}"
    if not head.startswith(LIKE_A_PICKLE) and _is_text(head):
        return "is text; wanted a file of tensors"
    return None


def _is_text(head: bytes) -> bool:
    return not any(byte < 9 or 13 < byte < 32 for byte in head)


def kind_of_archive(named: Iterable[str]) -> str:
    """What to say of a zip archive without a state dict, by the names of its members."""
    if any(name.startswith("code/") for name in named):
        return "is a TorchScript program, which is code; wanted its state dict"
    if any(name.endswith(".npy") for name in named):
        return "holds NumPy arrays; wanted weights of PyTorch or safetensors"
    return "is a zip archive without tensors"
