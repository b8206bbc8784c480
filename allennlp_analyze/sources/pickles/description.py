"""Inert descriptions of what a pickled checkpoint contains: storages, tensors and the rest."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Callable, Optional, Union


@dataclass(frozen=True)
class Inert:
    """A value that no tensor depends on; only the name of its type is kept."""

    name: str


class Key:
    """A dictionary key that is not a string. `text` names what it stands beside.

    It is equal to itself alone: integers can be chosen so that all of their hashes collide.
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Unknown:
    """A class or function that tensors do not need: it is never imported, and its calls do nothing.

    Its names are kept apart: a pickle can combine long ones in many ways.
    """

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class StandIn:
    """An inert stand-in for an object of an unknown class: what the pickle gave it, and no more.

    `made_by` is the class or function, `arguments` those of the call, `state` what was set as its
    attributes, `items` what was appended to it, `entries` what was set under keys.
    """

    __slots__ = ("arguments", "entries", "items", "made_by", "state")

    def __init__(self, made_by: object, arguments: tuple[object, ...] = ()) -> None:
        self.made_by = made_by
        self.arguments = arguments
        self.state: object = None
        self.items: Optional[list[object]] = None
        self.entries: Optional[dict[object, object]] = None

    @property
    def name(self) -> str:
        """The full name of the class."""
        return str(self.made_by)

    def attributes(self) -> Mapping[object, object]:
        """The attributes that the pickle sets; {} if it sets them in another form."""
        return self.state if isinstance(self.state, dict) else {}

    def append(self, items: list[object]) -> None:
        if self.items is None:
            self.items = []
        self.items.extend(items)

    def set_item(self, key: object, value: object) -> None:
        if self.entries is None:
            self.entries = {}
        self.entries[key] = value


@dataclass(frozen=True)
class EncodedText:
    """Bytes as protocol 2 writes them: text whose characters are their values."""

    text: str

    def encoded(self) -> bytes:
        """Returns the bytes. Raises `UnicodeError` if the text has other characters."""
        return self.text.encode("latin-1")


@dataclass(frozen=True)
class NumpyBytes:
    """The values of a numpy array, which are in the pickle itself."""

    raw: Union[bytes, EncodedText]


@dataclass(frozen=True)
class Quantizer:
    """How integers become numbers: (q - zero_point) * scale, for all or along `axis`.

    With an axis, scales and zero points are tensors of one number for each index.
    """

    scale: Union[float, "TensorRef"]
    zero_point: Union[int, "TensorRef"]
    axis: Optional[int] = None


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
    `inline` has the values of a numpy array, whose storage is in no record. `quantizer` turns the
    integers of a quantized tensor into numbers. `kind` and `is_buffer` are what its module says,
    None if it is not known.
    """

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...] = ()
    offset: int = 0
    storage: Optional[StorageRef] = None
    conjugated: bool = False
    negated: bool = False
    unsupported: Optional[str] = None
    inline: Optional[NumpyBytes] = None
    quantizer: Optional[Quantizer] = None
    kind: Optional[str] = None
    is_buffer: Optional[bool] = None


def contiguous_strides(shape: Sequence[int], by_columns: bool = False) -> tuple[int, ...]:
    """Returns the strides, in elements, of an array without gaps: in rows (C), or in columns."""
    strides: list[int] = []
    step = 1
    for size in shape if by_columns else reversed(shape):
        strides.append(step)
        step *= size
    return tuple(strides if by_columns else reversed(strides))


@dataclass(frozen=True)
class Builder:
    """A global that a pickle may call; `build` takes the tuple of arguments."""

    name: str
    build: Callable[[tuple[object, ...]], object]


# What may hold tensors, and is walked for them.
CONTAINERS = (dict, list, tuple, StandIn)


def parts_of(container: object) -> Iterator[tuple[str, object]]:
    """Yields what a container holds, each with a name; several may have the same."""
    if isinstance(container, dict):
        for key, value in container.items():
            yield key if isinstance(key, str) else str(key), value
    elif isinstance(container, (list, tuple)):
        for index, value in enumerate(container):
            yield str(index), value
    elif isinstance(container, StandIn):
        yield from parts_of(container.arguments)
        # Attributes are a dictionary, or a pair of them if the class has slots.
        states = container.state if isinstance(container.state, tuple) else (container.state,)
        for state in states:
            yield from parts_of(state)
        yield from parts_of(container.items)
        yield from parts_of(container.entries)
