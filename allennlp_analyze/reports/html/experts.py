"""The page's rows of experts: one for each projection, which opens to a row for each expert."""

from collections.abc import Iterator, Sequence
from typing import Any

from allennlp_analyze.metrics.catalogue import CATALOGUE
from allennlp_analyze.metrics.metric import Metric, PageColumn
from allennlp_analyze.reports.experts import about_experts
from allennlp_analyze.reports.html.anchors import Anchors
from allennlp_analyze.reports.html.shown import Shown
from allennlp_analyze.reports.html.table import (
    VERDICT,
    Cell,
    Row,
    short_text,
    sort_keys,
    table_row,
)
from allennlp_analyze.reports.terms import INTERVAL, text
from allennlp_analyze.results.experts import ExpertGroup
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.text.columns import Column
from allennlp_analyze.text.names import printable

# The rows that the table has at once.
PAGE_ROWS = 500
ABOUT = (
    "A projection of experts is one row, with the numbers of the worst expert; it opens to rows"
    " of its experts, the worst first."
)


def number_text(column: PageColumn, value: Any) -> str:
    """Formats a number of the column; a percentage has its sign."""
    return text(value, column.digits) + ("%" if column.percent and value else "")


def rows_of(
    layers: Sequence[LayerResult],
    shown: Shown,
    columns: Sequence[Column[LayerResult]],
    anchors: Anchors,
) -> Iterator[Row]:
    """Yields a row for each layer `shown`; the experts of a projection follow a row of all of them.

    Those after the first PAGE_ROWS are hidden, since a browser takes minutes to lay out 20,000.
    """
    number = 0
    for row, entry in enumerate(shown.entries):
        hidden = {"hidden": ""} if row >= PAGE_ROWS else {}
        if isinstance(entry, ExpertGroup):
            attributes = {"id": anchors.of(entry), **hidden}
            yield _group_row(entry, number, columns, attributes)
            places, group = [x for x in entry.places if x in shown.numbers], number
            number += 1
        else:
            places, group = [entry], -1
        for place in places:
            attributes = {"id": anchors.of(place), **hidden}
            if shown.is_part:
                attributes["data-place"] = str(place)
            yield _layer_row(layers[place], columns, shown.numbers[place], attributes, group)


def about_rows(shown: Shown) -> str:
    """Returns which layers are shown, and what a row of experts is; "" if that needs no words."""
    return " ".join(filter(None, (shown.about(), ABOUT if shown.groups else "")))


def group_data(shown: Shown, columns: Sequence[Column[LayerResult]]) -> list[dict[str, Any]]:
    """Returns the names and sort keys of the groups for page.js."""
    return [
        {
            "name": printable(group.name),
            "sort": [printable(group.name), *sort_keys(columns[1:], group.worst)],
        }
        for group in shown.groups
    ]


def _layer_row(
    layer: LayerResult,
    columns: Sequence[Column[LayerResult]],
    place: int,
    attributes: dict[str, str],
    number: int = -1,
) -> Row:
    attributes["data-index"] = str(place)
    if number >= 0:
        attributes.update({"class": "member", "data-member": str(number)})
    return table_row(layer.name, columns, layer, layer.verdict.value, attributes)


def _group_row(
    group: ExpertGroup,
    number: int,
    columns: Sequence[Column[LayerResult]],
    attributes: dict[str, str],
) -> Row:
    metrics = {m.page.title: (m, m.page) for m in CATALOGUE if m.page and m.key != INTERVAL}
    cells = []
    for column in columns[1:]:
        shown = column.text(group.worst)
        remark = _median(group, *metrics[column.title]) if column.title in metrics else ""
        mark = group.verdict.value if column.style == VERDICT else None
        cells.append(
            Cell(shown, column.style, mark, f"median {remark}" if remark not in ("", shown) else "")
        )
    return Row(
        short_text(group.name),
        printable(group.name),
        tuple(cells),
        {
            **attributes,
            "class": "group",
            "data-group": str(number),
            "data-place": str(min(group.places)),
        },
        about_experts(group),
    )


def _median(group: ExpertGroup, metric: Metric, column: PageColumn) -> str:
    return number_text(column, group.median(metric.read))
