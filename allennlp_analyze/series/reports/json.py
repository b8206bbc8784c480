"""Writes series.json: the checkpoints of a training, and each layer over time."""

import json
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, BinaryIO, Union

from allennlp_analyze.data import read_schema
from allennlp_analyze.reports.json import plain
from allennlp_analyze.series.results import SeriesReport, State, Track
from allennlp_analyze.storage.files import write_atomically

SERIES = "series.json"
SCHEMA_VERSION = 1
# What only a monitor knows is not in a series of files.
_NUMBERS = tuple(field.name for field in fields(State) if field.default is MISSING)


def write_series_json(report: SeriesReport, path: Union[str, Path]) -> None:
    """Write `series_text`. Raises `OutputError`."""

    def write(file: BinaryIO) -> None:
        for text in series_text(report):
            file.write(text.encode("ascii"))

    write_atomically(path, write)


def series_text(report: SeriesReport) -> Iterator[str]:
    """Yields series.json in pieces: ASCII, with a line for each layer.

    The layout is that of series.schema.json. A layer has a list for each number, with an item for
    each checkpoint, None where it was not measured.
    """
    head = json.dumps(_head(report), indent=2, allow_nan=False)
    yield head[: -len("\n}")] + ',\n  "layers": ['
    for index, track in enumerate(report.tracks):
        yield (",\n    " if index else "\n    ") + json.dumps(_track(track), allow_nan=False)
    yield "\n  ]\n}\n" if report.tracks else "]\n}\n"


def series_schema() -> dict[str, Any]:
    """Returns the JSON Schema (draft 2020-12) of series.json."""
    return read_schema("series")


def _head(report: SeriesReport) -> dict[str, Any]:
    axis, at = report.axis
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": plain(report.tool),
        "title": report.title,
        "settings": plain(report.settings),
        "seconds": plain(report.seconds),
        "axis": axis,
        "at": list(at),
        "checkpoints": [plain(checkpoint) for checkpoint in report.checkpoints],
        "left_out": list(report.left_out),
    }


def _track(track: Track) -> dict[str, Any]:
    return {
        "name": track.layer,
        "kind": track.kind,
        "shape": None if track.shape is None else list(track.shape),
        "since": track.since,
        "recovered": track.recovered,
        **{
            name: [None if x is None else plain(getattr(x, name)) for x in track.states]
            for name in _NUMBERS
        },
    }
