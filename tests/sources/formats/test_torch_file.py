"""The weights reader against torch.load, and against files that want to be more than weights."""

import contextlib
import inspect
import io
import mmap
import os
import pickle
import struct
import tarfile
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allennlp_analyze.errors import CheckpointError, TensorError
from allennlp_analyze.sources.formats.torch_file import read_checkpoint
from allennlp_analyze.sources.pickles.machine import unpickle
from tests.conftest import Corpus, corpus_names

FORMATS = pytest.mark.parametrize("zipped", [False, True], ids=["legacy", "zip"])
_NAMES = (
    "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128"
    " uint16 uint32 uint64"
)
DTYPES = [name for name in _NAMES.split() if hasattr(torch, name)]


def save(value: object, path: Path, zipped: bool) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


def as_numpy(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach().resolve_conj().resolve_neg()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def assert_same(values: np.ndarray, tensor: torch.Tensor) -> None:
    expected = as_numpy(tensor)
    assert values.shape == expected.shape
    assert values.dtype == expected.dtype
    assert values.tobytes() == expected.tobytes()


def torch_load(path: Path) -> dict[str, torch.Tensor]:
    """torch's reading of a file of ours: trusted, so without newer torch's restrictions."""
    newer = "weights_only" in inspect.signature(torch.load).parameters
    loaded: dict[str, torch.Tensor] = torch.load(path, **({"weights_only": False} if newer else {}))
    return loaded


def assert_equals_torch(path: Path) -> None:
    ours, theirs = read_checkpoint(path), torch_load(path)
    assert list(ours) == list(theirs)
    for name, tensor in theirs.items():
        assert ours[name].shape == tuple(tensor.shape)
        assert f"torch.{ours[name].dtype}" == str(tensor.dtype)
        assert_same(ours[name].values(), tensor)


def random_tensor(name: str, *shape: int) -> torch.Tensor:
    dtype = getattr(torch, name)
    size = int(np.prod(shape)) * torch.zeros((), dtype=dtype).element_size()
    generator = np.random.default_rng(7)
    if name == "bool":
        return torch.tensor(generator.integers(0, 2, shape).astype(bool))
    raw = torch.tensor(generator.integers(0, 256, size, dtype=np.uint8))
    return raw.view(dtype).reshape(shape)  # every bit pattern, NaN and subnormal numbers too


@pytest.mark.parametrize("name", corpus_names())
def test_corpus_is_bit_identical(corpus: Corpus, name: str, tmp_path: Path) -> None:
    with tarfile.open(corpus.path(name)) as tar:
        member = next(m for m in tar if m.name.split("/")[-1] == "weights.th")
        content = tar.extractfile(member)
        assert content is not None
        (tmp_path / "weights.th").write_bytes(content.read())
    assert_equals_torch(tmp_path / "weights.th")
    shapes = {n: list(t.shape) for n, t in read_checkpoint(tmp_path / "weights.th").items()}
    assert shapes == corpus.oracle[name]["parameters"]


@FORMATS
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(tmp_path: Path, dtype: str, zipped: bool) -> None:
    state = {"w": random_tensor(dtype, 5, 3), "scalar": random_tensor(dtype, 1)[0]}
    read = read_checkpoint(save(state, tmp_path / "w", zipped))
    # With what was saved: torch 2.13 cannot load its own legacy files of unsigned integers.
    for name, tensor in state.items():
        assert f"torch.{read[name].dtype}" == str(tensor.dtype)
        assert_same(read[name].values(), tensor)


@FORMATS
@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_float8_by_ml_dtypes_or_by_name(tmp_path: Path, dtype: str, zipped: bool) -> None:
    if not hasattr(torch, dtype):
        pytest.skip("this torch has no float8")
    tensor = random_tensor(dtype, 16, 16)
    read = read_checkpoint(save({"w": tensor}, tmp_path / "w", zipped))["w"]
    try:
        import ml_dtypes  # noqa: F401
    except ImportError:
        assert "ml_dtypes" in (read.unsupported or "")
        with pytest.raises(TensorError, match="w: float8"):
            read.values()
    else:
        np.testing.assert_array_equal(read.values(), tensor.float().numpy())


@FORMATS
@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_every_protocol(tmp_path: Path, protocol: int, zipped: bool) -> None:
    state = OrderedDict(w=torch.randn(4, 3), long_name_é=torch.ones(300))
    torch.save(
        state, tmp_path / "w", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped
    )
    assert_equals_torch(tmp_path / "w")


@FORMATS
def test_views_and_shapes(tmp_path: Path, zipped: bool) -> None:
    base = torch.arange(60, dtype=torch.float32).reshape(6, 10)
    state = {
        "whole": base,
        "transposed": base.t(),
        "rows": base[2:4],
        "columns": base[:, 3:5],
        "stepped": base[::2, 1::3],
        "expanded": base[:, :1].expand(6, 7),
        "overlapping": base.flatten().unfold(0, 8, 4),
        "scalar": base[3, 4],
        "empty": torch.zeros(0, 4),
        "empty_view": base[:, 5:5],
        "three": base.reshape(2, 3, 10).permute(2, 0, 1),
        "parameter": torch.nn.Parameter(base.clone()),
    }
    assert_equals_torch(save(state, tmp_path / "w", zipped))


@FORMATS
def test_tied_tensors_share_their_storage_and_no_others(tmp_path: Path, zipped: bool) -> None:
    base = torch.randn(4, 4)
    state = {
        "a": base,
        "tied": base,
        "alias": base.view(4, 4),
        "transposed": base.t(),
        "half": base[:2],
        "equal": base.clone(),
    }
    read = read_checkpoint(save(state, tmp_path / "w", zipped))
    groups: dict[object, list[str]] = {}
    for name, tensor in read.items():
        groups.setdefault(tensor.storage, []).append(name)
    assert sorted(groups.values()) == [
        ["a", "tied", "alias"],
        ["equal"],
        ["half"],
        ["transposed"],
    ]


@FORMATS
def test_a_module_with_metadata(tmp_path: Path, zipped: bool) -> None:
    module = torch.nn.Sequential(torch.nn.LSTM(3, 4, bidirectional=True), torch.nn.BatchNorm1d(2))
    assert_equals_torch(save(module.state_dict(), tmp_path / "w", zipped))


@FORMATS
def test_a_tensor_with_attributes(tmp_path: Path, zipped: bool) -> None:
    tensor = torch.randn(3, 2)
    tensor.note = [1, "two"]  # type: ignore[attr-defined]
    read = read_checkpoint(save({"w": tensor}, tmp_path / "w", zipped))
    assert_same(read["w"].values(), tensor)


@FORMATS
def test_conjugated_and_negated_views(tmp_path: Path, zipped: bool) -> None:
    tensor = torch.randn(3, 2, dtype=torch.complex64)
    # Two files: torch does not save two views of one storage by different types together.
    for view in (tensor.conj(), tensor.conj().imag):
        assert_equals_torch(save({"w": view}, tmp_path / "w", zipped))


@FORMATS
@pytest.mark.filterwarnings("ignore")
def test_tensors_without_values_do_not_fail_the_file(tmp_path: Path, zipped: bool) -> None:
    dense = torch.eye(3)
    state = {
        "dense": dense,
        "sparse": dense.to_sparse(),
        "csr": dense.to_sparse_csr(),
        "quantized": torch.quantize_per_tensor(dense, 0.1, 0, torch.qint8),
        "meta": torch.zeros(4, 5, device="meta"),
    }
    read = read_checkpoint(save(state, tmp_path / "w", zipped))
    assert_same(read["dense"].values(), dense)
    for name, word in [("sparse", "sparse"), ("csr", "sparse"), ("meta", "meta")]:
        assert word in (read[name].unsupported or "")
    assert "quantized" in (read["quantized"].unsupported or "")
    assert [read[n].shape for n in ("sparse", "csr", "quantized", "meta")] == [
        *[(3, 3)] * 3,
        (4, 5),
    ]
    with pytest.raises(TensorError, match="sparse"):
        read["sparse"].values()


@FORMATS
@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"state_dict": s, "epoch": 3, "lr": 1e-3, "name": None},
        lambda s: {"model": s, "optimizer": {"state": {0: {"exp_avg": torch.ones(2, 2)}}}},
        lambda s: {"net": {f"module.{k}": v for k, v in s.items()}},
        lambda s: {f"module.{k}": v for k, v in s.items()},
        lambda s: {"model_state_dict": {"state_dict": s}, "best": torch.tensor(1.0), "epoch": 1},
        lambda s: {**s, "steps": 7, "note": "text", "nothing": None},
    ],
)
def test_wrapped_state_dicts(tmp_path: Path, wrap: object, zipped: bool) -> None:
    state = {"a.weight": torch.randn(3, 2), "a.bias": torch.randn(3)}
    path = save(wrap(state), tmp_path / "w", zipped)  # type: ignore[operator]
    read = read_checkpoint(path)
    assert list(read) == list(state)
    for name, tensor in state.items():
        assert_same(read[name].values(), tensor)


