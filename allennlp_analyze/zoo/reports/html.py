"""Writes index.html of a zoo: all its models on one page that needs no network."""

from pathlib import Path
from typing import Union

from allennlp_analyze.reports.html.templating import render_template
from allennlp_analyze.storage.files import write_text
from allennlp_analyze.zoo.reports.arrays import linear_layers
from allennlp_analyze.zoo.reports.charts import zoo_charts
from allennlp_analyze.zoo.reports.page import group_options, zoo_page_of
from allennlp_analyze.zoo.reports.table import model_row, table_data
from allennlp_analyze.zoo.results import ZooReport

SCRIPTS = ("parts.js", "chart.js", "zoo.js")
# Rows per page of the table.
PAGE_ROWS = 200


def write_zoo_html(report: ZooReport, path: Union[str, Path]) -> Path:
    """Write the zoo's page and return its path. Raises `OutputError`."""
    write_text(path, zoo_html(report))
    return Path(path)


def zoo_html(report: ZooReport) -> str:
    """Returns the page as escaped text; it links only to the models' own reports."""
    layers = linear_layers(report)
    rows = [model_row(model) for model in report.models]
    data = {
        "charts": zoo_charts(report, layers),
        "groups": [label for label, _ in group_options(report)],
        "page_rows": PAGE_ROWS,
        **table_data(rows),
    }
    return render_template("zoo.html", SCRIPTS, data, page=zoo_page_of(report, layers, rows))
