"""Measures the change of one layer between two models: W_B - W_A as a matrix of its own."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.linalg.gram import GramSolver, gram_spectrum
from allennlp_analyze.linalg.leading import (
    MOST_DIMENSIONS,
    Matrix,
    intruders,
    leading,
    principal_angles,
)
from allennlp_analyze.linalg.spectrum import spectrum
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.metrics.noise_edge import MIN_VALUES, noise_edge
from allennlp_analyze.metrics.norms import effective_rank, frobenius_norm, stable_rank
from allennlp_analyze.metrics.rounding import RoundingNoise, is_rounded, spacing, stored_in, widest
from allennlp_analyze.results.delta import Delta, Edge, Movement, Turned
from allennlp_analyze.sources.blocks import Entries
from allennlp_analyze.storage.mapped import gathered

# Singular values below this share of the largest are not known exactly (see `spectrum`).
RESOLVED = 1e-7
# Of noise, more than this share of the directions is above what rounding makes.
BULK_SHARE = 0.5


def measure_delta(
    before: WeightMatrix, after: WeightMatrix, solver: GramSolver = gram_spectrum
) -> Delta:
    """Measure the change from `before` to `after`, which have the same shape.

    Values are read a block of rows at a time; of large layers, both matrices and their difference
    are in temporary files. Agrees with `numpy.linalg.svd` of the difference in float64. Raises
    `TensorError` if values cannot be read, or the shapes differ.
    """
    if before.shape != after.shape:
        raise TensorError(
            f"{before.shape[0]} x {before.shape[1]} and {after.shape[0]} x {after.shape[1]}"
            " cannot be compared"
        )
    pair = _Pair(Entries(before.stored(), before.decode), Entries(after.stored(), after.decode))
    precisions = _precision(pair.one, before), _precision(pair.other, after)
    m = pair.one.M
    quantization = (_noise(before), _noise(after))
    sums = _Sums(RoundingNoise(np.zeros(m)), precisions, quantization, np.zeros(m, bool))
    difference = gathered(map(sums.added, pair.blocks()), (pair.one.N, m))
    norm = math.sqrt(sums.squares)
    if not sums.rows:
        return _unchanged(m, sums.noise.edge, precisions)
    values = spectrum(difference, "float32", solver=solver).singular_values
    changed = sums.rows, int(np.count_nonzero(sums.columns))
    change = described(values, changed, norm, sums.noise.edge, precisions)
    if sums.is_rounding and (precisions[0] != precisions[1] or not change.n_directions):
        return replace(change, movement=Movement.ROUNDING, n_directions=0, share=0.0)
    if min(before.shape) > MOST_DIMENSIONS or not norm or not sums.other_is_nonzero:
        return change
    first, second = (_array(x, m) for x, m in ((pair.one, before), (pair.other, after)))
    return replace(change, turned=turned(first, second))


def described(
    values: np.ndarray,
    changed: tuple[int, int],
    norm: float,
    rounding_edge: float,
    precisions: tuple[str, str],
) -> Delta:
    """Returns what follows from the singular `values` (M,) of a change.

    `changed` is how many of its rows and columns are not 0 (of an embedding, only the rows of the
    tokens that were trained), `norm` the Frobenius norm of the matrix before.
    """
    if not values[0]:
        return _unchanged(len(values), rounding_edge, precisions)
    lowest = max(rounding_edge, RESOLVED * float(values[0]))
    edge, source = lowest, Edge.ROUNDING
    positive = values[: min(changed)]
    resolved = positive[positive > RESOLVED * values[0]]
    n_above = int(np.count_nonzero(positive > lowest))
    if n_above > BULK_SHARE * len(positive) and len(resolved) >= MIN_VALUES:
        edge = max(noise_edge(resolved, max(changed)), lowest)
        source = Edge.BULK if edge > lowest else Edge.ROUNDING
    found = int(np.count_nonzero(values > edge))
    delta_norm = frobenius_norm(values)
    return Delta(
        singular_values=values,
        movement=Movement.MOVED if found else Movement.NOISE,
        n_directions=found,
        edge=edge,
        edge_source=source,
        rounding_edge=rounding_edge,
        share=float(np.sum((values[:found] / delta_norm) ** 2)),
        delta_norm=delta_norm,
        relative_norm=delta_norm / norm if norm else None,
        stable_rank=stable_rank(values),
        effective_rank=effective_rank(values),
        precisions=precisions,
    )


def turned(before: np.ndarray, after: Matrix) -> Optional[Turned]:
    """Returns how the leading directions of a layer (outputs, inputs) turned; neither is 0.

    None if they cannot be found.
    """
    one, other = leading(before), leading(after)
    if one is None or other is None:
        return None
    return Turned(
        n_top=len(one.values),
        left_angles=principal_angles(one.left, other.left),
        right_angles=principal_angles(one.right, other.right),
        intruder_dimensions=intruders(before, one.left, other.left),
    )


@dataclass(frozen=True)
class _Pair:
    one: Entries
    other: Entries

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields the same rows of both matrices (N x M) as float64."""
        yield from zip(self.one.blocks(), self.other.blocks())