@pytest.mark.parametrize("state", [{"module.a": 1, "b": 2}, {"model": 1, "model.b": 2}])
def test_names_are_otherwise_left(tmp_path: Path, state: dict[str, int]) -> None:
    tensors = {name: torch.full((2,), float(n)) for name, n in state.items()}
    assert list(read_checkpoint(save(tensors, tmp_path / "w", True))) == list(tensors)


def test_a_model_without_parameters_is_empty(tmp_path: Path) -> None:
    assert read_checkpoint(save(OrderedDict(), tmp_path / "w", True)) == {}


@FORMATS
def test_values_are_views_of_the_mapped_file(tmp_path: Path, zipped: bool) -> None:
    path = save({"w": torch.randn(64, 32)}, tmp_path / "w", zipped)
    tensor = read_checkpoint(path)["w"]
    base: object = tensor.values()
    assert isinstance(base, np.ndarray)
    assert not base.flags.writeable
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap)
    expected = tensor.values().copy()
    path.unlink()  # as when an archive's temporary directory is removed
    np.testing.assert_array_equal(tensor.values(), expected)


@FORMATS
def test_reading_takes_no_memory_for_values(tmp_path: Path, zipped: bool) -> None:
    path = save({f"w{i}": torch.zeros(2**20) for i in range(32)}, tmp_path / "w", zipped)
    before = anonymous_kib()
    tensors = read_checkpoint(path)
    total = sum(float(tensor.values()[-1]) for tensor in tensors.values())
    assert total == 0
    assert anonymous_kib() - before < 16 * 1024  # of 128 MiB


