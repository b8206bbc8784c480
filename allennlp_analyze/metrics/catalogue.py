"""The catalogue of metrics: every number of a layer once, in the order of report.json.

It is read by report.json and its schema, layers.csv, data frames, the tables of the terminal and
the page, the page's terms, `compare`, and docs/reference/metrics.md. A new scalar is a function of
`SpectrumFacts` and an entry here; `make generated` writes the derived files.
"""

from functools import lru_cache
from typing import Optional

from allennlp_analyze.metrics.entries.laws import MARCHENKO_PASTUR, POWER_LAW, TIKHONOV
from allennlp_analyze.metrics.entries.matrix import IN_WORDS, MATRIX
from allennlp_analyze.metrics.entries.ranks import RANKS
from allennlp_analyze.metrics.entries.scalars import NORMS, SPECTRUM
from allennlp_analyze.metrics.entries.uncertainty import UNCERTAINTY
from allennlp_analyze.metrics.entries.verdict import LOST, VERDICT
from allennlp_analyze.metrics.metric import Metric, SpectrumFacts

CATALOGUE: tuple[Metric, ...] = (
    *MATRIX,
    *SPECTRUM,
    *RANKS,
    *LOST,
    *NORMS,
    *MARCHENKO_PASTUR,
    *TIKHONOV,
    *POWER_LAW,
    *UNCERTAINTY,
    *VERDICT,
    *IN_WORDS,
)


def compute_metrics(facts: SpectrumFacts) -> dict[str, Optional[float]]:
    """Returns every scalar of the spectrum by key; undefined ones are None."""
    return {m.key: m.compute(facts) for m in CATALOGUE if m.compute is not None}


@lru_cache(maxsize=1)
def in_report() -> tuple[Metric, ...]:
    """Returns the metrics of report.json and layers.csv."""
    return tuple(metric for metric in CATALOGUE if metric.in_report)
