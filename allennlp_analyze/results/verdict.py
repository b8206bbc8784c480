"""The verdicts on a layer or a model, and the limits that texts quote.

The rule is in `metrics.judging`, the search for causes in `analysis.causes`;
docs/explanation/verdict.md explains both. The command's help quotes limits from here, so numpy is
not imported.
"""

import math
from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    import numpy as np

# Marchenko-Pastur theory keeps the smallest singular value above 0 only if Q is clearly above 1.
MIN_Q = 1.1
# Fractions of the Marchenko-Pastur lower edge: below the first a single direction is lost, below
# the second it is lost if many others are, too.
LOST_SHARE = 0.01
NEAR_SHARE = 0.05
# If this fraction of all directions, and at least two, are below NEAR_SHARE, the whole bulk has
# sunk.
MANY_SHARE = 0.1


# Kinds of layers that multiply activations: the verdict on a model is the worst of theirs.
JUDGED_KINDS = ("linear", "recurrent", "attention", "bilinear", "convolution")
# A model of whose weights less than this share was judged is never called healthy.
MIN_JUDGED_SHARE = 0.5


def is_nearly_square(n: int, m: int) -> bool:
    """Whether an n x m matrix (n >= m) has a hard edge, or nearly: small values of its own."""
    return n <= MIN_Q * m


class Verdict(str, Enum):
    """The verdict on a layer or a model; a string, so that files contain its value.

    `severity` orders the judgements; the worst has the largest. NOT_ASSESSED and
    HIDDEN are no judgements: their severity is None, and they are neither worse nor better than any
    other. (`<` compares the
    strings.) `words` is the text for a layer, `model_words` that for a whole model.

    DEAD_UNITS: the lost directions are those of dead units, fewer than a quarter. HIDDEN: rounding
    to the stored precision hides the smallest directions, so nobody can tell. UNTRAINED and
    CONCENTRATED are said of adapters, and of models that are adapters. INVALID applies only to
    models: a matrix with NaN or infinity is not a layer of a report.
    """

    severity: Optional[int]
    words: str
    model_words: str

    # The order in which files count them and figures stack them.
    FULL_RANK = "full_rank", 0, "full rank", "healthy"
    UNTRAINED = "untrained", 1, "untrained"
    CONCENTRATED = "concentrated", 2, "concentrated"
    DEAD_UNITS = "dead_units", 3, "dead units"
    NEAR_COLLAPSE = "near_collapse", 4, "near collapse"
    COLLAPSED = "collapsed", 5, "collapsed"
    HIDDEN = "hidden", None, "hidden"
    NOT_ASSESSED = "not_assessed", None, "not assessed"
    INVALID = "invalid", 6, "invalid"

    def __new__(
        cls, value: str, severity: Optional[int], words: str, model_words: str = ""
    ) -> "Verdict":
        verdict = str.__new__(cls, value)
        verdict._value_ = value
        verdict.severity = severity
        verdict.words = words
        verdict.model_words = model_words or words
        return verdict

    # The defaults of `str` and `format` differ between Python 3.10, 3.11 and 3.12.
    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, spec: str) -> str:
        return format(str(self.value), spec)

    @property
    def is_judgement(self) -> bool:
        """Whether the rule could be applied."""
        return self.severity is not None

    def is_worse_than(self, other: "Verdict") -> bool:
        """Compares by severity; False unless both are judgements."""
        if self.severity is None or other.severity is None:
            return False
        return self.severity > other.severity


# Verdicts on adapters alone, and on layers.
ADAPTER_VERDICTS = (Verdict.FULL_RANK, Verdict.UNTRAINED, Verdict.CONCENTRATED)
LAYER_VERDICTS = tuple(
    verdict
    for verdict in Verdict
    if verdict not in (Verdict.UNTRAINED, Verdict.CONCENTRATED, Verdict.INVALID)
)


def _weight(verdict: Verdict) -> int:
    return -1 if verdict.severity is None else verdict.severity


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Returns the worst judgement among `verdicts`, or NOT_ASSESSED if there is none."""
    return max(verdicts, key=_weight, default=Verdict.NOT_ASSESSED)


def worst_first(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Sort for tables: the worst judgement first, and NOT_ASSESSED last."""
    return tuple(sorted(verdicts, key=_weight, reverse=True))


def lower_edge(entry_std: float, n: int, m: int) -> float:
    """sigma (sqrt N - sqrt M), the smallest singular value of independent entries in the limit."""
    return entry_std * (math.sqrt(n) - math.sqrt(m))


def count_lost(singular_values: "np.ndarray", rounding: float, edge: float) -> int:
    """Count the lost directions out of M by the rule of releases without causes.

    For reports that they wrote; `singular_values` is (M,).

    A direction is lost if its singular value is at most `rounding`, which rounding and computing
    can leave behind, or at most LOST_SHARE of `edge`, the lower edge of a random matrix of the same
    size and variance. If many are below NEAR_SHARE of the edge, these are lost, too: the layer
    works only through the few directions above.
    """
    limit = max(rounding, LOST_SHARE * edge)
    near = int((singular_values < NEAR_SHARE * edge).sum())
    if near >= max(MANY_SHARE * len(singular_values), 2):
        limit = max(limit, NEAR_SHARE * edge)
    return int((singular_values <= limit).sum())
