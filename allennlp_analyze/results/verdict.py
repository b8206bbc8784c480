"""The rule by which directions of a weight matrix count as lost.

Calibrated on 146 linear layers of real models, whose smallest singular value is 0.21 of the lower
edge and more, and on networks trained to collapse: see docs/rank-collapse.md.
"""

import math

import numpy as np

# In shares of the Marchenko-Pastur lower edge: what a direction has lost alone, and what it has
# lost with many others.
LOST_SHARE = 0.01
NEAR_SHARE = 0.05
# When this share of all directions, and two, are below NEAR_SHARE the bulk has sunk as a whole.
MANY_SHARE = 0.1


def lower_edge(entry_std: float, n: int, m: int) -> float:
    """sigma (sqrt N - sqrt M): where the singular values of independent entries begin."""
    return entry_std * (math.sqrt(n) - math.sqrt(m))


def count_lost(singular_values: np.ndarray, rounding: float, edge: float) -> int:
    """How many of the M directions are gone; `singular_values` (M,).

    A direction is when its singular value is no larger than `rounding`, which is what rounding and
    computing can leave behind, or than LOST_SHARE of `edge`, the lower edge of a random matrix of
    the same size and variance. Where many are below NEAR_SHARE of it those are gone, too: what the
    layer does comes from the few directions above.
    """
    limit = max(rounding, LOST_SHARE * edge)
    near = np.count_nonzero(singular_values < NEAR_SHARE * edge)
    if near >= max(MANY_SHARE * len(singular_values), 2):
        limit = max(limit, NEAR_SHARE * edge)
    return int(np.count_nonzero(singular_values <= limit))
