"""The estimated memory of a model covers what its file can hold."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.settings import Settings
from allennlp_analyze.zoo.sizes import estimated_bytes

pytestmark = pytest.mark.newest_python


@given(st.integers(0, 2**40), st.integers(1, 2**16))
def test_the_estimate_covers_the_file_and_a_square_matrix(size, max_dim):
    """4 M^2 bytes of float32 become 16 M^2 in float64, twice 8: unless M is too large."""
    estimated = estimate(size, max_dim)
    assert estimated >= size + min(16 * (size // 4), 16 * max_dim**2) * (size // 4 > 0) // 4
    assert estimated <= 2**30 + size + 16 * max_dim**2


def estimate(size, max_dim):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.tar.gz"
        with path.open("wb") as file:
            file.truncate(size)
        return estimated_bytes(str(path), Settings(max_dim=max_dim))


def test_the_estimate_of_a_directory_is_that_of_its_weights(tmp_path):
    (tmp_path / "weights.th").write_bytes(bytes(1000))
    (tmp_path / "training_state.log").write_bytes(bytes(10**6))
    alone = estimated_bytes(str(tmp_path / "weights.th"), Settings())
    assert estimated_bytes(str(tmp_path), Settings()) == alone
    nothing = estimated_bytes(str(tmp_path / "missing"), Settings())
    assert nothing < alone < estimated_bytes("https://host/model.tar.gz", Settings())
