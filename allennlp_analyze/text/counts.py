"""Formats counts and shares for people."""

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
    """Format `number` and `noun`, with an s or as `plural` unless the number is 1."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Like `count`, with commas between the thousands."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def percent(share: Optional[float]) -> str:
    """Format `share` in percent, with two digits or as a whole number; "-" for None."""
    if share is None:
        return "-"
    if share >= 10:
        return ">999%"
    return f"{100 * share:.2g}%" if share < 0.995 else f"{100 * share:.0f}%"


def fraction(share: float) -> str:
    """Format `share` in words, such as "a tenth", or in percent if there is no word for it."""
    for parts, words in _FRACTIONS.items():
        if math.isclose(parts * share, 1.0):
            return words
    return percent(share)


def rounded_percent(percentage: float) -> str:
    """Returns whole percent, but never 100% of less than all or 0% of something."""
    shown = round(percentage)
    if shown == 100 and percentage < 100:
        return "over 99%"
    return "under 1%" if shown == 0 and percentage > 0 else f"{shown}%"
