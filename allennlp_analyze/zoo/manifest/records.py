"""Reads a YAML or CSV manifest into records with their lines; only plain data is accepted."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Optional

from allennlp_analyze.errors import UsageError
from allennlp_analyze.options.values import quoted
from allennlp_analyze.storage.files import open_regular, read_most
from allennlp_analyze.zoo.manifest.options import OPTIONS, field_name, is_option, unknown

if TYPE_CHECKING:
    import yaml

YAML_ENDINGS = (".yaml", ".yml")
CSV_ENDING = ".csv"
MAX_BYTES = 64 * 2**20
MAX_MODELS = 1_000_000
# Limit on YAML nodes, which take about a kilobyte each; 100,000 models have fewer.
MAX_NODES = 1_000_000
MAX_DEPTH = 50

ARCHIVES = ("archive", "url", "path")
KEYS = ("name", *ARCHIVES, "sha256", "group")
TOP_KEYS = ("title", "group", "options", "models")

_OPTIONS = "options"
_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")
}


@dataclass(frozen=True)
class Record:
    """One model as read: its place, its values under `KEYS`, and its options."""

    place: str
    cells: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ManifestFile:
    """The contents of a manifest file; `shared` options apply to all its models."""

    title: Optional[str]
    shared: Record
    records: tuple[Record, ...]


def read_records(path: Path, file: str) -> ManifestFile:
    """Read the records of the file `path`, which messages call `file`.

    CSV has a header; an empty cell is ignored, and a line of empty cells is skipped. YAML is a list
    of models, or a mapping of `TOP_KEYS`; a model is a mapping, or its archive as text. Aliases,
    tags other than those of plain data, and duplicate keys are rejected.

    Raises `UsageError` with the file and the line.
    """
    ending = path.suffix.lower()
    if ending not in (*YAML_ENDINGS, CSV_ENDING):
        raise UsageError(
            f"{file}: is not a manifest; expected a .yaml or .csv file, or a directory or glob of"
            " archives"
        )
    text = _text(path, file)
    found = _from_csv(file, text) if ending == CSV_ENDING else _from_yaml(file, text)
    if not found.records:
        raise UsageError(f"{file}: contains no models")
    return found


def _text(path: Path, file: str) -> str:
    try:
        with open_regular(path) as stream:
            data = read_most(stream, MAX_BYTES)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror or error})") from None
    if len(data) > MAX_BYTES:
        raise UsageError(f"{file}: is larger than {MAX_BYTES >> 20} MiB, too large for a manifest")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{file}: line {line}: is not UTF-8 text; save it as UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UsageError(f"{file}: line {line}: contains a NUL character, so it is not a text file")
    return text


def _too_many(file: str) -> NoReturn:
    raise UsageError(f"{file}: contains more than {MAX_MODELS} models; split it")


def _from_csv(file: str, text: str) -> ManifestFile:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records: list[Record] = []
    try:
        header = _header(file, next(reader, []))
        line = reader.line_num + 1
        for row in reader:
            place, line = f"{file}: line {line}", reader.line_num + 1
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise UsageError(
                    f"{place}: has {len(row)} columns, but the header has {len(header)}"
                )
            if len(records) == MAX_MODELS:
                _too_many(file)
            records.append(_csv_record(place, header, row))
    except csv.Error as error:
        raise UsageError(f"{file}: line {reader.line_num}: is not valid CSV ({error})") from None
    return ManifestFile(None, Record(file), tuple(records))


def _csv_record(place: str, header: Sequence[str], row: Sequence[str]) -> Record:
    said = {column: cell for column, cell in zip(header, row) if cell.strip()}
    return Record(
        place,
        {column: cell for column, cell in said.items() if column in KEYS},
        {column: cell for column, cell in said.items() if column not in KEYS},
    )


def _header(file: str, row: Sequence[str]) -> tuple[str, ...]:
    """Returns the columns as names of keys and fields. Raises `UsageError`."""
    place = f"{file}: line 1"
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(row) == 1 and mark in row[0]:
            raise UsageError(f"{place}: columns are separated by {name}; use commas")
    columns = [field_name(cell) for cell in row]
    for column in columns:
        if column not in KEYS and not is_option(column):
            raise UsageError(f"{place}: {unknown('column', column, (*KEYS, *OPTIONS))}")
        if columns.count(column) > 1:
            raise UsageError(f"{place}: has the column {column} twice")
    if not set(columns) & set(ARCHIVES):
        raise UsageError(f"{place}: a column archive, url or path is missing")
    return tuple(columns)


def _from_yaml(file: str, text: str) -> ManifestFile:
    # Importing this takes as long as reading a short manifest.
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_plain(file, yaml.parse(text, Loader=loader))
        top = yaml.compose(text, Loader=loader)
        return _Yaml(file).manifest(top)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {_line(mark)}: " if mark is not None else ""
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
        raise UsageError(f"{file}: {line}is not valid YAML ({reason})") from None


def _check_plain(file: str, events: Iterator["yaml.Event"]) -> None:
    """Raise `UsageError` for YAML features that a list of models does not need.

    Aliases can make a short file endlessly long, and deep nesting exhausts the stack, so the file
    is scanned once before anything is built from it.
    """
    import yaml

    depth = nodes = 0
    for event in events:
        place = f"{file}: line {_line(event.start_mark)}"
        if isinstance(event, yaml.AliasEvent):
            raise UsageError(
                f"{place}: contains an alias ({quoted(event.anchor)}); write the value instead"
            )
        tag = getattr(event, "tag", None)
        if tag is not None and tag not in _TAGS:
            raise UsageError(
                f"{place}: contains a tag ({quoted(tag)}); only plain data is supported"
            )
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise UsageError(f"{place}: is nested more than {MAX_DEPTH} levels deep")
        if nodes > MAX_NODES:
            raise UsageError(f"{file}: is too long for YAML; use CSV for that many models")


class _Yaml:
    """Turns the nodes of one YAML file into records."""

    def __init__(self, file: str) -> None:
        import yaml

        self._file = file
        self._safe = yaml.SafeLoader("")

    def manifest(self, top: Optional["yaml.Node"]) -> ManifestFile:
        import yaml

        if isinstance(top, yaml.SequenceNode):
            return ManifestFile(None, Record(self._file), self._records(top))
        if top is None or (isinstance(top, yaml.ScalarNode) and not top.value.strip()):
            raise UsageError(f"{self._file}: is empty")
        if not isinstance(top, yaml.MappingNode):
            raise UsageError(f"{self._file}: is neither a list of models nor a mapping with models")
        nodes = self._pairs(top)
        for key in nodes:
            if key not in TOP_KEYS:
                raise UsageError(f"{self._place(top)}: {unknown('key', key, TOP_KEYS)}")
        models = nodes.pop("models", None)
        if not isinstance(models, yaml.SequenceNode):
            raise UsageError(f"{self._place(models or top)}: models: is not a list of models")
        said = {key: self._value(node) for key, node in nodes.items()}
        title = said.pop("title", None)
        if title is not None and not isinstance(title, str):
            raise UsageError(f"{self._place(nodes['title'])}: title: {quoted(title)} is not text")
        return ManifestFile(title, self._record(self._place(top), said), self._records(models))

    def _records(self, models: "yaml.Node") -> tuple[Record, ...]:
        if len(models.value) > MAX_MODELS:
            _too_many(self._file)
        return tuple(self._model(node) for node in models.value)

    def _model(self, node: "yaml.Node") -> Record:
        import yaml

        place = self._place(node)
        if isinstance(node, yaml.MappingNode):
            said = {key: self._value(value) for key, value in self._pairs(node).items()}
            return self._record(place, said)
        value = self._value(node)
        if not isinstance(value, str):
            raise UsageError(f"{place}: {quoted(value)} is neither a mapping nor a path or URL")
        return Record(place, {"archive": value})

    def _record(self, place: str, said: dict[str, Any]) -> Record:
        options = said.pop(_OPTIONS, None)
        if options is not None and not isinstance(options, dict):
            raise UsageError(f"{place}: options: {quoted(options)} is not a mapping")
        for key in said:
            if key not in KEYS:
                hint = f"{key} is an option: put it under options" if is_option(key) else ""
                raise UsageError(f"{place}: {hint or unknown('key', key, (*KEYS, _OPTIONS))}")
        return Record(place, {k: v for k, v in said.items() if v is not None}, options or {})

    def _pairs(self, node: "yaml.Node") -> dict[str, "yaml.Node"]:
        """Returns the nodes of a mapping by their keys, which must be text."""
        import yaml

        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise UsageError(f"{self._place(key)}: a key is not text")
            if key.value in found:
                raise UsageError(f"{self._place(key)}: has the key {quoted(key.value)} twice")
            found[key.value] = value
        return found

    def _value(self, node: "yaml.Node") -> Any:
        import yaml

        if isinstance(node, yaml.MappingNode):
            return {key: self._value(value) for key, value in self._pairs(node).items()}
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item) for item in node.value]
        try:
            return self._safe.construct_document(node)
        except (ValueError, OverflowError) as error:  # an invalid date or number
            raise UsageError(f"{self._place(node)}: {error}") from None

    def _place(self, node: "yaml.Node") -> str:
        return f"{self._file}: line {_line(node.start_mark)}"


def _line(mark: Any) -> int:
    """Returns the line of a PyYAML mark, which counts from 0."""
    return int(mark.line) + 1
