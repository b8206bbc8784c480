"""Tikhonov regularization of a trained layer: the effect of gamma, and the Moore-Penrose limit.

Adding gamma > 0 to the diagonal of X = W^T W makes it invertible, however many directions W has
lost (Tikhonov 1963; as ridge regression Hoerl and Kennard 1970). For gamma -> 0 the ridge inverse
(X + gamma I)^-1 W^T goes to the Moore-Penrose inverse of W (den Broeder and Charnes 1957; Albert
1972; Ben-Israel and Greville 2003, chapter 3). It treats each direction by itself: a singular value
sigma becomes sigma / (sigma^2 + gamma), which is at most 1 / (2 sqrt gamma), at sigma = sqrt gamma.
So a lost direction that is not exactly 0 is not excluded in the limit: it comes back as 1 / sigma,
larger than everything else, unless a cutoff removes it before.
"""

from typing import Optional

import numpy as np

from allennlp_analyze.results.layer import LayerResult
from scripts.rank_collapse.results import TikhonovDemonstration, TikhonovStep

# gamma decreases from the largest eigenvalue by factors of 10, to below the precision of float64
# (2.2e-16 of it).
DECADES = 18
# Beyond this condition number the inverse is completely wrong.
LARGEST_CONDITION = 1 / float(np.finfo(np.float64).eps)


def demonstrate(
    weights: np.ndarray, layer: LayerResult, network_l2: float
) -> TikhonovDemonstration:
    """The demonstration on `weights`, a finite matrix of which `layer` is the analysis.

    Computed in float64, the Moore-Penrose inverse by numpy.linalg.pinv, the ridge inverse by
    numpy.linalg.solve. Of W = QR they take R (M x M): X is the same, and both inverses of W are
    those of R times Q^T, which changes no singular value. If lost directions make X singular, or
    gamma is too small for float64, the step is None.
    """
    if weights.shape != layer.shape:
        raise ValueError(
            f"weights of shape {weights.shape}, expected {layer.shape} as in the layer"
        )
    wide = np.asarray(weights, np.float64)
    matrix = np.asarray(np.linalg.qr(wide if len(wide) == layer.N else wide.T, mode="r"))
    u, values, vt = np.linalg.svd(matrix)
    rank = layer.M - layer.lost_directions
    cutoff = _between(values, rank)
    kept = (u[:, :rank] * values[:rank]) @ vt[:rank]
    largest = float(values[0])
    truth = np.linalg.pinv(matrix, rcond=cutoff / largest) if rank else np.zeros_like(matrix)
    gammas = [largest**2 * 10.0**-decade for decade in range(DECADES + 1)] if largest else []
    steps = tuple(_step(matrix, kept, truth, gamma) for gamma in (*gammas, 0.0))
    return TikhonovDemonstration(network_l2, layer, cutoff, rank, steps)


def _between(values: np.ndarray, rank: int) -> float:
    """Returns a number between the first `rank` of the descending `values` (M,) and the rest."""
    if rank == 0:
        return float(values[0])
    if rank == len(values):
        return 0.0
    # An exact 0 has no logarithmic mean.
    return float(np.sqrt(values[rank - 1] * values[rank]))


def _step(matrix: np.ndarray, kept: np.ndarray, truth: np.ndarray, gamma: float) -> TikhonovStep:
    """Returns one step; `kept` (M, M) is `matrix` without lost directions, `truth` its inverse."""
    size = spectral_norm(truth)
    condition, everything = _ridge_inverse(matrix, gamma)
    _, without = _ridge_inverse(kept, gamma)

    def share(inverse: Optional[np.ndarray], other: np.ndarray) -> Optional[float]:
        if inverse is None or not size:
            return None
        return spectral_norm(inverse - other) / size

    return TikhonovStep(
        gamma=gamma,
        condition=condition,
        distance=share(everything, truth),
        kept_distance=share(without, truth),
        norm=share(everything, np.zeros_like(truth)),
    )


def _ridge_inverse(
    matrix: np.ndarray, gamma: float
) -> tuple[Optional[float], Optional[np.ndarray]]:
    """Condition number of matrix^T matrix + gamma I, and its inverse times matrix^T.

    Returns (None, None) if float64 cannot invert it.
    """
    ridge = matrix.T @ matrix + gamma * np.eye(len(matrix))
    sizes = np.abs(np.linalg.eigvalsh(ridge))  # rounding can make the smallest negative
    if not sizes.max() < LARGEST_CONDITION * sizes.min():
        return None, None
    return float(sizes.max() / sizes.min()), np.linalg.solve(ridge, matrix.T)


def spectral_norm(matrix: np.ndarray) -> float:
    return float(np.linalg.norm(matrix, 2))
