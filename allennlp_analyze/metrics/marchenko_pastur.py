"""Fits the Marchenko-Pastur law to a matrix's bulk: sigma, edges, and spikes beyond them."""

import math
from functools import lru_cache
from typing import Optional

import numpy as np

from allennlp_analyze.results.layer import MarchenkoPastur, Tikhonov

# The 99% quantile of the Tracy-Widom law for real matrices (Johnstone 2001, table 1: 2.02).
TRACY_WIDOM_99 = 2.0234
# The law is fitted to the eigenvalues between these quantiles of the bulk, away from both edges.
FITTED = (0.25, 0.75)
MIN_EIGENVALUES = 5
_GRID = 4001


def edges(sigma: float, n: int, m: int) -> tuple[float, float]:
    """(lambda_minus, lambda_plus) = sigma^2 (sqrt N -+ sqrt M)^2, eigenvalues not divided by N."""
    low, high = math.sqrt(n) - math.sqrt(m), math.sqrt(n) + math.sqrt(m)
    return (sigma * low) ** 2, (sigma * high) ** 2


def quantiles(probabilities: np.ndarray, n: int, m: int) -> np.ndarray:
    """Quantiles of the Marchenko-Pastur law for sigma = 1, in eigenvalues not divided by N.

    The density sqrt((b - x)(x - a)) / (2 pi M x) is integrated over the angle t of
    x = (a + b)/2 - (b - a)/2 cos t, where it is not singular at the ends.
    """
    a, b = edges(1.0, n, m)
    angle = np.linspace(0.0, math.pi, _GRID)
    x = (a + b) / 2 - (b - a) / 2 * np.cos(angle)
    square = ((b - a) / 2 * np.sin(angle)) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        density = np.where(x > 0, square / (2 * math.pi * m * x), 0.0)
    if a == 0.0:
        density[0] = b / (2 * math.pi * m)
    cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return np.asarray(np.interp(probabilities, cumulative / cumulative[-1], x))


def tracy_widom_threshold(sigma: float, n: int, m: int, quantile: float = TRACY_WIDOM_99) -> float:
    """Eigenvalue that pure noise exceeds in 1% of draws (Johnstone 2001, theorem 1.1).

    Another `quantile` of the Tracy-Widom law is for another share of draws.
    """
    if n < 2:
        return edges(sigma, n, m)[1]
    root_n, root_m = math.sqrt(n - 1), math.sqrt(m)
    width = (root_n + root_m) * (1 / root_n + 1 / root_m) ** (1 / 3)
    return float(sigma**2 * ((root_n + root_m) ** 2 + quantile * width))


def bulk_sigma(eigenvalues: np.ndarray, n: int) -> float:
    """Standard deviation of the noise that explains the bulk of the positive `eigenvalues` (r,).

    The middle half of the bulk is matched to the law's quantiles, so that spikes have no weight.
    Eigenvalues beyond the threshold are removed from the bulk, and the match is repeated until none
    is beyond it.
    """
    ascending = np.sort(eigenvalues)
    spikes = -1
    found = 0
    sigma = 0.0
    while found > spikes:
        spikes = found
        m = len(ascending) - spikes
        sigma = middle_sigma(ascending[:m], n)
        beyond = int(np.count_nonzero(ascending > tracy_widom_threshold(sigma, n, m)))
        # Half of the spectrum cannot be a few spikes on a bulk.
        found = min(max(beyond, spikes), len(ascending) // 2)
    return sigma


def middle_sigma(bulk: np.ndarray, n: int) -> float:
    """The standard deviation for which the middle half of `bulk` (m,), ascending, fits the law."""
    low, high = _middle(len(bulk))
    return math.sqrt(float(bulk[low:high].sum() / _expected_sum(n, len(bulk))))


def _middle(m: int) -> tuple[int, int]:
    low = int(FITTED[0] * m)
    return low, max(math.ceil(FITTED[1] * m), low + 1)


# A model has many matrices of few shapes.
@lru_cache(maxsize=4096)
def _expected_sum(n: int, m: int) -> float:
    """The sum of the middle half of m eigenvalues by the law with sigma = 1."""
    return float(quantiles((np.arange(*_middle(m)) + 0.5) / m, n, m).sum())


def marchenko_pastur(
    eigenvalues: np.ndarray, n: int, m: int, entry_sigma: float
) -> Optional[MarchenkoPastur]:
    """Fit the law to the positive `eigenvalues` (r,) of W^T W, W being n x m (n >= m).

    `entry_sigma` is the standard deviation of the entries. Returns None for fewer than
    MIN_EIGENVALUES.
    """
    if len(eigenvalues) < MIN_EIGENVALUES:
        return None
    r = len(eigenvalues)
    sigma = bulk_sigma(eigenvalues, n)
    lower, upper = edges(sigma, n, r)
    spike_threshold = tracy_widom_threshold(sigma, n, r)
    entry_lower, entry_upper = edges(entry_sigma, n, m)
    return MarchenkoPastur(
        sigma=sigma,
        lambda_minus=lower,
        lambda_plus=upper,
        spike_threshold=spike_threshold,
        n_spikes=int(np.count_nonzero(eigenvalues > spike_threshold)),
        soft_rank=upper / float(np.max(eigenvalues)),
        entry_sigma=entry_sigma,
        entry_lambda_minus=entry_lower,
        entry_lambda_plus=entry_upper,
    )


def tikhonov(eigenvalues: np.ndarray, gamma: float) -> Tikhonov:
    """Split all M `eigenvalues` at `gamma`, the term that ridge regression adds to the diagonal."""
    above = eigenvalues > gamma
    total = float(eigenvalues.sum())
    share = float(eigenvalues[above].sum()) / total if total > 0 else 0.0
    information = int(np.count_nonzero(above))
    return Tikhonov(
        gamma=gamma,
        n_information=information,
        n_noise=len(eigenvalues) - information,
        information_share=share,
        noise_share=1.0 - share if total > 0 else 0.0,
    )
