"""Takes matrices from the values of one tensor: slices, blocks, unfolded and permuted ones."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Callable, Optional

import numpy as np

from allennlp_analyze.matrices.assembled import flattened
from allennlp_analyze.matrices.block import Block


@dataclass(frozen=True)
class Part:
    """One matrix of a tensor: its label, its shape, and how to take it from the values."""

    label: Optional[str]
    shape: tuple[int, int]
    take: Callable[[np.ndarray], np.ndarray] = field(repr=False, compare=False)


def full_matrix(shape: tuple[int, ...]) -> Part:
    return Part(None, (shape[0], shape[1]), lambda values: values)


def unfolded(shape: tuple[int, ...]) -> Part:
    """Returns the matrix first dimension x all other dimensions."""
    flat = (shape[0], math.prod(shape[1:]))
    return Part(None, flat, lambda values: flattened(values.reshape(shape)))


def permuted(shape: tuple[int, ...], order: tuple[int, ...]) -> Part:
    """Returns the matrix of a tensor of `shape` whose axes come in another order."""
    flat = (shape[order[0]], math.prod(shape[axis] for axis in order[1:]))
    return Part(None, flat, lambda values: flattened(values.transpose(order)))


def one_of(stored: tuple[int, ...], shape: tuple[int, ...], index: int) -> Part:
    """Returns the matrix at `index` of a stack of `shape`, stored with extra leading ones."""
    leading = (0,) * (len(stored) - len(shape))
    return Part(str(index), (shape[1], shape[2]), lambda values: values[leading + (index,)])


def block_in(shape: tuple[int, ...], block: Block) -> Part:
    """Returns a part of a tensor of two dimensions."""
    return Part(block.label, block.shape(shape), block.take)


def block_of(whole: Part, block: Block) -> Part:
    """Returns a part of the matrix `whole`."""
    return Part(
        f"{whole.label}, {block.label}",
        block.shape(whole.shape),
        lambda values: block.take(whole.take(values)),
    )


def row_blocks(shape: tuple[int, ...], labels: tuple[str, ...]) -> Iterator[Part]:
    """Yields equal blocks of rows, one for each label."""
    rows = shape[0] // max(len(labels), 1)
    for index, label in enumerate(labels):
        yield Part(label, (rows, shape[1]), partial(_rows, index * rows, (index + 1) * rows))


def _rows(start: int, stop: int, values: np.ndarray) -> np.ndarray:
    return values[start:stop]


def convolution(shape: tuple[int, ...], transposed_groups: int) -> Part:
    """out x (in / groups * kernel); a transposed one is stored in x (out / groups) x kernel."""
    if not transposed_groups:
        return unfolded(shape)
    groups, inputs = transposed_groups, shape[0] // transposed_groups

    def take(values: np.ndarray) -> np.ndarray:
        grouped = values.reshape(groups, inputs, *shape[1:])
        return flattened(np.swapaxes(grouped, 1, 2), leading=2)

    return Part(None, (shape[1] * groups, inputs * math.prod(shape[2:])), take)
