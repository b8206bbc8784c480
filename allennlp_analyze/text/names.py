"""Names from archives made fit for a terminal, a figure, a spreadsheet and a file system."""

import re
import unicodedata

MAX_FILE_NAME = 120
# Cells for the name of a layer, in every figure.
NAME_WIDTH = 44
ELLIPSIS = "..."
# One part in so many of a shortened name is its beginning.
HEAD_SHARE = 12


def printable(text: str, encoding: str = "utf-8") -> str:
    """`text` with backslash escapes for what is not printable or not in `encoding`.

    Control characters, line ends, direction marks and lone surrogates can neither move a cursor
    nor break a row. Ordinary names come back as they are.
    """
    escaped = "".join(c if c.isprintable() else _escape(c) for c in text)
    return escaped.encode(encoding, "backslashreplace").decode(encoding)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def display_width(text: str) -> int:
    """Number of terminal cells that printable `text` takes (at most: combining marks count 1)."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def shorten(text: str, width: int) -> str:
    """`text` in at most `width` cells, cut in the middle.

    Most of the room goes to the end, where the names of layers differ.
    """
    if display_width(text) <= width:
        return text
    room = max(width - len(ELLIPSIS), 0)
    head = _prefix(text, room // HEAD_SHARE)
    tail = _prefix(text[::-1], room - display_width(head))[::-1]
    return (head + ELLIPSIS + tail)[: max(width, 0)]


def _prefix(text: str, width: int) -> str:
    """The longest beginning of `text` that fits `width` cells."""
    used = 0
    for position, character in enumerate(text):
        used += display_width(character)
        if used > width:
            return text[:position]
    return text


def file_name(index: int, name: str, extension: str) -> str:
    """A file name for layer `index`: no path in it, ASCII, at most 120 characters.

    The number in front makes it unique and keeps it from being hidden or reserved.
    """
    number, ending = f"{index:03d}-", f".{extension}"
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-") or "layer"
    safe = re.sub(r"\.{2,}", ".", safe)
    return number + shorten(safe, MAX_FILE_NAME - len(number) - len(ending)) + ending


def figure_name(name: str) -> str:
    """The name of a layer as every figure shows it: printable, short, and never a formula."""
    return math_escaped(shorten(printable(name), NAME_WIDTH))


def math_escaped(text: str) -> str:
    """`text` for a figure, where a dollar sign would start a formula."""
    return printable(text).replace("$", r"\$")
