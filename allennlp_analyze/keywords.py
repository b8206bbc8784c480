"""Errors for those who call from Python: what the command calls an option is a keyword there."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator

from allennlp_analyze.errors import AnalyzeError
from allennlp_analyze.run import Request
from allennlp_analyze.settings import Settings

_KEYWORDS = {
    **{
        field.name.replace("_", "-"): field.name
        for field in (*dataclasses.fields(Request), *dataclasses.fields(Settings))
    },
    "include-package": "include_packages",
    "force": "force=True",
    "output-dir": "directory",
}
_OPTION = re.compile(r"(?<![\w-])--(" + "|".join(_KEYWORDS) + r")(?![\w-])")


@contextlib.contextmanager
def in_keywords() -> Iterator[None]:
    """Let an `AnalyzeError` through with the names of options replaced by those of keywords."""
    try:
        yield
    except AnalyzeError as error:
        error.args = (_OPTION.sub(lambda found: _KEYWORDS[found.group(1)], str(error)),)
        raise
