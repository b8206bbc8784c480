"""The verdicts on a layer or a model, and the rule that decides between them.

The limits are calibrated on 146 linear layers of real models, whose smallest singular value is 0.21
of the lower edge and more, and on networks trained to collapse: see docs/rank-collapse.md. Texts
quote the limits from here, those of the command line too: so numpy is not imported.
"""

import math
from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    import numpy as np

# Marchenko-Pastur theory keeps the smallest singular value from 0 only when Q is clear of 1.
MIN_Q = 1.1
# In shares of the Marchenko-Pastur lower edge: what a direction has lost alone, and what it has
# lost with many others.
LOST_SHARE = 0.01
NEAR_SHARE = 0.05
# When this share of all directions, and two, are below NEAR_SHARE the bulk has sunk as a whole.
MANY_SHARE = 0.1


class Verdict(str, Enum):
    """What is said of a layer, or of a model; a string, so that files hold its value.

    `severity` orders the judgements, the worst has the largest. NOT_ASSESSED is no judgement: its
    severity is None, and it is neither worse nor better than any other. (`<` compares the texts, as
    of any strings.) `words` is what people read of a layer, `model_words` of a whole model.

    INVALID is said of models alone: a matrix that holds NaN or infinity is no layer of a report.
    """

    severity: Optional[int]
    words: str
    model_words: str

    # In the order in which files count them and figures stack them.
    FULL_RANK = "full_rank", 0, "full rank", "healthy"
    NEAR_COLLAPSE = "near_collapse", 1, "near collapse"
    COLLAPSED = "collapsed", 2, "collapsed"
    NOT_ASSESSED = "not_assessed", None, "not assessed"
    INVALID = "invalid", 3, "invalid"

    def __new__(
        cls, value: str, severity: Optional[int], words: str, model_words: str = ""
    ) -> "Verdict":
        verdict = str.__new__(cls, value)
        verdict._value_ = value
        verdict.severity = severity
        verdict.words = words
        verdict.model_words = model_words or words
        return verdict

    # What `str` and `format` give by default is not the same in Python 3.10, 3.11 and 3.12.
    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, spec: str) -> str:
        return format(str(self.value), spec)

    @property
    def is_judgement(self) -> bool:
        """Whether the rule could be applied."""
        return self.severity is not None

    def is_worse_than(self, other: "Verdict") -> bool:
        """By severity; False unless both are judgements."""
        if self.severity is None or other.severity is None:
            return False
        return self.severity > other.severity


LAYER_VERDICTS = tuple(verdict for verdict in Verdict if verdict is not Verdict.INVALID)


def _weight(verdict: Verdict) -> int:
    return -1 if verdict.severity is None else verdict.severity


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst judgement among `verdicts`; NOT_ASSESSED where there is none."""
    return max(verdicts, key=_weight, default=Verdict.NOT_ASSESSED)


def worst_first(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """In the order of tables: the worst judgement first, and last what is no judgement."""
    return tuple(sorted(verdicts, key=_weight, reverse=True))


def lower_edge(entry_std: float, n: int, m: int) -> float:
    """sigma (sqrt N - sqrt M): where the singular values of independent entries begin."""
    return entry_std * (math.sqrt(n) - math.sqrt(m))


def count_lost(singular_values: "np.ndarray", rounding: float, edge: float) -> int:
    """How many of the M directions are gone; `singular_values` (M,).

    A direction is when its singular value is no larger than `rounding`, which is what rounding and
    computing can leave behind, or than LOST_SHARE of `edge`, the lower edge of a random matrix of
    the same size and variance. Where many are below NEAR_SHARE of it those are gone, too: what the
    layer does comes from the few directions above.
    """
    limit = max(rounding, LOST_SHARE * edge)
    near = int((singular_values < NEAR_SHARE * edge).sum())
    if near >= max(MANY_SHARE * len(singular_values), 2):
        limit = max(limit, NEAR_SHARE * edge)
    return int((singular_values <= limit).sum())


def layer_verdict(
    singular_values: "np.ndarray", entry_std: float, n: int, m: int, rounding: float
) -> Verdict:
    """The verdict on an n x m matrix (n >= m) with `singular_values` (m,), descending.

    A random matrix has sigma_min close to the lower edge, and training moves it by a small factor;
    below NEAR_SHARE of it a layer is near collapse, with a direction lost (`count_lost`, which
    takes `rounding`) it has collapsed. Every limit is proportional to the weights: their scale does
    not matter.
    """
    if m == 1 or n / m <= MIN_Q:
        return Verdict.NOT_ASSESSED
    edge = lower_edge(entry_std, n, m)
    if count_lost(singular_values, rounding, edge):
        return Verdict.COLLAPSED
    is_near = singular_values[-1] < NEAR_SHARE * edge
    return Verdict.NEAR_COLLAPSE if is_near else Verdict.FULL_RANK
