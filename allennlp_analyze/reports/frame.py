"""The layers as a pandas data frame: one row per matrix, the columns of layers.csv."""

from typing import TYPE_CHECKING

from allennlp_analyze.reports.csv import columns, rows
from allennlp_analyze.results.layer import TOLERANCES, ModelReport

if TYPE_CHECKING:
    import pandas

TEXTS = frozenset(
    "name parameter part kind kind_source module_class dtype best_fit power_law_note verdict"
    " warnings".split()
)
WHOLE = frozenset(["rows", "columns", "M", "N", *(f"hard_rank_{name}" for name in TOLERANCES)])
# Whole numbers that not every layer has.
COUNTS = frozenset(
    "module_index mp_n_spikes tikhonov_n_information tikhonov_n_noise n_tail".split()
)


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
            column: pandas.Series([row.get(column) for row in table], dtype=_dtype(column))
            for column in columns(report)
        }
    )


def _dtype(column: str) -> str:
    if column in TEXTS:
        return "object"
    if column in WHOLE:
        return "int64"
    return "Int64" if column in COUNTS else "float64"
