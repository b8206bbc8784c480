"""Parses and formats sizes in bytes as people write them."""

import re

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}

_SIZE = re.compile(r"([0-9]{1,18})([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)


def parse_size(text: str) -> int:
    """Parse a size in bytes: a number above 0, optionally with K, M, G or T (powers of 1024).

    Raises `ValueError` with the reason, without `text`, for anything else.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or int(match.group(1)) == 0:
        raise ValueError("is not a size; expected one like 500M or 20G")
    return int(match.group(1)) * UNITS[match.group(2).upper()]


def size_text(size: int) -> str:
    """Formats a size in the largest unit of which it is a multiple, as `parse_size` takes it."""
    unit = next(unit for unit, factor in reversed(UNITS.items()) if size % factor == 0)
    return f"{size // UNITS[unit]}{unit}" if unit else f"{size} bytes"
