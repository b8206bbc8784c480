"""Draw matrices of each kind of entries that the null law knows, and their singular values."""

import math
from typing import Callable

import numpy as np

from allennlp_analyze.metrics.null_kinds import Entries

# Larger stacks and matrices are drawn and multiplied in blocks of about this many entries.
BLOCK = 400_000
# Eigenvalues of a Gram matrix this far below the largest one are zeros.
ZERO = 1e-12


def gaussian(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    return random.standard_normal(shape)


def uniform(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """As torch's Linear, Xavier's and He's uniform initializations, up to the scale."""
    return random.uniform(-1, 1, shape)


def heavy(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    return random.standard_t(3, shape)


def half_sparse(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    return random.standard_normal(shape) * (random.random(shape) < 0.5)


def truncated(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Normal entries within two standard deviations, as `trunc_normal_`."""
    entries = random.standard_normal(shape)
    while (far := np.abs(entries) > 2).any():
        entries[far] = random.standard_normal(int(far.sum()))
    return entries


def orthogonal(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    return np.asarray(np.linalg.qr(random.standard_normal(shape))[0])


# The standard deviation of each kind's entries; an orthogonal matrix has 1/sqrt(N).
STANDARD_DEVIATIONS = {
    Entries.GAUSSIAN: 1.0,
    Entries.UNIFORM: 1 / math.sqrt(3),
    Entries.TRUNCATED_NORMAL: 0.87962566,
    Entries.HEAVY: math.sqrt(3),
    Entries.HALF_SPARSE: math.sqrt(0.5),
}
DRAWN: dict[Entries, Callable[[tuple[int, ...], np.random.Generator], np.ndarray]] = {
    Entries.GAUSSIAN: gaussian,
    Entries.UNIFORM: uniform,
    Entries.TRUNCATED_NORMAL: truncated,
    Entries.HEAVY: heavy,
    Entries.HALF_SPARSE: half_sparse,
    Entries.ORTHOGONAL: orthogonal,
}


def spectra(kind: Entries, n: int, m: int, draws: int, random: np.random.Generator) -> np.ndarray:
    """Singular values (draws, m), ascending, of n x m matrices (n >= m), not orthogonal ones.

    Over the standard deviation of the entries. They come from Gram matrices, which are exact enough
    above a millionth of the largest one; smaller ones are 0.
    """
    found = []
    while draws > 0:
        number = min(draws, max(1, BLOCK // (n * m)))
        gram = np.zeros((number, m, m))
        rows = n if number > 1 else max(BLOCK // m, 1)
        for start in range(0, n, rows):
            block = DRAWN[kind]((number, min(rows, n - start), m), random)
            gram += block.transpose(0, 2, 1) @ block
        eigenvalues = np.linalg.eigvalsh(gram)
        eigenvalues[eigenvalues < ZERO * eigenvalues[:, -1:]] = 0
        found.append(np.sqrt(eigenvalues))
        draws -= number
    values: np.ndarray = np.concatenate(found) / STANDARD_DEVIATIONS[kind]
    return values
