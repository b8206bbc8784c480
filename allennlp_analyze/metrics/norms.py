"""Norms and soft ranks that follow from the singular values (and the exponent of their tail)."""

import math
from typing import Optional

import numpy as np


def frobenius_norm(singular_values: np.ndarray) -> float:
    """sqrt(sum sigma^2), without overflow on the way."""
    largest = float(singular_values[0])
    if largest == 0:
        return 0.0
    return largest * float(np.linalg.norm(singular_values / largest))


def stable_rank(singular_values: np.ndarray) -> Optional[float]:
    """||W||_F^2 / sigma_max^2 (Rudelson & Vershynin 2007); None for the zero matrix."""
    largest = float(singular_values[0])
    if largest == 0:
        return None
    return float(np.sum((singular_values / largest) ** 2))


def _shares(weights: np.ndarray) -> np.ndarray:
    shares = weights / weights.sum()
    return np.asarray(shares[shares > 0])


def effective_rank(singular_values: np.ndarray) -> Optional[float]:
    """exp of the Shannon entropy of sigma / sum sigma (Roy & Vetterli 2007); None for zero."""
    if singular_values[0] == 0:
        return None
    shares = _shares(singular_values / singular_values[0])
    return float(np.exp(-np.sum(shares * np.log(shares))))


def entropy(singular_values: np.ndarray, rank: int) -> Optional[float]:
    """-sum p ln p / ln rank with p = lambda / sum lambda, as WeightWatcher; 0 for rank 1.

    `rank` is the hard rank under the `numpy` tolerance. None for rank 0.
    """
    if rank == 0:
        return None
    if rank == 1:
        return 0.0
    shares = _shares((singular_values / singular_values[0]) ** 2)
    return float(-np.sum(shares * np.log(shares)) / math.log(rank))


def log_spectral_norm(singular_values: np.ndarray) -> Optional[float]:
    """log10 lambda_max, as WeightWatcher; None for the zero matrix."""
    largest = float(singular_values[0])
    return 2 * math.log10(largest) if largest > 0 else None


def log_norm(singular_values: np.ndarray) -> Optional[float]:
    """log10 sum lambda, as WeightWatcher; None for the zero matrix."""
    norm = frobenius_norm(singular_values)
    return 2 * math.log10(norm) if norm > 0 else None


def alpha_weighted(singular_values: np.ndarray, alpha: Optional[float]) -> Optional[float]:
    """alpha * log10 lambda_max, as WeightWatcher; None without an alpha and for the zero matrix."""
    log_largest = log_spectral_norm(singular_values)
    return None if alpha is None or log_largest is None else alpha * log_largest


def log_alpha_norm(singular_values: np.ndarray, alpha: Optional[float]) -> Optional[float]:
    """log10 sum lambda^alpha, as WeightWatcher; None without an alpha and for the zero matrix.

    The sum is taken relative to lambda_max against overflow.
    """
    largest = float(singular_values[0])
    if alpha is None or largest == 0:
        return None
    relative = float(np.sum((singular_values / largest) ** (2 * alpha)))
    return 2 * alpha * math.log10(largest) + math.log10(relative)


def condition_number(singular_values: np.ndarray) -> Optional[float]:
    """sigma_max / sigma_min; None where sigma_min is zero or the quotient overflows."""
    smallest = float(singular_values[-1])
    if smallest == 0:
        return None
    with np.errstate(over="ignore"):
        quotient = float(singular_values[0] / smallest)
    return quotient if math.isfinite(quotient) else None
