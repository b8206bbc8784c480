"""Messages as the one line that a terminal, a log or a report shows."""

from typing import Optional

from allennlp_analyze.text.names import printable
from allennlp_analyze.text.redaction import redacted


def one_line(message: object, limit: Optional[int] = None) -> str:
    """`message` on one line of at most `limit` characters, as `printable` makes names fit.

    Its URLs are redacted, whoever wrote them there.
    """
    line = printable(" ".join(redacted(str(message)).split()))
    return line if limit is None else line[:limit]


def excerpt(text: object, limit: int = 120) -> str:
    """The beginning of `text`, which an untrusted file may have made long, for use in a message.

    It is on one line, with a question mark for each character that is not printable.
    """
    # Cut first: a name may have as many characters as its file.
    start = str(text)[: limit + 1]
    line = "".join(c if c.isprintable() else "?" for c in start)
    return line if len(line) <= limit else line[: limit - 3] + "..."
