"""Prints to a terminal or a file: line width, colours, and names without markup."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from allennlp_analyze.text.names import printable

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 100


def make_console(stream: TextIO) -> "Console":
    """Returns a console on `stream`: coloured on a terminal, otherwise plain with 100 columns."""
    from rich.console import Console

    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    if console.is_terminal:
        return console
    return Console(
        file=stream, highlight=False, markup=False, emoji=False, width=WIDTH, no_color=True
    )


def print_wrapped(console: "Console", line: str, style: str = "") -> None:
    """Print one line of text without interpreting markup."""
    from rich.text import Text

    console.print(Text(printable(line, console.encoding), style=style, overflow="fold"))


def print_written(console: "Console", paths: Sequence[str]) -> None:
    """Print the paths of the files that were written, one below the other."""
    for index, path in enumerate(paths):
        print_wrapped(console, ("Written: " if index == 0 else "         ") + path)
