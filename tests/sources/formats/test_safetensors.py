"""The .safetensors reader against the safetensors library."""

import json
import mmap
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats.safetensors import read_safetensors

DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"]


def written(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    save_file(tensors, str(path), metadata={"format": "pt"})
    return path


def assert_same(path: Path) -> None:
    expected, read = load_file(str(path)), read_safetensors(path)
    assert sorted(read) == sorted(expected)
    for name, tensor in expected.items():
        values = read[name].values()
        wide = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        assert f"torch.{read[name].dtype}" == str(tensor.dtype)
        assert read[name].shape == tuple(tensor.shape)
        assert values.dtype == wide.numpy().dtype
        assert values.tobytes() == wide.numpy().tobytes()


@pytest.mark.parametrize("dtype", [*DTYPES, "bool"])
def test_every_dtype(tmp_path: Path, dtype: str) -> None:
    tensor = (torch.randn(5, 3) * 3).to(getattr(torch, dtype))
    assert_same(
        written(
            tmp_path / "m",
            {
                "w": tensor,
                "scalar": tensor[0, 0].clone(),
                "empty": tensor[:0],
                "row": tensor[0].clone(),
            },
        )
    )


def test_order_is_that_of_the_values_and_none_are_tied(tmp_path: Path) -> None:
    path = written(tmp_path / "m", {n: torch.ones(2) for n in "cab"} | {"e": torch.ones(0)})
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + length])
    header.pop("__metadata__")
    read = read_safetensors(path)
    starts = [header[name]["data_offsets"] for name in read]
    assert starts == sorted(starts)
    assert len({tensor.storage for tensor in read.values()}) == len(read)


def test_values_are_mapped(tmp_path: Path) -> None:
    base: object = read_safetensors(written(tmp_path / "m", {"w": torch.ones(8, 8)}))["w"].values()
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap)


@pytest.mark.parametrize(
    "content", [b"", b"junk", b"\xff" * 64, (2).to_bytes(8, "little") + b"{}x"]
)
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(CheckpointError, match=str(tmp_path / "m")) as caught:
        read_safetensors(tmp_path / "m")
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_safetensors(tmp_path / "none")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(at=st.integers(0, 250), replacement=st.binary(max_size=8), cut=st.booleans())
def test_only_checkpoint_errors_escape(
    tmp_path: Path, at: int, replacement: bytes, cut: bool
) -> None:
    content = bytearray(
        written(tmp_path / "m", {"a": torch.ones(2, 3), "b": torch.ones(2)}).read_bytes()
    )
    content[at : len(content) if cut else at + len(replacement)] = replacement
    (tmp_path / "fuzzed").write_bytes(bytes(content))
    try:
        tensors = read_safetensors(tmp_path / "fuzzed")
    except CheckpointError:
        return
    for tensor in tensors.values():
        assert tensor.unsupported is not None or tensor.values().shape == tensor.shape
