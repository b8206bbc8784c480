"""Weights files as torch writes them, and files made by hand of pickle opcodes."""

import inspect
import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from allennlp_analyze.sources.formats.torch_file import read_checkpoint

FORMATS = pytest.mark.parametrize("zipped", [False, True], ids=["legacy", "zip"])


def save(value: object, path: Path, zipped: bool) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


def as_numpy(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach().resolve_conj().resolve_neg()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def assert_same(values: np.ndarray, tensor: torch.Tensor) -> None:
    expected = as_numpy(tensor)
    assert values.shape == expected.shape
    assert values.dtype == expected.dtype
    assert values.tobytes() == expected.tobytes()


def torch_load(path: Path) -> dict[str, torch.Tensor]:
    """torch's reading of a file of ours: trusted, so without newer torch's restrictions."""
    newer = "weights_only" in inspect.signature(torch.load).parameters
    loaded: dict[str, torch.Tensor] = torch.load(path, **({"weights_only": False} if newer else {}))
    return loaded


def assert_equals_torch(path: Path) -> None:
    ours, theirs = read_checkpoint(path), torch_load(path)
    assert list(ours) == list(theirs)
    for name, tensor in theirs.items():
        assert ours[name].shape == tuple(tensor.shape)
        assert f"torch.{ours[name].dtype}" == str(tensor.dtype)
        assert_same(ours[name].values(), tensor)


def random_tensor(name: str, *shape: int) -> torch.Tensor:
    dtype = getattr(torch, name)
    size = int(np.prod(shape)) * torch.zeros((), dtype=dtype).element_size()
    generator = np.random.default_rng(7)
    if name == "bool":
        return torch.tensor(generator.integers(0, 2, shape).astype(bool))
    raw = torch.tensor(generator.integers(0, 256, size, dtype=np.uint8))
    return raw.view(dtype).reshape(shape)  # every bit pattern, NaN and subnormal numbers too


def legacy_file(pickled: bytes) -> bytes:
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}]
    return b"".join(pickle.dumps(item, 2) for item in head) + pickled + pickle.dumps([], 2)


def zip_file(pickled: bytes, **records: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, content in records.items():
            archive.writestr(f"archive/{name.replace('_', '.')}", content)
    return buffer.getvalue()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def view_pickle(offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """A state dict of one tensor over a storage of six float32."""
    storage = (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x06tQ"
    )
    view = b"".join(pickle.dumps(part, 2)[2:-1] for part in (offset, shape, stride))
    return (
        b"\x80\x02}" + text("w") + b"ctorch._utils\n_rebuild_tensor\n(" + storage + view + b"tRs."
    )
