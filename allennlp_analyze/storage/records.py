"""Decodes JSON types into result dataclasses, and checks each value against its annotation."""

import base64
import dataclasses
import functools
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any, Optional, Union

import numpy as np

_ACCEPTED: dict[Any, tuple[type, ...]] = {
    float: (float, int),
    int: (int,),
    str: (str,),
    bool: (bool,),
}


def field_names(value: object) -> Optional[tuple[str, ...]]:
    """Returns the names of the fields of a result; None for what is no dataclass."""
    kind: Any = type(value)
    return _field_names(kind)


@functools.cache
def _field_names(kind: Any) -> Optional[tuple[str, ...]]:
    if not dataclasses.is_dataclass(kind):
        return None
    return tuple(field.name for field in dataclasses.fields(kind))


def decoded(kind: Any, value: Any) -> Any:
    """Decode `value` as `kind`: a result dataclass, or a type with which its fields are annotated.

    An enum is decoded to the member with that value. Unknown keys are ignored; a missing field
    takes its default, or None if optional. An array is passed through, or decoded from base64 of
    float64. Raises `ValueError` or `TypeError` if `value` does not fit.
    """
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value)
    if kind is np.ndarray:
        if isinstance(value, np.ndarray):
            return value
        return np.frombuffer(base64.b64decode(value, validate=True), np.float64)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Union:  # results use it only as Optional
        return None if value is None else decoded(arguments[0], value)
    if origin is tuple:
        return _tuple(arguments, value)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise TypeError(f"expected a mapping, got {value!r:.40}")
        return {
            decoded(arguments[0], key): decoded(arguments[1], item) for key, item in value.items()
        }
    return _scalar(kind, value)


def _dataclass(kind: Any, value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise TypeError(f"expected a {kind.__name__}, got {value!r:.40}")
    kinds = _kinds(kind)
    found = {}
    for field in dataclasses.fields(kind):
        if field.name in value:
            found[field.name] = decoded(kinds[field.name], value[field.name])
        elif type(None) in typing.get_args(kinds[field.name]):
            found[field.name] = None
        elif field.default is dataclasses.MISSING:
            raise ValueError(f"{kind.__name__}: {field.name} is missing")
    return kind(**found)


@functools.cache
def _kinds(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _tuple(kinds: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"expected a list, got {value!r:.40}")
    if kinds[-1] is Ellipsis:
        return tuple(decoded(kinds[0], item) for item in value)
    if len(kinds) != len(value):
        raise ValueError(f"expected {len(kinds)} values, got {len(value)}")
    return tuple(decoded(kind, item) for kind, item in zip(kinds, value))


def _scalar(kind: Any, value: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _member(kind, value)
    accepted = _ACCEPTED.get(kind)
    if accepted is None:
        return value
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"expected a {kind.__name__}, got {value!r:.40}")
    return kind(value)


def _member(kind: type[Enum], value: Any) -> Enum:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(str(member.value) for member in kind)
        raise ValueError(f"expected one of {known}, got {value!r:.40}") from None
