"""ONNX models that onnxruntime has quantized: each of its operators gives the weights of before."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.sources.opening import open_source

onnx = pytest.importorskip("onnx", reason="writes the files")
quantization = pytest.importorskip("onnxruntime.quantization", reason="quantizes")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

pytestmark = pytest.mark.newest_python

RANDOM = np.random.default_rng(5)
WEIGHTS = {
    "conv.weight": RANDOM.standard_normal((12, 3, 3, 3)).astype(np.float32),
    "fc.weight": RANDOM.standard_normal((108, 40)).astype(np.float32),
    "out.weight": RANDOM.standard_normal((24, 40)).astype(np.float32) + 0.3,
    "last.weight": RANDOM.standard_normal((24, 9)).astype(np.float32),
}
BIASES = {"out.bias": 24, "last.bias": 9}
# How torch has them: outputs x inputs.
EXPECTED = {
    "conv": WEIGHTS["conv.weight"].reshape(12, -1),
    "fc": WEIGHTS["fc.weight"].T,
    "out": WEIGHTS["out.weight"],
    "last": WEIGHTS["last.weight"].T,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convolution, MatMul, and Gemm with its weight both ways."""
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight"], ["a"], name="/conv/Conv"),
        helper.make_node("Flatten", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "fc.weight"], ["c"], name="/fc/MatMul"),
        helper.make_node("Gemm", ["c", "out.weight", "out.bias"], ["d"], name="/out", transB=1),
        helper.make_node("Gemm", ["d", "last.weight", "last.bias"], ["y"], name="/last"),
    ]
    stored = [numpy_helper.from_array(value, name) for name, value in WEIGHTS.items()]
    stored += [
        numpy_helper.from_array(RANDOM.standard_normal(size).astype(np.float32), name)
        for name, size in BIASES.items()
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 5, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 9])],
        stored,
    )
    path = tmp_path_factory.mktemp("onnx") / "m.onnx"
    domains = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=9), str(path))
    return path


class Samples(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        self.left: Iterator[dict[str, Any]] = iter(
            [{"x": RANDOM.standard_normal((1, 3, 5, 5)).astype(np.float32)} for _ in range(4)]
        )

    def get_next(self) -> "dict[str, Any] | None":
        return next(self.left, None)


def operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(str(path)).graph.node}


def check(path: Path, signed: bool, by_channel: Collection[str]) -> None:
    """Every weight within its rounding of what it was before, and nothing else is a layer."""
    with open_source(str(path)) as source:
        found = {matrix.name: matrix for matrix in find_matrices(source)[0]}
    assert set(found) == set(EXPECTED)
    for name, expected in EXPECTED.items():
        matrix = found[name]
        assert matrix.kind_source == "graph"
        assert matrix.kind == ("convolution" if name == "conv" else "linear")
        largest = np.abs(expected).max(axis=1 if name in by_channel else None, keepdims=True)
        # A zero point of whole steps moves the others by up to half a step.
        bound = largest / 127 / 2 if signed else np.ptp(expected) / 255
        values = np.asarray(matrix.values()).reshape(expected.shape)
        assert np.all(np.abs(values - expected) <= 1.0001 * bound + 1e-6), name
        assert not np.array_equal(values, expected)


@pytest.mark.parametrize("per_channel", [False, True], ids=["by tensor", "by channel"])
@pytest.mark.parametrize("signed", [True, False], ids=["int8", "uint8"])
@pytest.mark.parametrize("how", ["QOperator", "QDQ"])
def test_static_quantization(
    model: Path, tmp_path: Path, how: str, signed: bool, per_channel: bool
) -> None:
    if per_channel and not signed:
        pytest.skip("onnxruntime quantizes channels symmetrically")
    path = tmp_path / "q.onnx"
    quantization.quantize_static(
        model,
        path,
        Samples(),
        quant_format=quantization.QuantFormat[how],
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8 if signed else quantization.QuantType.QUInt8,
        per_channel=per_channel,
    )
    made = {"QLinearConv", "QLinearMatMul", "QGemm"} if how == "QOperator" else {"DequantizeLinear"}
    assert made <= operators(path)
    check(path, signed, EXPECTED if per_channel else ())


@pytest.mark.parametrize("per_channel", [False, True], ids=["by tensor", "by channel"])
def test_dynamic_quantization(model: Path, tmp_path: Path, per_channel: bool) -> None:
    path = tmp_path / "q.onnx"
    quantization.quantize_dynamic(
        model, path, per_channel=per_channel, op_types_to_quantize=["Conv", "MatMul", "Gemm"]
    )
    assert {"DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"} <= operators(path)
    # A convolution of integers has one scale.
    check(path, True, set(EXPECTED) - {"conv"} if per_channel else ())
