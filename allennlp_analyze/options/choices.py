"""What the dataclasses of choices have in common: their fields are options of the table."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from allennlp_analyze.options.table import TABLE

Choices = TypeVar("Choices")


def default(name: str) -> Any:
    """The default of the option of this name."""
    return TABLE[name].default


def checked(name: str, value: object) -> Any:
    """The value that `value` stands for in the option of this name. Raises `OptionError`."""
    return TABLE[name].checked(value)


def check_fields(choices: object) -> None:
    """Give every field of a frozen dataclass that is an option the value that it stands for.

    Raises `OptionError`.
    """
    for field in dataclasses.fields(choices):  # type: ignore[arg-type]
        if field.name in TABLE:
            value = checked(field.name, getattr(choices, field.name))
            object.__setattr__(choices, field.name, value)


def laid_over(choices: Choices, options: Mapping[str, Any]) -> Choices:
    """`choices`, a frozen dataclass, with those of `options` that are fields of it, or of a
    dataclass in it. Raises `OptionError`."""
    changed = {}
    for field in dataclasses.fields(choices):  # type: ignore[arg-type]
        value = getattr(choices, field.name)
        if dataclasses.is_dataclass(value):
            changed[field.name] = laid_over(value, options)
        elif field.name in options:
            changed[field.name] = options[field.name]
    return dataclasses.replace(choices, **changed)  # type: ignore[type-var]


def material(choices: object) -> dict[str, Any]:
    """The fields of a dataclass, as JSON knows them, that the reports depend on."""
    found = {}
    for field in dataclasses.fields(choices):  # type: ignore[arg-type]
        value = getattr(choices, field.name)
        if dataclasses.is_dataclass(value):
            found[field.name] = material(value)
        elif field.name not in TABLE or TABLE[field.name].material:
            found[field.name] = value
    return found


def given(names: Iterable[str], options: Mapping[str, Any]) -> tuple[str, ...]:
    """Those of `names` for which `options` have another value than the default."""
    return tuple(name for name in names if not TABLE[name].is_default(options[name]))
