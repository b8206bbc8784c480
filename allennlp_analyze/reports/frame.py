"""Converts the layers to a pandas data frame with the columns of layers.csv."""

from typing import TYPE_CHECKING, Optional

from allennlp_analyze.errors import UsageError
from allennlp_analyze.metrics.catalogue import in_report
from allennlp_analyze.metrics.metric import COUNT, FLOAT, TEXT, WHOLE
from allennlp_analyze.metrics.weightwatcher import KINDS
from allennlp_analyze.options.values import quoted
from allennlp_analyze.reports.csv import EXPERT_GROUP, columns, rows
from allennlp_analyze.reports.weightwatcher import peer_rows
from allennlp_analyze.results.layer import ModelReport

if TYPE_CHECKING:
    import pandas

_DTYPES = {FLOAT: "float64", WHOLE: "int64", COUNT: "Int64", TEXT: "object"}
_OURS = {column: metric.kind for metric in in_report() for column in metric.names}
_OURS[EXPERT_GROUP] = TEXT
# The tools whose column names a data frame can have.
NAMES = ("weightwatcher",)


def to_frame(report: ModelReport, names: Optional[str] = None) -> "pandas.DataFrame":
    """Returns one row per matrix in model order with the columns of layers.csv and unescaped names.

    With `names`, which is one of `NAMES`, the columns are those of the tool of this name.

    The types are the same for every model: int64; Int64 if a count may be missing; float64 with NaN
    for undefined numbers; and object for text, with None if missing. Raises `ImportError` without
    pandas, `UsageError` for other `names`.
    """
    if names is not None and names not in NAMES:
        raise UsageError(
            f"names: {quoted(names)} is no set of column names; choose from {', '.join(NAMES)}"
        )
    try:
        import pandas
    except ImportError:
        raise ImportError(
            "pandas is not installed: pip install 'allennlp_analyze[pandas]'"
        ) from None
    if names is None:
        table, kinds = rows(report), {name: _OURS.get(name, FLOAT) for name in columns(report)}
    else:
        table, kinds = peer_rows(report), KINDS
    return pandas.DataFrame(
        {
            name: pandas.Series([row.get(name) for row in table], dtype=_DTYPES[kind])
            for name, kind in kinds.items()
        }
    )
