"""Which tensors become matrices, and that their values are those that torch computes with."""

from functools import partial
from typing import Any, Optional

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.matrices.finding import WeightMatrix, find_matrices
from allennlp_analyze.matrices.modules import table_from_model
from allennlp_analyze.sources.opening import open_source
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import StoredTensor
from tests.conftest import Corpus, corpus_names
from tests.support.torch_sources import source_of


def numpy_source(
    arrays: "dict[str, Any]", dtype: Optional[str] = None, unsupported: Optional[str] = None
) -> Source:
    tensors = {
        name: StoredTensor(
            name,
            value.shape,
            dtype or str(value.dtype),
            name,
            partial(np.asarray, value),
            unsupported,
        )
        for name, value in arrays.items()
    }
    return Source("test", "test", None, "weights.th", tensors)


def matrices_of(source: Source, **how: Any) -> "dict[str, WeightMatrix]":
    matrices, _ = find_matrices(source, **how)
    found = {matrix.name: matrix for matrix in matrices}
    assert len(found) == len(matrices)
    return found


def reasons_of(source: Source, **how: Any) -> "dict[str, str]":
    return {one.parameter: one.reason for one in find_matrices(source, **how)[1]}


@pytest.mark.parametrize("name", corpus_names())
def test_corpus_linear_layers_are_the_oracles(corpus: Corpus, name: str) -> None:
    oracle = corpus.oracle[name]
    with open_source(str(corpus.path(name))) as source:
        matrices, skipped = find_matrices(source)
        for matrix in matrices:
            assert matrix.values().shape == matrix.shape
    assert {m.parameter for m in matrices} | {s.parameter for s in skipped} == set(
        oracle["parameters"]
    )
    names = list(oracle["parameters"])
    assert [names.index(m.parameter) for m in matrices] == sorted(
        names.index(m.parameter) for m in matrices
    )
    if "linear" not in oracle:
        return
    linear = {m.name: (min(m.shape), max(m.shape)) for m in matrices if m.kind == "linear"}
    assert linear == {row[1]: (row[2], row[3]) for row in oracle["linear"]}


def test_a_matrix_is_described_and_its_values_are_lazy_and_read_only() -> None:
    calls: list[int] = []

    def load() -> np.ndarray:
        calls.append(1)
        return np.arange(12.0).reshape(4, 3)

    tensor = StoredTensor("a.b.weight", (4, 3), "float64", 0, load)
    (matrix,) = matrices_of(Source("t", "t", None, "w", {"a.b.weight": tensor})).values()
    assert calls == []
    assert (matrix.name, matrix.parameter, matrix.part) == ("a.b", "a.b.weight", None)
    assert (matrix.shape, matrix.dtype, matrix.tied) == ((4, 3), "float64", ())
    assert (matrix.kind_source, matrix.module_index) == ("inferred", None)
    with pytest.raises(ValueError, match="read-only"):
        matrix.values()[0, 0] = 1


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (1, 1)])
def test_a_single_row_or_column_is_a_matrix(shape: "tuple[int, int]") -> None:
    assert matrices_of(numpy_source({"a.weight": np.ones(shape)}))["a"].shape == shape


@pytest.mark.parametrize(
    "name, value, reason",
    [
        ("a.bias", np.ones(3), "bias"),
        ("a.bias_ih_l0", np.ones(3), "bias"),
        ("a.bias_k", np.ones((1, 1, 3)), "bias"),
        ("a.r_w_bias", np.ones((2, 3)), "bias"),
        ("a.gamma", np.ones(()), "scalar"),
        ("a._weight_vector", np.ones(3), "vector"),
        ("a._head_sentinel", np.ones((1, 1, 4)), "vector"),
        ("a.weight", np.ones((0, 4)), "no values: a dimension is 0"),
        ("a.weight", np.ones((2, 4), np.int64), "int64: not floating point"),
        ("a.weight", np.ones((2, 4), bool), "bool: not floating point"),
        ("a.weight", np.ones((2, 4), np.complex64), "complex64: not floating point"),
        ("a.weight", np.ones((2, 4), np.int8), "int8: not floating point"),
        ("crf._constraint_mask", np.ones((6, 6)), "mask"),
        ("a.attention_mask", np.ones((6, 6)), "mask"),
        ("a.running_mean", np.ones(6), "buffer: not trained"),
        ("a.positional_encoding", np.ones((1, 6, 4)), "buffer: fixed position encoding"),
    ],
)
def test_what_is_no_weight_matrix_is_skipped_with_the_reason(
    name: str, value: Any, reason: str
) -> None:
    source = numpy_source({name: value})
    assert matrices_of(source) == {}
    assert reasons_of(source) == {name: reason}


def test_a_tensor_that_cannot_be_read_is_skipped_with_the_readers_reason() -> None:
    source = numpy_source({"a.weight": np.ones((2, 3))}, unsupported="sparse")
    assert reasons_of(source) == {"a.weight": "sparse"}


