"""The journal of finished layers, from which an interrupted run can be resumed.

Each layer is one line of JSON with its CRC-32. The first line identifies the run. An incomplete
last line is what a killed process was writing, and is ignored, like all from a damaged one on.
"""

import base64
import contextlib
import dataclasses
import json
import os
import typing
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Optional

import numpy as np

from allennlp_analyze.errors import Advice, OutputError, SourceError, UnreachableError
from allennlp_analyze.results.layer import LayerOutcome, LayerResult, Skipped
from allennlp_analyze.storage.files import make_directory, open_own, output_error
from allennlp_analyze.storage.locks import only_run
from allennlp_analyze.storage.records import decoded, field_names

JOURNAL = "journal.jsonl"
_FORMAT = 2
# The last key of each line, behind the text whose checksum it is.
CHECK = b', "crc32": '
_KINDS = {"layer": LayerResult, "skipped": Skipped}


class Journal:
    """The journal of one run; its directory is locked against other runs while it is open.

    `finished` are the outcomes of an earlier run by the index of the matrix.
    """

    def __init__(self, path: Path, file: BinaryIO, finished: Mapping[int, LayerOutcome]) -> None:
        self._path = path
        self._file = file
        self.finished = dict(finished)

    def add(self, index: int, outcome: LayerOutcome) -> None:
        """Write one outcome, which then survives the process. Raises `OutputError`."""
        kind = "layer" if isinstance(outcome, LayerResult) else "skipped"
        _append(self._path, self._file, {"index": index, kind: _encoded(outcome)})
        self.finished[index] = outcome

    def remove(self) -> None:
        """Remove the journal once the reports are written."""
        with contextlib.suppress(OSError):
            self._path.unlink()


@contextlib.contextmanager
def open_journal(
    directory: Path, run: Mapping[str, Any], resume: bool, force: bool = False
) -> Iterator[Journal]:
    """Open the journal of `run` in `directory`; both are created if missing.

    `run` contains, in JSON types, everything that the outcomes depend on. With `resume` the
    outcomes of an earlier run are kept. A journal without outcomes is removed at the end. Raises
    `OutputError` if another process works there, or (without `force`) if the journal belongs to
    another run.
    """
    path = directory / JOURNAL
    with _made(directory), _only_run(path), _opened(path) as file:
        found = _read(file)
        same = found.header == _header(run)
        if resume and found.finished and not same and not force:
            raise OutputError(
                f"{path}: belongs to another archive, other settings or another version",
                Advice("force", "use {} to start over", switch=True),
            )
        keep = resume and same
        journal = Journal(path, file, found.finished if keep else {})
        try:
            _cut(path, file, found.end if keep else 0)
            if not keep:
                _append(path, file, _header(run))
            _append(path, file, {"process": os.getpid()})
            yield journal
        except UnreachableError:
            raise  # what was done holds
        except SourceError:
            journal.finished.clear()  # there is nothing to resume
            raise
        finally:
            if not journal.finished:
                journal.remove()


def finished_layers(directory: Path) -> int:
    """Returns the number of outcomes that an interrupted run left in `directory`.

    Raises `OutputError` if a process works there.
    """
    found = _left_in(directory)
    return 0 if found is None else len(found.finished)


def interrupted_run(directory: Path) -> Optional[Mapping[str, Any]]:
    """Returns the `run` of an interrupted run that left outcomes in `directory`; None without any.

    Raises `OutputError` if a process works there.
    """
    found = _left_in(directory)
    if found is None or not found.finished:
        return None
    run = (found.header or {}).get("run")
    return run if isinstance(run, Mapping) else None


def _left_in(directory: Path) -> "Optional[_Found]":
    path = directory / JOURNAL
    if not path.is_file():
        return None
    with _only_run(path), _opened(path) as file:
        return _read(file)


@contextlib.contextmanager
def only_writer(directory: Path) -> Iterator[None]:
    """Lock `directory` as a run does, for reports that need no journal; create it if missing.

    Raises `OutputError` if another process works there.
    """
    with _made(directory), _only_run(directory / JOURNAL):
        yield


@contextlib.contextmanager
def _made(directory: Path) -> Iterator[None]:
    """Create `directory` and its parents; remove those that are still empty at the end."""
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    make_directory(directory)
    try:
        yield
    finally:
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()


def _only_run(path: Path) -> contextlib.AbstractContextManager[None]:
    """Lock the directory of the journal `path` against other runs."""

    def process() -> Optional[int]:
        try:
            with path.open("rb") as file:
                return _read(file).process
        except OSError:
            return None

    return only_run(path.parent, process)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open the journal `path` for reading and appending; create it if missing."""
    try:
        file = open_own(path)
    except OSError as error:
        raise output_error(path, error) from None
    try:
        yield file
    finally:
        try:
            file.close()  # writes again what a full disk refused
        except OSError as error:
            raise output_error(path, error) from None


def _header(run: Mapping[str, Any]) -> dict[str, Any]:
    return {"journal": _FORMAT, "run": json.loads(json.dumps(run))}


@dataclasses.dataclass(frozen=True)
class _Found:
    """The contents of a journal.

    These are its header, the process that wrote last, the outcomes by index, and the end of the
    last complete line.
    """

    header: Optional[dict[str, Any]]
    process: Optional[int]
    finished: dict[int, LayerOutcome]
    end: int


def _read(file: BinaryIO) -> _Found:
    header: Optional[dict[str, Any]] = None
    process: Optional[int] = None
    finished: dict[int, LayerOutcome] = {}
    end = 0
    file.seek(0)
    for line in file:
        try:
            text, _, check = line.rpartition(CHECK)
            text += b"}"
            if not line.endswith(b"\n") or zlib.crc32(text) != int(check.rstrip(b"}\n")):
                break
            entry = json.loads(text)
            if header is None:
                header = dict(entry)
            elif "process" in entry:
                process = int(entry["process"])
            else:
                finished[int(entry["index"])] = _outcome(entry)
        except (
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ):
            break
        end += len(line)
    return _Found(header, process, finished, end)


def _outcome(entry: Mapping[str, Any]) -> LayerOutcome:
    for kind, cls in _KINDS.items():
        if kind in entry:
            return typing.cast(LayerOutcome, decoded(cls, entry[kind]))
    raise ValueError("neither a layer nor a skipped tensor")


def _append(path: Path, file: BinaryIO, entry: Mapping[str, Any]) -> None:
    text = json.dumps(entry, default=_number).encode("ascii")
    try:
        file.write(text[:-1] + CHECK + b"%d}\n" % zlib.crc32(text))
        file.flush()
    except OSError as error:
        raise output_error(path, error) from None


def _cut(path: Path, file: BinaryIO, size: int) -> None:
    try:
        file.truncate(size)
    except OSError as error:
        raise output_error(path, error) from None


def _number(value: object) -> object:
    """Convert numpy's numbers to Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"unexpected {type(value).__name__} in a result")


def _encoded(value: Any) -> Any:
    """Encode a result in JSON types; arrays as bytes and floats as printed, so both are exact."""
    if value is None or type(value) in (str, int, float, bool):  # most of them
        return value
    names = field_names(value)
    if names is not None:
        return {name: _encoded(getattr(value, name)) for name in names}
    if isinstance(value, np.ndarray):
        return base64.b64encode(np.ascontiguousarray(value, np.float64).tobytes()).decode("ascii")
    if isinstance(value, Mapping):
        return {key: _encoded(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_encoded(item) for item in value]
    return value
