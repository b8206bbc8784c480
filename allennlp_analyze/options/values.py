"""Parses the values of options from text, YAML or Python.

Each function takes what the user wrote and returns the value, or raises `ValueError` with the
reason.
"""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

from allennlp_analyze.options.patterns import compiled
from allennlp_analyze.text.redaction import redacted, redacted_url
from allennlp_analyze.text.sizes import parse_size

MAX_SHOWN = 60
# The whole numbers of 64 bits, sys.maxsize among them, which people give for "no limit".
MAX_WHOLE = 2**64

_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
# Python converts up to 4300 digits.
_DIGITS = re.compile(r"[+-]?[0-9]{1,4000}", re.ASCII)


def quoted(value: object) -> str:
    """Formats `value` for messages: one line of at most `MAX_SHOWN` characters.

    What is secret in a URL is left out.
    """
    try:
        value = plain(value)
        text = repr(redacted_url(value) if isinstance(value, str) else value)
    except Exception:  # a number of too many digits, or an object that cannot show itself
        text = f"<{type(value).__name__}>"
    if not isinstance(value, str):
        text = " ".join(redacted(text).split())
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def plain(value: Any) -> Any:
    """Converts a numpy or torch scalar to a Python number; returns other values unchanged."""
    return value.item() if getattr(value, "shape", None) == () else value


def text_of(value: object) -> str:
    """Parses non-empty text."""
    if not isinstance(value, str):
        raise ValueError(f"{quoted(value)} is not text; put it in quotes")
    if not value.strip():
        raise ValueError(f"{quoted(value)} is empty")
    return value


def flag(value: object) -> bool:
    """True or False, a word for it, or 1 or 0."""
    value = plain(value)
    word = value.strip().lower() if isinstance(value, str) else None
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    if word not in _WORDS:
        raise ValueError(f"{quoted(value)} must be true or false")
    return _WORDS[word]


def number(least: float = -math.inf, most: float = math.inf) -> Callable[[object], float]:
    """Returns a parser for a finite number from `least` to `most`."""
    limits = f" >= {least:g}" if math.isfinite(least) else ""
    if math.isfinite(least) and math.isfinite(most):
        limits = f" from {least:g} to {most:g}"

    def parse(value: object) -> float:
        found = _float(value)
        if not (math.isfinite(found) and least <= found <= most):
            raise ValueError(f"{quoted(value)} is not a number{limits}")
        return found

    return parse


def positive(most: float = math.inf, of: str = "") -> Callable[[object], float]:
    """Returns a parser for a finite number `of` a unit, above 0 and at most `most`."""
    limits = f" of {of} above 0, at most {most:g}" if math.isfinite(most) else " > 0"

    def parse(value: object) -> float:
        try:
            found = _float(value)
        except ValueError:
            found = math.nan
        if not (0 < found <= most and math.isfinite(found)):
            raise ValueError(f"{quoted(value)} must be a finite number{limits}")
        return found

    return parse


def whole(least: Optional[int] = None) -> Callable[[object], int]:
    """Returns a parser for a whole number >= `least`."""

    def parse(value: object) -> int:
        found = _whole(value)
        if found is None:
            raise ValueError(f"{quoted(value)} is not a whole number")
        if abs(found) > MAX_WHOLE:
            raise ValueError(f"{quoted(value)} is too large")
        if least is not None and found < least:
            raise ValueError(f"{quoted(value)} is not a number >= {least}")
        return found

    return parse


def _whole(value: object) -> Optional[int]:
    """The whole number, exactly; None where it is another number. Raises `ValueError`."""
    value = plain(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
        return int(value)
    found = _float(value)
    return int(found) if found.is_integer() else None


def _float(value: object) -> float:
    value = plain(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    # Python would accept 1_000, which is not meant here.
    if not isinstance(value, str) or "_" in value:
        raise ValueError(f"{quoted(value)} is not a number")
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{quoted(value)} is not a number") from None


def size(value: object) -> int:
    """Parses a number of bytes, or text like 20G."""
    found = plain(value)
    if isinstance(found, float) and found.is_integer():  # 20e9
        found = int(found)
    if isinstance(found, int) and not isinstance(found, bool) and found > 0:
        return found
    try:
        return parse_size(found if isinstance(found, str) else "")
    except ValueError as error:
        raise ValueError(f"{quoted(value)} {error}") from None


def names(value: object) -> tuple[str, ...]:
    """A list of names, or text that separates them with commas, one at the end included."""
    value = plain(value)
    if isinstance(value, str):
        value = [name for name in value.split(",") if name.strip()] or [value]
    if isinstance(value, (Mapping, bytes)) or not hasattr(value, "__iter__"):
        raise ValueError(f"{quoted(value)} is not a list of names")
    return tuple(text_of(name).strip() for name in value)


def some_of(known: Sequence[str], what: str) -> Callable[[object], tuple[str, ...]]:
    """Returns a parser for one or more of the names `known`; messages call each a `what`."""

    def parse(value: object) -> tuple[str, ...]:
        found = () if isinstance(value, str) and not value.strip(" ,") else names(value)
        if not found:
            raise ValueError(f"{quoted(value)} names no {what}; choose from {', '.join(known)}")
        for name in found:
            if name not in known:
                raise ValueError(f"unknown {what} {quoted(name)}; choose from {', '.join(known)}")
        return found

    return parse


def one_of(known: Sequence[str]) -> Callable[[object], str]:
    """Returns a parser for one of the names `known`."""

    def parse(value: object) -> str:
        name = text_of(value)
        if name not in known:
            raise ValueError(f"{quoted(name)} is not one of {', '.join(known)}")
        return name

    return parse


def expression(value: object) -> str:
    """A regular expression; an empty one finds everything."""
    text = value if isinstance(value, str) and not value else text_of(value)
    try:
        compiled(text)
    except re.error as error:
        raise ValueError(
            f"{quoted(text)} is not a regular expression ({error}); '.*' matches any characters"
        ) from None
    except ValueError as error:
        raise ValueError(f"{quoted(text)} is refused: {error}") from None
    return text


def sha256(value: object) -> str:
    """Parses a SHA-256 digest; returns it in lower case."""
    digest = text_of(value).strip()
    if not _SHA256.fullmatch(digest):
        raise ValueError(f"{quoted(value)} is not a SHA-256 digest of 64 hexadecimal digits")
    return digest.lower()


def path_text(value: object) -> str:
    """Parses a path, or text that may name something else."""
    text = text_of(os.fspath(value) if isinstance(value, os.PathLike) else value)
    if "\0" in text:
        raise ValueError(f"{quoted(text)} contains a null character")
    return text


def path(value: object) -> Path:
    """Parses a path."""
    return Path(path_text(value))


def json_text(value: object) -> str:
    """Parses JSON text, or converts a mapping to it; returns "" for none."""
    if not isinstance(value, Mapping):
        text = value if isinstance(value, str) and not value else text_of(value)
        # Jsonnet that makes an object has a brace, too. A directory was meant for the output.
        if text and "{" not in text:
            raise ValueError(f'{quoted(text)} is not JSON, such as {{"model": {{...}}}}')
        return text
    try:
        return json.dumps(dict(value), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{quoted(value)} cannot be converted to JSON ({error})") from None
