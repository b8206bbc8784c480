"""The terminal, or the file in its place: where lines end, what is coloured, names as text only."""

from typing import TYPE_CHECKING, TextIO

from allennlp_analyze.text.names import printable

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 100


def make_console(stream: TextIO) -> "Console":
    """A console on `stream`: in colour and as wide as a terminal, else plain, of 100 columns."""
    from rich.console import Console

    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    if console.is_terminal:
        return console
    return Console(
        file=stream, highlight=False, markup=False, emoji=False, width=WIDTH, no_color=True
    )


def print_wrapped(console: "Console", line: str, style: str = "") -> None:
    """One line of text, of which nothing is taken for markup."""
    from rich.text import Text

    console.print(Text(printable(line, console.encoding), style=style, overflow="fold"))
