"""Which tensors become matrices, and that their values are those that torch computes with."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.matrices.modules import table_from_model
from allennlp_analyze.sources.opening import open_source
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import StoredTensor
from tests.support.corpus import Corpus, corpus_names
from tests.support.torch_sources import matrices_of, numpy_source, reasons_of, source_of

SINUSOIDS = np.concatenate([np.sin(np.arange(6))[:, None], np.cos(np.arange(6))[:, None]], axis=1)


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
        ("a.positional_encoding", SINUSOIDS[None], "buffer: fixed position encoding"),
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
