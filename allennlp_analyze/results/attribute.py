"""An attribute of a layer that reads one number from where the results hold it."""

from functools import cache
from typing import Any, Generic, Optional, TypeVar, Union, cast, overload

T = TypeVar("T")


def read_key(layer: Any, key: str) -> Any:
    """Returns what `layer` has under `key`, or None if it or its object is undefined.

    A dot in the key leads into an object or a dict.
    """
    found = layer
    for part in _parts(key):
        if found is None:
            return None
        found = found.get(part) if isinstance(found, dict) else getattr(found, part)
    return found


@cache
def _parts(key: str) -> tuple[str, ...]:
    return tuple(key.split("."))


class Attribute(Generic[T]):
    """A read-only attribute of type `T`: what the layer has under `key`."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __set_name__(self, owner: type, name: str) -> None:
        self.__name__ = name

    @overload
    def __get__(self, layer: None, owner: type) -> "Attribute[T]": ...

    @overload
    def __get__(self, layer: object, owner: Optional[type] = None) -> T: ...

    def __get__(
        self, layer: Optional[object], owner: Optional[type] = None
    ) -> "Union[Attribute[T], T]":
        return self if layer is None else cast(T, read_key(layer, self.key))

    # Without it, `help` would show the attribute as one of the class.
    def __set__(self, layer: object, value: T) -> None:
        raise AttributeError(f"{self.__name__} is read-only")
