"""Writes GGUF files by hand, right ones and wrong ones; `tests/formats` has those of gguf-py."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

UINT32, STRING, ARRAY = 4, 8, 9
F32, F16, Q8_0, BF16 = 0, 1, 8, 30

# A name, the dimensions in the order of torch, the number of the type, the bytes.
Tensor = tuple[str, tuple[int, ...], int, bytes]


def text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def uint32(key: str, value: int) -> bytes:
    return text(key) + struct.pack("<II", UINT32, value)


def string(key: str, value: str) -> bytes:
    return text(key) + struct.pack("<I", STRING) + text(value)


def array(key: str, kind: int, count: int, items: bytes) -> bytes:
    return text(key) + struct.pack("<IIQ", ARRAY, kind, count) + items


def info(name: str, shape: Sequence[int], kind: int, offset: int) -> bytes:
    dims = struct.pack(f"<{len(shape)}Q", *reversed(shape))
    return text(name) + struct.pack("<I", len(shape)) + dims + struct.pack("<IQ", kind, offset)


def gguf(
    values: Sequence[bytes] = (),
    tensors: Sequence[Tensor] = (),
    alignment: int = 32,
    version: int = 3,
    **changed: Any,
) -> bytes:
    """The bytes of a file. `count`, `keys`, `offsets` and `infos` replace what the header says."""
    offsets: list[int] = []
    data = b""
    for _, _, _, stored in tensors:
        offsets.append(len(data))
        data += stored + bytes(-len(stored) % alignment)
    offsets = changed.get("offsets", offsets)
    infos = changed.get("infos") or [
        info(name, shape, kind, offset) for (name, shape, kind, _), offset in zip(tensors, offsets)
    ]
    head = b"GGUF" + struct.pack(
        "<IQQ", version, changed.get("count", len(infos)), changed.get("keys", len(values))
    )
    head += b"".join(values) + b"".join(infos)
    return head + bytes(-len(head) % alignment) + data


def float32(name: str, values: np.ndarray) -> Tensor:
    return name, values.shape, F32, values.astype("<f4").tobytes()


def written(
    path: Path, tensors: Sequence[Tensor] = (), values: Optional[Sequence[bytes]] = None, **kw: Any
) -> Path:
    """Writes a file of the architecture llama, or with other `values`."""
    if values is None:
        values = [string("general.architecture", "llama")]
    path.write_bytes(gguf(values, tensors, **kw))
    return path


def save(tensors: dict[str, Any], path: Path) -> None:
    """Writes tensors of torch as float32."""
    written(path, [float32(name, tensor.numpy()) for name, tensor in tensors.items()])