def anonymous_kib() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs /proc")
    return next(int(x.split()[1]) for x in status.read_text().splitlines() if "RssAnon" in x)


def test_compressed_records_are_inflated(tmp_path: Path) -> None:
    state = {"w": torch.randn(40, 30), "zeros": torch.zeros(100, 100)}
    path = save(state, tmp_path / "w", True)
    with (
        zipfile.ZipFile(path) as source,
        zipfile.ZipFile(tmp_path / "z", "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for record in source.infolist():
            target.writestr(record.filename, source.read(record))
    read = read_checkpoint(tmp_path / "z")
    (tmp_path / "z").unlink()  # as when an archive's temporary directory is removed
    for name, tensor in state.items():
        assert_same(read[name].values(), tensor)


def test_a_damaged_compressed_record_fails_its_tensor_only(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", view_pickle(0, (6,), (1,)))
        archive.writestr("archive/data/0", np.arange(6, dtype="<f4").tobytes())
    content = bytearray(buffer.getvalue())
    content[content.index(b"archive/data/0") + 16] ^= 1
    (tmp_path / "w").write_bytes(bytes(content))
    tensor = read_checkpoint(tmp_path / "w")["w"]
    with pytest.raises(TensorError, match="w: record archive/data/0"):
        tensor.values()


def test_a_compressed_record_is_inflated_in_pieces(tmp_path: Path) -> None:
    """Zeros deflate 1000-fold: the packed bytes are one piece, what they hold is many."""
    values = torch.zeros(3000, 1000)
    values[1234, 567] = 7.0
    with (
        zipfile.ZipFile(save({"w": values}, tmp_path / "w", True)) as source,
        zipfile.ZipFile(tmp_path / "z", "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for record in source.infolist():
            target.writestr(record.filename, source.read(record))
    (tensor,) = read_checkpoint(tmp_path / "z").values()
    tracemalloc.start()
    try:
        assert tensor.values().sum() == 7.0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < values.element_size() * values.nelement() / 2


def test_a_huge_expanded_view_is_described_only(tmp_path: Path) -> None:
    state = {"w": torch.ones(1, 1).expand(2**20, 2**20)}
    tensor = read_checkpoint(save(state, tmp_path / "w", True))["w"]
    assert tensor.shape == (2**20, 2**20)
    assert "expanded" in (tensor.unsupported or "")


# Files that are not weights


class Canary:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


def legacy_file(pickled: bytes) -> bytes:
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}]
    return b"".join(pickle.dumps(item, 2) for item in head) + pickled + pickle.dumps([], 2)


def zip_file(pickled: bytes, **records: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, content in records.items():
            archive.writestr(f"archive/{name.replace('_', '.')}", content)
    return buffer.getvalue()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


HOSTILE = {
    "global": b"\x80\x02cposix\nsystem\n" + text("touch CANARY") + b"\x85R.",
    "stack_global": b"\x80\x04"
    + text("os")
    + text("system")
    + b"\x93"
    + text("touch CANARY")
    + b"\x85R.",
    "dotted": b"\x80\x04"
    + text("torch")
    + text("os.system")
    + b"\x93"
    + text("touch CANARY")
    + b"\x85R.",
    "dotted_allowed": b"\x80\x04"
    + text("torch._utils")
    + text("_rebuild_tensor.__globals__")
    + b"\x93.",
    "eval": b"\x80\x02cbuiltins\neval\n" + text("open('CANARY','w')") + b"\x85R.",
    "inst": b"(" + text("touch CANARY") + b"ios\nsystem\n.",
    "obj": b"(cos\nsystem\n" + text("touch CANARY") + b"o.",
    "newobj": b"\x80\x02cos\nsystem\n" + text("touch CANARY") + b"\x85\x81.",
    "build": b"\x80\x02ctorch._utils\n_rebuild_tensor\n}" + text("dump_patches") + b"\x88sb.",
    "module": b"\x80\x02("
    + text("module")
    + b"ctorch\nFloatStorage\n"
    + text("CANARY")
    + text("source")
    + b"tQ.",
    "ext": b"\x80\x02\x82\x01.",
    "nested_load": b"\x80\x02ctorch.storage\n_load_from_bytes\nC\x00\x85R.",
    "getattr": b"\x80\x02cbuiltins\ngetattr\n" + text("a") + text("b") + b"\x86R.",
    "callable_argument": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nNN}tR.",
    "persid": b"Pmodule\n.",
    "buffer": b"\x80\x05\x97.",
}


@pytest.mark.parametrize("wrap", [legacy_file, zip_file, bytes], ids=["legacy", "zip", "plain"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, wrap: object
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w").write_bytes(wrap(HOSTILE[name]))  # type: ignore[operator]
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(tmp_path / "w")
    message = str(caught.value)
    assert "\n" not in message
    assert "anyway" not in message
    assert [entry.name for entry in tmp_path.iterdir()] == ["w"]


@FORMATS
def test_a_real_exploit_does_not_run(tmp_path: Path, zipped: bool) -> None:
    canary = tmp_path / "canary"
    path = save({"w": torch.ones(2), "x": Canary(canary)}, tmp_path / "w", zipped)
    with pytest.raises(CheckpointError, match=r"posix\.system|nt\.system"):
        read_checkpoint(path)
    assert not canary.exists()


@FORMATS
def test_a_whole_module_is_refused_by_name(tmp_path: Path, zipped: bool) -> None:
    with pytest.raises(CheckpointError, match="state_dict"):
        read_checkpoint(save(torch.nn.Linear(2, 2), tmp_path / "w", zipped))


def tar_bytes() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("sys_info"))
    return buffer.getvalue()


def big_endian() -> bytes:
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": False}]
    return b"".join(pickle.dumps(item, 2) for item in head)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"junk that is nothing", "is not a file written by torch.save"),
        (b"<!DOCTYPE html><html></html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs"),
        (b"\x1f\x8b" + bytes(30), "gzip"),
        (tar_bytes(), "torch's tar format"),
        (pickle.dumps({"w": [1, 2]}), "plain pickle"),
        (zip_file(b"\x80\x02}.", constants_pkl=b""), "TorchScript"),
        (zip_file(b"\x80\x02}.", byteorder=b"big"), "big-endian"),
        (big_endian(), "big-endian"),
        (legacy_file(pickle.dumps([1, 2], 2)), "contains a list"),
        (legacy_file(pickle.dumps({"epoch": 1}, 2)), "its keys are: epoch"),
        (legacy_file(b"\x80\x02" + b"(" * 5000 + b"."), "nested"),
        (legacy_file(b"\x80\x02\x8b\xff\xff\xff\x7f."), "integer"),
        (legacy_file(b"\x80\x02X\xff\xff\xff\xff."), "is truncated"),
    ],
)
def test_other_files_are_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(CheckpointError, match=reason):
        read_checkpoint(tmp_path / "w")


def test_torchscript_is_named(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "w"))
    with pytest.raises(CheckpointError, match="TorchScript"):
        read_checkpoint(tmp_path / "w")


