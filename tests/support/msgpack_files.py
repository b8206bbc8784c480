"""Writes msgpack trees of arrays by hand, as Flax does."""

import struct
from pathlib import Path
from typing import Any, Optional

import numpy as np


def text(value: str) -> bytes:
    encoded = value.encode()
    return (
        b"\xd9" + bytes([len(encoded)]) + encoded
        if len(encoded) > 31
        else (bytes([0xA0 | len(encoded)]) + encoded)
    )


def mapping(**items: bytes) -> bytes:
    return bytes([0x80 | len(items)]) + b"".join(text(k) + v for k, v in items.items())


def array(values: np.ndarray, dtype: Optional[str] = None) -> bytes:
    shape = bytes([0x90 | values.ndim]) + b"".join(
        b"\xcd" + struct.pack(">H", n) for n in values.shape
    )
    stored = values.tobytes()
    payload = b"\x93" + shape + text(dtype or values.dtype.name)
    payload += b"\xc6" + struct.pack(">I", len(stored)) + stored
    return b"\xc9" + struct.pack(">Ib", len(payload), 1) + payload


def save(tensors: dict[str, Any], path: Path) -> None:
    """Writes tensors of torch, each in the module of its name."""
    tree = {}
    for name, tensor in tensors.items():
        module, _, leaf = name.rpartition(".")
        tree[module] = mapping(**{leaf: array(tensor.numpy())})
    path.write_bytes(mapping(**tree))
