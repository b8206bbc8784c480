"""Small files that ask for much: many tensors, repeated elements, compressed records."""

import gzip
import itertools
import json
import struct
import sys
import tarfile
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save, save_file

from allennlp_analyze import analyze
from allennlp_analyze.cli.main import main
from allennlp_analyze.errors import CheckpointError, SourceError
from allennlp_analyze.reports.json import write_json
from allennlp_analyze.reports.loader import load_report
from allennlp_analyze.sources import archive
from allennlp_analyze.sources.formats import state_dict
from allennlp_analyze.sources.formats.registry import read_weights
from allennlp_analyze.sources.opening import open_source
from allennlp_analyze.sources.views import MAX_NAME, MAX_TENSORS
from allennlp_analyze.storage import zip_directory
from scripts.benchmarks.peak_memory import watch
from tests.support.report_factory import gaussian, make_layer, make_report

pytestmark = pytest.mark.newest_python
linux_only = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="/proc is Linux's: memory cannot be watched"
)


def many_tensors(path: Path, number: int, size: int = 0, note: str = "") -> Path:
    """A .safetensors file of `number` biases of `size` values and one matrix."""
    step = 4 * size
    entry = '"%s": {"dtype": "F32", "shape": [%s], "data_offsets": [%d, %d]}'
    entries = [
        entry % (f"layers.{i}.bias", size, step * i, step * (i + 1)) for i in range(number - 1)
    ]
    start = step * (number - 1)
    entries.append(entry % ("a", "20, 10", start, start + 800))
    if note:
        entries.append(f'"__metadata__": {json.dumps({"note": note})}')
    encoded = f"{{{', '.join(entries)}}}".encode()
    values = torch.randn(200, generator=torch.Generator().manual_seed(0)).numpy().tobytes()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + bytes(start) + values)
    return path


@linux_only
@pytest.mark.no_cover
def test_50_000_biases_take_less_than_the_promised_memory(tmp_path: Path) -> None:
    path = many_tensors(tmp_path / "model.safetensors", 50_000, 8)
    command = [sys.executable, "-m", "allennlp_analyze", str(path), "--quiet", "--no-plots"]
    peak = watch([*command, "--output-dir", str(tmp_path / "out")])
    assert 20 < peak.anonymous_mib < 130  # 95 measured, 200 before
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert {tensor["parameter"] for tensor in report["skipped"]} >= {
        "layers.0.bias",
        "layers.49998.bias",
    }


