"""Converts the layers to a pandas data frame with the columns of layers.csv."""

from typing import TYPE_CHECKING

from allennlp_analyze.metrics.catalogue import in_report
from allennlp_analyze.metrics.metric import COUNT, FLOAT, TEXT, WHOLE
from allennlp_analyze.reports.csv import EXPERT_GROUP, columns, rows
from allennlp_analyze.results.layer import ModelReport

if TYPE_CHECKING:
    import pandas

_DTYPES = {FLOAT: "float64", WHOLE: "int64", COUNT: "Int64", TEXT: "object"}
_COLUMNS = {column: _DTYPES[m.kind] for m in in_report() for column in m.names}
_COLUMNS[EXPERT_GROUP] = _DTYPES[TEXT]


def to_frame(report: ModelReport) -> "pandas.DataFrame":
    """Returns one row per matrix in model order with the columns of layers.csv and unescaped names.

    The types are the same for every model: int64; Int64 if a count may be missing; float64 with NaN
    for undefined numbers; and object for text, with None if missing. Raises `ImportError` without
    pandas.
    """
    try:
        import pandas
    except ImportError:
        raise ImportError(
            "pandas is not installed: pip install 'allennlp_analyze[pandas]'"
        ) from None
    table = rows(report)
    return pandas.DataFrame(
        {
            column: pandas.Series(
                [row.get(column) for row in table], dtype=_COLUMNS.get(column, "float64")
            )
            for column in columns(report)
        }
    )
