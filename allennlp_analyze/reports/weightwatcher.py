"""Writes weightwatcher.csv: the layers in the columns of WeightWatcher's data frame."""

import csv
import io
from pathlib import Path
from typing import Any, Union

from allennlp_analyze.metrics.weightwatcher import KINDS, peer_row
from allennlp_analyze.reports.csv import cell
from allennlp_analyze.results.layer import ModelReport
from allennlp_analyze.storage.files import write_text

PEER_TABLE = "weightwatcher.csv"


def peer_rows(report: ModelReport) -> list[dict[str, Any]]:
    """Returns one flat dict per matrix in model order; None is an undefined value, never -1."""
    return [peer_row(index, layer) for index, layer in enumerate(report.layers)]


def write_peer_csv(report: ModelReport, path: Union[str, Path]) -> None:
    """Write weightwatcher.csv in UTF-8; an undefined value is empty. Raises `OutputError`."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(KINDS), lineterminator="\n")
    writer.writeheader()
    for row in peer_rows(report):
        writer.writerow({name: cell(value) for name, value in row.items()})
    write_text(path, text.getvalue())
