"""ONNX models that packages ship: silero-vad's, and Paddle's in rapidocr."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.sources.formats.onnx.reading import read_onnx
from allennlp_analyze.sources.opening import open_source

onnx = pytest.importorskip("onnx", reason="reads the files another way")
from onnx import helper, numpy_helper  # noqa: E402

pytestmark = pytest.mark.newest_python


def packages(name: str, *patterns: str) -> "list[Path]":
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{name} is not installed")
    folder = Path(next(iter(spec.submodule_search_locations)))
    return sorted(path for pattern in patterns for path in folder.rglob(pattern))


def matrices_of(path: Path) -> "dict[tuple[int, ...], list[np.ndarray]]":
    """All matrices by shape, columns sorted: another order of the gates does not count."""
    found: dict[tuple[int, ...], list[np.ndarray]] = {}
    with open_source(str(path)) as source:
        for matrix in find_matrices(source)[0]:
            values = np.sort(np.asarray(matrix.values(), dtype=np.float32), axis=0)
            found.setdefault(matrix.shape, []).append(values)
    return found


def test_silero_has_the_same_matrices_in_all_its_models() -> None:
    """Those of 16 kHz; some files have a second model, for 8 kHz. The .jit is read by torch."""
    torch = pytest.importorskip("torch", reason="reads the .jit")
    (jit,) = packages("silero_vad", "silero_vad.jit")
    state = torch.jit.load(str(jit)).state_dict()
    expected = [
        np.sort(tensor.numpy().reshape(len(tensor), -1), axis=0)
        for name, tensor in state.items()
        if tensor.dim() > 1 and name.startswith("_model.") and "buffer" not in name
    ]
    assert len(expected) == 7
    paths = [p for p in packages("silero_vad", "*.onnx") if "half" not in p.name]
    assert len(paths) > 3
    for path in paths:
        found = matrices_of(path)
        for matrix in expected:
            assert any(np.array_equal(matrix, x) for x in found[matrix.shape]), path.name
        assert sum(map(len, found.values())) in (7, 14), path.name


def test_silero_has_the_same_shapes_in_safetensors() -> None:
    """The package ships it with the weights of another release. Its Fourier basis has no name that
    says that it is a buffer."""
    (path,) = packages("silero_vad", "silero_vad_16k.safetensors")
    (model,) = packages("silero_vad", "silero_vad_16k_op15.onnx")
    expected, found = matrices_of(path), matrices_of(model)
    assert len(expected.pop((258, 256))) == 1
    assert {s: len(x) for s, x in expected.items()} == {s: len(x) for s, x in found.items()}
    for shape, matrices in expected.items():
        assert not any(np.array_equal(a, b) for a in matrices for b in found[shape])


def graphs(graph: Any) -> "list[Any]":
    found = [graph]
    for node in graph.node:
        for attribute in node.attribute:
            inner = [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else []
            for body in (*inner, *attribute.graphs):
                found.extend(graphs(body))
    return found


LAYERS = {"Conv": 1, "ConvTranspose": 1, "MatMul": 1, "Gemm": 1}


def test_paddles_models_have_all_their_weights() -> None:
    paths = packages("rapidocr", "*.onnx")
    assert paths
    for path in paths:
        model = onnx.load(str(path))
        constants = {tensor.name: tensor for tensor in model.graph.initializer}
        made = {output: node for node in model.graph.node for output in node.output}
        constants |= {
            name: helper.get_attribute_value(node.attribute[0])
            for name, node in made.items()
            if node.op_type == "Constant"
        }
        expected = set()
        for node in model.graph.node:
            if node.op_type in LAYERS:
                name = node.input[LAYERS[node.op_type]]
                while name in made and made[name].op_type in ("Identity", "Cast"):
                    name = made[name].input[0]
                if name in constants:
                    expected.add(name)
        tensors = read_onnx(path).tensors
        assert len(tensors) == len(constants)
        found = [t.values() for t in tensors.values() if t.kind is not None]
        theirs = [numpy_helper.to_array(constants[name]) for name in expected]
        assert len(found) > 50
        assert sorted(np.sort(x.ravel()).tobytes() for x in found) == sorted(
            np.sort(x.ravel()).tobytes() for x in theirs
        )
