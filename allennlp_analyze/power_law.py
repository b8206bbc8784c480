"""Power-law fit of a spectrum's tail: maximum likelihood, xmin by smallest KS distance."""

import contextlib
import io
import math
import warnings
from typing import Optional

import numpy as np

from allennlp_analyze.results import Comparison, PowerLaw

MIN_EIGENVALUES = 10
FEW_EIGENVALUES = 50
# A spectrum whose largest eigenvalue is within this factor of its smallest has no tail: an
# orthogonal matrix would get an alpha of thousands.
FLAT_RATIO = 1.05
ALTERNATIVES = ("truncated_power_law", "exponential", "lognormal")
# Clauset, Shalizi & Newman 2009, section 5: with a smaller p the sign of the ratio is no chance.
SIGNIFICANT = 0.1
# Candidates for xmin handled at once; bounds memory to this many rows of the spectrum's length.
ROWS = 128


def why_no_fit(eigenvalues: np.ndarray) -> Optional[str]:
    """The reason why positive `eigenvalues` (n,) cannot be fitted, None when they can."""
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
    """Fit x >= xmin by (alpha - 1)/xmin (x/xmin)^-alpha, as powerlaw 1.5 does with its defaults.

    `eigenvalues` (n,) positive, any order, at least two distinct. Every distinct value but the
    largest is tried as xmin (Clauset, Shalizi & Newman 2009, equations 3.1 and 3.9).
    """
    data = np.sort(np.asarray(eigenvalues, dtype=np.float64))
    values, first = np.unique(data, return_index=True)
    logs = np.log(values)
    alphas = _alphas(logs, first, len(data))
    distances = np.concatenate(
        [
            _distances(logs, first, len(data), alphas, start, min(start + ROWS, len(alphas)))
            for start in range(0, len(alphas), ROWS)
        ]
    )
    best = int(np.argmin(distances))
    xmin = float(values[best])
    tail = data[first[best] :]
    alpha = 1.0 + len(tail) / float(np.sum(np.log(tail / xmin)))
    return PowerLaw(
        alpha=alpha,
        D=float(distances[best]),
        xmin=xmin,
        sigma=(alpha - 1.0) / math.sqrt(len(tail)),
        n_tail=len(tail),
    )


def _alphas(logs: np.ndarray, first: np.ndarray, n: int) -> np.ndarray:
    """Maximum-likelihood alpha for each distinct value but the largest as xmin.

    `first` counts the data below each distinct value. Logarithms are taken from the largest value
    down: near the top the sums would otherwise cancel.
    """
    depth = logs[-1] - logs
    repeats = np.diff(np.append(first, n))
    below_top = np.cumsum((depth * repeats)[::-1])[::-1]
    tails = n - first
    return np.asarray(1.0 + tails[:-1] / (tails * depth - below_top)[:-1])


def _distances(
    logs: np.ndarray, first: np.ndarray, n: int, alphas: np.ndarray, start: int, stop: int
) -> np.ndarray:
    """KS distances of the candidates `start` to `stop`.

    The empirical distribution at a value is the share of the tail strictly below it, as powerlaw
    has it.
    """
    candidates = np.arange(start, stop)
    steps = logs[None, start:] - logs[candidates, None]
    below = first[None, start:] - first[candidates, None]
    outside = below < 0
    steps[outside] = 0.0
    theory = 1.0 - np.exp((1.0 - alphas[candidates, None]) * steps)
    difference = np.abs(theory - below / (n - first[candidates, None]))
    difference[outside] = 0.0
    return np.asarray(difference.max(axis=1))


def compare_distributions(
    eigenvalues: np.ndarray, xmin: float
) -> tuple[str, dict[str, Comparison]]:
    """The best of four distributions for the tail, and the power law against each of the others.

    Normalised log-likelihood ratios and p-values of the powerlaw package at this xmin. The best is
    the power law unless an alternative is significantly better; then the one that beats it most.
    """
    import powerlaw

    found: dict[str, Comparison] = {}
    # The package reports its numerical troubles by print, warnings and floating-point flags.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
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
