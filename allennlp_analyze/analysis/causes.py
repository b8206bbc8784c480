"""Explains the lost and weak directions of a layer from their singular vectors.

Each candidate cause is a small space of directions on the side of inputs or outputs: the axes of
dead units, the constant vector, the inverse gain of a normalization, differences of equal columns.
A cause explains a direction as far as the singular vectors lie in its space.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.linalg.lowest import Known, Lowest, lowest_vectors
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.metrics.judging import Judged
from allennlp_analyze.results.evidence import Cause, Finding
from allennlp_analyze.sources.blocks import Entries

# A direction has a cause if this share of it lies in the space of the cause.
NEEDED_EVIDENCE = 0.5
# If the lost directions are more than this share of all, nearly all of a vector must lie in them.
MOST_BY_CHANCE, SURE_EVIDENCE = 0.1, 0.99
DYING_EVIDENCE, DYING_SHARE = 0.7, 0.1
# Rounding moves a singular value that is zero by a little; so lengths are compared with a margin.
MARGIN, COPY_MARGIN = 1.05, 2.0
# More units than this are not searched for copies: their pairs would not fit into memory.
MOST_COMPARED = 2048
# If more of the units are multiples of each other, the rank is low as a whole: that explains none.
MOST_COPIED = 0.5


@dataclass(frozen=True)
class _Side:
    """Lost directions on one side of a matrix: their singular vectors (size, k) are in `lowest`.

    `share` is that of the lost directions that the vectors represent. `limit` is the length up to
    which a row or column of this side counts as zero.
    """

    lowest: Lowest
    vectors: np.ndarray
    is_output: bool
    share: float
    limit: float


def find_causes(
    matrix: WeightMatrix,
    judged: Judged,
    known: Optional[Known] = None,
    faint: Sequence[int] = (),
) -> tuple[Finding, ...]:
    """Returns the findings on `matrix`: groups of directions with a cause each.

    Every lost direction is in one group. Weak directions are in one only if a cause explains them.
    `known` is the Gram matrix of the side of the smaller dimension (of a square, its columns).
    Without it the entries are read again, if there are lost or weak directions. `faint` are dead
    units of the side of the larger dimension, which lose no direction. Raises `TensorError`.
    """
    m = min(matrix.shape)
    if judged.start_ratio == 0:
        return (Finding(Cause.ZERO, m, False),)
    if judged.has_decayed:
        return (_decayed(matrix, m),)
    found: list[Finding] = list(_without_loss(matrix, faint))
    if judged.has_spikes:
        found.append(Finding(Cause.SPIKES_GREW, 0, True, is_lost=False))
    if judged.is_hidden:
        note = "" if matrix.noise is None else "quantization"
        found.append(Finding(Cause.BELOW_PRECISION, judged.hidden, False, is_lost=False, note=note))
    count = judged.lost or judged.weak
    if not count:
        return tuple(found)
    explained = list(_explained(matrix, judged, count, known))
    left = judged.lost - sum(finding.count for finding in explained)
    if left > 0:
        cause = Cause.BULK_SUNK if judged.is_sunk else Cause.UNEXPLAINED
        explained.append(Finding(cause, left, cause.is_harmless))
    return (*found, *explained)


def _without_loss(matrix: WeightMatrix, units: Sequence[int]) -> Iterator[Finding]:
    """Yields a finding on dead `units` of the longer side; an embedding has unused rows, always."""
    rows, columns = matrix.shape
    around = matrix.surroundings
    is_output = (rows > columns) == around.outputs_first
    if not units or matrix.kind == "embedding":
        return
    if is_output and around.is_last and matrix.kind == "linear":
        cause = Cause.UNUSED_ROWS
    else:
        cause = Cause.DEAD_OUTPUTS if is_output else Cause.DEAD_INPUTS
    named, note = _named(matrix, np.asarray(units), is_output)
    if note == "":
        yield Finding(cause, 0, cause.is_harmless, units=named, is_lost=False)


def _named(matrix: WeightMatrix, units: np.ndarray, is_output: bool) -> tuple[tuple[int, ...], str]:
    """Returns the channels whose columns are all in `units`, or the columns and a note."""
    each = 1 if is_output else matrix.surroundings.columns_per_input
    note = ""
    if each > 1:
        channels, columns = np.unique(units // each, return_counts=True)
        if (columns == each).all():
            units = channels
        else:
            note = "columns of the unfolded kernel"
    return tuple(int(unit) for unit in units), note


def _decayed(matrix: WeightMatrix, m: int) -> Finding:
    if matrix.surroundings.is_normalized:
        return Finding(Cause.SMALL_BUT_NORMALIZED, 0, True, is_lost=False)
    return Finding(Cause.DECAYED, m, False)


def _explained(
    matrix: WeightMatrix, judged: Judged, count: int, known: Optional[Known]
) -> Iterator[Finding]:
    """Yields findings on at most `count` directions, the lost ones or else the weak ones."""
    is_lost = judged.lost > 0
    left = count
    for side in _sides(matrix, judged, count, known):
        for finding in _found(matrix, side, is_lost):
            taken = min(finding.count, left)
            if taken > 0:
                left -= taken
                yield replace(finding, count=taken, is_lost=is_lost)


def _sides(
    matrix: WeightMatrix, judged: Judged, count: int, known: Optional[Known]
) -> Iterator[_Side]:
    """Yields the side of the smaller dimension; a square has two, that of its outputs first."""
    rows, columns = matrix.shape
    sides = [rows < columns] if rows != columns else [True, False]  # whether it is that of the rows
    if not matrix.surroundings.outputs_first:
        sides.reverse()
    for of_rows in sides:
        stored = matrix.stored()
        other_side = rows == columns and of_rows
        if other_side:
            entries = Entries(stored.T, lambda block: matrix.decode(block.T).T)
        else:
            entries = Entries(stored, matrix.decode)
        lowest = lowest_vectors(entries, count, judged.limit, None if other_side else known)
        limit = max(float(lowest.values[-1]), judged.limit if judged.lost else 0.0)
        yield _Side(
            lowest=lowest,
            vectors=lowest.vectors,
            is_output=of_rows == matrix.surroundings.outputs_first,
            share=lowest.vectors.shape[1] / count,
            limit=MARGIN * limit,
        )


def _found(matrix: WeightMatrix, side: _Side, is_lost: bool) -> Iterator[Finding]:
    """Yields the findings, each about directions that no earlier one explains."""
    dead = _dead(side)
    if len(dead):
        axes = np.zeros((len(side.vectors), len(dead)))
        axes[dead, np.arange(len(dead))] = 1.0
        yield _about_units(matrix, side, dead, _energy(side, axes))
        side = replace(side, vectors=side.vectors - axes @ (axes.T @ side.vectors))
    # Among many lost directions any vector is by chance.
    by_chance = side.vectors.shape[1] / side.share / len(side.vectors)
    needed = SURE_EVIDENCE if by_chance > MOST_BY_CHANCE else NEEDED_EVIDENCE
    for cause, direction in _symmetries(matrix, side):
        energy = float(np.sum((direction @ side.vectors) ** 2)) / side.share
        if energy >= needed:
            yield Finding(cause, 1, cause.is_harmless, min(energy, 1.0))
            break
    if is_lost and by_chance <= MOST_COPIED:
        yield from _copies(side, dead)


def _dead(side: _Side) -> np.ndarray:
    """Units without weights, or with few and most of their axis among the lost directions."""
    lengths = side.lowest.lengths
    is_dead = lengths <= side.limit
    if side.share == 1:
        energy = np.sum(side.vectors**2, axis=1)
        is_dead |= (energy >= DYING_EVIDENCE) & (lengths <= DYING_SHARE * np.median(lengths))
    return np.flatnonzero(is_dead)


def _about_units(matrix: WeightMatrix, side: _Side, units: np.ndarray, evidence: float) -> Finding:
    if matrix.kind == "embedding" and side.is_output:
        cause = Cause.UNUSED_ROWS
    else:
        cause = Cause.DEAD_OUTPUTS if side.is_output else Cause.DEAD_INPUTS
    named, note = _named(matrix, units, side.is_output)
    return Finding(cause, len(units), cause.is_harmless, evidence, named, note=note)


def _energy(side: _Side, axes: np.ndarray) -> float:
    """The share of the directions that lies in the space of the orthonormal `axes` (size, c)."""
    inside = float(np.sum((axes.T @ side.vectors) ** 2))
    possible = min(side.vectors.shape[1], axes.shape[1])
    return min(inside / possible, 1.0)


def _symmetries(matrix: WeightMatrix, side: _Side) -> Iterator[tuple[Cause, np.ndarray]]:
    """Yields unit vectors that the network cannot see on this side, and why."""
    size = len(side.vectors)
    around = matrix.surroundings
    if side.is_output:
        constant = np.full(size, 1 / np.sqrt(size))
        if around.is_last and size > 1:
            yield Cause.SOFTMAX, constant
        elif around.in_layer_norm:
            yield Cause.LAYER_NORM_OUTPUT, constant
        return
    for gain in around.gains:
        try:
            values = np.asarray(gain.values(), np.float64)
        except TensorError:
            continue
        if len(values) == size and np.isfinite(values).all() and (values != 0).all():
            inverse = 1 / values
            yield Cause.LAYER_NORM_INPUT, inverse / np.linalg.norm(inverse)


def _copies(side: _Side, dead: np.ndarray) -> Iterator[Finding]:
    """Yields one finding on all units that are equal or opposite to others.

    A group of equal columns has one direction less than it has units.
    """
    energy = np.sum(side.vectors**2, axis=1) / side.share
    units = np.setdiff1d(np.flatnonzero(energy > 0.1), dead)
    if not 2 <= len(units) <= MOST_COMPARED:
        return
    lengths = side.lowest.lengths[units]
    cosines = np.abs(side.lowest.cosines(units))
    together = np.sqrt(lengths[:, None] ** 2 + lengths**2)
    distance = np.outer(lengths, lengths) * np.sqrt(np.maximum(2 - 2 * cosines, 0)) / together
    # A difference of units is near a lost direction, not equal to it. Cosines are rounded, so a
    # distance below the square root of that is zero.
    is_copy = distance <= COPY_MARGIN * side.limit + 3e-8 * together
    groups = [group for group in _groups(is_copy) if len(group) > 1]
    if groups and sum(map(len, groups)) < MOST_COPIED * len(side.vectors):
        members = [int(units[i]) for group in groups for i in group]
        lost = sum(len(group) - 1 for group in groups)
        evidence = float(np.sum(side.vectors[members] ** 2)) / min(lost, side.vectors.shape[1])
        cause = Cause.COPIED_OUTPUTS if side.is_output else Cause.COPIED_INPUTS
        yield Finding(cause, lost, cause.is_harmless, min(evidence, 1.0), tuple(members))


def _groups(related: np.ndarray) -> Sequence[list[int]]:
    """Connected groups of a symmetric relation (n, n), in the order of their first members."""
    seen: set[int] = set()
    groups = []
    for start in range(len(related)):
        if start in seen:
            continue
        group, pending = [], [start]
        seen.add(start)
        while pending:
            one = pending.pop()
            group.append(one)
            new = [int(i) for i in np.flatnonzero(related[one]) if int(i) not in seen]
            seen.update(new)
            pending.extend(new)
        groups.append(sorted(group))
    return groups
