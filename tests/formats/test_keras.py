"""Models of Keras, saved by Keras itself in its three formats, and HDF5 files that mean harm."""

import json
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from allennlp_analyze.errors import CheckpointError, SourceError, TensorError
from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.sources.formats.keras.reading import read_keras
from allennlp_analyze.sources.formats.registry import Keras, head, read_weights
from allennlp_analyze.sources.opening import open_source

pytestmark = pytest.mark.newest_python

h5py = pytest.importorskip("h5py", reason="make test-formats installs h5py")
SAVED = ("m.keras", "m.weights.h5", "m.h5")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model with one layer of each class, trained for a step, and the directory of its files."""
    os.environ["KERAS_BACKEND"] = "torch"
    keras = pytest.importorskip("keras", reason="make test-formats installs keras")
    layers = keras.layers
    x = given = keras.Input((16,))
    x = layers.Embedding(50, 8, name="table")(x)
    x = layers.LSTM(12, return_sequences=True)(x)
    x = layers.Bidirectional(layers.GRU(5, return_sequences=True))(x)
    x = layers.MultiHeadAttention(2, 4)(x, x)
    x = layers.LayerNormalization()(x)
    x = layers.Conv1D(6, 3, name="narrow")(x)
    x = layers.BatchNormalization()(x)
    x = layers.SeparableConv1D(6, 3)(x)
    x = layers.Reshape((2, 6, 6))(x)
    x = layers.Conv2DTranspose(4, (2, 2), name="wide")(x)
    x = layers.DepthwiseConv2D((2, 2), depth_multiplier=2)(x)
    x = layers.Conv2D(3, (1, 2))(x)
    x = layers.Flatten()(x)
    x = keras.Sequential([layers.Dense(9), layers.Dense(7, use_bias=False)], name="inner")(x)
    x = layers.Dense(3, name="head")(x)
    made = keras.Model(given, x)
    made.compile("adam", "mse")
    made.fit(np.zeros((4, 16)), np.zeros((4, 3)), verbose=0)
    directory = tmp_path_factory.mktemp("keras")
    made.save(directory / "m.keras")
    made.save(directory / "m.h5")
    made.save_weights(directory / "m.weights.h5")
    return made, directory


def weights(model, layer: str) -> list[np.ndarray]:
    return [np.asarray(x) for x in model.get_layer(layer).get_weights()]


@pytest.mark.parametrize("name", SAVED)
def test_matrices_are_those_of_the_model(model, name: str) -> None:
    made, directory = model
    with open_source(str(directory / name)) as source:
        matrices, skipped = find_matrices(source)
    found = {matrix.name: matrix for matrix in matrices}
    assert {matrix.kind_source for matrix in matrices} == {"graph"}
    expected = {
        "table": ("embedding", weights(made, "table")[0]),
        "lstm.lstm_cell.weight_ih": ("recurrent", weights(made, "lstm")[0].T),
        "lstm.lstm_cell.weight_hh": ("recurrent", weights(made, "lstm")[1].T),
        "head": ("linear", weights(made, "head")[0].T),
        "inner.dense": ("linear", weights(made, "inner")[0].T),
        "inner.dense_1": ("linear", weights(made, "inner")[2].T),
        "narrow": ("convolution", weights(made, "narrow")[0].transpose(2, 1, 0)),
        "wide": ("convolution", weights(made, "wide")[0].transpose(2, 3, 0, 1)),
        "conv2d": ("convolution", weights(made, "conv2d")[0].transpose(3, 2, 0, 1)),
        "depthwise_conv2d": (
            "convolution",
            weights(made, "depthwise_conv2d")[0].reshape(2, 2, 8).transpose(2, 0, 1),
        ),
        "multi_head_attention.query": (
            "linear",
            weights(made, "multi_head_attention")[0].reshape(10, 8).T,
        ),
        "multi_head_attention.attention_output": (
            "linear",
            weights(made, "multi_head_attention")[6].reshape(8, 10).T,
        ),
    }
    for layer, (kind, values) in expected.items():
        assert found[layer].kind == kind
        assert np.array_equal(found[layer].values(), values.reshape(len(values), -1))
    others = {"bidirectional.forward_gru.gru_cell.kernel", "separable_conv1d.pointwise_kernel"}
    assert others < set(found)
    reasons = {s.parameter: s.reason for s in skipped}
    assert reasons["layer_normalization.weight"] == "normalization: a scale, not a matrix"
    assert reasons["batch_normalization.running_var"] == "buffer: not trained"
    of_optimizer = [name for name in reasons if name.startswith("optimizer")]
    assert of_optimizer and {reasons[n] for n in of_optimizer} == {
        "of the optimizer, not of the model"
    }


def test_the_three_formats_give_the_same(model) -> None:
    _, directory = model
    found = []
    for name in SAVED:
        with open_source(str(directory / name)) as source:
            matrices, _ = find_matrices(source)
            found.append({m.name: (m.kind, m.values().tobytes()) for m in matrices})
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("name", SAVED)
def test_they_are_recognized_by_their_content(model, tmp_path: Path, name: str) -> None:
    _, directory = model
    (tmp_path / "weights").write_bytes((directory / name).read_bytes())
    assert Keras().recognizes(head(tmp_path / "weights", "m"))
    assert read_weights(tmp_path / "weights", "weights.th").tensors


def written(path: Path, fill) -> Path:
    with h5py.File(path, "w") as file:
        fill(file)
    return path


def dense(file) -> None:
    file["dense/dense/kernel"] = np.arange(6, dtype=">f4").reshape(2, 3)


def test_arrays_in_chunks_are_unpacked_and_counted(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((300, 40)).astype(np.float32)

    def fill(file) -> None:
        options = {"compression": "gzip", "shuffle": True, "fletcher32": True}
        file.create_dataset("dense/dense/kernel", data=values, chunks=(64, 8), **options)
        file["big/big/kernel"] = values.astype(">f8")
        file["texts"] = ["a", "b"]
        file["nothing"] = h5py.Empty("f4")

    tensors = read_keras(written(tmp_path / "m.h5", fill), "m").tensors
    assert np.array_equal(tensors["dense.weight"].values(), values.T)
    assert tensors["dense.weight"].unpacked == values.nbytes
    assert np.array_equal(tensors["big.weight"].values(), values.T)
    assert tensors["texts"].unsupported and tensors["nothing"].unsupported


def external_link(file) -> None:
    dense(file)
    file["secret"] = h5py.ExternalLink("/etc/hostname", "/")


def soft_link(file) -> None:
    dense(file)
    file["again"] = h5py.SoftLink("/dense")


def external_storage(file) -> None:
    file.create_dataset("dense/kernel", (4, 4), "u1", external=[("/etc/hostname", 0, 16)])


def virtual(file) -> None:
    layout = h5py.VirtualLayout((4, 4), "f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4, 4))
    file.create_virtual_dataset("dense/kernel", layout)


def deep(file) -> None:
    group = file
    for _ in range(80):
        group = group.create_group("g")


def empty(file) -> None:
    file.create_group("layers")


HOSTILE = {
    "secret is a link, which is refused": external_link,
    "again is a link, which is refused": soft_link,
    "dense/kernel has its values in another file, which is refused": external_storage,
    "kernel has its values in another file, which is refused": virtual,
    "nested more than 64 deep": deep,
    "without arrays": empty,
}


@pytest.mark.parametrize("message", HOSTILE)
def test_hostile_files_are_refused_in_one_line(tmp_path: Path, message: str) -> None:
    path = written(tmp_path / "m.h5", HOSTILE[message])
    with pytest.raises(CheckpointError, match=f"^m.h5: .*{message}") as caught:
        read_keras(path, "m.h5")
    assert str(caught.value).isprintable()


def test_cycles_end(tmp_path: Path) -> None:
    def fill(file) -> None:
        dense(file)
        for index in range(30):
            group = file.create_group(f"g{index}")
            group["up"] = file["/"]
            group["other"] = file[f"g{max(index - 1, 0)}"]

    started = time.process_time()
    tensors = read_keras(written(tmp_path / "m.h5", fill), "m").tensors
    assert list(tensors) == ["dense.weight"]
    assert time.process_time() - started < 5


def test_an_array_that_takes_no_room_counts_with_its_size(tmp_path: Path) -> None:
    def fill(file) -> None:
        file.create_dataset("dense/kernel", (2**20, 2**20), "f4", chunks=(64, 64))

    path = written(tmp_path / "m.h5", fill)
    with pytest.raises(SourceError, match="unpack to 4398046511104 bytes"):
        with open_source(str(path)):
            pass


def test_large_chunks_and_odd_names(tmp_path: Path) -> None:
    def fill(file) -> None:
        file.create_dataset("a/kernel", (2**16, 2**16), "f4", chunks=(2**14, 2**13))
        file["c\x1b[31m/kernel"] = np.ones((2, 3))

    tensors = read_keras(written(tmp_path / "m.h5", fill), "m").tensors
    assert list(tensors) == ["a.kernel", "c\x1b[31m.weight"]
    assert "chunks of more than 256 MiB" in (tensors["a.kernel"].unsupported or "")
    for name in tensors:
        json.dumps(name).encode("utf-8")
        name.encode("utf-8")


def test_a_zip_file_without_weights(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(CheckpointError, match="zip file without Keras's config.json and model"):
        read_weights(tmp_path / "m.keras", "m.keras")


def test_changed_bytes_are_read_or_refused(tmp_path: Path) -> None:
    content = written(tmp_path / "m.h5", dense).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        changed = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            changed[place] = rng.integers(0, 256)
        (tmp_path / "x.h5").write_bytes(changed[: rng.integers(1, len(content))])
        (tmp_path / "x.h5").write_bytes(changed)
        try:
            for tensor in read_keras(tmp_path / "x.h5", "x").tensors.values():
                if tensor.load is not None and tensor.unpacked < 2**20:
                    tensor.values()
        except (CheckpointError, TensorError):
            pass


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    def fill(file) -> None:
        file[b"b\xff/kernel"] = np.ones((2, 3))

    with pytest.raises(CheckpointError, match="^m.h5: is a damaged HDF5 file") as caught:
        read_keras(written(tmp_path / "m.h5", fill), "m.h5")
    assert str(caught.value).isprintable()