def test_missing_directory_and_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none", tmp_path, tmp_path / "pipe"):
        with pytest.raises(CheckpointError, match=str(path)):
            read_checkpoint(path)


def view_pickle(offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """A state dict of one tensor over a storage of six float32."""
    storage = (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x06tQ"
    )
    view = b"".join(pickle.dumps(part, 2)[2:-1] for part in (offset, shape, stride))
    return (
        b"\x80\x02}" + text("w") + b"ctorch._utils\n_rebuild_tensor\n(" + storage + view + b"tRs."
    )


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [
        (0, (7,), (1,)),
        (1, (2, 3), (3, 1)),
        (0, (2, 3), (4, 1)),
        (0, (2**62, 2**62), (2**62, 1)),
        (5, (2,), (-6,)),
        (0, (-1,), (1,)),
        (2**70, (1,), (1,)),
        (0, (2, 3), (3,)),
        (-1, (2,), (1,)),
    ],
)
def test_views_that_leave_their_storage(
    tmp_path: Path, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    content = zip_file(view_pickle(offset, shape, stride), **{"data/0": bytes(24)})
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "w")


def test_a_negative_stride_inside_the_storage_is_read(tmp_path: Path) -> None:
    data = np.arange(6, dtype="<f4")
    content = zip_file(view_pickle(5, (6,), (-1,)), **{"data/0": data.tobytes()})
    (tmp_path / "w").write_bytes(content)
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "w")["w"].values(), data[::-1])


