"""Reads and checks a reference: a table of the 2018 study, or the user's own CSV or JSON."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

from allennlp_analyze.errors import OptionError, SourceError
from allennlp_analyze.options.names import REFERENCES
from allennlp_analyze.options.values import quoted
from allennlp_analyze.reference.published import ALLENNLP_TABLE, table_path
from allennlp_analyze.results.reference import ReferenceNumbers
from allennlp_analyze.storage.files import open_regular, read_most
from allennlp_analyze.text.lines import excerpt
from allennlp_analyze.text.redaction import redacted_url

MAX_BYTES = 32 * 2**20
MAX_ROWS = 10_000
MEASURES = ("alpha", "D", "min_singular_value")

# The name of each reference's model in the table, and its task.
_MODELS = {
    "ner-2018": ("ner", "named entity recognition"),
    "parser-2018": ("cp", "constituency parsing"),
    "srl-2018": ("srl", "semantic role labelling"),
    "coref-2018": ("coref", "coreference resolution"),
}
# Columns and keys in lower case, and their names here.
_COLUMNS = {
    "name": "name",
    "layer": "name",
    "parameter": "parameter",
    "module_index": "module_index",
    "m": "M",
    "n": "N",
    "alpha": "alpha",
    "d": "D",
    "min_singular_value": "min_singular_value",
}
_UNKNOWN = {"", "-", "na", "n/a", "nan", "none", "null"}
# Every integer up to this number is exact as a float.
_MAX_INTEGER = 2**53


@dataclass(frozen=True)
class Reference:
    """Published numbers of one model.

    `name` is the name that the user gave, `title` describes it, and `archive` is the file to which
    the numbers belong (None if unknown).
    """

    name: str
    title: str
    archive: Optional[str]
    rows: tuple[ReferenceNumbers, ...]


@dataclass(frozen=True)
class _Record:
    """One row as read: its place, the word for a column or key, and its known columns."""

    place: str
    noun: str
    cells: Mapping[str, Any]


def read_reference(name: str) -> Reference:
    """Read the reference `name`: one of `REFERENCES`, or a CSV or JSON file.

    A CSV file has a header and is separated by commas, or by spaces like the table of
    2018. A JSON file is a list of objects, such a list under `rows` or `layers`, or a
    report.json, whose linear layers are used. Columns and keys, in any case: `name` or `layer`,
    `parameter`, `module_index`, `M`, `N`, `alpha`, `D`, `min_singular_value`; others are ignored.
    Every row needs a name, or M and N. An empty cell, nan or null is an unknown number.

    Raises `UsageError` if there is no such table or file, and `SourceError` (with file, row and
    column) if it cannot be read.
    """
    if name in _MODELS:
        return _published(name)
    contents = _contents(name)
    if name.lower().endswith(".json") or contents.lstrip()[:1] in ("[", "{"):
        return _from_json(name, contents)
    records = _csv_records(name, contents)
    return Reference(name, "a table of the user's", None, _rows(name, records))


def _published(name: str) -> Reference:
    """Read a published table. Raises `SourceError` if the installation lacks it."""
    model, task = _MODELS[name]
    path = table_path(ALLENNLP_TABLE)
    text = path.read_text(encoding="utf-8")
    records = [r for r in _csv_records(str(path), text) if r.cells["model"] == model]
    title = f"AllenNLP's model for {task}, as the study of 2018 printed it"
    return Reference(name, title, records[0].cells["archive"], _rows(str(path), records))


def _contents(name: str) -> str:
    path = Path(name)
    try:
        with open_regular(path) as file:
            data = read_most(file, MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise OptionError(
            "reference",
            f"{redacted_url(name)!r} is neither a file nor a published table;"
            f" choose a file or one of {', '.join(REFERENCES)}",
        ) from None
    except IsADirectoryError:
        raise OptionError(
            "reference", f"{name or path} is a directory; expected a CSV or JSON file"
        ) from None
    except OSError as error:
        raise SourceError(f"{name}: cannot be read ({error.strerror or error})") from None
    if len(data) > MAX_BYTES:
        raise SourceError(
            f"{name}: is larger than {MAX_BYTES >> 20} MiB; expected a table of layers"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise SourceError(f"{name}: is not text; save the table as CSV or JSON in UTF-8")
    if not text.strip():
        raise SourceError(f"{name}: is empty")
    return text


def _csv_records(file: str, text: str) -> list[_Record]:
    """Returns the rows under the header without blank lines; column names are in lower case."""
    lines = io.StringIO(text, newline="")
    delimiter = _delimiter(file, text)
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    records: list[_Record] = []
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        _check_header(file, header)
        for row in reader:
            if not row:
                continue
            place = f"line {reader.line_num}"
            if len(row) != len(header):
                raise SourceError(
                    f"{file}: {place}: has {len(row)} columns, but the header has {len(header)}"
                )
            records.append(_Record(place, "column", dict(zip(header, row))))
    except csv.Error as error:
        raise SourceError(f"{file}: line {reader.line_num}: is not valid CSV ({error})") from None
    return records


def _delimiter(file: str, text: str) -> str:
    first = text.split("\n", 1)[0].strip()
    if "," in first:
        return ","
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if mark in first:
            raise SourceError(
                f"{file}: line 1: columns are separated by {name}; use commas between columns and"
                " points in numbers"
            )
    return " " if " " in first else ","


def _check_header(file: str, header: Sequence[str]) -> None:
    known = [_COLUMNS[column] for column in header if column in _COLUMNS]
    twice = [column for column, times in Counter(known).items() if times > 1]
    if twice:
        raise SourceError(f"{file}: line 1: has the column {twice[0]} twice")
    _check_columns(file, "line 1", known, header)


def _check_columns(file: str, place: str, known: Iterable[str], found: Sequence[str]) -> None:
    """Raise `SourceError` unless the `known` columns identify a layer and contain a number."""
    known = set(known)
    names = excerpt(", ".join(found), 80) or "nothing"
    if not known & {"name", "parameter"} and not known >= {"M", "N"}:
        raise SourceError(f"{file}: {place}: expected the column name, or M and N; got {names}")
    if not known & set(MEASURES):
        raise SourceError(
            f"{file}: {place}: expected a column {', '.join(MEASURES[:-1])} or {MEASURES[-1]};"
            f" got {names}"
        )


def _from_json(file: str, text: str) -> Reference:
    try:
        # Read integers of any length as floats, so that the checks below apply to both.
        contents: Any = json.loads(text, parse_int=float)
    except (ValueError, RecursionError) as error:
        reason = f" ({error})" if isinstance(error, json.JSONDecodeError) else ""
        raise SourceError(f"{file}: is not valid JSON{reason}") from None
    title, archive, items = "a table of the user's", None, contents
    if isinstance(contents, dict) and "schema_version" in contents and "layers" in contents:
        title, archive = "a report of this tool", _archive(contents)
        items = _linear_layers(file, contents["layers"])
    elif isinstance(contents, dict):
        items = contents.get("rows", contents.get("layers"))
    if not isinstance(items, list):
        raise SourceError(
            f"{file}: contains no rows; expected a list of objects, or such a list under 'rows' or"
            " 'layers'"
        )
    records = [_json_record(file, number, item) for number, item in enumerate(items, start=1)]
    return Reference(file, title, archive, _rows(file, records))


def _archive(report: Mapping[str, Any]) -> Optional[str]:
    source = report.get("source")
    archive = source.get("archive") if isinstance(source, dict) else None
    return redacted_url(archive) if isinstance(archive, str) else None


def _linear_layers(file: str, layers: object) -> list[object]:
    """Returns the linear layers of a report.json, with the numbers of their fits."""
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise SourceError(f"{file}: is a damaged report; analyze the archive again")
    linear = [layer for layer in layers if layer.get("kind") == "linear"]
    if not linear:
        raise SourceError(f"{file}: is a report without linear layers; nothing to compare with")
    rows: list[object] = []
    for layer in linear:
        fit = layer.get("power_law")
        fit = fit if isinstance(fit, dict) else {}
        keys = ("name", "module_index", "M", "N", "min_singular_value")
        row = {key: layer[key] for key in keys if key in layer}
        rows.append({**row, "alpha": fit.get("alpha"), "D": fit.get("D")})
    return rows


def _json_record(file: str, number: int, item: object) -> _Record:
    place = f"row {number}"
    if not isinstance(item, dict):
        raise SourceError(f"{file}: {place}: is not an object")
    cells: dict[str, Any] = {}
    for key, value in item.items():
        column = key.strip().lower()
        if column in _COLUMNS and any(_COLUMNS[column] == _COLUMNS.get(c) for c in cells):
            raise SourceError(f"{file}: {place}: has the key {_COLUMNS[column]} twice")
        cells[column] = value
    _check_columns(file, place, [_COLUMNS[c] for c in cells if c in _COLUMNS], list(cells))
    return _Record(place, "key", cells)


def _rows(file: str, records: Sequence[_Record]) -> tuple[ReferenceNumbers, ...]:
    """Returns the numbers of the records. Raises `SourceError` if none, too many or duplicates."""
    if not records:
        raise SourceError(f"{file}: contains no rows to compare with")
    if len(records) > MAX_ROWS:
        raise SourceError(f"{file}: contains more than {MAX_ROWS} rows; expected a table of layers")
    rows = [_row(file, record) for record in records]
    places: dict[str, str] = {}
    for row, record in zip(rows, records):
        if row.name is None:
            continue
        if row.name in places:
            raise SourceError(
                f"{file}: {record.place}: {quoted(row.name)} is already in {places[row.name]}"
            )
        places[row.name] = record.place
    return tuple(rows)


def _row(file: str, record: _Record) -> ReferenceNumbers:
    values: dict[str, Any] = {}
    for column, cell in record.cells.items():
        if column in _COLUMNS:
            try:
                values[_COLUMNS[column]] = _value(_COLUMNS[column], cell)
            except ValueError as error:
                raise SourceError(
                    f"{file}: {record.place}, {record.noun} {_COLUMNS[column]}: {error}"
                ) from None
    name, parameter = values.pop("name", None), values.pop("parameter", None)
    row = ReferenceNumbers(name=name or parameter, **values)
    if row.M is not None and row.N is not None and row.M > row.N:
        raise SourceError(
            f"{file}: {record.place}, {record.noun} M: {row.M} is more than N = {row.N}; M must be"
            " the smaller dimension"
        )
    if row.name is None and (row.M is None or row.N is None):
        raise SourceError(f"{file}: {record.place}: has neither a name nor both M and N")
    return row


def _value(column: str, cell: object) -> Union[str, int, float, None]:
    """Returns the value of one cell. Raises `ValueError` with the reason if it is invalid."""
    if column in ("name", "parameter"):
        if cell is not None and not isinstance(cell, str):
            raise ValueError(f"{quoted(cell)} is not a name")
        return cell or None
    number = _number(cell)
    if number is None:
        return None
    if column in MEASURES:
        if column != "alpha" and number < 0:
            raise ValueError(f"{quoted(cell)} is negative")
        if column == "D" and number > 1:
            raise ValueError(f"{quoted(cell)} is more than 1, the largest possible distance")
        return number
    least = 0 if column == "module_index" else 1
    if number != math.floor(number) or not least <= number <= _MAX_INTEGER:
        raise ValueError(f"{quoted(cell)} is not a whole number of at least {least}")
    return int(number)


def _number(cell: object) -> Optional[float]:
    """Returns the number of a cell, or None if it is unknown. Raises `ValueError`."""
    if cell is None or (isinstance(cell, str) and cell.strip().lower() in _UNKNOWN):
        return None
    if isinstance(cell, bool) or not isinstance(cell, (str, int, float)):
        raise ValueError(f"{quoted(cell)} is not a number")
    try:
        # Python would accept 1_000, which no table contains as a number.
        number = float("" if isinstance(cell, str) and "_" in cell else cell)
    except ValueError:
        raise ValueError(f"{quoted(cell)} is not a number") from None
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise ValueError(f"{quoted(cell)} is not finite")
    return number
