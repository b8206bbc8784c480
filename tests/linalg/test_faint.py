"""Dead rows of a tall matrix are found by their lengths, however the matrix is stored."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze import analyze
from allennlp_analyze.linalg.faint import faint_rows
from allennlp_analyze.sources.blocks import Entries


@given(
    n=st.integers(3, 80),
    m=st.integers(2, 40),
    seed=st.integers(0, 2**32 - 1),
    share=st.floats(0, 0.5),
    left=st.sampled_from([0.0, 1e-9]),
    size=st.sampled_from([1e-160, 1.0, 1e160]),
    wide=st.booleans(),
)
def test_exactly_the_dead_rows_are_found(
    n: int, m: int, seed: int, share: float, left: float, size: float, wide: bool
) -> None:
    rng = np.random.default_rng(seed)
    matrix = size * rng.standard_normal((n, m))
    dead = np.sort(rng.permutation(n)[: int(share * n)])
    matrix[dead] *= left
    if n < m:
        matrix, dead = matrix.T, np.empty(0, int)  # dead columns are lost directions
    expected = () if n == m or n < m else tuple(dead.tolist())
    norm = float(np.linalg.norm(matrix / size)) * size
    stored = np.ascontiguousarray(matrix.T) if wide else matrix
    assert faint_rows(Entries(stored), norm) == expected


def test_decoded_values_count() -> None:
    """Stored as bits of bfloat16, in which a zero may be negative."""
    matrix = np.random.default_rng(0).standard_normal((50, 20)).astype(np.float32)
    bits = (matrix.view(np.uint32) >> 16).astype(np.uint16)
    bits[[4, 9]] = 0x8000
    entries = Entries(bits, lambda x: (x.astype(np.uint32) << 16).view(np.float32))
    assert faint_rows(entries, float(np.linalg.norm(matrix))) == (4, 9)


@pytest.mark.parametrize("m", [2, 3, 8, 64])
def test_no_row_of_random_entries_is_dead(m: int) -> None:
    """Of a million rows: none, nor of t(3) or half-sparse entries with more than a few columns."""
    rng = np.random.default_rng(m)
    for entries in (rng.standard_normal((1_000_000 // m, m)), rng.standard_t(3, (100_000, m))):
        assert faint_rows(Entries(entries), float(np.linalg.norm(entries))) == ()
    sparse = rng.standard_normal((10_000, 64)) * (rng.random((10_000, 64)) < 0.5)
    assert faint_rows(Entries(sparse), float(np.linalg.norm(sparse))) == ()


def test_a_sparse_matrix_has_no_dead_units() -> None:
    matrix = np.zeros((300, 20))
    matrix[::3] = np.random.default_rng(0).standard_normal((100, 20))
    assert faint_rows(Entries(matrix), float(np.linalg.norm(matrix))) == ()


def test_hidden_units_of_a_transformer_are_named_and_followed() -> None:
    rng = np.random.default_rng(0)
    up, down = rng.standard_normal((256, 64)), rng.standard_normal((64, 256))
    up[[3, 200]] = 0
    down[:, [3, 200]] = 0
    report = analyze({"layers.0.up_proj.weight": up, "layers.0.down_proj.weight": down})
    assert report.layer("layers.0.up_proj").reason == "dead units 3, 200, no direction lost"
    assert report.layer("layers.0.down_proj").reason == (
        "dead inputs 3, 200, no direction lost (the dead units of layers.0.up_proj)"
    )
    assert report.summary.verdict == "full_rank"
    assert "dead units that lose no direction: layers.0.up_proj (2)" in report.warnings


def test_a_dead_channel_is_followed_into_a_flattened_image() -> None:
    rng = np.random.default_rng(0)
    conv, fc = rng.standard_normal((32, 16, 3, 3)), rng.standard_normal((10, 32 * 16))
    depthwise = rng.standard_normal((32, 1, 3, 3))
    conv[[5, 7]] = 0
    fc.reshape(10, 32, 16)[:, [5, 7]] = 0
    depthwise[9] = 0
    report = analyze({"conv.weight": conv, "dw.weight": depthwise, "fc.weight": fc})
    assert report.layer("conv").reason == "2 of 32 directions, dead units 5, 7"
    assert report.layer("dw").reason == "dead units 9, no direction lost"
    assert report.layer("fc").reason == (
        "dead inputs 5, 7, no direction lost (the dead units of conv, 16 inputs for each)"
    )


def test_rows_of_a_last_layer_without_weights_are_padding() -> None:
    """A vocabulary that is filled up to a multiple of 64."""
    rng = np.random.default_rng(0)
    head = rng.standard_normal((320, 32))
    head[300:] = 0
    report = analyze({"body.weight": rng.standard_normal((32, 64)), "lm_head.weight": head})
    assert report.layer("lm_head").reason.startswith("padding or unused rows 300, 301")
    assert report.layer("lm_head").reason.endswith("no direction lost; harmless")
