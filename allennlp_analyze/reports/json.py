"""Writes and reads report.json: all values of a report as JSON."""

import hashlib
import json
import math
import mmap
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, Union

import numpy as np

from allennlp_analyze.data import read_schema
from allennlp_analyze.errors import SourceError
from allennlp_analyze.metrics.catalogue import in_report
from allennlp_analyze.reports.experts import group_to_dict
from allennlp_analyze.results.experts import expert_groups
from allennlp_analyze.results.layer import LayerResult, ModelReport, Timing
from allennlp_analyze.storage.files import open_regular, write_atomically
from allennlp_analyze.storage.records import field_names
from allennlp_analyze.text.indented import indented
from allennlp_analyze.text.redaction import redacted_in

# The first reports of version 1 lack `id`, `reference`, `adapters` and `evidence`; readers treat a
# missing key as null, or as an empty list.
SCHEMA_VERSION = 1
TIMING = "timing"
# An object's numbers are entries of the catalogue each: it is there once.
LAYER_KEYS = tuple(dict.fromkeys(metric.key.partition(".")[0] for metric in in_report()))


def to_json_dict(report: ModelReport) -> dict[str, Any]:
    """Returns the report as plain dicts, lists, strings and finite numbers, or None.

    The layout is that of report.schema.json. Numbers keep their full precision. Only a model with
    experts has `expert_groups`, and one with blocks of attention `attention`.
    """
    parts = _parts(report)
    return {key: list(x) if isinstance(x, Iterator) else x for key, x in parts.items()}


def _parts(report: ModelReport) -> dict[str, Any]:
    """Returns the report as plain values; layers and skipped tensors, which may be many, yield."""
    groups = [group_to_dict(group) for group in expert_groups(report.layers)]
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": plain(report.tool),
        "source": plain(report.source),
        "settings": plain(report.settings),
        "layers": map(layer_to_dict, report.layers),
        "skipped": map(plain, report.skipped),
        "summary": {**plain(report.summary), "warnings": list(report.warnings)},
        TIMING: plain(report.timing),
        "reference": plain(report.reference),
        "adapters": plain(report.adapters),
        "id": report_id(report.layers),
        **({"expert_groups": groups} if groups else {}),
        **({"attention": plain(report.attention)} if report.attention else {}),
    }


def report_id(layers: Sequence[LayerResult]) -> str:
    """SHA-256 of the names and spectra of `layers`: report.json has that of its own spectra."""
    digest = hashlib.sha256()
    for layer in layers:
        digest.update(json.dumps(layer.name).encode("ascii"))
        digest.update(np.ascontiguousarray(layer.singular_values, "<f8").tobytes())
    return digest.hexdigest()


def layer_to_dict(layer: LayerResult) -> dict[str, Any]:
    """Returns one entry of `layers` in report.json."""
    values = {m.key: m.read(layer) for m in in_report() if "." not in m.key}
    return {k: plain(values[k] if k in values else getattr(layer, k)) for k in LAYER_KEYS}


def report_text(report: ModelReport) -> Iterator[str]:
    """Yields the text of report.json, in ASCII.

    Layer by layer: that of 100,000 takes several times as much memory as a whole.
    """
    before = "{"
    for key, value in _parts(report).items():
        yield f'{before}\n  "{key}": '
        if isinstance(value, Iterator):
            yield from _list_text(value)
        else:
            yield indented(value, depth=1)
        before = ","
    yield "\n}\n"


def _list_text(values: Iterator[Any]) -> Iterator[str]:
    before, end = "[", "[]"
    for value in values:
        yield f"{before}\n    {indented(value, depth=2)}"
        before, end = ",", "\n  ]"
    yield end


def write_json(report: ModelReport, path: Union[str, Path]) -> None:
    """Write report.json. Raises `OutputError`."""

    def write(file: BinaryIO) -> None:
        for piece in report_text(report):
            file.write(piece.encode("ascii"))

    write_atomically(path, write)


def write_timing(timing: Timing, path: Union[str, Path]) -> None:
    """Replace the timing in a report.json of `write_json`; all else stays. Raises `OutputError`."""
    # Within a text of JSON, a line end is escaped.
    start, end = f'\n  "{TIMING}": '.encode("ascii"), b"\n  }"

    def write(file: BinaryIO) -> None:
        with open_regular(path) as old, _mapped(old) as text, memoryview(text) as view:
            first = text.find(start) + len(start)
            last = text.find(end, first) + len(end)
            file.write(view[:first])
            file.write(indented(plain(timing), depth=1).encode("ascii"))
            file.write(view[last:])

    write_atomically(path, write)


def _mapped(file: BinaryIO) -> mmap.mmap:
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def read_json(path: Union[str, Path]) -> dict[str, Any]:
    """Returns the contents of a report.json, in the layout of `to_json_dict`.

    Raises `SourceError` if the file is not a report, or has another schema version.
    """
    return read_versioned(path, "report.json", SCHEMA_VERSION, "analyze the archive again")


def read_versioned(path: Union[str, Path], kind: str, version: int, remedy: str) -> dict[str, Any]:
    """Returns the contents of a file that this tool writes, a `kind` of schema version `version`.

    `remedy` is the advice for another version. Raises `SourceError`.
    """
    try:
        with open_regular(path) as file:
            # A report of an earlier release may hold a URL as the user gave it.
            report: Any = redacted_in(
                json.loads(file.read(), parse_float=_finite, parse_constant=_finite)
            )
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}: is not valid JSON; expected a {kind} of this tool") from error
    if not isinstance(report, dict) or "schema_version" not in report:
        raise SourceError(f"{path}: is not a report; expected a {kind} of this tool")
    found = report["schema_version"]
    if found != version:
        raise SourceError(
            f"{path}: has schema version {found!r:.40}, but this release reads {version}; {remedy}"
        )
    return report


def _finite(text: str) -> float:
    """Parses a number as reports have them. Raises `ValueError` for NaN and infinity."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text:.40} is not a finite number")
    return number


def schema() -> dict[str, Any]:
    """Returns the JSON Schema (draft 2020-12) of report.json."""
    return read_schema("report")


def plain(value: Any) -> Any:
    """Convert `value` to JSON types; a number that is not finite becomes None."""
    if value is None or type(value) in (str, int, bool):  # most of them
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    names = field_names(value)
    if names is not None:
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (np.generic, np.ndarray)):
        return plain(value.tolist())
    return value
