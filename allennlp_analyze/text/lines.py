"""Messages as the one line that a terminal, a log or a report shows."""

from allennlp_analyze.text.names import printable


def one_line(message: object) -> str:
    """Printable, on one line: names in it may come from an archive."""
    return printable(" ".join(str(message).split()))
