"""Counts and shares as people read them."""

import math
from typing import Optional

_FRACTIONS = {
    2: "half",
    3: "a third",
    4: "a quarter",
    10: "a tenth",
    20: "a twentieth",
}


def count(number: int, noun: str, plural: str = "") -> str:
    """`number` and `noun`, which takes an s (or becomes `plural`) unless there is one."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """As `count`, for numbers that may be large: with commas between the thousands."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def percent(share: Optional[float]) -> str:
    """`share` in percent, to two digits or whole percents; "-" for None."""
    if share is None:
        return "-"
    if share >= 10:
        return ">999%"
    return f"{100 * share:.2g}%" if share < 0.995 else f"{100 * share:.0f}%"


def fraction(share: float) -> str:
    """`share` as people say it, such as "a tenth"; in percent where there is no word for it."""
    for parts, words in _FRACTIONS.items():
        if math.isclose(parts * share, 1.0):
            return words
    return percent(share)
