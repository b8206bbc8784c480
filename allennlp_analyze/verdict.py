"""The verdict on one layer and on the model: has it lost rank?"""

import math
from collections.abc import Sequence

import numpy as np

from allennlp_analyze.results import MIN_Q, LayerResult, Tolerances

NEAR_SHARE = 0.05


def lower_edge(entry_std: float, n: int, m: int) -> float:
    """sigma (sqrt N - sqrt M): where the singular values of independent entries begin."""
    return entry_std * (math.sqrt(n) - math.sqrt(m))


def lost_directions(
    singular_values: np.ndarray, entry_std: float, n: int, m: int, tolerance: Tolerances
) -> int:
    """How many of the M directions are gone.

    A direction is lost when its singular value is no more than rounding and computing in the stored
    precision can leave behind (the larger of the `rounding` and `numerical_recipes` tolerances; the
    `numpy` tolerance grows with N and would call the smallest directions of a healthy, large
    embedding lost), or when it is below LOST_SHARE of the Marchenko-Pastur lower edge.
    Every limit is proportional to the weights: the verdict does not depend on their scale.
    """
    limit = tolerance.lost_limit(lower_edge(entry_std, n, m))
    return int(np.count_nonzero(singular_values <= limit))


def layer_verdict(
    singular_values: np.ndarray, entry_std: float, n: int, m: int, tolerance: Tolerances
) -> str:
    """One of `results.VERDICTS` for an n x m matrix (n >= m), singular values descending.

    A random matrix has sigma_min close to the lower edge, and training moves it by a small factor;
    below NEAR_SHARE of it a layer is near collapse, with a direction lost it has collapsed.
    """
    if m == 1 or n / m <= MIN_Q:
        return "not_assessed"
    if lost_directions(singular_values, entry_std, n, m, tolerance):
        return "collapsed"
    if singular_values[-1] < NEAR_SHARE * lower_edge(entry_std, n, m):
        return "near_collapse"
    return "full_rank"


def model_verdict(layers: Sequence[LayerResult]) -> str:
    """The worst verdict among the assessed linear layers; not_assessed where there is none."""
    found = {layer.verdict for layer in layers if layer.kind == "linear"}
    for verdict in ("collapsed", "near_collapse", "full_rank"):
        if verdict in found:
            return verdict
    return "not_assessed"
