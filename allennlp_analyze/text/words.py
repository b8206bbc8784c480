"""Divides identifiers into words."""

import re

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def words_of(component: str) -> list[str]:
    """Returns the lower-case words of an identifier without digits: "lm_head" equals "LmHead"."""
    return [word.lower() for word in _WORD.findall(component)]
