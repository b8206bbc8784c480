"""Files of numpy against numpy itself, and changed ones."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allennlp_analyze.errors import CheckpointError, SourceError, TensorError
from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.sources.formats.arrays.npy import read_npy, read_npz
from allennlp_analyze.sources.opening import open_source

pytestmark = pytest.mark.newest_python
RNG = np.random.default_rng(0)


def header(text: str, version: int = 1) -> bytes:
    size = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_those_of_numpy(tmp_path: Path, save) -> None:
    arrays = {
        "a/weight": RNG.standard_normal((4, 6)),
        "b.weight": np.asfortranarray(RNG.standard_normal((4, 6)).astype(np.float32)),
        "c.weight": RNG.standard_normal((4, 6)).astype(">f4"),
        "d.weight": np.asfortranarray(RNG.standard_normal((2, 3, 4)).astype(np.float16)),
        "e": RNG.integers(0, 9, (3, 2)),
        "f": np.array(3.0),
        "g": np.zeros((0, 3), np.float32),
        "h": np.array([True, False]),
        "i": np.ones(3, np.complex64),
    }
    save(tmp_path / "m.npz", **arrays)
    read = read_npz(tmp_path / "m.npz", "m")
    assert list(read) == [name.replace("/", ".") for name in arrays]
    for tensor, expected in zip(read.values(), arrays.values()):
        assert tensor.shape == expected.shape
        assert np.array_equal(tensor.values(), expected)
        assert tensor.values().dtype == expected.dtype.newbyteorder("=")
    assert (sum(t.unpacked for t in read.values()) > 0) == (save is np.savez_compressed)


def test_one_array(tmp_path: Path) -> None:
    values = RNG.standard_normal((4, 6))
    np.save(tmp_path / "m.npy", values)
    with open_source(str(tmp_path / "m.npy")) as source:
        (matrix,), _ = find_matrices(source)
    assert np.array_equal(matrix.values(), values)


def test_objects_records_and_texts_are_skipped_and_nothing_is_unpickled(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> "tuple[object, ...]":
            return (Path(tmp_path / "executed").touch, ())

    arrays = {
        "objects": np.array([Evil(), None], dtype=object),
        "records": np.zeros(3, [("a", "f4")]),
        "texts": np.array(["a", "b"]),
        "void": np.zeros(3, "V2"),
        "w": np.ones((2, 3)),
    }
    np.savez(tmp_path / "m.npz", **arrays)
    read = read_npz(tmp_path / "m.npz", "m")
    assert read["objects"].unsupported == "pickled objects of numpy: not read"
    assert all(read[name].unsupported for name in ("records", "texts", "void"))
    assert read["w"].unsupported is None
    assert not (tmp_path / "executed").exists()


def test_kernels_of_flax_are_laid_out_as_in_torch(tmp_path: Path) -> None:
    dense, conv = RNG.standard_normal((5, 7)), RNG.standard_normal((3, 2, 5, 7))
    query, out = RNG.standard_normal((6, 2, 4)), RNG.standard_normal((2, 4, 6))
    arrays = {
        "params/Dense_0/kernel": dense,
        "params/Dense_0/bias": np.ones(7),
        "params/Conv_0/kernel": conv,
        "params/Embed_0/embedding": RNG.standard_normal((9, 4)),
        "params/Block/SelfAttention_0/query/kernel": query,
        "params/Block/SelfAttention_0/out/kernel": out,
        "params/LayerNorm_0/scale": np.ones(7),
        "params/ConvTranspose_0/kernel": conv,
    }
    np.savez(tmp_path / "m.npz", **arrays)
    with open_source(str(tmp_path / "m.npz")) as source:
        matrices, skipped = find_matrices(source)
    found = {matrix.name.removeprefix("params."): matrix for matrix in matrices}
    assert np.array_equal(found["Dense_0"].values(), dense.T)
    expected = np.transpose(conv, (3, 2, 0, 1)).reshape(7, -1)
    assert np.array_equal(found["Conv_0"].values(), expected)
    assert found["ConvTranspose_0"].shape == (7, 30)
    assert np.array_equal(found["Block.SelfAttention_0.query"].values(), query.reshape(6, 8).T)
    assert np.array_equal(found["Block.SelfAttention_0.out"].values(), out.reshape(8, 6).T)
    kinds = {name: matrix.kind for name, matrix in found.items()}
    assert kinds == {
        "Dense_0": "linear",
        "Conv_0": "convolution",
        "Embed_0": "embedding",
        "Block.SelfAttention_0.query": "linear",
        "Block.SelfAttention_0.out": "linear",
        "ConvTranspose_0": "convolution",
    }
    assert {s.reason for s in skipped} == {"bias", "vector"}


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
WRONG = {
    "no .npy file": b"nothing",
    "a header of 65535 bytes": b"\x93NUMPY\x01\0\xff\xff" + bytes(9),
    "a header of 4294967295 bytes": b"\x93NUMPY\x02\0\xff\xff\xff\xff",
    "damaged header": header("__import__('os').system('true')"),
    "damaged header \\(": header("(" * 5000),
    "its shape": header(GOOD.replace("(2, 3)", "(-2, 3)")),
    "its shape\\)": header(GOOD.replace("(2, 3)", "[2, 3]")),
    "is truncated: 24 bytes": header(GOOD) + bytes(20),
    "is truncated: 3402823669209384634633746074317682114": header(
        GOOD.replace("(2, 3)", "(2**0, 3)").replace("2**0, 3", f"{2**60}, {2**61}, 32")
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_arrays_are_refused_in_one_line(tmp_path: Path, message: str) -> None:
    (tmp_path / "m").write_bytes(WRONG[message])
    with pytest.raises(CheckpointError, match=message) as caught:
        read_npy(tmp_path / "m", "m.npy")
    assert str(caught.value).startswith("m.npy: ") and str(caught.value).isprintable()


def test_an_array_that_unpacks_to_much_is_refused_before(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("w.npy", "w") as member:
            member.write(header(GOOD.replace("(2, 3)", "(2048, 2048)")))
            for _ in range(16):
                member.write(bytes(2**20))
    tracemalloc.start()
    with pytest.raises(SourceError, match="unpack to 16777291 bytes, more than 1000000"):
        with open_source(str(tmp_path / "m.npz"), max_unpacked_size=1_000_000):
            pass
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_names_that_become_the_same_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", **{"a/b": np.ones(3), "a.b": np.ones(3)})
    with pytest.raises(CheckpointError, match="the array a.b twice"):
        read_npz(tmp_path / "m.npz", "m")


def archive() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, a=np.arange(6.0).reshape(2, 3))
    with zipfile.ZipFile(file, "a") as added:
        added.writestr("b.npy", header(GOOD) + bytes(24))
    return file.getvalue()


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4),
    st.none() | st.integers(1, 800),
)
def test_changed_bytes_are_read_or_refused(tmp_path: Path, changes, cut) -> None:
    content = bytearray(archive())
    for place, value in changes:
        content[place % len(content)] = value
    (tmp_path / "m").write_bytes(content[:cut])
    try:
        for tensor in read_npz(tmp_path / "m", "m").values():
            if tensor.load is not None:
                assert tensor.values().shape == tensor.shape
    except (CheckpointError, TensorError):
        pass
