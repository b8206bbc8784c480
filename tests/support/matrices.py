"""Matrices whose spectra are known, and rounding to the precisions that models are stored in."""

import numpy as np


def gaussian(seed: int, rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns))


def with_singular_values(seed: int, rows: int, columns: int, values: np.ndarray) -> np.ndarray:
    """rows x columns matrix (rows >= columns) with these singular values, up to rounding."""
    rng = np.random.default_rng(seed)
    left, _ = np.linalg.qr(rng.standard_normal((rows, columns)))
    right, _ = np.linalg.qr(rng.standard_normal((columns, columns)))
    return (left * values) @ right.T


def low_rank(seed: int, rows: int, columns: int, rank: int) -> np.ndarray:
    return gaussian(seed, rows, rank) @ gaussian(seed + 1, rank, columns)


def nearly_lost(seed: int, rows: int, columns: int) -> np.ndarray:
    """A matrix (rows > columns) that is near collapse: its smallest singular values decline without
    a gap, down to 4.5% of where those of noise begin."""
    values = np.linalg.svd(gaussian(seed, rows, columns), compute_uv=False)
    edge = np.sqrt(rows) - np.sqrt(columns)
    values[-5:] = edge * np.array([0.57, 0.3, 0.16, 0.085, 0.044])
    return with_singular_values(seed, rows, columns, values)


def stored(matrix: np.ndarray, dtype: str) -> np.ndarray:
    """`matrix` rounded to `dtype`; bfloat16 and float8 as float32, as readers give them."""
    if dtype.startswith("float8"):
        import ml_dtypes

        return matrix.astype(getattr(ml_dtypes, dtype)).astype(np.float32)
    if dtype != "bfloat16":
        return matrix.astype(dtype)
    bits = matrix.astype(np.float32).view(np.uint32)
    even = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = (bits + np.uint32(0x7FFF) + even) & np.uint32(0xFFFF0000)
    return rounded.view(np.float32)
