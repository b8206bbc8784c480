"""Writes zoo.csv with a row per layer of all models, and zoo-models.csv with a row per model."""

import csv
import dataclasses
import io
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Union

from allennlp_analyze.errors import Advice, SourceError
from allennlp_analyze.reports.csv import all_columns, cell
from allennlp_analyze.results.layer import Summary
from allennlp_analyze.storage.files import write_atomically
from allennlp_analyze.zoo.reports.runs import others_by_model
from allennlp_analyze.zoo.results import DONE, ZooModel, ZooReport

LAYERS = "layers.csv"
# The columns of zoo.csv before those of layers.csv.
MODEL_COLUMNS = ("model", "group", "duplicate_of", "checkpoint_of")
OUTCOME_COLUMNS = (
    "status",
    "reason",
    "archive",
    "resolved",
    "directory",
    "model_type",
    "sha256",
    "weights",
    "seconds",
)
# The worst layer of a model, and why.
WORST_COLUMNS = ("worst_layer", "worst_reason")
# Fields of a summary that are counts by name get a column for each name.
COUNTS = {"layers_by_kind": "layers_", "layers_by_verdict": "layers_"}
SUMMARY_FIELDS = tuple(field.name for field in dataclasses.fields(Summary))
REMEDY = Advice(
    "resume", "remove the directory of that model and run the zoo again with {}", switch=True
)
# A cell may contain any name from an archive; the default limit of csv is 128 KiB.
MAX_CELL = 2**31 - 1


def write_zoo_layers(report: ZooReport, root: Union[str, Path], path: Union[str, Path]) -> None:
    """Write zoo.csv: the rows of each model's layers.csv after model, group and marks.

    The directories of the models are relative to `root`. The columns are those of all layers.csv; a
    column that a model lacks is empty. One row is in memory at a time. Raises `SourceError` if a
    layers.csv is missing or damaged, and `OutputError`.
    """
    tables = [
        (model, Path(root) / model.directory / LAYERS)
        for model in report.models
        if model.outcome.status == DONE
    ]
    with _any_cell():
        found = dict.fromkeys(tuple(_header(path)) for _, path in tables)
        columns = all_columns(found)

        def rows() -> Iterator[Sequence[Any]]:
            for model, table in tables:
                yield from _layer_rows(model, table, columns)

        _write(path, [*MODEL_COLUMNS, *columns], rows())


def write_zoo_models(report: ZooReport, path: Union[str, Path]) -> None:
    """Write zoo-models.csv: every model with its summary, or the reason of its failure.

    The last columns are warnings, and the other checkpoints of the training for which it stands.
    Raises `OutputError`.
    """
    names = {field: _names(report, field) for field in COUNTS}
    columns = [*MODEL_COLUMNS, *OUTCOME_COLUMNS]
    for field in SUMMARY_FIELDS:
        columns += [COUNTS[field] + name for name in names[field]] if field in COUNTS else [field]
    others = others_by_model(report)
    rows = ([*_model_row(model, names), cell(others.get(model.name))] for model in report.models)
    _write(path, [*columns, *WORST_COLUMNS, "warnings", "other_checkpoints"], rows)


def _write(path: Union[str, Path], header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    def write(file: BinaryIO) -> None:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        try:
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
        finally:
            text.detach()  # flushes, and leaves `file` open

    write_atomically(path, write)


def _of_model(model: ZooModel) -> list[Any]:
    return [cell(value) for value in _marks(model)]


def _marks(model: ZooModel) -> list[Any]:
    return [model.name, model.group, model.duplicate_of, model.checkpoint_of]


def _layer_rows(model: ZooModel, table: Path, columns: Sequence[str]) -> Iterator[Sequence[Any]]:
    """Yields the rows of `table`, whose cells are already safe."""
    lines = _lines(table)
    header = next(lines)
    places = {column: place for place, column in enumerate(header)}
    order = [places.get(column, len(header)) for column in columns]
    before, count = _of_model(model), 0
    for row in lines:
        row.append("")
        yield [*before, *(row[place] for place in order)]
        count += 1
    if count != len(model.outcome.layers):
        raise _damaged(table, f"expected {len(model.outcome.layers)} rows, got {count}")


def _header(table: Path) -> list[str]:
    lines = _lines(table)
    try:
        return next(lines)
    finally:
        lines.close()


def _lines(table: Path) -> Generator[list[str], None, None]:
    """Yields the header and the rows of a layers.csv. Raises `SourceError`."""
    try:
        with open(table, encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if "name" not in header or len(set(header)) != len(header):
                raise _damaged(table, "its columns are not those of layers.csv")
            yield header
            for row in reader:
                if len(row) != len(header):
                    raise _damaged(table, f"{len(row)} cells in line {reader.line_num}")
                yield row
    except OSError as error:
        raise SourceError(f"{table}: cannot be read ({error.strerror or error})", REMEDY) from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise _damaged(table, str(error)) from None


def _damaged(table: Path, what: str) -> SourceError:
    return SourceError(f"{table}: is damaged ({what})", REMEDY)


@contextmanager
def _any_cell() -> Iterator[None]:
    """Let csv read cells of any size inside this context."""
    before = csv.field_size_limit(MAX_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _names(report: ZooReport, field: str) -> list[str]:
    """Returns the names in the counts `field` of all summaries."""
    summaries = (model.outcome.summary for model in report.models)
    return list(dict.fromkeys(name for x in summaries if x for name in getattr(x, field)))


def _model_row(model: ZooModel, names: dict[str, list[str]]) -> list[Any]:
    outcome = model.outcome
    facts = {"archive": model.archive, "directory": model.directory}
    row = _marks(model)
    row += [facts[c] if c in facts else getattr(outcome, c) for c in OUTCOME_COLUMNS]
    for field in SUMMARY_FIELDS:
        value = getattr(outcome.summary, field, None)
        if field in COUNTS:
            row += [(value or {}).get(name) for name in names[field]]
        else:
            row.append(value)
    worst = outcome.worst_layer
    row += [worst.name, worst.reason] if worst else [None, None]
    return [cell(value) for value in [*row, "; ".join(outcome.warnings)]]
