"""Quantized tensors and numpy arrays of a torch file: the numbers are torch's and numpy's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from allennlp_analyze.sources.formats.torch_file import read_torch
from allennlp_analyze.sources.in_memory import mapping_source
from tests.support.torch_files import FORMATS, as_numpy, save


@FORMATS
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("dtype", ["qint8", "quint8", "qint32"])
@pytest.mark.filterwarnings("ignore")
def test_quantized_tensors_have_torch_s_numbers(
    tmp_path: Path, zipped: bool, axis: "int | None", dtype: str
) -> None:
    plain = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    kind = getattr(torch, dtype)
    try:
        if axis is None:
            tensor = torch.quantize_per_tensor(plain, 0.03, 7, kind)
        else:
            scales = torch.rand(plain.shape[axis], dtype=torch.float64) + 0.01
            zeros = torch.arange(plain.shape[axis])
            tensor = torch.quantize_per_channel(plain, scales, zeros, axis, kind)
    except RuntimeError:
        pytest.skip("this torch does not quantize so")
    tensor = tensor.t() if axis is None else tensor
    expected = tensor.dequantize().numpy()
    (of_file,) = read_torch(save({"w": tensor}, tmp_path / "w", zipped)).tensors.values()
    (in_memory,) = mapping_source({"w": tensor}).tensors.values()
    for found in (of_file, in_memory):
        assert found.dtype == "float32" and found.shape == tuple(tensor.shape)
        np.testing.assert_allclose(found.values(), expected, rtol=1e-6)


ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    np.arange(4, dtype=np.float16),
    np.array(3, dtype=np.int64),
    np.zeros((0, 3)),
    np.array([[True, False]]),
    np.array([1 + 2j]),
]


@FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_numpy_arrays_are_read(tmp_path: Path, zipped: bool, protocol: int) -> None:
    state: dict[str, Any] = {f"a{i}": array for i, array in enumerate(ARRAYS)}
    state["again"] = state["a0"]
    state["t"] = torch.ones(2)
    torch.save(
        state, tmp_path / "w", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped
    )
    found = read_torch(tmp_path / "w").tensors
    for name, value in state.items():
        expected = value if isinstance(value, np.ndarray) else as_numpy(value)
        assert found[name].dtype == expected.dtype.name
        np.testing.assert_array_equal(found[name].values(), expected)
    assert found["again"].storage == found["a0"].storage != found["a1"].storage


def test_other_arrays_are_listed(tmp_path: Path) -> None:
    state = {
        "w": torch.ones(2, 2),
        "words": np.array([["a", "b"]]),
        "things": np.array([[None, 1.0]]),
        "big": np.ones((3, 2), ">f4"),
        "dates": np.array(["2026-01-01"], dtype="datetime64[D]"),
    }
    found = read_torch(save(state, tmp_path / "w", True)).tensors
    assert list(found) == list(state)
    assert found["words"].unsupported == "a numpy array of U1"
    assert found["things"].unsupported == "a numpy array of O8"
    assert found["big"].unsupported == "a numpy array of big-endian f4"
    assert "M8" in (found["dates"].unsupported or "")