@dataclass
class _Sums:
    """What one pass over both matrices finds, beside their difference.

    `quantization` is the variance of the errors of quantization in each. `rows` counts the rows of
    the difference that are not 0, `columns` (M,) says which columns are not.
    """

    noise: RoundingNoise
    precisions: tuple[str, str]
    quantization: tuple[float, float]
    columns: np.ndarray
    rows: int = 0
    squares: float = 0.0
    is_rounding: bool = True
    other_is_nonzero: bool = False

    def added(self, blocks: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Returns the difference of one block, as an array of its own."""
        before, after = blocks
        difference = after - before
        sizes = [
            spacing(block, precision) if is_rounded(precision) else np.zeros_like(block)
            for block, precision in zip(blocks, self.precisions)
        ]
        self.noise.add((sizes[0] ** 2 + sizes[1] ** 2) / 12 + sum(self.quantization))
        self.squares += float(np.sum(before**2))
        changed = difference != 0
        self.rows += int(np.count_nonzero(changed.any(axis=1)))
        self.columns |= changed.any(axis=0)
        # Each number stands for all within half a spacing of it.
        near = np.abs(difference) <= (sizes[0] + sizes[1]) / 2
        self.is_rounding = self.is_rounding and bool(near.all()) and not any(self.quantization)
        self.other_is_nonzero = self.other_is_nonzero or bool(after.any())
        return difference


def _noise(matrix: WeightMatrix) -> float:
    """The variance of the errors that quantization made in the entries of `matrix`."""
    return 0.0 if matrix.noise is None else matrix.noise() ** 2


def _precision(entries: Entries, matrix: WeightMatrix) -> str:
    """The type to which all values of `matrix` are rounded."""
    found = None
    for block in entries.decoded_blocks():
        own = stored_in(block, matrix.dtype)
        found = own if found is None else widest(found, own)
        if found == matrix.dtype:
            break
    return found or matrix.dtype


def _array(entries: Entries, matrix: WeightMatrix) -> np.ndarray:
    """The values (outputs, inputs) in float64."""
    blocks = (np.array(block) for block in entries.blocks())
    tall = gathered(blocks, (entries.N, entries.M))
    stored = tall if matrix.shape[0] >= matrix.shape[1] else tall.T
    return stored if matrix.surroundings.outputs_first else stored.T


def _unchanged(m: int, rounding_edge: float, precisions: tuple[str, str]) -> Delta:
    return Delta(
        singular_values=np.zeros(m),
        movement=Movement.UNCHANGED,
        n_directions=0,
        edge=rounding_edge,
        edge_source=Edge.ROUNDING,
        rounding_edge=rounding_edge,
        share=None,
        delta_norm=0.0,
        relative_norm=0.0,
        stable_rank=None,
        effective_rank=None,
        precisions=precisions,
    )
