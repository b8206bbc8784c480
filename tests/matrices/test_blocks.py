"""Layers of torch whose weight is several matrices, or a matrix of another shape."""

from typing import Any

import numpy as np
import pytest

from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.matrices.modules import table_from_model
from tests.support.torch_sources import matrices_of, numpy_source, reasons_of, source_of


def test_a_bilinear_layer_is_one_bilinear_form_per_output() -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.Bilinear(32, 24, 16)
    found = matrices_of(source_of({f"pair_bilinear.{k}": v for k, v in layer.state_dict().items()}))
    assert list(found) == [f"pair_bilinear[{k}]" for k in range(16)]
    assert sum(min(matrix.shape) for matrix in found.values()) == 384
    x1, x2 = torch.randn(32), torch.randn(24)
    forms = [x1.numpy() @ matrix.values() @ x2.numpy() for matrix in found.values()]
    expected = layer(x1, x2) - layer.bias
    np.testing.assert_allclose(forms, expected.detach().numpy(), rtol=0, atol=1e-4)


CONVOLUTIONS = (
    ("Conv1d", (64, 32, 9), {}),
    ("Conv2d", (8, 6, 1), {}),
    ("Conv2d", (8, 6, 3), {"groups": 2}),
    ("Conv2d", (64, 16, 2), {"bias": False}),
    ("Conv3d", (4, 5, 2), {}),
    ("ConvTranspose1d", (6, 4, 3), {}),
    ("ConvTranspose2d", (6, 4, 3), {}),
)


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("name, sizes, how", CONVOLUTIONS)
def test_a_convolution_is_the_map_it_applies_to_one_window(
    name: str, sizes: "tuple[int, int, int]", how: "dict[str, Any]", built: bool
) -> None:
    """The layer given every unit window, one after another, shows the matrix column by column."""
    torch = pytest.importorskip("torch")
    model = torch.nn.ModuleDict({"conv": getattr(torch.nn, name)(*sizes, **how)})
    modules = table_from_model(model) if built else None
    matrix = matrices_of(source_of(model.state_dict()), modules=modules)["conv"]
    layer = model["conv"]
    assert matrix.kind == "convolution"
    assert matrix.shape[0] == layer.out_channels
    weight = layer.weight.detach()
    if "Transpose" in name:
        weight = weight.transpose(0, 1)
    np.testing.assert_array_equal(matrix.values(), weight.flatten(1).numpy())


@pytest.mark.parametrize("built", [True, False])
def test_a_grouped_transposed_convolution_has_one_row_per_output(built: bool) -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.ModuleDict({"deconv": torch.nn.ConvTranspose1d(6, 4, 1, groups=2)})
    modules = table_from_model(model) if built else None
    matrix = matrices_of(source_of(model.state_dict()), modules=modules)["deconv"]
    assert matrix.shape == (4, 3)
    # Each group maps its three inputs to its two outputs.
    response = (model["deconv"](torch.eye(6)[..., None])[..., 0] - model["deconv"].bias).T
    blocks = response.detach().numpy()
    expected = np.concatenate([blocks[:2, :3], blocks[2:, 3:]])
    np.testing.assert_allclose(matrix.values(), expected, atol=1e-6)


@pytest.mark.parametrize("built", [True, False])
def test_attention_is_split_into_query_key_and_value(built: bool) -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.ModuleDict({"a": torch.nn.MultiheadAttention(8, 2)})
    modules = table_from_model(model) if built else None
    found = matrices_of(source_of(model.state_dict()), modules=modules)
    blocks = model["a"].in_proj_weight.detach().chunk(3)
    for label, block in zip(("query", "key", "value"), blocks):
        matrix = found[f"a.in_proj_weight[{label}]"]
        assert (matrix.part, matrix.kind) == (label, "attention")
        np.testing.assert_array_equal(matrix.values(), block.numpy())
    assert found["a.out_proj"].kind == "linear"


def test_attention_with_other_widths_keeps_its_three_matrices() -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.ModuleDict({"a": torch.nn.MultiheadAttention(8, 2, kdim=5, vdim=7)})
    found = matrices_of(source_of(model.state_dict()))
    shapes = {name: matrix.shape for name, matrix in found.items() if matrix.kind == "attention"}
    assert shapes == {
        "a.q_proj_weight": (8, 8),
        "a.k_proj_weight": (8, 5),
        "a.v_proj_weight": (8, 7),
    }


GATED = (
    ("LSTM", {"num_layers": 2, "bidirectional": True}, 4),
    ("LSTM", {"proj_size": 2}, 4),
    ("GRU", {"num_layers": 2}, 3),
    ("LSTMCell", {}, 4),
    ("GRUCell", {}, 3),
    ("RNN", {}, 0),
    ("RNNCell", {}, 0),
)


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("name, how, gates", GATED)
def test_gates_follow_their_whole_matrix(
    name: str, how: "dict[str, Any]", gates: int, built: bool
) -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.ModuleDict({"cell": getattr(torch.nn, name)(5, 4, **how)})
    modules = table_from_model(model) if built else None
    source = source_of(model.state_dict())
    whole = matrices_of(source, modules=modules)
    found, _ = find_matrices(source, modules, split_gates=True)
    assert {m.name for m in found if m.part is None} == set(whole)
    for matrix in whole.values():
        parts = [m for m in found if m.parameter == matrix.parameter]
        assert parts[0].part is None
        assert len(parts) == 1 + (0 if "_hr" in matrix.name else gates)
        if len(parts) > 1:
            stacked = np.concatenate([part.values() for part in parts[1:]])
            np.testing.assert_array_equal(stacked, matrix.values())


