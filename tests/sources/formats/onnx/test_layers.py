"""Which tensor is whose weight: kinds, layouts and names, in models written by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.sources.formats.onnx.reading import read_onnx
from allennlp_analyze.sources.opening import open_source
from allennlp_analyze.sources.tensor import StoredTensor, Weights
from tests.support import onnx_files as onnx

RANDOM = np.random.default_rng(0)


def numbers(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def read(path: Path, nodes: Sequence[bytes], **tensors: np.ndarray) -> Weights:
    stored = [onnx.tensor(name, values) for name, values in tensors.items()]
    path = path / "m.onnx"
    path.write_bytes(onnx.model(onnx.graph(nodes, stored)))
    return read_onnx(path)


def only(weights: Weights) -> StoredTensor:
    (found,) = (tensor for tensor in weights.tensors.values() if tensor.kind is not None)
    return found


W = numbers(6, 4)
# operator, attributes, operands, the weight as it is stored, its kind, as it should be read
LAYERS = {
    "MatMul": ("MatMul", (), "xw", W, "linear", W.T),
    "MatMul from the left": ("MatMul", (), "wx", W, "linear", W),
    "MatMul of a stack": ("MatMul", (), "xw", numbers(3, 6, 4), "linear", None),
    "Gemm": ("Gemm", (), "xw", W, "linear", W.T),
    "Gemm, transposed": ("Gemm", (onnx.integer("transB", 1),), "xw", W, "linear", W),
    "Gemm from the left": ("Gemm", (), "wx", W, "linear", W),
    "Conv": ("Conv", (), "xw", numbers(5, 3, 2, 2), "convolution", None),
    "Conv of one position": ("Conv", (), "xw", numbers(1, 8, 1), "convolution", None),
    "Gather": ("Gather", (), "wx", W, "embedding", W),
    "Gather of columns": ("Gather", (onnx.integer("axis", 1),), "wx", W, "embedding", W.T),
    "Einsum": ("Einsum", (onnx.text("equation", "bd,de->be"),), "xw", W, "linear", W.T),
    "Einsum, outputs first": (
        "Einsum",
        (onnx.text("equation", "b d, e d -> b e"),),
        "xw",
        W,
        "linear",
        W,
    ),
}


@pytest.mark.parametrize("case", LAYERS)
def test_a_weight_is_laid_out_as_torch_has_it(tmp_path: Path, case: str) -> None:
    operator, attributes, operands, stored, kind, expected = LAYERS[case]
    if case == "MatMul of a stack":
        expected = stored.swapaxes(1, 2)
    found = only(read(tmp_path, [onnx.node(operator, operands, "y", *attributes)], w=stored))
    assert found.kind == kind
    assert found.shape == found.values().shape
    assert np.array_equal(found.values(), stored if expected is None else expected)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_convolution_is_out_by_in(tmp_path: Path, groups: int) -> None:
    stored = numbers(6, 5, 3, 3)  # in x out/groups x kernel
    node = onnx.node("ConvTranspose", "xw", "y", onnx.integer("group", groups))
    found = only(read(tmp_path, [node], w=stored))
    assert found.shape == (5 * groups, 6 // groups, 3, 3)
    for group in range(groups):
        own = stored[group * 6 // groups : (group + 1) * 6 // groups]
        outputs = slice(group * 5, (group + 1) * 5)
        assert np.array_equal(found.values()[outputs], own.swapaxes(0, 1))


def test_a_heads_einsum_is_one_matrix(tmp_path: Path) -> None:
    stored = numbers(8, 2, 3)
    node = onnx.node("Einsum", "xw", "y", onnx.text("equation", "bsd,dnh->bsnh"))
    found = only(read(tmp_path, [node], w=stored))
    assert np.array_equal(found.values(), stored.reshape(8, 6).T)


def test_recurrent_weights_have_the_gates_of_torch(tmp_path: Path) -> None:
    w, r = numbers(2, 12, 5), numbers(2, 12, 3)
    node = onnx.node(
        "LSTM", ["x", "onnx::LSTM_1", "onnx::LSTM_2", "onnx::LSTM_3"], "y", name="/rnn/LSTM_1"
    )
    weights = read(
        tmp_path,
        [node],
        **{"onnx::LSTM_1": w, "onnx::LSTM_2": r, "onnx::LSTM_3": numbers(2, 24)},
    )
    found = {name: t for name, t in weights.tensors.items() if t.kind == "recurrent"}
    assert list(found) == [
        "rnn.weight_ih_l1",
        "rnn.weight_ih_l1_reverse",
        "rnn.weight_hh_l1",
        "rnn.weight_hh_l1_reverse",
    ]
    gates = dict(zip("iofc", np.split(w[1], 4)))
    expected = np.concatenate([gates[gate] for gate in "ifco"])
    assert np.array_equal(found["rnn.weight_ih_l1_reverse"].values(), expected)
    (bias,) = (t for t in weights.tensors.values() if t.kind is None)
    assert bias.joined == "bias"


def test_gru_and_rnn(tmp_path: Path) -> None:
    w, r = numbers(1, 9, 5), numbers(1, 9, 3)
    weights = read(tmp_path, [onnx.node("GRU", "xwr", "y", name="gru")], w=w, r=r)
    z, reset, new = np.split(r[0], 3)
    found = weights.tensors["gru.weight_hh_l0"].values()
    assert np.array_equal(found, np.concatenate([reset, z, new]))
    weights = read(tmp_path, [onnx.node("RNN", "xwr", "y", name="rnn")], w=w, r=numbers(1, 9, 9))
    assert np.array_equal(weights.tensors["rnn.weight_ih_l0"].values(), w[0])


def test_a_weight_is_followed_through_what_moves_it(tmp_path: Path) -> None:
    stored = numbers(2, 3, 4)
    target = onnx.constant("value", onnx.tensor("", np.array([-1, 4], np.int64)))
    nodes = [
        onnx.node("Identity", "w", "a"),
        onnx.node("Constant", "", ["shape"], target),
        onnx.node("Reshape", ["a", "shape"], "b"),
        onnx.node("Cast", "b", "c", onnx.integer("to", 1)),
        onnx.node("Transpose", "c", "d", onnx.integers("perm", [1, 0])),
        onnx.node("MatMul", "xd", "y"),
    ]
    found = only(read(tmp_path, nodes, w=stored))
    assert np.array_equal(found.values(), stored.reshape(6, 4))


def test_gates_cut_from_one_tensor_are_its_use(tmp_path: Path) -> None:
    """As silero-vad does: the rows are cut and joined anew within an If."""
    cut = onnx.graph(
        [
            onnx.node("Slice", "ws", "a"),
            onnx.node("Slice", "ws", "b"),
            onnx.node("Concat", "ab", "c", onnx.integer("axis", 0)),
        ],
        inputs=(),
        outputs=("c",),
    )
    plain = onnx.graph([onnx.node("Identity", "w", "i")], inputs=(), outputs=("i",))
    nodes = [
        onnx.node("If", "x", "v", onnx.body("then_branch", cut), onnx.body("else_branch", plain)),
        onnx.node("Unsqueeze", "v", "u"),
        onnx.node("LSTM", ["x", "u", "u"], "y"),
    ]
    stored = numbers(8, 2)
    found = only(read(tmp_path, nodes, w=stored, s=np.zeros(2, np.int64)))
    assert found.kind == "recurrent"
    assert np.array_equal(found.values(), stored)


def test_subgraphs_and_constant_nodes_have_weights_too(tmp_path: Path) -> None:
    inner, other, outer = numbers(4, 3), numbers(4, 3), numbers(7, 4)

    def branch(values: np.ndarray) -> bytes:
        nodes = [
            onnx.node("Constant", "", "k", onnx.constant("value", onnx.tensor("", values))),
            onnx.node("Gemm", ["h", "k"], "y"),
        ]
        return onnx.graph(nodes, inputs=(), outputs=("y",))

    loop = onnx.graph([onnx.node("MatMul", ["h", "wl"], "y")], [onnx.tensor("wl", outer)])
    nodes = [
        onnx.node("MatMul", ["x", "w"], "h"),
        onnx.node(
            "If",
            "x",
            "y",
            onnx.body("then_branch", branch(inner)),
            onnx.body("else_branch", branch(other)),
            name="choice",
        ),
        onnx.node("Loop", ["x", "x"], "z", onnx.body("body", loop)),
    ]
    weights = read(tmp_path, nodes, w=outer)
    assert [name for name, t in weights.tensors.items() if t.kind == "linear"] == [
        "w",
        "k",
        "choice.else_branch.k",
        "wl",
    ]
    assert np.array_equal(weights.tensors["choice.else_branch.k"].values(), other.T)


def test_the_input_of_a_body_hides_a_constant_of_its_name(tmp_path: Path) -> None:
    loop = onnx.graph([onnx.node("MatMul", ["h", "w"], "y")], inputs=("w",))
    nodes = [onnx.node("Loop", "xx", "y", onnx.body("body", loop))]
    assert not [t for t in read(tmp_path, nodes, w=W).tensors.values() if t.kind]


def test_functions_hand_weights_on(tmp_path: Path) -> None:
    linear = (
        onnx.message(1, "Linear")
        + onnx.message(4, "a")
        + onnx.message(4, "b")
        + onnx.message(5, "c")
        + onnx.message(7, onnx.node("Transpose", "b", "t", onnx.integers("perm", [1, 0])))
        + onnx.message(7, onnx.node("MatMul", "at", "c"))
        + onnx.message(10, "local")
    )
    calls = [
        onnx.node("Linear", "xv", "h", domain="local", name="one"),
        onnx.node("Linear", "hw", "y", domain="local", name="two"),
    ]
    stored = [onnx.tensor("v", W), onnx.tensor("w", W.T)]
    data = onnx.model(onnx.graph(calls, stored), onnx.message(25, linear))
    (tmp_path / "m.onnx").write_bytes(data)
    tensors = read_onnx(tmp_path / "m.onnx").tensors
    assert {name: t.kind for name, t in tensors.items()} == {"v": "linear", "w": "linear"}
    assert np.array_equal(tensors["v"].values(), W)


def test_a_function_that_calls_itself_ends(tmp_path: Path) -> None:
    endless = (
        onnx.message(1, "F")
        + onnx.message(4, "a")
        + onnx.message(5, "c")
        + onnx.message(7, onnx.node("F", "a", "b", domain="local"))
        + onnx.message(7, onnx.node("MatMul", "xa", "c"))
        + onnx.message(10, "local")
    )
    calls = [onnx.node("F", "w", "y", domain="local")]
    data = onnx.model(onnx.graph(calls, [onnx.tensor("w", W)]), onnx.message(25, endless))
    (tmp_path / "m.onnx").write_bytes(data)
    assert read_onnx(tmp_path / "m.onnx").tensors["w"].kind == "linear"


def test_names_come_from_the_scope_where_the_exporter_dropped_them(tmp_path: Path) -> None:
    nodes = [
        onnx.node("MatMul", ["x", "onnx::MatMul_9"], "a", name="/layer.0/query/MatMul"),
        onnx.node("Add", ["onnx::Add_3", "a"], "b", name="/layer.0/query/Add"),
        onnx.node("MatMul", ["b", "onnx::MatMul_8"], "c", name="/layer.0/query/MatMul_1"),
        onnx.node("MatMul", ["c", "7"], "y"),
    ]
    weights = read(
        tmp_path,
        nodes,
        **{
            "onnx::MatMul_9": W,
            "onnx::Add_3": numbers(4),
            "onnx::MatMul_8": numbers(4, 5),
            "7": numbers(5, 5),
        },
    )
    assert list(weights.tensors) == [
        "layer.0.query.weight",
        "layer.0.query.bias",
        "layer.0.query.MatMul_1.weight",
        "7",
    ]


def test_what_is_no_weight_has_a_reason(tmp_path: Path) -> None:
    nodes = [
        onnx.node("MatMul", ["x", "w"], "a"),
        onnx.node("Add", ["a", "onnx::Add_1"], "b"),
        onnx.node("MatMul", ["freq", "b"], "c"),
        onnx.node("Custom", ["c", "custom"], "y", domain="mine"),
    ]
    weights = read(
        tmp_path,
        nodes,
        **{
            "w": W,
            "onnx::Add_1": numbers(6, 4),
            "freq": numbers(1, 8, 1),
            "custom": W,
            "unused": W,
            "ids": np.zeros((2, 2), np.int64),
        },
    )
    reasons = {name: (t.kind, t.joined) for name, t in weights.tensors.items()}
    assert reasons == {
        "w": ("linear", None),
        "onnx::Add_1": (None, "constant of Add"),
        "freq": (None, None),  # a vector, whatever multiplies it
        "custom": (None, None),  # as its name and shape say
        "unused": (None, "no operator uses it"),
        "ids": (None, None),  # integers: skipped for that
    }


def test_an_activation_is_no_weight(tmp_path: Path) -> None:
    """A constant that is joined with activations becomes one."""
    nodes = [
        onnx.node("Concat", ["x", "token"], "h", onnx.integer("axis", 1)),
        onnx.node("MatMul", ["h", "w"], "y"),
    ]
    tensors = read(tmp_path, nodes, token=numbers(1, 4, 6), w=W).tensors
    assert tensors["token"].kind is None and tensors["w"].kind == "linear"


def test_a_changed_weight_is_said_to_be(tmp_path: Path) -> None:
    nodes = [onnx.node("Mul", ["g", "v"], "w"), onnx.node("Gemm", ["x", "w"], "y")]
    weights = read(tmp_path, nodes, g=numbers(6, 1), v=W)
    assert weights.tensors["v"].kind == "linear"
    assert weights.warnings == (
        "operators change v before a layer uses it; it is measured as it is stored",
    )


def test_tied_tables_are_embeddings(tmp_path: Path) -> None:
    nodes = [
        onnx.node("Gather", ["w", "x"], "h"),
        onnx.node("Transpose", "w", "t", onnx.integers("perm", [1, 0])),
        onnx.node("MatMul", ["h", "t"], "y"),
    ]
    found = only(read(tmp_path, nodes, w=W))
    assert (found.kind, found.shape) == ("embedding", W.shape)


def test_the_report_says_that_the_graph_gives_the_kind(tmp_path: Path) -> None:
    nodes = [onnx.node("MatMul", ["x", "embed"], "h"), onnx.node("Gather", ["linear", "x"], "y")]
    stored = [onnx.tensor("embed", W), onnx.tensor("linear", numbers(9, 5))]
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx.model(onnx.graph(nodes, stored)))
    with open_source(str(path)) as source:
        matrices, skipped = find_matrices(source)
    assert [(m.name, m.kind, m.kind_source, m.shape) for m in matrices] == [
        ("embed", "linear", "graph", (4, 6)),
        ("linear", "embedding", "graph", (9, 5)),
    ]
    assert skipped == []
