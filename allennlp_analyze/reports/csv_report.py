"""layers.csv: one row per matrix, for spreadsheets and data frames."""

import csv
import dataclasses
import io
from pathlib import Path
from typing import Any, Union

from allennlp_analyze.reports.atomic import write_text
from allennlp_analyze.reports.json_report import LAYER_KEYS, layer_to_dict
from allennlp_analyze.reports.names import printable
from allennlp_analyze.results import (
    TOLERANCES,
    LayerResult,
    MarchenkoPastur,
    ModelReport,
    PowerLaw,
    Tikhonov,
)

# What is an object in report.json, as (prefix of the columns, keys). The fit's own numbers have
# the names that the field gives them; its sigma would be taken for a singular value.
GROUPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "hard_rank": ("hard_rank_", TOLERANCES),
    "tolerance": ("tolerance_", TOLERANCES),
    "rank_loss_percent": ("rank_loss_percent_", TOLERANCES),
    "marchenko_pastur": ("mp_", tuple(f.name for f in dataclasses.fields(MarchenkoPastur))),
    "tikhonov": ("tikhonov_", tuple(f.name for f in dataclasses.fields(Tikhonov))),
    "power_law": (
        "",
        tuple(f.name for f in dataclasses.fields(PowerLaw) if f.name != "comparisons"),
    ),
}
RENAMED = {"sigma": "alpha_sigma"}
FORMULA_STARTS = ("=", "+", "-", "@")


def write_csv(report: ModelReport, path: Union[str, Path]) -> None:
    """Write layers.csv: the columns of `rows`, UTF-8, empty where a value is not defined.

    Raises `OutputError`.
    """
    table = rows(report)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns(report), lineterminator="\n")
    writer.writeheader()
    writer.writerows([{key: _cell(value) for key, value in row.items()} for row in table])
    write_text(path, text.getvalue())


def columns(report: ModelReport) -> list[str]:
    """The header: the same for every model, then one pair per distribution compared with."""
    header: list[str] = []
    for key in LAYER_KEYS:
        header += _columns_of(key)
        if key == "effective_rank":
            header.append("entropy")
    names = sorted({name for layer in report.layers for name in _comparisons(layer)})
    return header + [f"comparison_{name}_{part}" for name in names for part in ("ratio", "p")]


def rows(report: ModelReport) -> list[dict[str, Any]]:
    """One flat dict per matrix in model order; a missing or None value is an empty cell."""
    return [_row(layer) for layer in report.layers]


def _columns_of(key: str) -> list[str]:
    if key == "shape":
        return ["rows", "columns"]
    if key in GROUPS:
        prefix, parts = GROUPS[key]
        return [_column(prefix, part) for part in parts]
    return [key]


def _column(prefix: str, part: str) -> str:
    return prefix + part if prefix else RENAMED.get(part, part)


def _row(layer: LayerResult) -> dict[str, Any]:
    row: dict[str, Any] = {"entropy": layer.entropy}
    for key, value in layer_to_dict(layer).items():
        if key == "shape":
            row["rows"], row["columns"] = value
        elif key in GROUPS:
            prefix, parts = GROUPS[key]
            row.update({_column(prefix, part): (value or {}).get(part) for part in parts})
        else:
            row[key] = "; ".join(value) if key == "warnings" else value
    for name, comparison in _comparisons(layer).items():
        row[f"comparison_{name}_ratio"] = comparison["ratio"]
        row[f"comparison_{name}_p"] = comparison["p"]
    return row


def _comparisons(layer: LayerResult) -> dict[str, dict[str, Any]]:
    if layer.power_law is None or layer.power_law.comparisons is None:
        return {}
    comparisons: dict[str, dict[str, Any]] = layer_to_dict(layer)["power_law"]["comparisons"]
    return comparisons


def _cell(value: Any) -> Any:
    """Text on one line and, since names come from strangers, never a spreadsheet's formula."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return "'" + text if text.startswith(FORMULA_STARTS) else text
