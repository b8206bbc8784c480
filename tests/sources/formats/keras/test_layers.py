"""What is known of Keras's layers; `tests/formats/test_keras.py` reads files of Keras."""

import json
import sys
from pathlib import Path

import pytest

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats.keras.layers import classes_of, placed, role_of, snake_case
from allennlp_analyze.sources.formats.registry import read_weights

pytestmark = pytest.mark.newest_python


@pytest.mark.parametrize(
    "name, expected",
    [
        ("Dense", "dense"),
        ("Conv2DTranspose", "conv2d_transpose"),
        ("SeparableConv1D", "separable_conv1d"),
        ("LSTM", "lstm"),
        ("GRU", "gru"),
        ("SimpleRNN", "simple_rnn"),
        ("MultiHeadAttention", "multi_head_attention"),
        ("EinsumDense", "einsum_dense"),
    ],
)
def test_names_of_classes(name: str, expected: str) -> None:
    assert snake_case(name) == expected


def test_classes_of_nested_layers() -> None:
    inner = {"class_name": "Dense", "config": {"name": "head"}}
    outer = {"class_name": "Sequential", "config": {"name": "all", "layers": [inner]}}
    assert classes_of(json.dumps(outer)) == {"all": "sequential", "head": "dense"}
    assert classes_of(None) == classes_of("{") == classes_of("[" * 100_000) == {}


def test_roles_by_number() -> None:
    assert [role_of("dense", i, 2) for i in range(3)] == ["kernel", "bias", None]
    assert role_of("dense", 0, 1) == "kernel"
    assert role_of("batch_normalization", 0, 3) is None
    assert role_of("strange", 0, 2) is None


@pytest.mark.parametrize("layer", ["conv2d_transpose", "up"])
def test_a_transposed_convolution_has_its_outputs_first(layer: str) -> None:
    axes = [(2, 24), (2, 12), (4, 3), (3, 1)]  # places x outputs x inputs
    found = placed("conv2d_transpose", layer, "kernel", axes)
    assert found.kind == "convolution"
    assert [n for n, _ in found.axes] == [4, 3, 2, 2]


def test_without_the_package_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))
    with pytest.raises(CheckpointError) as caught:
        read_weights(tmp_path / "m.h5", "m.h5")
    assert str(caught.value) == (
        "m.h5: is an HDF5 file, which needs the package h5py"
        " (pip install 'allennlp_analyze[keras]')"
    )