def test_the_gates_of_an_lstm_are_named_as_torch_orders_them() -> None:
    """With all else at a half, a shut forget gate forgets, a shut input gate adds nothing."""
    torch = pytest.importorskip("torch")
    for gate, label in enumerate(("input gate", "forget gate", "cell gate", "output gate")):
        cell = torch.nn.LSTMCell(1, 1, bias=False)
        with torch.no_grad():
            cell.weight_hh.zero_()
            cell.weight_ih.zero_()
            cell.weight_ih[2] = 0.5
            cell.weight_ih[gate] = -100.0
        parts = matrices_of(source_of(cell.state_dict()), split_gates=True)
        assert parts[f"weight_ih[{label}]"].values().item() == -100.0
        state, memory = cell(torch.ones(1, 1), (torch.zeros(1, 1), torch.ones(1, 1)))
        added = float(np.tanh(0.5)) / 2
        expected = {"input gate": 0.5, "forget gate": added, "cell gate": 0.0}
        assert memory.item() == pytest.approx(expected.get(label, 0.5 + added), abs=1e-6)
        assert (state.item() == pytest.approx(0.0, abs=1e-6)) == (
            label in ("cell gate", "output gate")
        )


def normed(layer: Any, dim: int) -> Any:
    """`layer` under weight normalization with magnitudes that are no norms of what they scale."""
    import torch

    layer = torch.nn.utils.weight_norm(layer, dim=dim)
    with torch.no_grad():
        layer.weight_g.mul_(1.7)
        layer.weight_v.mul_(0.3)
    return layer


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("name, sizes", [("Linear", (5, 4)), ("Conv1d", (5, 4, 3))])
def test_a_normalized_weight_is_put_together_as_torch_does(
    name: str, sizes: "tuple[int, ...]", dim: int
) -> None:
    torch = pytest.importorskip("torch")
    layer = normed(getattr(torch.nn, name)(*sizes), dim)
    source = source_of({f"a.{k}": v for k, v in layer.state_dict().items()})
    layer(torch.zeros((2, 5, 3)[: len(sizes)]))
    expected = layer.weight.detach().flatten(1).numpy()
    np.testing.assert_allclose(matrices_of(source)["a.weight_v"].values(), expected, rtol=1e-6)
    assert reasons_of(source)["a.weight_g"] == "weight normalization: multiplied into a.weight_v"


def test_a_weight_normalized_by_parametrization_is_put_together() -> None:
    torch = pytest.importorskip("torch")
    if not hasattr(torch.nn.utils.parametrizations, "weight_norm"):
        pytest.skip("this torch has no weight_norm by parametrization")
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(5, 4)})
    torch.nn.utils.parametrizations.weight_norm(model["a"])
    with torch.no_grad():
        model["a"].parametrizations.weight.original0.mul_(1.7)
    expected = model["a"].weight.detach().numpy()
    for modules in (None, table_from_model(model)):
        (matrix,) = matrices_of(source_of(model.state_dict()), modules=modules).values()
        assert matrix.kind == "linear"
        np.testing.assert_allclose(matrix.values(), expected, rtol=1e-6)


def test_a_pruned_weight_is_analyzed_as_it_is_used() -> None:
    torch = pytest.importorskip("torch")
    from torch.nn.utils import prune

    layer = prune.l1_unstructured(torch.nn.Linear(8, 6), "weight", amount=0.5)
    source = source_of({f"a.{k}": v for k, v in layer.state_dict().items()})
    (matrix,) = matrices_of(source).values()
    np.testing.assert_array_equal(matrix.values(), layer.weight.detach().numpy())
    assert matrix.kind == "linear"
    assert reasons_of(source)["a.weight_mask"] == "mask of pruning: multiplied into a.weight_orig"


def test_experts_are_one_matrix_each() -> None:
    stack = np.random.default_rng(0).standard_normal((3, 6, 4))
    found = matrices_of(numpy_source({"moe.w": stack}))
    assert list(found) == ["moe.w[0]", "moe.w[1]", "moe.w[2]"]
    for index, matrix in enumerate(found.values()):
        np.testing.assert_array_equal(matrix.values(), stack[index])


def test_the_width_of_the_model_against_heads_is_one_matrix() -> None:
    weight = np.random.default_rng(0).standard_normal((24, 4, 6))
    matrix = matrices_of(numpy_source({"layer.0.rel_attn.q": weight}))["layer.0.rel_attn.q"]
    assert (matrix.kind, matrix.shape) == ("attention", (24, 24))
    x = np.random.default_rng(1).standard_normal(24)
    expected = np.einsum("h,hnd->nd", x, weight).ravel()
    np.testing.assert_allclose(x @ matrix.values(), expected)


def test_attention_with_labels_is_one_matrix_per_label() -> None:
    found = matrices_of(numpy_source({"arc._weight_matrix": np.ones((7, 3, 4))}))
    assert [matrix.shape for matrix in found.values()] == [(3, 4)] * 7
    assert {matrix.kind for matrix in found.values()} == {"attention"}
