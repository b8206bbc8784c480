"""The reader of weights files against torch.load; what else a file is, is named."""

import io
import mmap
import os
import pickle
import tarfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from allennlp_analyze.errors import CheckpointError, TensorError
from allennlp_analyze.sources.formats.torch_file import read_checkpoint
from tests.support.corpus import Corpus, corpus_names
from tests.support.torch_files import (
    FORMATS,
    assert_equals_torch,
    assert_same,
    legacy_file,
    random_tensor,
    save,
    zip_file,
)

_NAMES = (
    "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128"
    " uint16 uint32 uint64"
)
DTYPES = [name for name in _NAMES.split() if hasattr(torch, name)]


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
def test_float8(tmp_path: Path, dtype: str, zipped: bool) -> None:
    if not hasattr(torch, dtype):
        pytest.skip("this torch has no float8")
    tensor = random_tensor(dtype, 16, 16)
    read = read_checkpoint(save({"w": tensor}, tmp_path / "w", zipped))["w"]
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
    np.testing.assert_allclose(read["quantized"].values(), state["quantized"].dequantize())
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


def test_missing_directory_and_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none", tmp_path, tmp_path / "pipe"):
        with pytest.raises(CheckpointError, match=str(path)):
            read_checkpoint(path)
