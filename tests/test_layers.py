"""The matrices that a state dict holds, against torch's own use of the same parameters."""

from typing import Any

import numpy as np
import pytest
from conftest import Corpus, corpus_names
from torch_sources import source_of

from allennlp_analyze.layers import WeightMatrix, find_matrices
from allennlp_analyze.modules import table_from_model
from allennlp_analyze.sources import open_source

torch = pytest.importorskip("torch")
nn = torch.nn
prune = pytest.importorskip("torch.nn.utils.prune")


def matrices_of(model: Any, with_modules: bool = False, **choices: Any) -> "list[WeightMatrix]":
    source = source_of(model.state_dict())
    table = table_from_model(model) if with_modules else None
    return find_matrices(source, table, **choices)[0]


def by_name(matrices: "list[WeightMatrix]") -> "dict[str, np.ndarray]":
    found = {matrix.name: matrix.values() for matrix in matrices}
    assert len(found) == len(matrices), "names are unique"
    for matrix in matrices:
        assert found[matrix.name].shape == matrix.shape
    return found


@pytest.mark.parametrize("name", corpus_names())
def test_every_tensor_of_an_archive_is_a_matrix_or_skipped(corpus: Corpus, name: str) -> None:
    with open_source(str(corpus.path(name))) as source:
        matrices, skipped = find_matrices(source)
        order = list(source.tensors)
        for matrix in matrices:
            assert matrix.values().shape == matrix.shape
    seen = list(dict.fromkeys(matrix.parameter for matrix in matrices))
    assert seen == sorted(seen, key=order.index)
    assert set(seen) | {entry.parameter for entry in skipped} == set(order)
    assert len({matrix.name for matrix in matrices}) == len(matrices)
    assert all(entry.reason for entry in skipped)


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (nn.Conv1d(64, 32, 9), (32, 64 * 9)),
        (nn.Conv2d(16, 24, 1), (24, 16)),
        (nn.Conv2d(16, 24, 3), (24, 16 * 9)),
        (nn.Conv2d(64, 16, 2), (16, 64 * 4)),
        (nn.Conv2d(8, 24, 3, groups=4), (24, 2 * 9)),
        (nn.Conv3d(4, 6, 2), (6, 4 * 8)),
    ],
)
@pytest.mark.parametrize("with_modules", [False, True])
def test_convolutions_are_unfolded(layer: Any, size: "tuple[int, int]", with_modules: bool) -> None:
    (matrix,) = matrices_of(nn.ModuleDict({"conv": layer}), with_modules)
    assert matrix.kind == "convolution"
    assert matrix.shape == size
    weight = layer.weight.detach().numpy()
    expected = np.linalg.svd(weight.reshape(size), compute_uv=False)
    found = np.linalg.svd(matrix.values(), compute_uv=False)
    assert len(found) == min(size)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_unfolded_convolution_maps_a_patch_as_the_layer_does() -> None:
    layer = nn.Conv2d(3, 5, (2, 4), bias=False)
    (matrix,) = matrices_of(nn.ModuleDict({"conv": layer}))
    patch = torch.randn(1, 3, 2, 4)
    expected = layer(patch).detach().numpy().ravel()
    np.testing.assert_allclose(matrix.values() @ patch.numpy().ravel(), expected, rtol=1e-4)


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolution_has_a_row_for_each_output(groups: int) -> None:
    layer = nn.ConvTranspose1d(4, 6, 3, groups=groups)
    (matrix,) = matrices_of(nn.ModuleDict({"deconv": layer}), True)
    assert matrix.shape == (6, 4 // groups * 3)
    values = matrix.values()
    weight = layer.weight.detach().numpy()
    for out in range(6):
        group, inside = divmod(out, 6 // groups)
        inputs = slice(group * (4 // groups), (group + 1) * (4 // groups))
        np.testing.assert_array_equal(values[out], weight[inputs, inside].ravel())


@pytest.mark.parametrize("with_modules", [False, True])
def test_bilinear_has_a_matrix_for_each_output(with_modules: bool) -> None:
    layer = nn.Bilinear(32, 24, 16)
    matrices = matrices_of(nn.ModuleDict({"tag_bilinear": layer}), with_modules)
    assert [m.part for m in matrices] == [str(index) for index in range(16)]
    assert sum(min(m.shape) for m in matrices) == 384
    assert {m.kind for m in matrices} == {"bilinear"}
    one, two = torch.randn(32), torch.randn(24)
    expected = (layer(one, two) - layer.bias).detach().numpy()
    found = [one.numpy() @ m.values() @ two.numpy() for m in matrices]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_attention_projections_are_split() -> None:
    layer = nn.MultiheadAttention(8, 2)
    found = by_name(matrices_of(nn.ModuleDict({"self_attn": layer})))
    parts = dict(
        zip(("query", "key", "value"), layer.in_proj_weight.detach().numpy().reshape(3, 8, 8))
    )
    for part, expected in parts.items():
        np.testing.assert_array_equal(found[f"self_attn.in_proj_weight[{part}]"], expected)
    apart = nn.MultiheadAttention(8, 2, kdim=6, vdim=4)
    kinds = {m.parameter: m.kind for m in matrices_of(nn.ModuleDict({"self_attn": apart}))}
    assert kinds["self_attn.k_proj_weight"] == "attention"


@pytest.mark.parametrize(
    ("layer", "gates"),
    [
        (nn.LSTM(5, 4), ["input gate", "forget gate", "cell gate", "output gate"]),
        (nn.LSTM(5, 4, proj_size=3), ["input gate", "forget gate", "cell gate", "output gate"]),
        (nn.GRU(5, 4), ["reset gate", "update gate", "new gate"]),
        (nn.GRUCell(5, 4), ["reset gate", "update gate", "new gate"]),
        (nn.RNN(5, 4), []),
    ],
)
@pytest.mark.parametrize("with_modules", [False, True])
def test_gates_are_split_on_request(layer: Any, gates: "list[str]", with_modules: bool) -> None:
    model = nn.ModuleDict({"encoder": layer})
    assert all(m.part is None and m.kind == "recurrent" for m in matrices_of(model))
    split = matrices_of(model, with_modules, split_gates=True)
    state = model.state_dict()
    for parameter in [name for name in state if "weight_ih" in name or "weight_hh" in name]:
        whole, *parts = [m for m in split if m.parameter == parameter]
        assert whole.part is None
        assert [m.part for m in parts] == gates
        if gates:
            stacked = np.concatenate([m.values() for m in parts])
            np.testing.assert_array_equal(stacked, state[parameter].numpy())


def test_tied_tensors_are_analysed_once_and_both_names_listed() -> None:
    model = nn.ModuleDict({"embedding": nn.Embedding(30, 8), "decoder": nn.Linear(8, 30)})
    model["decoder"].weight = model["embedding"].weight
    source = source_of(model.state_dict())
    matrices, skipped = find_matrices(source)
    (matrix,) = matrices
    assert matrix.parameter == "embedding.weight"
    assert matrix.tied == ("decoder.weight",)
    reasons = {entry.parameter: entry.reason for entry in skipped}
    assert reasons["decoder.weight"] == "tied to embedding.weight"


def test_what_is_no_matrix_is_skipped_with_its_reason() -> None:
    state = {
        "linear.weight": torch.ones(3, 2),
        "linear.bias": torch.ones(3),
        "scale": torch.tensor(1.0),
        "crf._constraint_mask": torch.ones(5, 5),
        "ids": torch.ones(4, 4, dtype=torch.int64),
        "flags": torch.ones(4, 4, dtype=torch.bool),
        "waves": torch.ones(4, 4, dtype=torch.complex64),
        "empty.weight": torch.ones(0, 4),
        "norm.weight": torch.ones(4),
        "norm.bias": torch.ones(4),
        "batch_norm.running_mean": torch.ones(4),
    }
    matrices, skipped = find_matrices(source_of(state))
    assert [m.parameter for m in matrices] == ["linear.weight"]
    reasons = {entry.parameter: entry.reason for entry in skipped}
    expected = {
        "linear.bias": "bias",
        "scale": "scalar",
        "crf._constraint_mask": "mask",
        "ids": "int64",
        "flags": "bool",
        "waves": "complex64",
        "empty.weight": "zero-size",
        "norm.weight": "normalisation",
        "norm.bias": "bias",
        "batch_norm.running_mean": "buffer",
    }
    assert set(reasons) == set(expected)
    for parameter, word in expected.items():
        assert word in reasons[parameter]


def test_buffers_are_known_by_the_modules() -> None:
    model = nn.Linear(4, 3)
    model.register_buffer("table", torch.ones(4, 4))
    plain = matrices_of(nn.ModuleDict({"m": model}))
    built = matrices_of(nn.ModuleDict({"m": model}), with_modules=True)
    assert [m.parameter for m in plain] == ["m.weight", "m.table"]
    assert [m.parameter for m in built] == ["m.weight"]
    assert built[0].module_index == 1
    assert built[0].module_class == "Linear"
    assert (plain[0].kind_source, built[0].kind_source) == ("inferred", "module")


@pytest.mark.parametrize("dim", [0, 1])
def test_weight_normalisation_is_undone(dim: int) -> None:
    layer = nn.utils.weight_norm(nn.Linear(6, 4), dim=dim)
    with torch.no_grad():
        layer.weight_g.mul_(2.5)
    layer(torch.zeros(1, 6))
    (matrix,) = matrices_of(nn.ModuleDict({"linear": layer}))
    np.testing.assert_allclose(matrix.values(), layer.weight.detach().numpy(), rtol=1e-5)


def test_pruned_weight_is_masked() -> None:
    layer = nn.Linear(6, 4)
    prune.random_unstructured(layer, "weight", amount=0.5)
    (matrix,) = matrices_of(nn.ModuleDict({"linear": layer}))
    np.testing.assert_array_equal(matrix.values(), layer.weight.detach().numpy())


def test_values_cannot_be_written_to() -> None:
    (matrix,) = matrices_of(nn.ModuleDict({"linear": nn.Linear(3, 2, bias=False)}))
    with pytest.raises(ValueError, match="read-only"):
        matrix.values()[0, 0] = 1.0
