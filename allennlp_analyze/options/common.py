"""Kinds of values and switches that several options of the table share."""

from typing import Any

from allennlp_analyze.options import values
from allennlp_analyze.options.option import Option, Places, Section, Values

SWITCH = Values(values.flag, "true or false", switch=True)
FILE = "a URL, or a path, which may be relative to the manifest"
COUNT = Values(values.whole(1), "a whole number >= 1")
NOT_NEGATIVE = Values(values.number(0), "a number >= 0")


def switch(name: str, section: Section, places: Places, help: str, **more: Any) -> Option:
    """An option that is on or off, and off by default."""
    return Option(name, SWITCH, section, places, help, **{"default": False, **more})
