"""ONNX models written by the real libraries: onnx, torch's exporters, Paddle, onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.sources.formats.onnx.reading import read_onnx
from allennlp_analyze.sources.opening import open_source
from allennlp_analyze.sources.tensor import StoredTensor

onnx = pytest.importorskip("onnx", reason="writes the files")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

pytestmark = pytest.mark.newest_python

ml_dtypes = pytest.importorskip("ml_dtypes", reason="has the types that numpy lacks")
RANDOM = np.random.default_rng(3)


def saved(path: Path, nodes: "list[Any]", tensors: "list[Any]", **options: Any) -> Path:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], tensors)
    onnx.save(helper.make_model(graph), str(path), **options)
    return path


TYPES = (
    "FLOAT DOUBLE FLOAT16 BFLOAT16 INT8 UINT8 INT16 UINT16 INT32 UINT32 INT64 UINT64 BOOL"
    " COMPLEX64 COMPLEX128 FLOAT8E4M3FN FLOAT8E4M3FNUZ FLOAT8E5M2 FLOAT8E5M2FNUZ"
).split()


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
@pytest.mark.parametrize("kind", TYPES)
def test_values_are_those_of_numpy_helper(tmp_path: Path, kind: str, raw: bool) -> None:
    dtype = helper.tensor_dtype_to_np_dtype(getattr(TensorProto, kind))
    values = (RANDOM.standard_normal((3, 5)) * 3).astype(np.float32).astype(dtype)
    data = values.tobytes() if raw else values.ravel().tolist()
    if not raw and np.iscomplexobj(values):
        data = values.ravel()
    proto = helper.make_tensor("w", getattr(TensorProto, kind), (3, 5), data, raw=raw)
    path = saved(tmp_path / "m.onnx", [], [proto])
    (found,) = read_onnx(path).tensors.values()
    expected = numpy_helper.to_array(proto)
    assert found.shape == expected.shape
    wide = expected if np.dtype(expected.dtype).isbuiltin else expected.astype(np.float32)
    assert np.asarray(found.values()).astype(wide.dtype).tobytes() == wide.tobytes()


@pytest.mark.parametrize("single", [True, False], ids=["one file", "a file each"])
def test_external_data(tmp_path: Path, single: bool) -> None:
    values = {name: RANDOM.standard_normal((40, 30)).astype(np.float32) for name in "abc"}
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["y"]),
        helper.make_node("Gather", ["b", "x"], ["z"]),
        helper.make_node("Gemm", ["x", "c"], ["u"], transB=1),
    ]
    tensors = [numpy_helper.from_array(v, k) for k, v in values.items()]
    path = saved(
        tmp_path / "m.onnx",
        nodes,
        tensors,
        save_as_external_data=True,
        all_tensors_to_one_file=single,
        location="m.data" if single else None,
        size_threshold=0,
    )
    with open_source(str(path)) as source:
        found = source.tensors
        assert np.array_equal(found["a"].values(), values["a"].T)
        assert np.array_equal(found["b"].values(), values["b"])
        assert np.array_equal(found["c"].values(), values["c"])
        read = {Path(state.path).name for state in source.files if state.size is not None}
    assert len(read) == (2 if single else 4)


def session_of(runtime: Any, path: Path) -> Any:
    """Without optimizations, which would round otherwise."""
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def same_products(session: Any, given: np.ndarray, weight: StoredTensor) -> None:
    expected = session.run(None, {"x": given})[0]
    found = given @ weight.values().T
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def only(path: Path) -> StoredTensor:
    (found,) = (t for t in read_onnx(path).tensors.values() if t.kind is not None)
    return found


def typed(path: Path, nodes: "list[Any]", tensors: "list[Any]", columns: int, opset: int) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, columns])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None])],
        tensors,
    )
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=domains, ir_version=10)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("kind", ["INT8", "UINT8", "INT4", "UINT4", "FLOAT8E4M3FN"])
@pytest.mark.parametrize("by", ["tensor", "rows", "columns", "blocks"])
def test_dequantized_as_onnxruntime_does(tmp_path: Path, kind: str, by: str) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="dequantizes")
    rows, columns, block = 32, 24, 16
    if kind == "FLOAT8E4M3FN" and by == "blocks":
        pytest.skip("onnxruntime has no blocks of float8")
    dtype = helper.tensor_dtype_to_np_dtype(getattr(TensorProto, kind))
    signed = kind.startswith("INT")
    half = 8 if kind.endswith("4") else 128
    codes = RANDOM.integers(-half if signed else 0, half if signed else 2 * half, (rows, columns))
    if kind.startswith("FLOAT"):
        codes = RANDOM.integers(-8, 9, (rows, columns))
    shape = {"tensor": (), "rows": (rows,), "columns": (columns,), "blocks": (2, columns)}[by]
    scale = RANDOM.random(shape).astype(np.float32) + 0.1
    zero = RANDOM.integers(0, half // 2, shape)
    if kind.startswith("FLOAT"):
        zero = np.zeros(shape)
    tensors = [
        helper.make_tensor(name, getattr(TensorProto, kind), values.shape, values.ravel())
        for name, values in (("q", codes.astype(dtype)), ("z", np.asarray(zero).astype(dtype)))
    ]
    tensors.append(numpy_helper.from_array(np.asarray(scale), "s"))
    attributes = {"axis": 1 if by == "columns" else 0}
    if by == "blocks":
        attributes["block_size"] = block
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], **attributes),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    path = typed(tmp_path / "m.onnx", nodes, tensors, rows, 21)
    found = only(path)
    session = session_of(runtime, path)
    expected = session.run(None, {"x": np.eye(rows, dtype=np.float32)})[0]
    assert np.allclose(found.values(), expected.T, rtol=1e-6)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zeros", [False, True])
def test_matmul_of_few_bits_as_onnxruntime_has_it(tmp_path: Path, bits: int, zeros: bool) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="multiplies")
    n, k, block = 24, 64, 32
    blocks = k // block
    codes = RANDOM.integers(0, 256, (n, blocks, block * bits // 8)).astype(np.uint8)
    scales = RANDOM.random((n, blocks)).astype(np.float32)
    tensors = {"b": codes, "s": scales}
    if zeros:
        tensors["z"] = RANDOM.integers(0, 256, (n, -(-blocks * bits // 8))).astype(np.uint8)
    attributes = {"K": k, "N": n, "bits": bits, "block_size": block, "domain": "com.microsoft"}
    node = helper.make_node("MatMulNBits", ["x", *tensors], ["y"], **attributes)
    stored = [numpy_helper.from_array(v, name) for name, v in tensors.items()]
    path = typed(tmp_path / "m.onnx", [node], stored, k, 21)
    same_products(session_of(runtime, path), np.eye(k, dtype=np.float32), only(path))


def test_dynamic_quantization_by_onnxruntime(tmp_path: Path) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization", reason="quantizes")
    weight = RANDOM.standard_normal((48, 32)).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "fc.weight"], ["y"], name="/fc/MatMul")
    path = typed(
        tmp_path / "m.onnx", [node], [numpy_helper.from_array(weight, "fc.weight")], 48, 17
    )
    for per_channel in (False, True):
        target = tmp_path / f"q{per_channel}.onnx"
        quantization.quantize_dynamic(path, target, per_channel=per_channel)
        found = only(target)
        assert found.name == "fc.weight"
        step = np.abs(weight).max() / 127
        assert np.abs(found.values() - weight.T).max() < step


class TestTorch:
    """Models that torch exports, against their own parameters."""

    @pytest.fixture
    def torch(self) -> Any:
        torch = pytest.importorskip("torch", reason="exports models")
        torch.manual_seed(0)
        return torch

    def exported(self, torch: Any, model: Any, given: Any, path: Path, dynamo: bool) -> Path:
        if dynamo:
            pytest.importorskip("onnxscript", reason="torch's new exporter needs it")
        model.eval()
        torch.onnx.export(model, given, str(path), dynamo=dynamo, verbose=False)
        return path

    @pytest.mark.parametrize("dynamo", [False, True], ids=["by tracing", "by dynamo"])
    def test_a_transformer(self, torch: Any, tmp_path: Path, dynamo: bool) -> None:
        class Model(torch.nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.embed = torch.nn.Embedding(50, 16)
                self.query = torch.nn.Linear(16, 24)
                self.up = torch.nn.Linear(24, 40, bias=False)
                self.norm = torch.nn.LayerNorm(40)
                self.down = torch.nn.Linear(40, 16)

            def forward(self, ids: Any) -> Any:
                h = self.query(self.embed(ids))
                h = self.down(self.norm(torch.relu(self.up(h))))
                return h @ self.embed.weight.T

        model = Model()
        given = (torch.zeros(2, 7, dtype=torch.long),)
        path = self.exported(torch, model, given, tmp_path / "m.onnx", dynamo)
        with open_source(str(path)) as source:
            matrices, _ = find_matrices(source)
        found = {matrix.name: matrix for matrix in matrices}
        for name, kind in {
            "embed": "embedding",
            "query": "linear",
            "up": "linear",
            "down": "linear",
        }.items():
            expected = dict(model.named_parameters())[f"{name}.weight"].detach().numpy()
            assert (found[name].kind, found[name].kind_source) == (kind, "graph")
            assert np.array_equal(found[name].values(), expected)
            assert found[name].surroundings.outputs_first

    @pytest.mark.parametrize("dynamo", [False, True], ids=["by tracing", "by dynamo"])
    def test_convolutions(self, torch: Any, tmp_path: Path, dynamo: bool) -> None:
        nn = torch.nn
        # The name tells the reader of the state dict that it is transposed.
        layers = {
            "conv": nn.Conv2d(4, 8, 3, groups=2),
            "deconv": nn.ConvTranspose2d(8, 6, 3, groups=2),
            "last": nn.Conv2d(6, 5, 1),
        }
        model = nn.Sequential()
        for name, layer in layers.items():
            model.add_module(name, layer)
        path = self.exported(torch, model, (torch.zeros(1, 4, 9, 9),), tmp_path / "m.onnx", dynamo)
        torch.save(model.state_dict(), tmp_path / "m.pt")
        self.same_matrices(path, tmp_path / "m.pt")

    @pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
    def test_recurrent_layers(self, torch: Any, tmp_path: Path, kind: str) -> None:
        class Model(torch.nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.rnn = getattr(torch.nn, kind)(6, 5, num_layers=2, bidirectional=True)

            def forward(self, x: Any) -> Any:
                return self.rnn(x)[0]

        model = Model()
        path = self.exported(
            torch, model, (torch.zeros(3, 1, 6),), tmp_path / "m.onnx", dynamo=False
        )
        torch.save(model.state_dict(), tmp_path / "m.pt")
        self.same_matrices(path, tmp_path / "m.pt", split_gates=True)

    def same_matrices(self, path: Path, other: Path, **options: bool) -> None:
        with open_source(str(path)) as source, open_source(str(other)) as state:
            found = {m.name: m for m in find_matrices(source, **options)[0]}
            expected = {m.name: m for m in find_matrices(state, **options)[0]}
            assert set(found) == set(expected)
            for name, matrix in expected.items():
                assert np.array_equal(found[name].values(), matrix.values())
                assert found[name].kind == matrix.kind
