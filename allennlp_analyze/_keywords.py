"""The command's options as keywords: their values checked, errors in the words of Python."""

import contextlib
import dataclasses
import re
import typing
from collections.abc import Iterable, Iterator
from typing import Any, Optional, Union

import numpy as np

from allennlp_analyze.analysis.pipeline import Request
from allennlp_analyze.errors import AnalyzeError, UsageError
from allennlp_analyze.settings import Settings
from allennlp_analyze.storage.records import decoded

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


def settings_of(**choices: Any) -> Settings:
    """`Settings` of these choices. Raises `UsageError` for a value of another type, too."""
    types = typing.get_type_hints(Settings)
    choices["kinds"] = _kind_names(choices.get("kinds"))
    checked = {}
    for name, value in choices.items():
        plain = value.item() if isinstance(value, np.generic) else value
        try:
            checked[name] = decoded(types[name], plain)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{name}: {error}") from None
    return Settings(**checked)


def _kind_names(kinds: Union[str, Iterable[str], None]) -> Optional[tuple[str, ...]]:
    """As in the option --kinds, a string may name several. Raises `UsageError`."""
    if isinstance(kinds, str):
        kinds = [kind.strip() for kind in kinds.split(",")]
    try:
        return None if kinds is None else tuple(kinds)
    except TypeError:
        raise UsageError(f"kinds: {kinds!r:.40} is not a list of names") from None
