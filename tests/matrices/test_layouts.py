"""Kernels of JAX, TensorFlow and MLX: the kinds, matrices and sides of the same torch model."""

from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest

from allennlp_analyze import analyze
from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.matrices.surroundings import with_surroundings
from allennlp_analyze.sources.opening import open_source

safetensors = pytest.importorskip("safetensors.numpy")
RNG = np.random.default_rng(0)
# out x in x kernel, as in torch.
DENSE, IMAGE = RNG.standard_normal((7, 5)), RNG.standard_normal((8, 6, 3, 2))
SIGNAL, TABLE = RNG.standard_normal((8, 6, 3)), RNG.standard_normal((30, 5))


def matrices(path: Path) -> "dict[str, WeightMatrix]":
    with open_source(str(path)) as source:
        return {x.name: x for x in with_surroundings(source, find_matrices(source)[0])}


def written(path: Path, tensors: "dict[str, Any]", said: Optional[str]) -> Path:
    contiguous = {name: np.ascontiguousarray(x) for name, x in tensors.items()}
    metadata = None if said is None else {"format": said}
    safetensors.save_file(contiguous, str(path / "model.safetensors"), metadata=metadata)
    return path / "model.safetensors"


KERNELS = {
    "embed.embedding": TABLE,
    "dense.kernel": DENSE.T,
    "dense.bias": np.zeros(7),
    "norm.scale": np.ones(7),
    "norm.bias": np.zeros(7),
    "conv.kernel": IMAGE.transpose(2, 3, 1, 0),
    "wave.kernel": SIGNAL.transpose(2, 1, 0),
    "attn.query.kernel": RNG.standard_normal((6, 2, 3)),
    "attn.out.kernel": RNG.standard_normal((2, 3, 6)),
}


@pytest.mark.parametrize("said", ["flax", "jax", "tf", "np", None])
def test_kernels_of_flax(said: Optional[str], tmp_path: Path) -> None:
    found = matrices(written(tmp_path, KERNELS, said))
    kinds = {name: x.kind for name, x in found.items()}
    assert kinds == {
        "embed.embedding": "embedding",
        **dict.fromkeys(("dense.kernel", "attn.query.kernel", "attn.out.kernel"), "linear"),
        **dict.fromkeys(("conv.kernel", "wave.kernel"), "convolution"),
    }
    np.testing.assert_array_equal(found["dense.kernel"].values(), DENSE.T)
    np.testing.assert_array_equal(found["conv.kernel"].values(), IMAGE.reshape(8, -1))
    np.testing.assert_array_equal(found["wave.kernel"].values(), SIGNAL.reshape(8, -1))
    assert found["attn.query.kernel"].shape == found["attn.out.kernel"].shape == (6, 6)
    about = {name: x.surroundings for name, x in found.items()}
    assert {name for name, x in about.items() if not x.outputs_first} == {
        "dense.kernel",
        "attn.query.kernel",
        "attn.out.kernel",
    }
    assert about["conv.kernel"].columns_per_input == 6
    assert about["wave.kernel"].columns_per_input == 3
    assert about["dense.kernel"].in_layer_norm


@pytest.mark.parametrize("said", ["pt", "mlx"])
def test_a_kernel_of_another_framework_is_a_parameter(said: str, tmp_path: Path) -> None:
    found = matrices(written(tmp_path, KERNELS, said))
    assert found["dense.kernel"].kind == "other"


def test_a_kernel_beside_weights_is_a_parameter(tmp_path: Path) -> None:
    found = matrices(written(tmp_path, {**KERNELS, "a.weight": DENSE}, None))
    assert found["dense.kernel"].kind == "other"


def test_names_of_tensorflow(tmp_path: Path) -> None:
    block = "tf_bert/encoder/layer_._0"
    tensors = {
        "tf_bert/embeddings/word_embeddings/weight:0": TABLE,
        f"{block}/attention/self/query/kernel:0": DENSE.T,
        f"{block}/attention/self/query/bias:0": np.zeros((7,)),
        f"{block}/lstm/kernel:0": RNG.standard_normal((5, 12)),
        f"{block}/lstm/recurrent_kernel:0": RNG.standard_normal((3, 12)),
        f"{block}/up/kernel:0": IMAGE.transpose(2, 3, 0, 1),  # Conv2DTranspose
        f"{block}/up/bias:0": np.zeros(8),
        f"{block}/LayerNorm/gamma:0": np.ones(7),
        f"{block}/LayerNorm/beta:0": np.zeros(7),
    }
    found = matrices(written(tmp_path, tensors, "tf"))
    kinds = {name.rpartition("/")[0].rpartition("/")[2]: x.kind for name, x in found.items()}
    assert kinds == {
        "word_embeddings": "embedding",
        "query": "linear",
        "lstm": "recurrent",
        "up": "convolution",
    }
    up = found[f"{block}/up/kernel:0"]
    np.testing.assert_array_equal(up.values(), IMAGE.reshape(8, -1))
    assert not found[f"{block}/attention/self/query/kernel:0"].surroundings.outputs_first


def test_convolutions_of_mlx(tmp_path: Path) -> None:
    tensors = {
        "conv.weight": IMAGE.transpose(0, 2, 3, 1),
        "wave.weight": SIGNAL.transpose(0, 2, 1),
        "dense.weight": DENSE,
    }
    found = matrices(written(tmp_path, tensors, "mlx"))
    assert [x.kind for x in found.values()] == ["convolution", "linear", "convolution"]
    for name, values, size in (("conv", IMAGE, 6), ("wave", SIGNAL, 3)):
        np.testing.assert_array_equal(found[name].values(), values.reshape(8, -1))
        assert found[name].surroundings.columns_per_input == size


def test_dead_units_are_found_on_their_side(tmp_path: Path) -> None:
    """The cause of a lost direction is the same in the file of either framework."""
    weight = RNG.standard_normal((60, 40)).astype(np.float32)
    weight[:, 3] = 0  # an input
    image = RNG.standard_normal((24, 12, 3, 3)).astype(np.float32)
    image[:, 5] = 0
    (tmp_path / "jax").mkdir()
    (tmp_path / "torch").mkdir()
    of_torch = {"dense.weight": weight, "dense.bias": np.zeros(60), "conv.weight": image}
    of_jax = {
        "dense.kernel": weight.T,
        "dense.bias": np.zeros(60),
        "conv.kernel": image.transpose(2, 3, 1, 0),
    }
    reports = [
        analyze(written(tmp_path / "jax", of_jax, "flax")),
        analyze(written(tmp_path / "torch", of_torch, "pt")),
    ]
    for layer in ("dense", "conv"):
        one = reports[0].layer(f"{layer}.kernel")
        other = reports[1].layer(layer)
        assert one.verdict == other.verdict
        assert one.evidence is not None and one.evidence == other.evidence
        np.testing.assert_allclose(one.singular_values, other.singular_values, atol=1e-5)
