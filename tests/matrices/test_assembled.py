"""Matrices put together in blocks, in memory or in a file, are those of numpy and torch."""

import math
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.errors import TensorError
from allennlp_analyze.matrices import assembled
from allennlp_analyze.storage import mapped
from allennlp_analyze.storage.mapped import mapped_copy
from tests.support.torch_sources import stored


@pytest.fixture(params=["in memory", "in a file"])
def small_blocks(request: Any) -> Iterator[str]:
    """Blocks of a few elements; every matrix counts as large, or none does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembled, "BLOCK_ELEMENTS", 7)
        patch.setattr(mapped, "IN_MEMORY_BYTES", 0 if request.param == "in a file" else 2**30)
        yield request.param


@given(st.data())
def test_flattening_is_numpys_whatever_the_layout(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 5), min_size=2, max_size=5))
    leading = data.draw(st.integers(1, len(shape) - 1))
    order = data.draw(st.permutations(range(len(shape))))
    step = data.draw(st.sampled_from([1, 2, -1]))
    numbers = np.arange(math.prod(shape) * abs(step), dtype=np.float32)[::step]
    values = numbers.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))
    expected = values.reshape(math.prod(shape[:leading]), -1)
    for limit in (0, 2**30):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(assembled, "BLOCK_ELEMENTS", 7)
            patch.setattr(mapped, "IN_MEMORY_BYTES", limit)
            found = assembled.flattened(values, leading)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
        # numpy knows best whether a view was possible.
        assert np.shares_memory(found, values) == np.shares_memory(expected, values)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.filterwarnings("ignore")
def test_weight_normalization_is_torchs(small_blocks: str, dim: int, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(dim)
    layer = torch.nn.utils.weight_norm(torch.nn.Conv1d(6, 5, 3), dim=dim).double()
    with torch.no_grad():
        layer.weight_g.mul_(1.7)
    v, g = (getattr(layer, name).detach().to(getattr(torch, dtype)) for name in PARTS)
    expected = torch._weight_norm(v.double(), g.double(), dim).numpy()
    if dtype == "bfloat16":
        v, g = v.float(), g.float()
    found = assembled.weight_normed(stored("v", v), stored("g", g))
    np.testing.assert_allclose(found, expected, rtol=1e-12 if dtype == "float64" else 1e-6)
    assert str(found.dtype) == ("float64" if dtype == "float64" else "float32")


PARTS = ("weight_v", "weight_g")


def test_a_pruned_weight_is_zero_outside_its_mask(small_blocks: str) -> None:
    torch = pytest.importorskip("torch")
    weight, mask = torch.randn(9, 4), torch.rand(9, 4) > 0.5
    found = assembled.pruned(stored("w", weight), stored("m", mask.float()))
    np.testing.assert_array_equal(found, (weight * mask).numpy())


@pytest.mark.parametrize("pieces", [[], [b""], [b"a", b"", b"bc"], [bytes(5000)] * 3])
def test_pieces_come_back_as_one(pieces: "list[bytes]") -> None:
    found = mapped_copy(iter(pieces))
    assert found.tobytes() == b"".join(pieces)
    assert len(found) == 0 or not found.flags.writeable


def test_no_file_is_left_while_a_copy_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = mapped_copy([b"some"])
    assert list(tmp_path.iterdir()) == []
    assert kept.tobytes() == b"some"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(Path("/dev/full").open, "wb"))
    monkeypatch.setattr(mapped, "IN_MEMORY_BYTES", 0)
    with pytest.raises(TensorError, match="failed to assemble: No space left"):
        assembled.flattened(np.zeros((6, 5, 4)).swapaxes(1, 2))
