"""Appends the checks of a training to its history file; `run_history` reads it."""

import json
import os
from pathlib import Path
from typing import Any

from allennlp_analyze.errors import UsageError
from allennlp_analyze.monitor.results import Check, Reading
from allennlp_analyze.monitor.run_history import COLUMNS, FORMAT, VERSION
from allennlp_analyze.storage.files import PathLike, open_regular
from allennlp_analyze.text.names import printable

# Enough digits for any figure.
DIGITS = 6
_BLOCK = 2**16


class RunWriter:
    """Appends to the file `path`, whose directory must exist.

    Raises `UsageError` if it cannot be written, or is another file than such a history.
    """

    def __init__(self, path: PathLike) -> None:
        self._path = Path(path)
        self._has_begun = False
        name = printable(str(path))
        if self._path.is_dir() or not self._path.parent.is_dir():
            what = "a directory" if self._path.is_dir() else "not in an existing directory"
            raise UsageError(f"history: {name} is {what}; name a file")
        try:
            if self._path.exists() and not _is_history(self._path):
                raise UsageError(f"history: {name} is another file; choose a new name")
        except OSError as error:
            raise UsageError(f"history: {name}: {error.strerror or error}") from None

    def write(self, check: Check) -> None:
        """Append one line. Raises `OSError`."""
        lines = [_line(check)]
        if not self._has_begun:
            _cut_torn_line(self._path)
            lines.insert(0, {"format": FORMAT, "version": VERSION, "columns": list(COLUMNS)})
        text = "".join(
            json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n" for line in lines
        )
        with open(self._path, "ab") as file:
            file.write(text.encode())
        self._has_begun = True


def _line(check: Check) -> dict[str, Any]:
    return {
        "epoch": check.epoch,
        "step": check.step,
        "seconds": _short(check.seconds),
        "stop": check.stop,
        "invalid": list(check.invalid),
        "put_off": list(check.put_off),
        "warnings": [
            {
                "layer": one.reading.layer,
                "verdict": one.state.value,
                "since": one.since,
                "sentence": one.sentence,
                "at_first": one.at_first,
            }
            for one in check.collapses
        ],
        "layers": {reading.layer: _values(reading) for reading in check.readings},
    }


def _values(reading: Reading) -> list[Any]:
    return [_short(getattr(reading, column)) for column in COLUMNS]


def _short(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _is_history(path: Path) -> bool:
    """Whether the file begins as a history does, or is empty."""
    with open_regular(path) as file:
        begun = file.read(_BLOCK).partition(b"\n")[0]
    try:
        found = json.loads(begun) if begun else {"format": FORMAT}
    except (ValueError, RecursionError):
        # The first line of a training that was killed while it wrote it.
        return (
            json.dumps({"format": FORMAT}, separators=(",", ":"))[:-1]
            .encode()
            .startswith(begun[:20])
        )
    return isinstance(found, dict) and found.get("format") == FORMAT


def _cut_torn_line(path: Path) -> None:
    """Cut off what follows the last line break: a killed process was writing it."""
    if not path.exists():
        return
    with open(path, "rb+") as file:
        end = size = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - _BLOCK)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)
