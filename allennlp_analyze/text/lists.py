"""Cuts lists of names and lines where they are long, and says how many more there are."""

from collections.abc import Iterable, Sequence


def enumerated(names: Sequence[str], most: int) -> str:
    """Returns `names` in one text, separated by commas: the first `most`, then "and 3 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def first_lines(lines: Sequence[str], most: int, file: str = "") -> list[str]:
    """Returns the first `most` of `lines`, and a line that counts the rest, which `file` has."""
    more = f"and {len(lines) - most} more" + (f", in {file}" if file else "")
    return [*lines[:most], *([more] if len(lines) > most else [])]


def titled_lines(title: str, lines: Iterable[str], most: int, file: str = "") -> list[str]:
    """Returns `title` with the number of `lines`, and under it `first_lines`; nothing for none."""
    lines = list(lines)
    if not lines:
        return []
    return [f"{title} ({len(lines)}):", *(f"  {line}" for line in first_lines(lines, most, file))]