@pytest.mark.parametrize("size", [0, 16, 23])
def test_a_record_shorter_than_its_storage(tmp_path: Path, size: int) -> None:
    content = zip_file(view_pickle(0, (6,), (1,)), **{"data/0": bytes(size)})
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(CheckpointError, match="tensor w"):
        read_checkpoint(tmp_path / "w")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    state = {"a": torch.randn(3, 4), "b": torch.ones(2).t(), "n": 3}
    root = tmp_path_factory.mktemp("fuzz")
    return [save(state, root / "w", zipped).read_bytes() for zipped in (False, True)]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_only_checkpoint_errors_escape(
    files: list[bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(data.draw(st.sampled_from(files)))
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["flip", "cut", "splice", "insert"]))
        at = data.draw(st.integers(0, max(len(content) - 1, 0)))
        if kind == "flip" and content:
            content[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del content[at:]
        elif kind == "splice":
            length = data.draw(st.integers(1, 40))
            content[at : at + length] = content[: data.draw(st.integers(0, 40))]
        else:
            content[at:at] = data.draw(st.binary(max_size=12))
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(bytes(content))
    with contextlib.suppress(CheckpointError, TensorError):
        for tensor in read_checkpoint(path).values():
            if tensor.unsupported is None:
                assert tensor.values().shape == tensor.shape


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=500)
PLAIN = st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats(allow_nan=False)
NESTED = st.recursive(
    PLAIN | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(NESTED, st.integers(0, 5))
def test_plain_values_equal_those_of_pickle(value: object, protocol: int) -> None:
    pickled = pickle.dumps(value, protocol)
    result = unpickle(pickled)
    assert result.value == value
    assert result.end == len(pickled)


@given(st.binary(), st.integers(3, 5))
def test_bytes_equal_those_of_pickle(value: bytes, protocol: int) -> None:
    assert unpickle(pickle.dumps(value, protocol)).value == value
