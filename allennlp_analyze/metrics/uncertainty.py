"""The p-value of a power law, and an interval of its exponent, by bootstrap."""

from dataclasses import dataclass
from typing import Optional

import numpy as np

from allennlp_analyze.metrics.resampling import Resamples, batches, from_data, from_power_law
from allennlp_analyze.results.layer import PowerLaw

# A p-value from 1,000 resamples has a standard error of at most 0.016 (Clauset, Shalizi & Newman
# 2009, section 4.1, ask for 2,500 for 0.01).
RESAMPLES = 1000
# For the interval half as many leave 12 alphas beyond each of its ends.
INTERVAL_RESAMPLES = RESAMPLES // 2
LEVEL = 0.95


@dataclass(frozen=True)
class Bootstrap:
    """The p-value of a fit, and the ends of the interval of alpha (None: nothing was fitted)."""

    p_value: Optional[float]
    low: Optional[float]
    high: Optional[float]


def bootstrap(
    eigenvalues: np.ndarray, fit: PowerLaw, seed: int, resamples: int = RESAMPLES
) -> Bootstrap:
    """Returns the p-value of `fit` and a 95% interval of alpha.

    `eigenvalues` (n,) are those to which `fit_power_law` gave `fit`, in any order. xmin is searched
    anew in each of the `resamples`, among all of its values; the interval has half as many. The
    same seed gives the same numbers.
    """
    logs = np.log(np.sort(np.asarray(eigenvalues, dtype=np.float64)))
    rng = np.random.Generator(np.random.PCG64(seed))
    p_value = _p_value(logs, fit, resamples, rng)
    of_interval = max(resamples * INTERVAL_RESAMPLES // RESAMPLES, 1)
    alphas = _alphas(logs, len(logs) - fit.n_tail, of_interval, rng)
    if not len(alphas):
        return Bootstrap(p_value, None, None)
    low, high = np.quantile(alphas, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Bootstrap(p_value, float(low), float(high))


def _p_value(
    logs: np.ndarray, fit: PowerLaw, resamples: int, rng: np.random.Generator
) -> Optional[float]:
    """The share of resamples from the power law that are at least `fit.D` from their own fit."""
    fitted = far = 0
    for count in batches(resamples, len(logs)):
        drawn = Resamples(from_power_law(logs, fit.n_tail, fit.alpha, count, rng))
        # A resample that repeats one value has no fit; it can only occur with a tail of a few.
        fitted += int(np.count_nonzero(drawn.can_be_fitted))
        near = drawn.are_nearer(fit.D, len(logs) - fit.n_tail)
        far += int(np.count_nonzero(drawn.can_be_fitted & ~near))
    return far / fitted if fitted else None


def _alphas(logs: np.ndarray, start: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """The alphas of resamples of the data, without those that have no fit."""
    found = [
        Resamples(from_data(logs, count, rng)).alphas(start)
        for count in batches(resamples, len(logs))
    ]
    alphas = np.concatenate(found)
    return np.asarray(alphas[~np.isnan(alphas)])
