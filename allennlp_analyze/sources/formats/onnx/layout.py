"""Turns a weight as an operator has it into torch's layout: outputs x inputs (x kernel)."""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Callable, Optional, Protocol

import numpy as np

from allennlp_analyze.sources.tensor import StoredTensor

Shape = tuple[int, ...]


class LayoutError(Exception):
    """The shape does not allow the step."""


class Step(Protocol):
    """One change of layout. `shape` raises `LayoutError` for a shape that it does not fit."""

    def shape(self, shape: Shape) -> Shape: ...

    def values(self, values: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Permuted:
    """Axes in another order; None reverses them."""

    axes: Optional[Shape] = None

    def _order(self, rank: int) -> Shape:
        order = tuple(reversed(range(rank))) if self.axes is None else self.axes
        if sorted(order) != list(range(rank)):
            raise LayoutError
        return order

    def shape(self, shape: Shape) -> Shape:
        return tuple(shape[axis] for axis in self._order(len(shape)))

    def values(self, values: np.ndarray) -> np.ndarray:
        return values.transpose(self._order(values.ndim))


@dataclass(frozen=True)
class Swapped:
    """The last two axes exchanged: a MatMul's weight is inputs x outputs."""

    def shape(self, shape: Shape) -> Shape:
        if len(shape) < 2:
            raise LayoutError
        return (*shape[:-2], shape[-1], shape[-2])

    def values(self, values: np.ndarray) -> np.ndarray:
        return np.swapaxes(values, -1, -2)


@dataclass(frozen=True)
class Reshaped:
    """Another shape of as many elements, as of a Reshape: 0 keeps a size, -1 is what is left."""

    dims: Shape

    def shape(self, shape: Shape) -> Shape:
        if any(n == 0 and i >= len(shape) for i, n in enumerate(self.dims)):
            raise LayoutError
        dims = [shape[i] if n == 0 else n for i, n in enumerate(self.dims)]
        known = math.prod(n for n in dims if n != -1)
        if min(dims, default=1) < -1 or dims.count(-1) > 1 or known < 1:
            raise LayoutError
        if -1 in dims:
            dims[dims.index(-1)] = math.prod(shape) // known
        if math.prod(dims) != math.prod(shape):
            raise LayoutError
        return tuple(dims)

    def values(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(self.shape(values.shape))


@dataclass(frozen=True)
class Merged:
    """The axes before `rows` stay, those up to `columns` become one axis, the rest another."""

    rows: int
    columns: int

    def shape(self, shape: Shape) -> Shape:
        if not self.rows <= self.columns <= len(shape):
            raise LayoutError
        outputs = math.prod(shape[self.rows : self.columns])
        return (*shape[: self.rows], outputs, math.prod(shape[self.columns :]))

    def values(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(self.shape(values.shape))


@dataclass(frozen=True)
class Untransposed:
    """A ConvTranspose's in x out/groups x kernel as out x in/groups x kernel."""

    groups: int

    def shape(self, shape: Shape) -> Shape:
        if len(shape) < 3 or self.groups < 1 or shape[0] % self.groups:
            raise LayoutError
        return (shape[1] * self.groups, shape[0] // self.groups, *shape[2:])

    def values(self, values: np.ndarray) -> np.ndarray:
        inputs = values.shape[0] // self.groups
        grouped = values.reshape(self.groups, inputs, *values.shape[1:])
        return np.swapaxes(grouped, 1, 2).reshape(self.shape(values.shape))


@dataclass(frozen=True)
class Picked:
    """One direction of a recurrent layer, its gates (blocks of rows) in the order of torch."""

    direction: int
    gates: Shape

    def shape(self, shape: Shape) -> Shape:
        if len(shape) != 3 or shape[0] <= self.direction or shape[1] % len(self.gates):
            raise LayoutError
        return shape[1:]

    def values(self, values: np.ndarray) -> np.ndarray:
        own = values[self.direction]
        if len(self.gates) == 1:
            return own
        rows = own.shape[0] // len(self.gates)
        return np.concatenate([own[gate * rows : (gate + 1) * rows] for gate in self.gates])


Steps = tuple[Step, ...]


def arranged_shape(shape: Shape, steps: Steps) -> Optional[Shape]:
    """The shape after all steps, None if one does not fit."""
    try:
        for step in steps:
            shape = step.shape(shape)
    except LayoutError:
        return None
    return shape


def arranged(tensor: StoredTensor, steps: Steps) -> StoredTensor:
    """Returns `tensor` in the layout after all steps, or as it is if a step does not fit.

    Values are views of the stored ones, except where gates or a permuted array must be copied.
    """
    shape = arranged_shape(tensor.shape, steps)
    if shape is None or not steps:
        return tensor
    views = all(isinstance(step, (Permuted, Swapped)) for step in steps) or (
        isinstance(steps[0], Reshaped)
        and all(isinstance(step, (Permuted, Swapped)) for step in steps[1:])
    )
    load = None if tensor.load is None else partial(_arranged_values, tensor.load, steps)
    return replace(
        tensor,
        shape=shape,
        storage=(tensor.storage, steps),
        load=load,
        unpacked=tensor.unpacked if views else max(tensor.unpacked, _bytes(tensor)),
    )


def _bytes(tensor: StoredTensor) -> int:
    return 8 * math.prod(tensor.shape)


def _arranged_values(load: Callable[[], np.ndarray], steps: Steps) -> np.ndarray:
    values = load()
    for step in steps:
        values = step.values(values)
    values = values.view()
    values.flags.writeable = False
    return values
