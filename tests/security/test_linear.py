"""A larger file takes every reader as many times more steps and memory as it is larger, no more.

Calls are counted, not timed. What a single call does in C (a search, a copy) is not seen by that:
where it was the square of the size, test_bounds.py has a test of its own.
"""

import contextlib
import gzip
import io
import json
import sys
import tarfile
import tempfile
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from allennlp_analyze.analysis.journal import finished_layers, open_journal
from allennlp_analyze.errors import AnalyzeError
from allennlp_analyze.results.layer import Skipped
from allennlp_analyze.zoo.outcome import OUTCOME
from tests.support.fuzz_seeds import RUN, WEIGHTS, readers
from tests.support.fuzzing import Files, write_files

pytestmark = pytest.mark.newest_python
READERS = readers()
SIZE = 80
# Four times as large a file may take this many times the steps, and twice as large a one this many
# times the memory: tables grow by leaps.
MOST_CALLS, MOST_MEMORY = 4.2, 2.25


def _matrices(number: int) -> "dict[str, np.ndarray]":
    return {f"layers.{i}.weight": np.ones((3, 2), np.float32) for i in range(number)}


def _torch(number: int, zipped: bool, shared: bool = False) -> bytes:
    one = torch.ones(3, 2)
    state = {f"layers.{i}.weight": one if shared else one.clone() for i in range(number)}
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def _index(number: int) -> Files:
    tensors = _matrices(number)
    shards = [f"m-{i:05d}-of-00003.safetensors" for i in range(1, 4)]
    places = {name: shards[i % 3] for i, name in enumerate(tensors)}
    held = {s: save({n: tensors[n] for n in tensors if places[n] == s}) for s in shards}
    return {"m.safetensors.index.json": json.dumps({"weight_map": places}).encode(), **held}


def _archive(members: "Mapping[str, bytes]", pax: "Mapping[str, str] | None" = None) -> Files:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(data), dict(pax or {})
            tar.addfile(info, io.BytesIO(data))
    return {"model.tar.gz": gzip.compress(buffer.getvalue(), 1)}


def _members(number: int) -> Files:
    return _archive({f"m{i}": b"x" for i in range(number)}, {"comment": "y" * 600})


def _vocabularies(number: int) -> Files:
    return _archive({f"vocabulary/{i}.txt": b"a\nb\n" for i in range(number)})


def _gzip_members(number: int) -> Files:
    data = gzip.decompress(_archive({"a": b"x" * number * 512})["model.tar.gz"])
    parts = [gzip.compress(data[i : i + 512], 1) for i in range(0, len(data), 512)]
    return {"model.tar.gz": b"".join(parts)}


def _repeated(reader: str, file: str, key: str, name: str) -> "Callable[[int], Files]":
    """The seed of `reader` with the list under `key` of `file` made longer; `name` is unique."""

    def made(number: int) -> Files:
        files = dict(READERS[reader].seeds()[0])
        contents: Any = json.loads(files[file])
        kept = contents[key]
        contents[key] = [{**kept[i % len(kept)], name: f"n{i}"} for i in range(number)]
        files[file] = json.dumps(contents).encode()
        return files

    return made


def _journal(number: int) -> Files:
    with tempfile.TemporaryDirectory() as directory:
        with open_journal(Path(directory), RUN, resume=False) as journal:
            for index in range(number):
                journal.add(index, Skipped(f"w{index}", (3, 4), "not finite"))
        return {"journal.jsonl": (Path(directory) / "journal.jsonl").read_bytes()}


def _lines(head: str, line: str) -> "Callable[[int], bytes]":
    return lambda number: "".join([head, *(line.format(i) for i in range(number))]).encode()


yaml_models = _lines(
    "models:\n", "  - name: m{0}\n    path: m{0}.pt\n    options: {{max_dim: 9}}\n"
)
csv_models = _lines("path,max_dim\n", "m{0}/weights.pt,100\n")
reference_rows = _lines("layer,M,N,alpha\n", "l{0}.weight,4,6,2.5\n")

# By reader, what makes an input of `number` parts.
LARGE: "dict[str, tuple[str, Callable[[int], Files]]]" = {
    "torch zip": ("TorchFile", lambda n: {"m.pt": _torch(n, True)}),
    "torch legacy": ("TorchFile", lambda n: {"m.pt": _torch(n, False)}),
    "torch, one storage": ("TorchFile", lambda n: {"m.pt": _torch(n, True, True)}),
    "safetensors": ("Safetensors", lambda n: {"m.safetensors": save(_matrices(n))}),
    "sharded": ("sharded", _index),
    "tar members": ("archive", _members),
    "vocabularies": ("archive", _vocabularies),
    "gzip members": ("archive", _gzip_members),
    "report": ("report", _repeated("report", "report.json", "skipped", "name")),
    "journal": ("journal", _journal),
    "outcome": ("outcome", _repeated("outcome", OUTCOME, "layers", "name")),
    "zoo": ("zoo", _repeated("zoo", "zoo.json", "models", "name")),
    "manifest.yaml": ("manifest.yaml", lambda n: {"m.yaml": yaml_models(n)}),
    "manifest.csv": ("manifest.csv", lambda n: {"m.csv": csv_models(n)}),
    "reference": ("reference", lambda n: {"r.csv": reference_rows(n)}),
}


def test_every_reader_is_tried() -> None:
    tried = {reader for reader, _ in LARGE.values()}
    # A directory or repository has few files that are read. Other formats of weights have tests of
    # their own.
    assert set(READERS) - tried - set(WEIGHTS) == {"directory", "repository"}


def _read(reader: str, directory: Path) -> None:
    with contextlib.suppress(AnalyzeError):  # most of the archives above contain no weights
        READERS[reader].read(directory)


def _calls(reader: str, directory: Path) -> int:
    count = 0

    def seen(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        _read(reader, directory)
    finally:
        sys.setprofile(None)
    return count


def _peak(reader: str, directory: Path) -> int:
    tracemalloc.start()
    try:
        _read(reader, directory)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("case", LARGE)
def test_steps_and_memory_grow_no_faster_than_the_file(case: str, tmp_path: Path) -> None:
    reader, made = LARGE[case]
    small, middle, large = (tmp_path / str(times * SIZE) for times in (1, 2, 4))
    for directory in (small, middle, large):
        write_files(made(int(directory.name)), directory)
    _read(reader, small)  # imports, and what is made once
    calls = _calls(reader, small), _calls(reader, large)
    assert calls[1] <= MOST_CALLS * calls[0], calls
    peaks = _peak(reader, middle), _peak(reader, large)
    if peaks[1] > MOST_MEMORY * peaks[0]:
        # What another thread of this process allocates counts too, but hardly twice.
        peaks = _peak(reader, middle), _peak(reader, large)
    # Buffers of a constant size are in both.
    assert peaks[1] <= MOST_MEMORY * peaks[0] and peaks[1] < 40 << 20, peaks


def test_a_journal_of_many_lines_counts_them(tmp_path: Path) -> None:
    write_files(_journal(SIZE), tmp_path)
    assert finished_layers(tmp_path) == SIZE
