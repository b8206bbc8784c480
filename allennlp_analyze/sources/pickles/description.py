"""Inert descriptions of what a pickled checkpoint contains: storages, tensors and the rest."""

from dataclasses import dataclass
from typing import Callable, Optional


@dataclass(frozen=True)
class Inert:
    """A value that no tensor depends on; only the name of its type is kept."""

    name: str


@dataclass(frozen=True)
class DType:
    """A torch.dtype; `name` is torch's name without the prefix."""

    name: str


@dataclass(frozen=True)
class StorageType:
    """A storage class; `dtype` is the type of its elements ("uint8" for an untyped storage)."""

    dtype: str


@dataclass(frozen=True)
class StorageRef:
    """`size` elements of type `dtype`, from element `start` of the stored block called `key`.

    `block_size` is the declared number of elements of that block.
    """

    key: str
    dtype: str
    block_size: int
    start: int
    size: int


@dataclass(frozen=True)
class TensorRef:
    """A tensor as a view of a storage; offset and strides are in elements of `dtype`.

    `unsupported` says why the tensor has no readable values (it may then have no storage).
    """

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...] = ()
    offset: int = 0
    storage: Optional[StorageRef] = None
    conjugated: bool = False
    negated: bool = False
    unsupported: Optional[str] = None


@dataclass(frozen=True)
class Builder:
    """A global that a pickle may call; `build` takes the tuple of arguments."""

    name: str
    build: Callable[[tuple[object, ...]], object]
