"""Fits a power law to a spectrum's tail: maximum likelihood, xmin by smallest KS distance."""

import contextlib
import io
import math
import threading
import warnings
from typing import Optional

import numpy as np

from allennlp_analyze.results.layer import Comparison, PowerLaw

MIN_EIGENVALUES = 10
FEW_EIGENVALUES = 50
# A spectrum whose largest eigenvalue is within this factor of its smallest has no tail; an
# orthogonal matrix would get an alpha of thousands.
FLAT_RATIO = 1.05
ALTERNATIVES = ("truncated_power_law", "exponential", "lognormal")
# Below this p the sign of the ratio is significant (Clauset, Shalizi & Newman 2009, section 5).
SIGNIFICANT = 0.1
# Number of points at which a candidate for xmin is checked first, before all points are used.
SAMPLES = (32, 256)
# Number of candidates whose distance is computed to find how near the nearest is at most.
SPREAD = 16
# Elements of the arrays in which candidates are compared; limits memory.
BLOCK_ELEMENTS = 1 << 18
# sys.stdout and warnings belong to the process: two threads that redirect them at the same time
# would leave them redirected.
_DIVERTED = threading.Lock()


def why_no_fit(eigenvalues: np.ndarray) -> Optional[str]:
    """Returns why the positive `eigenvalues` (n,) cannot be fitted, or None if they can."""
    count = len(eigenvalues)
    if count < MIN_EIGENVALUES:
        noun = "eigenvalue" if count == 1 else "eigenvalues"
        return f"{count} positive {noun}: a fit needs at least {MIN_EIGENVALUES}"
    if np.max(eigenvalues) <= FLAT_RATIO * np.min(eigenvalues):
        return (
            f"flat spectrum: the largest eigenvalue is within {100 * (FLAT_RATIO - 1):.0f}% of the"
            " smallest, so there is no tail to fit"
        )
    return None


def fit_power_law(eigenvalues: np.ndarray) -> PowerLaw:
    """Fit (alpha - 1)/xmin (x/xmin)^-alpha to x >= xmin, as powerlaw 1.5 does by default.

    `eigenvalues` (n,) must be positive, with at least two distinct values, in any order. Every
    distinct value except the largest is tried as xmin (Clauset, Shalizi & Newman 2009, equations
    3.1 and 3.9).
    """
    data = np.sort(np.asarray(eigenvalues, dtype=np.float64))
    values, first = np.unique(data, return_index=True)
    best, distance = _Candidates(np.log(values), first, len(data)).nearest()
    xmin = float(values[best])
    tail = data[first[best] :]
    alpha = 1.0 + len(tail) / float(np.sum(np.log(tail / xmin)))
    return PowerLaw(
        alpha=alpha,
        D=distance,
        xmin=xmin,
        sigma=(alpha - 1.0) / math.sqrt(len(tail)),
        n_tail=len(tail),
    )


class _Candidates:
    """Every distinct value except the largest as xmin, with its alpha and its distance to the data.

    `logs` (n,) are those of the distinct values, ascending; `first` (n,) counts the data below each
    value, out of `total`.
    """

    def __init__(self, logs: np.ndarray, first: np.ndarray, total: int) -> None:
        self._logs = logs
        self._below = first.astype(np.float64)
        self._tail = total - self._below
        self._exponents = self._log_slopes(total)

    def _log_slopes(self, total: int) -> np.ndarray:
        """Returns 1 - alpha by maximum likelihood, infinite where rounding leaves no tail.

        Logarithms are relative to the largest value; otherwise the sums would cancel near the top.
        """
        depth = self._logs[-1] - self._logs
        repeats = np.diff(np.append(self._below, total))
        below_top = np.cumsum((depth * repeats)[::-1])[::-1]
        with np.errstate(divide="ignore"):
            return np.asarray(-self._tail[:-1] / (self._tail * depth - below_top)[:-1])

    def nearest(self) -> tuple[int, float]:
        """Returns the first candidate with the smallest Kolmogorov-Smirnov distance, and it.

        The distance at some of the points is a lower bound. A candidate whose bound exceeds the
        distance of any of a few others is skipped, so not many are compared at every point.
        """
        n = len(self._logs)
        # A value next to the largest may have the same logarithm.
        alive = np.flatnonzero(np.isfinite(self._exponents))
        for samples in SAMPLES:
            if n <= 2 * samples:
                continue
            bounds = self._distances(alive, np.linspace(0, n - 1, samples).astype(np.intp))
            # The nearest by its bound may have no such point in its tail, and be far away.
            spread = alive[:: math.ceil(len(alive) / SPREAD)]
            tried = np.union1d(spread, alive[np.argmin(bounds)])
            limit = float(self._distances(tried, np.arange(int(tried[0]), n)).min())
            # Rounding may lift a bound above its distance.
            alive = alive[bounds <= limit + 1e-12]
        distances = self._distances(alive, np.arange(int(alive[0]), n))
        best = int(np.argmin(distances))
        return int(alive[best]), float(distances[best])

    def _distances(self, candidates: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Largest difference of the distributions at the `points` in the tail of each candidate.

        `candidates` and `points` are ascending indices of distinct values.
        """
        found = np.empty(len(candidates))
        rows = max(1, BLOCK_ELEMENTS // len(points))
        for start in range(0, len(candidates), rows):
            some = candidates[start : start + rows]
            in_tail = points[int(np.searchsorted(points, some[0])) :]
            found[start : start + rows] = self._block(some[:, None], in_tail)
        return found

    def _block(self, candidates: np.ndarray, points: np.ndarray) -> np.ndarray:
        """The same for `candidates` (c, 1) that are not above the first point.

        The empirical distribution at a value is the share of the tail strictly below it, as in
        powerlaw.
        """
        if not len(points):
            return np.zeros(len(candidates))
        below = self._below[points] - self._below[candidates]
        outside = below < 0
        difference = self._logs[points] - self._logs[candidates]
        difference[outside] = 0.0
        difference *= self._exponents[candidates]
        np.exp(difference, out=difference)
        np.subtract(1.0, difference, out=difference)
        below /= self._tail[candidates]
        difference -= below
        np.abs(difference, out=difference)
        difference[outside] = 0.0
        return np.asarray(difference.max(axis=1))


def compare_distributions(
    eigenvalues: np.ndarray, xmin: float
) -> tuple[str, dict[str, Comparison]]:
    """Returns the best of four distributions for the tail, and the power law against the others.

    The comparisons are the powerlaw package's normalized log-likelihood ratios and p-values at this
    xmin. The best is the power law unless an alternative is significantly better; then it is the
    alternative with the largest lead.
    """
    import powerlaw

    found: dict[str, Comparison] = {}
    # The package reports numerical problems by print, warnings and floating-point flags.
    silence = io.StringIO()
    with _DIVERTED, contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            fit = powerlaw.Fit(eigenvalues, xmin=xmin, verbose=False)
            for name in ALTERNATIVES:
                ratio, p = fit.distribution_compare("power_law", name, normalized_ratio=True)
                found[name] = Comparison(ratio=_finite(ratio), p=_finite(p))
    better = {
        name: c.ratio
        for name, c in found.items()
        if c.ratio is not None and c.p is not None and c.ratio < 0 and c.p < SIGNIFICANT
    }
    best = min(better, key=lambda name: better[name]) if better else "power_law"
    return best, found


def _finite(number: object) -> Optional[float]:
    value = float(number)  # type: ignore[arg-type]
    return value if math.isfinite(value) else None