def test_a_mask_embedding_and_a_table_of_biases_are_weights() -> None:
    names = ["mask_embedding.weight", "mask_emb", "_action_biases.weight"]
    source = numpy_source({name: np.ones((3, 4)) for name in names})
    assert {m.parameter: m.kind for m in matrices_of(source).values()} == dict.fromkeys(
        names, "embedding"
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_every_floating_type_is_analyzed(dtype: str) -> None:
    matrix = matrices_of(numpy_source({"a.weight": np.ones((2, 3), np.float32)}, dtype))["a"]
    assert matrix.dtype == dtype


def test_a_layer_norm_over_two_dimensions_is_no_matrix() -> None:
    torch = pytest.importorskip("torch")
    state = torch.nn.Sequential(torch.nn.LayerNorm([3, 4])).state_dict()
    assert reasons_of(source_of(state)) == {
        "0.weight": "normalization: a scale, not a matrix",
        "0.bias": "bias",
    }


def test_tied_tensors_are_analyzed_once_and_listed() -> None:
    torch = pytest.importorskip("torch")
    table = torch.randn(9, 4)
    state = {"wte.weight": table, "h.weight": torch.randn(4, 4), "head.weight": table}
    state["again"] = table
    source = source_of(state)
    found = matrices_of(source)
    assert set(found) == {"wte", "h"}
    assert found["wte"].tied == ("head.weight", "again")
    assert found["h"].tied == ()
    assert reasons_of(source) == dict.fromkeys(["head.weight", "again"], "tied to wte.weight")


def test_a_view_of_the_same_memory_in_another_shape_is_not_tied() -> None:
    torch = pytest.importorskip("torch")
    table = torch.randn(6, 6)
    source = source_of({"a.weight": table, "b.weight": table.t(), "c.weight": table[:3]})
    assert set(matrices_of(source)) == {"a", "b", "c"}


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
    """`layer` under weight normalisation with magnitudes that are no norms of what they scale."""
    import torch

    layer = torch.nn.utils.weight_norm(layer, dim=dim)
    with torch.no_grad():
        layer.weight_g.mul_(1.7)
        layer.weight_v.mul_(0.3)
    return layer


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("name, sizes", [("Linear", (5, 4)), ("Conv1d", (5, 4, 3))])
def test_a_normalised_weight_is_put_together_as_torch_does(
    name: str, sizes: "tuple[int, ...]", dim: int
) -> None:
    torch = pytest.importorskip("torch")
    layer = normed(getattr(torch.nn, name)(*sizes), dim)
    source = source_of({f"a.{k}": v for k, v in layer.state_dict().items()})
    layer(torch.zeros((2, 5, 3)[: len(sizes)]))
    expected = layer.weight.detach().flatten(1).numpy()
    np.testing.assert_allclose(matrices_of(source)["a.weight_v"].values(), expected, rtol=1e-6)
    assert reasons_of(source)["a.weight_g"] == "weight normalization: multiplied into a.weight_v"


def test_a_weight_normalised_by_parametrization_is_put_together() -> None:
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
    assert reasons_of(source)["a.weight_mask"] == "mask"


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


def test_leading_ones_are_dropped() -> None:
    found = matrices_of(numpy_source({"position_embeddings": np.ones((1, 9, 4))}))
    assert found["position_embeddings"].shape == (9, 4)
    assert found["position_embeddings"].kind == "embedding"


def test_modules_give_kind_class_and_index_where_they_know_the_parameter() -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.ModuleDict({"embedding": torch.nn.Linear(4, 3, bias=False)})
    state = {**model.state_dict(), "old.weight": torch.ones(2, 3), "old.bias": torch.ones(2)}
    found = matrices_of(source_of(state), modules=table_from_model(model))
    known, unknown = found["embedding"], found["old"]
    assert (known.kind, known.kind_source) == ("linear", "module")
    assert (known.module_class, known.module_index) == ("Linear", 1)
    assert (unknown.kind, unknown.kind_source) == ("linear", "inferred")
    assert (unknown.module_class, unknown.module_index) == (None, None)


def test_buffers_of_the_modules_are_skipped_whatever_their_name() -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(4, 3)})
    model["a"].register_buffer("weights_of_old", torch.ones(3, 4))
    source = source_of(model.state_dict())
    assert "a.weights_of_old" in matrices_of(source)
    assert reasons_of(source, modules=table_from_model(model)) == {
        "a.weights_of_old": "buffer: not trained",
        "a.bias": "bias",
    }


def test_a_name_that_a_tensor_already_has_is_not_given_to_a_layer() -> None:
    found = matrices_of(numpy_source({"a": np.ones((2, 3)), "a.weight": np.ones((2, 3))}))
    assert set(found) == {"a", "a.weight"}


@given(
    st.dictionaries(
        st.lists(st.sampled_from([*"ab._0", "conv", "weight", ".weight", "embed"])).map("".join),
        st.lists(st.integers(0, 4), max_size=5).map(tuple),
        max_size=6,
    ),
    st.booleans(),
)
def test_every_tensor_is_a_matrix_or_skipped_and_no_value_is_lost(
    shapes: "dict[str, tuple[int, ...]]", gates: bool
) -> None:
    arrays = {
        name: np.arange(float(np.prod(shape))).reshape(shape) for name, shape in shapes.items()
    }
    matrices, skipped = find_matrices(numpy_source(arrays), split_gates=gates)
    assert len({matrix.name for matrix in matrices}) == len(matrices)
    assert {m.parameter for m in matrices}.isdisjoint(s.parameter for s in skipped)
    for name, array in arrays.items():
        parts = [m.values() for m in matrices if m.parameter == name]
        assert parts or name in {s.parameter for s in skipped}
        if parts:
            values = np.sort(np.concatenate([part.ravel() for part in parts]))
            np.testing.assert_array_equal(values, np.sort(array.ravel()))