def test_more_tensors_than_the_limit_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of torch; to read 200,000 takes it eight seconds."""
    monkeypatch.setattr(state_dict, "MAX_TENSORS", 2_000)
    value, path = torch.zeros(1), tmp_path / "weights.th"
    torch.save({f"w{i}": value for i in range(2_000)}, path)
    with open_source(str(path)) as source:
        assert len(source.tensors) == 2_000
    torch.save({f"w{i}": value for i in range(2_001)}, path)
    with pytest.raises(SourceError, match="more than 2000 tensors") as caught:
        with open_source(str(path)):
            pass
    assert "\n" not in str(caught.value)


def test_an_index_of_more_tensors_than_the_limit_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    places = {f"w{i}": "a" for i in range(MAX_TENSORS + 2)}
    path.write_text(json.dumps({"weight_map": places}))
    with pytest.raises(SourceError, match=f"more than {MAX_TENSORS} tensors") as caught:
        with open_source(str(path)):
            pass
    assert "\n" not in str(caught.value)


@pytest.mark.no_cover
def test_too_many_tensors_are_refused_before_the_header_is_parsed(tmp_path: Path) -> None:
    path = many_tensors(tmp_path / "model.safetensors", MAX_TENSORS + 10)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=f"more than {MAX_TENSORS} tensors"):
            read_weights(path, str(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * path.stat().st_size


def test_braces_in_names_and_metadata_are_no_tensors(tmp_path: Path) -> None:
    note = '{"\\' * (MAX_TENSORS + 10)
    path = many_tensors(tmp_path / "model.safetensors", 3, 2, note)
    assert len(read_weights(path, str(path)).tensors) == 3


@pytest.mark.parametrize("zipped", [True, False])
def test_views_that_repeat_elements_count_with_their_full_size(
    zipped: bool, tmp_path: Path
) -> None:
    one = torch.ones(1)
    views = {f"w{i}": one.as_strided((500, 1000 + i), (0, 0)) for i in range(10)}
    path = tmp_path / "weights.th"
    torch.save(views, path, _use_new_zipfile_serialization=zipped)
    with open_source(str(path), max_unpacked_size=21 * 10**6) as source:
        assert len(source.tensors) == 10
    with pytest.raises(SourceError, match="unpack to .* bytes.*max_unpacked_size"):
        with open_source(str(path), max_unpacked_size=19 * 10**6):
            pass


def test_views_of_one_float_take_no_time(tmp_path: Path) -> None:
    one = torch.ones(1)
    views = {f"w{i}.weight": one.as_strided((4000 + i, 4000), (0, 0)) for i in range(3)}
    torch.save({**views, "a.weight": torch.randn(20, 10)}, tmp_path / "weights.th")
    started = time.process_time()
    report = analyze(tmp_path / "weights.th")
    assert ["expanded view" in tensor.reason for tensor in report.skipped] == [True] * 3
    assert [layer.name for layer in report.layers] == ["a"]
    assert time.process_time() - started < 60  # over 100 before; now under 1


def test_compressed_records_count_with_their_inflated_size(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1000, 1000)}, tmp_path / "stored.th")
    with (
        zipfile.ZipFile(tmp_path / "stored.th") as stored,
        zipfile.ZipFile(tmp_path / "weights.th", "w", zipfile.ZIP_DEFLATED) as deflated,
    ):
        for record in stored.infolist():
            deflated.writestr(record.filename, stored.read(record))
    with open_source(str(tmp_path / "stored.th"), max_unpacked_size=10**6):
        pass
    with open_source(str(tmp_path / "weights.th"), max_unpacked_size=4 * 10**6):
        pass
    with pytest.raises(SourceError, match="unpack to 4000000 bytes, more than 3999999"):
        with open_source(str(tmp_path / "weights.th"), max_unpacked_size=4 * 10**6 - 1):
            pass


@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy", "index"])
@pytest.mark.parametrize("letter", ["n", "\0"])
def test_a_long_name_is_refused_in_one_line(form: str, letter: str, tmp_path: Path) -> None:
    name = letter * 3_000_000  # 87 s with ten times as many, before
    path = tmp_path / "m.pt"
    if form == "safetensors":
        path = tmp_path / "m.safetensors"
        path.write_bytes(save({name: np.ones((3, 2))}))
    elif form == "index":
        (tmp_path / "m.safetensors").write_bytes(save({"w": np.ones((3, 2))}))
        path = tmp_path / "m.safetensors.index.json"
        path.write_text(json.dumps({"weight_map": {name: "m.safetensors"}}))
    else:
        torch.save({name: torch.ones(3, 2)}, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(SourceError) as caught:
        with open_source(str(path)):
            pass
    message = str(caught.value)
    assert message.isprintable() and len(message) < 500
    assert form == "index" or f"more than {MAX_NAME} characters" in message


def test_the_longest_names_are_printed_and_drawn(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(save({letter * MAX_NAME: np.eye(9, 7) for letter in "n\0"}))
    assert main([str(path), "--output-dir", str(tmp_path / "out"), "--jobs", "1"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert {len(layer["name"]) for layer in report["layers"]} == {MAX_NAME}


def pax(*fields: "tuple[str, bytes]", kind: bytes = tarfile.XHDTYPE, junk: bytes = b"") -> bytes:
    """A PAX header of tar with `fields`, or of `junk`."""
    body = junk
    for key, value in fields:
        rest = b" " + key.encode() + b"=" + value + b"\n"
        size = next(n for n in itertools.count(len(rest)) if n == len(rest) + len(str(n)))
        body += str(size).encode() + rest
    info = tarfile.TarInfo("pax")
    info.size, info.type = len(body), kind
    return info.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % 512)


def member(name: str = "a") -> bytes:
    return tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT)


def read_tar(path: Path, *parts: bytes) -> "tuple[str, int]":
    """The error for an archive of these parts, and the bytes allocated at once."""
    path.write_bytes(gzip.compress(b"".join(parts) + bytes(1024), 1))
    tracemalloc.start()
    try:
        with pytest.raises(SourceError) as caught:
            with open_source(str(path)):
                pass
        return str(caught.value), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_digits_without_end_in_a_tar_header(tmp_path: Path) -> None:
    """tarfile takes the square of their number: 20 minutes for these."""
    message, _ = read_tar(tmp_path / "m.tar.gz", pax(junk=b"1" * 1_000_000), member())
    assert "a number of more than 127 digits" in message


def test_global_tar_headers_do_not_add_up(tmp_path: Path) -> None:
    parts = []
    for i in range(50):
        fields = [(f"{i}.{j}", b"x" * 1000) for j in range(200)]
        parts += [pax(*fields, kind=tarfile.XGLTYPE), member()]
    message, peak = read_tar(tmp_path / "m.tar.gz", *parts)
    assert "contains no weights file" in message
    assert peak < 4 << 20  # of 10 MiB


def test_long_member_names_are_neither_kept_nor_listed(tmp_path: Path) -> None:
    parts = []
    for i in range(40):
        parts += [pax(("path", b"./" * 200_000 + b"n" * 400_000 + b"%d.th" % i)), member()]
    message, peak = read_tar(tmp_path / "m.tar.gz", *parts)
    assert "contains no weights file" in message
    assert peak < 16 << 20  # of 32 MiB


def test_many_weights_files_are_not_all_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message, _ = read_tar(tmp_path / "m.tar.gz", *(member(f"{i}.th") for i in range(500)))
    assert "(0.th, 1.th, " in message and "and 480 more)" in message and len(message) < 500
    monkeypatch.setattr(archive, "MAX_WEIGHTS_FILES", 499)
    message, _ = read_tar(tmp_path / "m.tar.gz", *(member(f"{i}.th") for i in range(500)))
    assert "more than 499 weights files" in message


@pytest.mark.parametrize("zip64", [False, True])
@pytest.mark.parametrize("of", ["records", "extra", "name"])
def test_a_zip_directory_is_checked_before_it_is_read(
    of: str, zip64: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 50 MB, zipfile made 550; extra fields are copied once for each of them."""
    monkeypatch.setattr(zip_directory, "MAX_RECORDS", 70_000)  # more than 16 bits say
    number, extra, name = {
        "records": (70_001, b"", b"n"),
        "extra": (1, struct.pack("<HH", 9, 0) * 1000, b"n"),
        "name": (1, b"", b"n" * 5000),
    }[of]
    sizes = (0, 0, 0, len(name), len(extra), 0, 0, 0, 0, 0)
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 33, *sizes) + name + extra
    directory, head = number * entry, b"PK\3\4" + bytes(600)
    count, size = min(number, 2**16 - 1), len(directory)
    data = head + directory
    if zip64:
        at = len(data)
        data += struct.pack(
            "<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, number, number, size, len(head)
        )
        data += struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)
        count, size = 2**16 - 1, 2**32 - 1
    data += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, len(head), 0)
    (tmp_path / "m.pt").write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="damaged zip file .*more than"):
            read_weights(tmp_path / "m.pt", "m.pt")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_report_whose_spectra_inflate_is_refused(tmp_path: Path) -> None:
    report = make_report(make_layer(gaussian(8, 6), "a.weight"))
    write_json(report, tmp_path / "report.json")
    with zipfile.ZipFile(tmp_path / "singular_values.npz", "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("a.weight.npy", "w") as record:
            np.lib.format.write_array(record, np.zeros(20_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match="does not belong to the report"):
            load_report(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20  # of 153 MiB
    finally:
        tracemalloc.stop()


def test_an_index_of_empty_lists_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors.index.json"
    path.write_text('{"weight_map": {"a": "b"}, "metadata": [' + "[]," * 200_000 + "[]]}")
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="lists of lists"):
            with open_source(str(path)):
                pass
        assert tracemalloc.get_traced_memory()[1] < 3 * path.stat().st_size
    finally:
        tracemalloc.stop()
    save_file({"a[{": np.ones((3, 2))}, tmp_path / "s.safetensors")
    path.write_text(json.dumps({"weight_map": {"a[{": "s.safetensors"}, "note": "[{" * 10_000}))
    with open_source(str(path)) as source:
        assert list(source.tensors) == ["a[{"]
