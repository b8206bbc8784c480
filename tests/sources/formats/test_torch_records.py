"""Records and storages of weights files: compressed, damaged, or with views that leave them."""

import contextlib
import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allennlp_analyze.cli.main import main
from allennlp_analyze.errors import CheckpointError, TensorError
from allennlp_analyze.sources.formats.torch_file import read_checkpoint
from tests.support.torch_files import assert_same, save, view_pickle, zip_file


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


def test_a_damaged_compressed_record_names_its_tensor(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", view_pickle(0, (6,), (1,)))
        archive.writestr("archive/data/0", np.arange(6, dtype="<f4").tobytes())
    content = bytearray(buffer.getvalue())
    content[content.index(b"archive/data/0") + 16] ^= 1
    (tmp_path / "w").write_bytes(bytes(content))
    tensor = read_checkpoint(tmp_path / "w")["w"]
    with pytest.raises(CheckpointError, match="w: record archive/data/0"):
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


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
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


def test_a_flipped_bit_of_a_stored_record_is_found(tmp_path: Path) -> None:
    """Nothing else in the file tells: an exponent with one other bit is a number, too."""
    values = torch.arange(600, dtype=torch.float32).reshape(30, 20)
    torch.save({"w": values}, tmp_path / "whole.pth")
    content = bytearray((tmp_path / "whole.pth").read_bytes())
    content[content.index(values.numpy().tobytes()) + 403] ^= 0x10
    (tmp_path / "flipped.pth").write_bytes(content)
    assert torch.load(tmp_path / "flipped.pth")["w"][5, 0] != 100  # as torch reads it
    tensor = read_checkpoint(tmp_path / "flipped.pth")["w"]
    with pytest.raises(CheckpointError, match="w: record .*data/0 fails its checksum"):
        tensor.values()


@pytest.mark.skipif(
    not hasattr(torch.serialization, "set_crc32_options"), reason="this torch always computes them"
)
def test_files_without_checksums_are_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"w": torch.eye(4, 3)}, tmp_path / "w.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "w.pth")["w"].values(), np.eye(4, 3))


def test_a_damaged_file_is_not_analyzed_in_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = torch.randn(30, 20)
    torch.save({"w.weight": values, "v.weight": torch.randn(9, 5)}, tmp_path / "w.pth")
    content = bytearray((tmp_path / "w.pth").read_bytes())
    content[content.index(values.numpy().tobytes()) + 403] ^= 0x10
    (tmp_path / "w.pth").write_bytes(content)
    out = tmp_path / "out"
    assert main([str(tmp_path / "w.pth"), "--output-dir", str(out), "--no-plots"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "w.pth: w.weight: record" in said
    assert "fails its checksum" in said and not out.exists()
