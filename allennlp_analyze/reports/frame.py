"""The layers as a pandas data frame: one row per matrix, the columns of layers.csv."""

from typing import TYPE_CHECKING

from allennlp_analyze.metrics.catalogue import in_report
from allennlp_analyze.metrics.metric import COUNT, FLOAT, TEXT, WHOLE
from allennlp_analyze.reports.csv import columns, rows
from allennlp_analyze.results.layer import ModelReport

if TYPE_CHECKING:
    import pandas

_DTYPES = {FLOAT: "float64", WHOLE: "int64", COUNT: "Int64", TEXT: "object"}
_COLUMNS = {column: _DTYPES[m.kind] for m in in_report() for column in m.names}


def to_frame(report: ModelReport) -> "pandas.DataFrame":
    """One row per matrix in model order, with the columns of layers.csv; names as they are.

    The types are the same for every model: int64, Int64 where a count may be missing, float64 with
    NaN for what is not defined, and object for text, None where there is none. Raises `ImportError`
    in an environment without pandas.
    """
    try:
        import pandas
    except ImportError:
        raise ImportError(
            "a data frame needs pandas: pip install 'allennlp_analyze[pandas]'"
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
