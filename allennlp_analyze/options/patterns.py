"""Checks regular expressions of strangers: how long they can take is bounded before they run.

Python's `re` tries all ways to match, which are exponentially many for `(a+)+$`. The number of ways
is bounded from above by walking over the parsed expression.
"""

import importlib
import math
import re
import sys
from collections.abc import Iterable
from typing import Any, Callable

# `sre_parse` has moved; there is no public way to the parsed expression.
_PARSER: Any = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
MAX_LENGTH = 1_000
# More steps than this can take longer than a few seconds for one name.
MAX_STEPS = 1e10
# Every expression must be quick enough for names of this length.
ORDINARY_NAME = 100
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


def compiled(text: str) -> "re.Pattern[str]":
    """Returns the compiled expression. Raises `re.error` if it is none.

    Raises `ValueError` if it has more than MAX_LENGTH characters, repeats what can match in several
    ways, like `(a+)+` and `(a|ab)*`, or has more than about four repeats.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"has {len(text)} characters; the limit is {MAX_LENGTH}")
    try:
        pattern = re.compile(text)
        steps = most_steps(text, ORDINARY_NAME)
    except (OverflowError, RecursionError, MemoryError) as error:
        raise re.error(str(error) or "too complex") from None
    if steps == math.inf:
        raise ValueError(
            "it repeats what itself can match in several ways, which can take for ever"
        )
    if steps > MAX_STEPS:
        raise ValueError("it can match in too many ways; use fewer repeats")
    return pattern


def matcher(text: str) -> Callable[[str], bool]:
    """Returns a function that says whether a name contains the expression `text`.

    It raises `ValueError` for a name that is so long that this could take for ever.
    """
    pattern = compiled(text)

    def matches(name: str) -> bool:
        if len(name) > ORDINARY_NAME and most_steps(text, len(name)) > MAX_STEPS:
            raise ValueError(f"has too many repeats for a name of {len(name)} characters")
        return pattern.search(name) is not None

    return matches


def most_steps(text: str, length: int) -> float:
    """A bound on the steps of searching for the expression `text` in `length` characters."""
    return length * _ways(_PARSER.parse(text), length)


def _ways(items: Iterable[Any], length: int) -> float:
    """The number of ways in which a sequence can match at one place, at most."""
    ways = 1.0
    for operator, argument in items:
        ways *= _ways_of(str(operator), argument, length)
    return ways


def _ways_of(operator: str, argument: Any, length: int) -> float:
    if operator in _REPEATS:
        least, most, body = argument
        return _ways_of_repeat(least, min(int(most), length), _ways(body, length), length)
    if operator == "BRANCH":
        return sum(_ways(branch, length) for branch in argument[1])
    if operator == "SUBPATTERN":
        return _ways(argument[-1], length)
    if operator in ("ASSERT", "ASSERT_NOT"):
        return length * _ways(argument[1], length)
    if operator == "ATOMIC_GROUP":
        return _ways(argument, length)
    if operator == "GROUPREF_EXISTS":
        _, yes, no = argument
        return _ways(yes, length) + (_ways(no, length) if no else 1.0)
    return float(length) if operator == "GROUPREF" else 1.0


def _ways_of_repeat(least: int, most: int, body: float, length: int) -> float:
    if body == 1.0:
        number = max(most - least, 0)
        # Of many repeats, on average half are left for each.
        return number / 2 if number == length > 4 else number + 1.0
    if most >= length:
        return math.inf
    return math.inf if most * math.log(body) > 300 else (most - least + 1) * body**most
