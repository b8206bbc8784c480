"""Writes layers.csv: one row per matrix, for spreadsheets and data frames."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Optional, Union

from allennlp_analyze.metrics.catalogue import in_report
from allennlp_analyze.reports.json import plain
from allennlp_analyze.results.experts import expert_groups, has_groups
from allennlp_analyze.results.layer import LayerResult, ModelReport
from allennlp_analyze.storage.files import write_atomically
from allennlp_analyze.text.names import printable

COMPARISON_PARTS = ("ratio", "p")
COMPARISON = re.compile(f"comparison_(.+)_({'|'.join(COMPARISON_PARTS)})")
EXPERT_GROUP = "expert_group"
FORMULA_STARTS = ("=", "+", "-", "@", "\N{MINUS SIGN}")


def write_csv(report: ModelReport, path: Union[str, Path]) -> None:
    """Write layers.csv in UTF-8 with the columns of `rows`; an undefined value is empty.

    Raises `OutputError`.
    """
    header = columns(report)

    def write(file: BinaryIO) -> None:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.DictWriter(text, header, lineterminator="\n")
        writer.writeheader()
        for row in _rows(report):  # of 100,000 layers they take 2 GB at once
            writer.writerow({key: cell(value) for key, value in row.items()})
        text.detach()

    write_atomically(path, write)


def columns(report: ModelReport) -> list[str]:
    """Returns the header: fixed columns, then a pair for each distribution compared.

    The last one of a model with experts is the name of the group that an expert belongs to.
    """
    names = {name for layer in report.layers for name in _comparisons(layer)}
    compared = [
        _comparison_column(name, part) for name in sorted(names) for part in COMPARISON_PARTS
    ]
    grouped = [EXPERT_GROUP] if has_groups(report.layers) else []
    return fixed_columns() + compared + grouped


def fixed_columns() -> list[str]:
    """Returns the columns that every layers.csv has."""
    return [column for metric in in_report() for column in metric.names]


def all_columns(headers: Iterable[Iterable[str]]) -> list[str]:
    """Merge the columns of several layers.csv, in the order of `columns`; unknown ones are last."""
    found = dict.fromkeys(column for header in headers for column in header)
    for column in fixed_columns():
        found.pop(column, None)
    names = sorted(name for name in map(_compared_with, found) if name is not None)
    compared = [
        column
        for name in dict.fromkeys(names)
        for part in COMPARISON_PARTS
        if (column := _comparison_column(name, part)) in found
    ]
    return [*fixed_columns(), *dict.fromkeys([*compared, *found])]


def _comparison_column(name: str, part: str) -> str:
    return f"comparison_{name}_{part}"


def _compared_with(column: str) -> Optional[str]:
    """Returns the distribution of a comparison's column, or None for another column."""
    found = COMPARISON.fullmatch(column)
    return found[1] if found else None


def rows(report: ModelReport) -> list[dict[str, Any]]:
    """Returns one flat dict per matrix in model order; a missing or None value is an empty cell."""
    return list(_rows(report))


def _rows(report: ModelReport) -> Iterator[dict[str, Any]]:
    groups = {place: group.name for group in expert_groups(report.layers) for place in group.places}
    for place, layer in enumerate(report.layers):
        row = _row(layer)
        if place in groups:
            row[EXPERT_GROUP] = groups[place]
        yield row


def _row(layer: LayerResult) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for metric in in_report():
        names = metric.names
        if not names:
            continue
        value = plain(metric.read(layer))
        if len(names) > 1:
            row.update(zip(names, value))
        else:
            row[names[0]] = "; ".join(value) if isinstance(value, list) else value
    for name, comparison in _comparisons(layer).items():
        row.update({_comparison_column(name, part): comparison[part] for part in COMPARISON_PARTS})
    return row


def _comparisons(layer: LayerResult) -> dict[str, dict[str, Any]]:
    if layer.power_law is None or layer.power_law.comparisons is None:
        return {}
    return {name: plain(found) for name, found in layer.power_law.comparisons.items()}


def cell(value: Any) -> Any:
    """Returns text on one line that a spreadsheet never takes for a formula."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    # Spreadsheets take full-width and small signs for the ordinary ones, and may drop spaces.
    start = unicodedata.normalize("NFKC", text.lstrip()[:1])
    return "'" + text if start.startswith(FORMULA_STARTS) else text
