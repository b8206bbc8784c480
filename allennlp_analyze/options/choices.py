"""Functions for the dataclasses whose fields are options of the table."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from allennlp_analyze.options.table import TABLE

Choices = TypeVar("Choices")


def default(name: str) -> Any:
    """Returns the default of the option `name`."""
    return TABLE[name].default


def checked(name: str, value: object) -> Any:
    """Returns the parsed value of the option `name`. Raises `OptionError`."""
    return TABLE[name].checked(value)


def check_fields(choices: object) -> None:
    """Parse and check every field of a frozen dataclass that is an option.

    Raises `OptionError`.
    """
    for field in dataclasses.fields(choices):  # type: ignore[arg-type]
        if field.name in TABLE:
            value = checked(field.name, getattr(choices, field.name))
            object.__setattr__(choices, field.name, value)


def laid_over(choices: Choices, options: Mapping[str, Any]) -> Choices:
    """Returns the frozen dataclass `choices` with its fields replaced by those in `options`.

    Fields of dataclasses inside it are replaced, too. Raises `OptionError`.
    """
    changed = {}
    for field in dataclasses.fields(choices):  # type: ignore[arg-type]
        value = getattr(choices, field.name)
        if dataclasses.is_dataclass(value):
            changed[field.name] = laid_over(value, options)
        elif field.name in options:
            changed[field.name] = options[field.name]
    return dataclasses.replace(choices, **changed)  # type: ignore[type-var]


def material(choices: object) -> dict[str, Any]:
    """Returns the fields of a dataclass that affect the reports, in JSON types."""
    found = {}
    for field in dataclasses.fields(choices):  # type: ignore[arg-type]
        value = getattr(choices, field.name)
        if dataclasses.is_dataclass(value):
            found[field.name] = material(value)
        elif field.name not in TABLE or TABLE[field.name].material:
            found[field.name] = value
    return found


def given(names: Iterable[str], options: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns those of `names` whose value in `options` is not the default."""
    return tuple(name for name in names if not TABLE[name].is_default(options[name]))
