"""The entries of report.json in a page, packed, and how the columns of layers.csv follow."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Optional

from allennlp_analyze.metrics.catalogue import in_report
from allennlp_analyze.reports.csv import COMPARISON, EXPERT_GROUP, columns
from allennlp_analyze.reports.json import layer_to_dict
from allennlp_analyze.results.layer import ModelReport


def record_data(report: ModelReport, places: Iterable[int]) -> dict[str, Any]:
    """Returns the entries of the layers at `places` for saving.js.

    These are the `shapes` of nested keys, the `rows`, and `csv`, the columns.

    A column is its name, the keys that lead to its value, and the place in a list, or None for the
    whole value; the keys of the group of experts are None.
    """
    shapes: dict[str, tuple[int, Any]] = {}
    rows = [_packed(layer_to_dict(report.layers[place]), shapes) for place in places]
    return {"shapes": [shape for _, shape in shapes.values()], "rows": rows, "csv": _csv(report)}


def _packed(record: Mapping[str, Any], shapes: dict[str, tuple[int, Any]]) -> list[Any]:
    """Returns the number of the shape of `record` in `shapes`, then its values in order."""
    shape = _shape(record)
    number, _ = shapes.setdefault(repr(shape), (len(shapes), shape))
    return [number, *_values(record)]


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    return None


def _values(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _values(item)
    else:
        yield value


def _csv(report: ModelReport) -> list[tuple[str, Optional[Sequence[str]], Optional[int]]]:
    places = {
        name: (metric.key.split("."), i if len(metric.names) > 1 else None)
        for metric in in_report()
        for i, name in enumerate(metric.names)
    }
    found: list[tuple[str, Optional[Sequence[str]], Optional[int]]] = []
    for column in columns(report):
        compared = COMPARISON.fullmatch(column)
        if column in places:
            found.append((column, *places[column]))
        elif column == EXPERT_GROUP:
            found.append((column, None, None))
        elif compared is not None:
            found.append((column, ["power_law", "comparisons", *compared.groups()], None))
    return found
