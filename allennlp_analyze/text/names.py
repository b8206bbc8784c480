"""Makes names from archives safe for a terminal, a figure, a spreadsheet and a file system."""

import re
import unicodedata

MAX_FILE_NAME = 120
# Terminal cells for the name of a layer in every figure.
NAME_WIDTH = 44
ELLIPSIS = "..."
# One part in this many of a shortened name is its beginning.
HEAD_SHARE = 12


def printable(text: str, encoding: str = "utf-8") -> str:
    """`text` with backslash escapes for what is not printable or not in `encoding`.

    Control characters, line ends, direction marks and lone surrogates can neither move a cursor
    nor break a row. Ordinary names come back as they are.
    """
    escaped = text if text.isprintable() else _escaped(text)
    return escaped.encode(encoding, "backslashreplace").decode(encoding)


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def display_width(text: str) -> int:
    """Number of terminal cells of printable `text`, at most (combining marks count as 1)."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def shorten(text: str, width: int) -> str:
    """Shorten `text` to at most `width` cells by cutting the middle.

    Most of the space goes to the end, where the names of layers differ.
    """
    if display_width(text) <= width:
        return text
    room = max(width - len(ELLIPSIS), 0)
    head = _prefix(text, room // HEAD_SHARE)
    tail = _prefix(text[::-1], room - display_width(head))[::-1]
    return (head + ELLIPSIS + tail)[: max(width, 0)]


def _prefix(text: str, width: int) -> str:
    """Returns the longest prefix of `text` that fits `width` cells."""
    used = 0
    for position, character in enumerate(text):
        used += display_width(character)
        if used > width:
            return text[:position]
    return text


def file_name(index: int, name: str, extension: str) -> str:
    """Returns a file name for layer `index`: ASCII, without a path, at most 120 characters.

    The number in front makes it unique, and prevents hidden or reserved names.
    """
    number, ending = f"{index:03d}-", f".{extension}"
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-") or "layer"
    safe = re.sub(r"\.{2,}", ".", safe)
    return number + shorten(safe, MAX_FILE_NAME - len(number) - len(ending)) + ending


def figure_name(name: str) -> str:
    """Returns the name of a layer for figures: printable, short, and never a formula."""
    return math_escaped(shorten(printable(name), NAME_WIDTH))


def math_escaped(text: str) -> str:
    """Escape `text` for a figure, where a dollar sign would start a formula."""
    return printable(text).replace("$", r"\$")
