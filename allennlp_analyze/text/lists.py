"""Cuts long lists of names and lines, and counts the rest."""

from collections.abc import Iterable, Sequence


def enumerated(names: Sequence[str], most: int) -> str:
    """Returns `names` in one text, separated by commas: the first `most`, then "and 3 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def first_lines(lines: Sequence[str], most: int, file: str = "") -> list[str]:
    """Returns the first `most` of `lines`, and a line that counts the rest and names `file`."""
    more = f"and {len(lines) - most} more" + (f", in {file}" if file else "")
    return [*lines[:most], *([more] if len(lines) > most else [])]


def titled_lines(title: str, lines: Iterable[str], most: int, file: str = "") -> list[str]:
    """Returns `title` with the number of `lines`, then `first_lines`; [] if there are no lines."""
    lines = list(lines)
    if not lines:
        return []
    return [f"{title} ({len(lines)}):", *(f"  {line}" for line in first_lines(lines, most, file))]
