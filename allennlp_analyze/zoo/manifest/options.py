"""The options of one model of a zoo: checked, and laid over what all its models share."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any, Callable

from allennlp_analyze.analysis.pipeline import Request
from allennlp_analyze.errors import UsageError
from allennlp_analyze.settings import PLOT_FORMATS, Settings
from allennlp_analyze.sources.download.cache import MAX_TIMEOUT
from allennlp_analyze.text.sizes import parse_size
from allennlp_analyze.zoo.manifest.entries import ZooEntry

MAX_SHOWN = 60

_SETTINGS = {field.name for field in fields(Settings)}
_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def quoted(value: object) -> str:
    """`value` as messages show it."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """The message that `name` is none of `known`, with the one that was likely meant."""
    names = list(known)
    close = get_close_matches(str(name)[:MAX_SHOWN], names, 1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return f"unknown {what} {quoted(name)}{meant} (there are {', '.join(names)})"


def text_of(value: object) -> str:
    """Raises `ValueError` for what is not text, or empty."""
    if not isinstance(value, str):
        raise ValueError(f"{quoted(value)} is not text; put it in quotes")
    if not value.strip():
        raise ValueError("is empty")
    return value


def _names(value: object) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)):
        raise ValueError(f"{quoted(value)} is not a list of names")
    return tuple(text_of(name).strip() for name in names)


def _flag(value: object) -> bool:
    word = value.strip().lower() if isinstance(value, str) else None
    if isinstance(value, bool):
        return value
    if word not in _WORDS:
        raise ValueError(f"{quoted(value)} is neither true nor false")
    return _WORDS[word]


def _number(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _finite(value)
    # Python would read 1_000, which nobody writes here.
    if not isinstance(value, str) or "_" in value:
        raise ValueError(f"{quoted(value)} is not a number")
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"{quoted(value)} is not a number") from None
    return _finite(number)


def _finite(number: float) -> float:
    try:
        number = float(number)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a number that can be used")
    return number


def _whole(value: object) -> int:
    number = _number(value)
    if number != math.floor(number) or abs(number) > 2**53:
        raise ValueError(f"{quoted(value)} is not a whole number")
    return int(number)


def _seconds(value: object) -> float:
    seconds = _number(value)
    if not 0 < seconds <= MAX_TIMEOUT:
        raise ValueError(f"{quoted(value)} is not above 0 and at most {MAX_TIMEOUT:g} seconds")
    return seconds


def _size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError(f"{quoted(value)} is not a size; write one like 500M or 20G")
    return parse_size(str(value))


def _plot_format(value: object) -> str:
    name = text_of(value)
    if name not in PLOT_FORMATS:
        raise ValueError(f"{quoted(name)} is none of {', '.join(PLOT_FORMATS)}")
    return name


def _overrides(value: object) -> str:
    """JSON, or what a YAML mapping makes of it."""
    if not isinstance(value, dict):
        return text_of(value)
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{quoted(value)} cannot be JSON ({error})") from None


# Every option by its field, in the order of the documentation.
OPTIONS: Mapping[str, Callable[[Any], Any]] = {
    "kinds": _names,
    "layers": text_of,
    "split_gates": _flag,
    "loose_tolerance": _number,
    "gamma": _number,
    "compare_distributions": _flag,
    "max_dim": _whole,
    "cuda_device": _whole,
    "weights_file": text_of,
    "timeout": _seconds,
    "max_unpacked_size": _size,
    "reference": text_of,
    "plots": _flag,
    "plot_format": _plot_format,
    "build_model": _flag,
    "overrides": _overrides,
    "include_packages": _names,
}
# What the command line calls otherwise.
ALIASES = {"include_package": "include_packages"}
NO_PLOTS = "no_plots"


def field_name(option: str) -> str:
    """What an option is called here, with dashes or underscores."""
    name = option.strip().lower().replace("-", "_")
    return ALIASES.get(name, name)


def is_option(name: str) -> bool:
    return field_name(name) in {*OPTIONS, NO_PLOTS}


def read_options(options: Mapping[Any, Any]) -> dict[str, Any]:
    """Options as they were written, in YAML's types or as text, by field name and of its type.

    What is None stays: it takes back what the manifest says of all its models. Raises `UsageError`,
    with the option, for an unknown one, one given twice, and a value that cannot be.
    """
    found: dict[str, Any] = {}
    for option, value in options.items():
        name = field_name(str(option))
        if not is_option(name):
            raise UsageError(unknown("option", option, OPTIONS))
        field, parsed = _parsed(str(option), name, value)
        if field in found:
            raise UsageError(f"option {option}: is there twice")
        found[field] = parsed
    _lay_over(found, Request(archive=""), Settings())
    return found


def _parsed(option: str, name: str, value: object) -> tuple[str, Any]:
    """The field, and the value that it gets."""
    field = "plots" if name == NO_PLOTS else name
    if value is None:
        return field, None
    try:
        parsed = OPTIONS[field](value)
    except ValueError as error:
        raise UsageError(f"option {option}: {error}") from None
    return field, not parsed if name == NO_PLOTS else parsed


def unit_request(entry: ZooEntry, request: Request, settings: Settings) -> tuple[Request, Settings]:
    """What is asked for one model: its own options over `request` and `settings`, all models'.

    A manifest may come from anybody, and building modules can execute what is in an archive: no
    entry can ask for that unless `request` does. Raises `UsageError`, saying where the entry is.
    """
    try:
        options = read_options(entry.options)
        if options.get("build_model") and not request.build_model:
            raise UsageError(
                "option build_model: can execute code from the archive; a manifest cannot switch"
                " it on, give --build-model on the command line for archives that you trust"
            )
        request = replace(request, archive=entry.archive, sha256=entry.sha256)
        return _lay_over(options, request, settings)
    except UsageError as error:
        raise UsageError(f"{entry.place or entry.name}: {error}") from None


def _lay_over(
    options: Mapping[str, Any], request: Request, settings: Settings
) -> tuple[Request, Settings]:
    given = {name: value for name, value in options.items() if value is not None}
    of_settings = {name: value for name, value in given.items() if name in _SETTINGS}
    of_request = {name: value for name, value in given.items() if name not in _SETTINGS}
    try:
        return replace(request, **of_request), replace(settings, **of_settings)
    except UsageError as error:
        # Their messages begin with the option, as the command line has it.
        raise UsageError(f"option {str(error).removeprefix('--')}") from None
