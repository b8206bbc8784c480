"""Values of every way to write them, in the file and beside it, quantized ones too."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats.onnx.reading import read_onnx
from allennlp_analyze.sources.opening import open_source
from allennlp_analyze.sources.tensor import StoredTensor
from tests.support import onnx_files as onnx

RANDOM = np.random.default_rng(1)
FLOATS = np.array([[0, 1, -2], [0.5, 3e4, -6e-5]], np.float32)


def read_one(path: Path, tensor: bytes) -> StoredTensor:
    (path / "m.onnx").write_bytes(onnx.model(onnx.graph(tensors=[tensor])))
    (found,) = read_onnx(path / "m.onnx").tensors.values()
    return found


def packed(field: int, values: "list[int]") -> bytes:
    return onnx.message(field, b"".join(map(onnx.varint, values)))


def loose(field: int, values: "list[int]") -> bytes:
    return b"".join(onnx.number(field, value) for value in values)


HALVES = FLOATS.astype(np.float16)
BITS = [int(x) for x in HALVES.view(np.uint16).ravel()]
BFLOATS = [int(x) for x in FLOATS.view(np.uint32).ravel() >> 16]
FIXED32 = b"".join(onnx.varint(4 << 3 | 5) + struct.pack("<f", x) for x in FLOATS.ravel())
WAYS = {
    "raw": (1, (onnx.message(9, FLOATS.tobytes()),), FLOATS),
    "floats": (1, (onnx.message(4, FLOATS.tobytes()),), FLOATS),
    "floats in two pieces": (
        1,
        (onnx.message(4, FLOATS[0].tobytes()), onnx.message(4, FLOATS[1].tobytes())),
        FLOATS,
    ),
    "floats, each in a field": (1, (FIXED32,), FLOATS),
    "doubles": (11, (onnx.message(10, FLOATS.astype("<f8").tobytes()),), FLOATS.astype("<f8")),
    "half": (10, (packed(5, BITS),), HALVES),
    "half, each in a field": (10, (loose(5, BITS),), HALVES),
    "half, raw": (10, (onnx.message(9, HALVES.tobytes()),), HALVES),
    "bfloat16": (16, (packed(5, BFLOATS),), (FLOATS.view(np.uint32) >> 16 << 16).view(np.float32)),
    "int8": (3, (packed(5, [-1, 2, -128, 127, 0, 5]),), np.array([[-1, 2, -128], [127, 0, 5]])),
    "int64": (7, (packed(7, [-1, 2**62, -(2**63), 0, 1, 2]),), None),
    "uint64": (13, (packed(11, [2**64 - 1, 1, 2, 3, 4, 5]),), None),
    "raw, given twice": (
        1,
        (onnx.message(9, b"\0" * 24), onnx.message(9, FLOATS.tobytes())),
        FLOATS,
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_write_values(tmp_path: Path, way: str) -> None:
    kind, fields, expected = WAYS[way]
    values = read_one(tmp_path, onnx.described("w", (2, 3), kind, *fields)).values()
    if expected is None:
        expected = {
            "int64": np.array([[-1, 2**62, -(2**63)], [0, 1, 2]]),
            "uint64": np.array([[2**64 - 1, 1, 2], [3, 4, 5]], np.uint64),
        }[way]
    assert values.tobytes() == expected.astype(values.dtype).tobytes()
    assert np.array_equal(values, expected)


def test_dimensions_may_be_packed(tmp_path: Path) -> None:
    dims = onnx.message(1, onnx.varint(2) + onnx.varint(3))
    data = dims + onnx.number(2, 1) + onnx.message(8, "w") + onnx.message(9, FLOATS.tobytes())
    assert read_one(tmp_path, data).shape == (2, 3)


def test_values_are_mapped(tmp_path: Path) -> None:
    found = read_one(tmp_path, onnx.tensor("w", FLOATS))
    assert found.unpacked == 0 and not found.stored().flags.owndata
    assert read_one(tmp_path, onnx.described("w", (2, 3), 10, packed(5, BITS))).unpacked == 12


def test_other_tensors_are_described(tmp_path: Path) -> None:
    cases = {
        onnx.described("w", (2, 3), 8, onnx.message(6, "a")): "text",
        onnx.described("w", (2, 3), 77): "ONNX data type 77 is not supported",
        onnx.described("w", (2, 3), 22, onnx.message(9, b"abc")): "int4: not floating point",
    }
    for data, reason in cases.items():
        assert read_one(tmp_path, data).unsupported == reason
    values = onnx.tensor("w", FLOATS[0])
    sparse = onnx.message(15, onnx.message(1, values) + onnx.number(3, 9) + onnx.number(3, 4))
    (tmp_path / "m.onnx").write_bytes(onnx.model(sparse))
    (found,) = read_onnx(tmp_path / "m.onnx").tensors.values()
    assert (found.name, found.shape, found.unsupported) == ("w", (9, 4), "a sparse tensor")


WRONG = {
    "too few bytes": onnx.described("w", (2, 3), 1, onnx.message(9, b"\0" * 23)),
    "too many bytes": onnx.described("w", (2, 3), 1, onnx.message(9, b"\0" * 25)),
    "no values": onnx.described("w", (2, 3), 1),
    "too few numbers": onnx.described("w", (2, 3), 10, packed(5, [1, 2])),
    "a negative size": onnx.described("w", (-2, 3), 1),
    "a size of 2^63": onnx.described("w", (2**63 - 1,) * 4, 1, onnx.message(9, b"\0" * 24)),
    "many dimensions": onnx.described("w", (1,) * 65, 1, onnx.message(9, b"\0" * 4)),
}


@pytest.mark.parametrize("case", WRONG)
def test_values_that_do_not_fit_are_refused(tmp_path: Path, case: str) -> None:
    with pytest.raises(CheckpointError, match="^[^\n]+m.onnx: [^\n]+$"):
        read_one(tmp_path, WRONG[case])


def test_a_tensor_given_twice_is_refused(tmp_path: Path) -> None:
    tensor = onnx.tensor("w", FLOATS)
    (tmp_path / "m.onnx").write_bytes(onnx.model(onnx.graph(tensors=[tensor, tensor])))
    with pytest.raises(CheckpointError, match="contains the tensor w twice"):
        read_onnx(tmp_path / "m.onnx")


# External data


def beside(path: Path, **entries: object) -> Path:
    tensor = onnx.described("w", (2, 3), 1, onnx.external(**entries))
    (path / "m.onnx").write_bytes(onnx.model(onnx.graph(tensors=[tensor])))
    return path / "m.onnx"


@pytest.mark.parametrize("location", ["m.data", "weights/m.data"])
def test_values_beside_the_model(tmp_path: Path, location: str) -> None:
    (tmp_path / location).parent.mkdir(exist_ok=True)
    (tmp_path / location).write_bytes(b"\0" * 8 + FLOATS.tobytes())
    path = beside(tmp_path, location=location, offset=8, length=24)
    with open_source(str(path)) as source:
        assert np.array_equal(source.tensors["w"].values(), FLOATS)
        assert str(tmp_path / location) in [state.path for state in source.files]


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(FLOATS.tobytes())
    (tensor,) = read_onnx(beside(tmp_path, location="d")).tensors.values()
    (tmp_path / "e").write_bytes(bytes(100))
    os.replace(tmp_path / "e", tmp_path / "d")
    with pytest.raises(CheckpointError, match="has changed since it was found"):
        tensor.values()


def test_two_tensors_of_one_place_are_tied(tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(FLOATS.tobytes() * 2)
    fields = (onnx.external(location="d", offset=at) for at in (0, 24, 0))
    stored = [onnx.described(name, (2, 3), 1, each) for name, each in zip("abc", fields)]
    (tmp_path / "m.onnx").write_bytes(onnx.model(onnx.graph(tensors=stored)))
    a, b, c = read_onnx(tmp_path / "m.onnx").tensors.values()
    assert a.storage == c.storage != b.storage


@pytest.mark.parametrize(
    "entries",
    [
        {"location": "../outside/d"},
        {"location": "/etc/passwd"},
        {"location": "a/../../outside/d"},
        {"location": "./d"},
        {"location": "d/"},
        {"location": ""},
        {"location": ".."},
        {"location": "a\\..\\d"},
        {"location": "c:d"},
        {"location": "d\0"},
        {"location": "d" * 2000},
        {"location": "missing"},
        {"location": "link"},
        {"location": "folder/d"},
        {"location": "hard"},
        {"location": "pipe"},
        {"location": "m.onnx/d"},
        {"location": "d", "offset": 1},
        {"location": "d", "offset": -1},
        {"location": "d", "offset": 2**64 - 8},
        {"location": "d", "offset": "1" * 5000},
        {"location": "d", "offset": "٣"},
        {"location": "d", "length": 23},
        {"location": "d", "length": 2**63},
    ],
    ids=lambda entries: " ".join(f"{k}={str(v)[:20]}" for k, v in entries.items()),
)
def test_no_other_file_is_read(tmp_path: Path, entries: "dict[str, object]") -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    for path in (inside / "d", outside / "d", outside / "e"):
        path.write_bytes(FLOATS.tobytes())
    (inside / "link").symlink_to(outside / "d")
    (inside / "folder").symlink_to(outside)
    os.link(outside / "e", inside / "hard")
    os.mkfifo(inside / "pipe")
    with pytest.raises(CheckpointError, match="^[^\n]+m.onnx: tensor w[^\n]+$"):
        read_onnx(beside(inside, **entries))


def test_links_of_a_hub_cache_lead_to_its_blobs_only(tmp_path: Path) -> None:
    model = tmp_path / "models--a--b"
    snapshot = model / "snapshots" / "0123" / "onnx"
    snapshot.mkdir(parents=True)
    (model / "blobs").mkdir()
    (model / "blobs" / "abc").write_bytes(FLOATS.tobytes())
    (snapshot / "d").symlink_to("../../../blobs/abc")
    path = beside(snapshot, location="d")
    (tensor,) = read_onnx(path).tensors.values()
    assert np.array_equal(tensor.values(), FLOATS)
    (tmp_path / "secret").write_bytes(FLOATS.tobytes())
    for target in ("../../../../secret", "../../../blobs/../../secret", "../../../blobs/link"):
        (snapshot / "d").unlink()
        (snapshot / "d").symlink_to(target)
        if target.endswith("link"):
            (model / "blobs" / "link").symlink_to("../../secret")
        with pytest.raises(CheckpointError, match="is a link|is not a regular file"):
            read_onnx(path)


# Quantized weights


def dequantized(path: Path, nodes: "list[bytes]", **tensors: np.ndarray) -> StoredTensor:
    stored = [onnx.tensor(name, values) for name, values in tensors.items()]
    (path / "m.onnx").write_bytes(onnx.model(onnx.graph(nodes, stored)))
    found = read_onnx(path / "m.onnx").tensors
    assert {t.joined for t in found.values() if t.kind is None} <= {
        "scales of quantization: not a matrix"
    }
    (weight,) = (t for t in found.values() if t.kind is not None)
    return weight


Q = RANDOM.integers(-128, 128, (6, 4)).astype(np.int8)
S = RANDOM.random(4).astype(np.float32) + 0.1
Z = RANDOM.integers(-5, 5, 4).astype(np.int8)


def test_channels_blocks_and_one_scale_for_all(tmp_path: Path) -> None:
    exact = Q.astype(np.float32)
    after = onnx.node("MatMul", "xw", "y")
    node = onnx.node("DequantizeLinear", "qsz", "w")
    found = dequantized(tmp_path, [node, after], q=Q, s=S, z=Z)
    assert np.array_equal(found.values(), ((exact - Z) * S).T)
    assert (found.kind, found.dtype, found.shape) == ("linear", "float32", (4, 6))

    node = onnx.node("DequantizeLinear", "qs", "w", onnx.integer("axis", 0))
    found = dequantized(tmp_path, [node, after], q=Q, s=np.repeat(S[:2], 3))
    assert np.array_equal(found.values(), (exact * np.repeat(S[:2], 3)[:, None]).T)

    node = onnx.node("DequantizeLinear", "qsz", "w")
    found = dequantized(tmp_path, [node, after], q=Q, s=S[0], z=Z[0])
    assert np.array_equal(found.values(), ((exact - Z[0]) * S[0]).T)

    blocks = (onnx.integer("axis", 0), onnx.integer("block_size", 2))
    node = onnx.node("DequantizeLinear", "qs", "w", *blocks)
    scales = RANDOM.random((3, 4)).astype(np.float32)
    found = dequantized(tmp_path, [node, after], q=Q, s=scales)
    assert np.array_equal(found.values(), (exact * np.repeat(scales, 2, 0)).T)


def test_the_noise_is_that_of_the_steps(tmp_path: Path) -> None:
    nodes = [onnx.node("DequantizeLinear", "qs", "w"), onnx.node("MatMul", "xw", "y")]
    found = dequantized(tmp_path, nodes, q=Q, s=S)
    assert found.noise is not None
    rows = found.noise().of(lambda values: values[1:2], found.shape)
    assert rows == pytest.approx(S[1] / np.sqrt(12))
    whole = found.noise().of(lambda values: values, found.shape)
    assert whole == pytest.approx(np.sqrt(np.mean(S.astype(float) ** 2) / 12))


def test_integer_products_find_their_scale_behind_them(tmp_path: Path) -> None:
    nodes = [
        onnx.node("DynamicQuantizeLinear", "x", ["xq", "xs", "xz"]),
        onnx.node("MatMulInteger", ["xq", "w_quantized", "xz", "z"], "i"),
        onnx.node("Mul", ["xs", "s"], "f"),
        onnx.node("Cast", "i", "c", onnx.integer("to", 1)),
        onnx.node("Mul", "cf", "y"),
    ]
    found = dequantized(tmp_path, nodes, w_quantized=Q, z=Z, s=S)
    assert found.name == "w"
    assert np.array_equal(found.values(), ((Q.astype(np.float32) - Z) * S).T)
    found = dequantized(tmp_path, nodes[:2], w_quantized=Q, z=Z)
    assert found.unsupported == "int8: its scale was not found in the graph"


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("points", ["none", "packed", "floats"])
def test_matmul_of_few_bits(tmp_path: Path, bits: int, points: str) -> None:
    rows, columns, block = 5, 44, 16
    numbers = RANDOM.integers(0, 1 << bits, (rows, 48))
    scales = RANDOM.random((rows, 3)).astype(np.float32)
    zeros = RANDOM.integers(0, 1 << bits, (rows, 3))
    each = 8 // bits

    def pack(values: np.ndarray) -> np.ndarray:
        values = np.pad(values, ((0, 0), (0, -values.shape[1] % each)))
        shifted = values.reshape(rows, -1, each) << (bits * np.arange(each))
        return shifted.sum(2).astype(np.uint8)

    tensors = {"q": pack(numbers).reshape(rows, 3, -1), "s": scales.ravel()}
    if points == "packed":
        tensors["z"] = pack(zeros)
    elif points == "floats":
        tensors["z"] = zeros.astype(np.float32)
    else:
        zeros = np.full((rows, 3), 1 << (bits - 1))
    attributes = {"K": columns, "N": rows, "bits": bits, "block_size": block}
    node = onnx.node(
        "MatMulNBits",
        ["x", *tensors],
        "y",
        *(onnx.integer(name, value) for name, value in attributes.items()),
        domain="com.microsoft",
    )
    found = dequantized(tmp_path, [node], **tensors)
    wide = np.repeat(np.stack([zeros, scales]), block, 2)
    expected = (numbers - wide[0]) * wide[1]
    assert np.allclose(found.values(), expected[:, :columns], rtol=1e-6)
    assert found.kind == "linear"


def test_parts_that_do_not_fit_are_said(tmp_path: Path) -> None:
    after = onnx.node("MatMul", "xw", "y")
    node = onnx.node("DequantizeLinear", "qs", "w")
    found = dequantized(tmp_path, [node, after], q=Q, s=S[:3])
    assert found.unsupported == "int8: scale of shape (3,) does not fit it"
    few = onnx.node("MatMulNBits", "xqs", "y", onnx.integer("K", 9), onnx.integer("N", 9))
    found = dequantized(tmp_path, [few], q=Q.view(np.uint8), s=S)
    assert found.unsupported == "4 bits in blocks of 0 are not supported"


def test_a_large_weight_is_unpacked_in_blocks(tmp_path: Path) -> None:
    large = RANDOM.integers(-128, 128, (3000, 3000)).astype(np.int8)
    scales = RANDOM.random(3000).astype(np.float32)
    nodes = [onnx.node("DequantizeLinear", "qs", "w"), onnx.node("MatMul", "xw", "y")]
    found = dequantized(tmp_path, nodes, q=large, s=scales)
    assert np.array_equal(found.values(), (large * scales).T)
