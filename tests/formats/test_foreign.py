"""Files that the real libraries write are named by their contents, with and without an ending."""

import os
import shutil
from pathlib import Path
from typing import Callable

import numpy as np
import pytest

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.formats.foreign import File, recognized
from allennlp_analyze.sources.formats.registry import by_content
from allennlp_analyze.sources.opening import open_source

torch = pytest.importorskip("torch")
WEIGHTS = np.arange(512, dtype=np.float32).reshape(32, 16)


def network() -> "torch.nn.Module":
    return torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU())


def keras_model() -> object:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="install the extra `formats`")
    return keras.Sequential([keras.layers.Input((16,)), keras.layers.Dense(32)])


def keras_file(path: Path) -> None:
    keras_model().save(path.with_suffix(".keras"))  # type: ignore[attr-defined]


def keras_weights(path: Path) -> None:
    keras_model().save_weights(path.with_suffix(".weights.h5"))  # type: ignore[attr-defined]


def gguf(path: Path) -> None:
    library = pytest.importorskip("gguf", reason="install the extra `formats`")
    writer = library.GGUFWriter(path.with_suffix(".gguf"), "llama")
    writer.add_tensor("blk.0.attn_q.weight", WEIGHTS)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def onnx(path: Path) -> None:
    library = pytest.importorskip("onnx", reason="install the extra `formats`")
    helper = library.helper
    value = library.numpy_helper.from_array(WEIGHTS, "w")
    x, y = (helper.make_tensor_value_info(n, 1, ["b", d]) for n, d in (("x", 32), ("y", 16)))
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "main", [x], [y], [value])
    library.save(helper.make_model(graph), path.with_suffix(".onnx"))


def exported(path: Path) -> None:
    program = torch.export.export(network(), (torch.ones(2, 16),))
    torch.export.save(program, path.with_suffix(".pt2"))


WRITERS: "dict[str, Callable[[Path], None]]" = {
    "a Keras .keras file": keras_file,
    "an HDF5 file": keras_weights,
    "a GGUF file": gguf,
    "an ONNX model": onnx,
    "torch.export": exported,
    "an .npz file": lambda path: np.savez(path.with_suffix(".npz"), w=WEIGHTS),
    "an .npy file": lambda path: np.save(path.with_suffix(".npy"), WEIGHTS),
}


@pytest.mark.parametrize("what", WRITERS)
def test_a_file_of_the_real_library_is_recognized(tmp_path: Path, what: str) -> None:
    WRITERS[what](tmp_path / "model")
    (written,) = tmp_path.iterdir()
    blob = tmp_path / "blob"
    shutil.copy(written, blob)
    if by_content(written.read_bytes()[:512]) is not None:
        pytest.skip("a reader of this format is registered")
    for path in (written, blob):
        found = recognized(File(path.read_bytes()[:512], path.name, path))
        assert found is not None and what in found.what


def test_a_distributed_checkpoint_of_torch(tmp_path: Path) -> None:
    dcp = pytest.importorskip("torch.distributed.checkpoint")
    dcp.save({"w": torch.ones(8, 4)}, checkpoint_id=str(tmp_path / "dcp"))
    with pytest.raises(SourceError, match="distributed checkpoint of torch"):
        with open_source(str(tmp_path / "dcp")):
            pass
