"""Counts and shares as people read them."""

from typing import Optional


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
