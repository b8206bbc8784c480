"""Defines an option: its name, values, help, and the entry points that have it."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Callable

from allennlp_analyze.errors import OptionError


class Place(enum.Enum):
    """An entry point: a command, or another way to give the same options."""

    ANALYZE = "allennlp-analyze"
    COMPARE = "allennlp-analyze compare"
    ZOO = "allennlp-analyze zoo"
    SERIES = "allennlp-analyze series"
    RENDER = "allennlp-analyze render"
    MANIFEST = "the options in a manifest"
    LIBRARY = "the keywords of allennlp_analyze.analyze"
    WRITE = "the keywords of Report.write"
    MONITOR = "the keywords of RankMonitor"
    CALLBACK = "the keywords of the callbacks of Hugging Face and Lightning"
    ALLENNLP = "the callback in AllenNLP's configuration"


Places = tuple[Place, ...]
# The places of most options: analysis of one model, of many, and comparison.
ONE_MODEL = (Place.ANALYZE, Place.MANIFEST, Place.LIBRARY)
EVERY_MODEL = (Place.ANALYZE, Place.ZOO, Place.SERIES, Place.MANIFEST, Place.LIBRARY)
EVERYWHERE = (*EVERY_MODEL, Place.COMPARE)
# An option of these places is one of every command.
COMMANDS = tuple(place for place in Place if place.value.startswith(Place.ANALYZE.value))
MONITORS = (Place.MONITOR, Place.CALLBACK, Place.ALLENNLP)


class Section(enum.Enum):
    """The subject of options; each command shows the sections in its own groups."""

    WEIGHTS = "which weights are read"
    LIMITS = "how patiently, and how much"
    SELECTION = "which matrices"
    MEASURING = "what is measured"
    MACHINE = "how much of the machine"
    BUILDING = "building the modules"
    OUTPUT = "output"
    WORKERS = "where it is done"
    CHECK = "as a check"
    WATCHING = "while a model trains"


@dataclass(frozen=True)
class Values:
    """The values that an option accepts.

    `parse` converts text, or a YAML or Python value, or raises `ValueError` with the reason. `says`
    is for the documentation. A `repeated` option takes one value each time it is given on the
    command line.
    """

    parse: Callable[[object], Any]
    says: str
    switch: bool = False
    repeated: bool = False


@dataclass(frozen=True)
class Option:
    """One option; `name` is the name of its field and its keyword.

    `flag` is its name on the command line, without dashes, if it differs from `name`. A `negatable`
    switch also has `--no-NAME`; its default is None, neither on nor off.
    `default_says` describes a default that needs words. An option that is not `material` does not
    change the reports. `elsewhere` has the fields that differ at some entry points.
    """

    name: str
    values: Values
    section: Section
    places: Places
    help: str
    default: Any = None
    default_says: str = ""
    metavar: str = ""
    flag: str = ""
    short: str = ""
    negatable: bool = False
    material: bool = True
    elsewhere: Mapping[Place, Mapping[str, Any]] = field(default_factory=dict, hash=False)

    def at(self, place: Place) -> "Option":
        """Returns the option as this entry point has it."""
        return replace(self, **self.elsewhere.get(place, {}))

    @property
    def described(self) -> str:
        """Returns the help with the default."""
        default = self.default_says
        if not default and not self.values.switch and self.default not in (None, "", ()):
            default = f"{self.default:g}" if isinstance(self.default, float) else str(self.default)
        return f"{self.help} (default: {default})" if default else self.help

    def checked(self, value: object) -> Any:
        """Returns the parsed `value`; None is kept if it is the default.

        Raises `OptionError`.
        """
        if value is None and self.default is None:
            return None
        try:
            return self.values.parse(value)
        except ValueError as error:
            raise OptionError(self.name, str(error)) from None

    def is_default(self, value: object) -> bool:
        """Whether `value` equals the default."""
        try:
            return bool(self.checked(value) == self.default)
        except OptionError:
            return False


Table = Mapping[str, Option]


def options_at(place: Place, table: Table) -> dict[str, Option]:
    """Returns the options of an entry point by name, in the order of the table."""
    return {name: x.at(place) for name, x in table.items() if place in x.places}
