"""The verdict on one layer and on the model: has it lost rank?"""

from collections.abc import Sequence

import numpy as np

from allennlp_analyze.results.layer import MIN_Q, LayerResult, Tolerances
from allennlp_analyze.results.verdict import NEAR_SHARE, count_lost, lower_edge


def layer_verdict(
    singular_values: np.ndarray, entry_std: float, n: int, m: int, tolerance: Tolerances
) -> str:
    """One of `results.VERDICTS` for an n x m matrix (n >= m), singular values descending.

    A random matrix has sigma_min close to the lower edge, and training moves it by a small factor;
    below NEAR_SHARE of it a layer is near collapse, with a direction lost (`lost.count_lost`) it
    has collapsed. Every limit is proportional to the weights: their scale does not matter.
    """
    if m == 1 or n / m <= MIN_Q:
        return "not_assessed"
    edge = lower_edge(entry_std, n, m)
    if count_lost(singular_values, tolerance.zero, edge):
        return "collapsed"
    return "near_collapse" if singular_values[-1] < NEAR_SHARE * edge else "full_rank"


def model_verdict(layers: Sequence[LayerResult]) -> str:
    """The worst verdict among the assessed linear layers; not_assessed where there is none."""
    found = {layer.verdict for layer in layers if layer.kind == "linear"}
    for verdict in ("collapsed", "near_collapse", "full_rank"):
        if verdict in found:
            return verdict
    return "not_assessed"
