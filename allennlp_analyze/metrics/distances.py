"""Distances between two spectra: in the units of the weights, and in shape only."""

from typing import Optional

import numpy as np

# Eigenvalues within this relative difference are ties: they differ only by rounding.
TIE = 1e-9


def spectral_distance(baseline: np.ndarray, candidate: np.ndarray) -> Optional[float]:
    """2-Wasserstein distance of two sets of singular values, over the baseline's root mean square.

    `baseline` (M,) and `candidate` (M',) are descending. Each set is a distribution with equal
    weights, so M and M' may differ. For M = M' the distance is ||s - s'||_2 / ||s||_2, which by
    Mirsky's theorem (Quart. J. Math. 11, 1960) is at most ||W - W'||_F / ||W||_F: no smaller
    relative change of the weights explains it. Returns 0 for equal sets, and None if the baseline
    is 0 (or negligible against the candidate).
    """
    largest = float(max(baseline[0], candidate[0]))
    if largest == 0:
        return 0.0
    scale = _root_mean_square(baseline) / largest
    if scale == 0:
        return None
    distance = wasserstein_2(baseline / largest, candidate / largest) / scale
    return distance if np.isfinite(distance) else None


def wasserstein_2(first: np.ndarray, second: np.ndarray) -> float:
    """2-Wasserstein distance of two samples (M,) and (M',), both descending.

    This integrates the squared difference of the quantile functions, which are constant between
    the multiples of 1/M and 1/M' (counted in units of 1/(M M'), so that they are exact).
    """
    m, n = len(first), len(second)
    edges = np.union1d(np.arange(m + 1) * n, np.arange(n + 1) * m)
    starts, widths = edges[:-1], np.diff(edges)
    differences = first[starts // n] - second[starts // m]
    return float(np.sqrt(np.sum(widths * differences**2) / (m * n)))


def ks_distance(baseline: np.ndarray, candidate: np.ndarray) -> Optional[float]:
    """Kolmogorov-Smirnov distance of the two distributions of eigenvalues, each over its mean.

    The arguments are singular values (M,) and (M',), descending. The distance is in [0, 1], and 0
    if one matrix is a multiple of the other. It is the statistic of `scipy.stats.ks_2samp`, except
    that eigenvalues within `TIE` of each other count as equal. Returns None if only one matrix is
    0.
    """
    if baseline[0] == 0 or candidate[0] == 0:
        return 0.0 if baseline[0] == candidate[0] else None
    first, second = _eigenvalues_over_mean(baseline), _eigenvalues_over_mean(candidate)
    points = np.sort(np.concatenate([first, second]))
    ends = points[np.append(points[1:] > points[:-1] * (1 + TIE), True)]
    shares = [np.searchsorted(side, ends, "right") / len(side) for side in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())


def _root_mean_square(values: np.ndarray) -> float:
    """Root mean square of descending values >= 0 of any magnitude."""
    if values[0] == 0:
        return 0.0
    return float(values[0] * np.sqrt(np.mean((values / values[0]) ** 2)))


def _eigenvalues_over_mean(singular_values: np.ndarray) -> np.ndarray:
    """Ascending."""
    eigenvalues = (singular_values[::-1] / singular_values[0]) ** 2
    return eigenvalues / eigenvalues.mean()
