"""Prints to a terminal or a file: line width, colours, and names without markup."""

import os
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, TextIO

from allennlp_analyze.text.names import printable

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 100
# Cells of a table that nothing limits.
UNLIMITED = 100_000


def make_console(stream: TextIO) -> "Console":
    """Returns a console on `stream`: coloured on a terminal, otherwise plain with 100 columns.

    COLUMNS in the environment sets the width of both.
    """
    from rich.console import Console

    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    if console.is_terminal:
        return console
    return _plain_console(stream, _columns() or WIDTH)


def table_console(console: "Console") -> "Console":
    """Returns the console for tables: one without end in a file or pipe, so that nothing is cut."""
    if console.is_terminal or _columns():
        return console
    return _plain_console(console.file, UNLIMITED)


def _plain_console(stream: IO[str], width: int) -> "Console":
    from rich.console import Console

    return Console(
        file=stream, highlight=False, markup=False, emoji=False, width=width, no_color=True
    )


def _columns() -> int:
    """Returns COLUMNS, 0 if it is not set to a usable width."""
    text = os.environ.get("COLUMNS", "")
    return int(text) if text.isascii() and text.isdigit() and 20 <= int(text[:6]) <= 10_000 else 0


def print_wrapped(console: "Console", line: str, style: str = "") -> None:
    """Print one line of text without interpreting markup."""
    from rich.text import Text

    console.print(Text(printable(line, console.encoding), style=style, overflow="fold"))


def print_hidden(console: "Console", hidden: str, how_to_see: str = "") -> None:
    """Print what is not shown, and how to see it."""
    see = f"; {how_to_see}" if how_to_see else ""
    print_wrapped(console, f"Not shown: {hidden}{see}.")


def print_written(console: "Console", paths: Sequence[str]) -> None:
    """Print the paths of the files that were written, one below the other."""
    for index, path in enumerate(paths):
        print_wrapped(console, ("Written: " if index == 0 else "         ") + path)
