"""What one option is: its name, its values, its words, and the front doors that know it."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Callable

from allennlp_analyze.errors import OptionError


class Place(enum.Enum):
    """A front door: a command, or another way to say the same options."""

    ANALYZE = "allennlp-analyze"
    COMPARE = "allennlp-analyze compare"
    ZOO = "allennlp-analyze zoo"
    RENDER = "allennlp-analyze render"
    MANIFEST = "the options in a manifest"
    LIBRARY = "the keywords of allennlp_analyze.analyze"
    WRITE = "the keywords of Report.write"
    MONITOR = "the keywords of RankMonitor"
    CALLBACK = "the keywords of the callbacks of Hugging Face and Lightning"
    ALLENNLP = "the callback in AllenNLP's configuration"


Places = tuple[Place, ...]
# The places of most options: one model with its own, each of many, and side by side.
ONE_MODEL = (Place.ANALYZE, Place.MANIFEST, Place.LIBRARY)
EVERY_MODEL = (Place.ANALYZE, Place.ZOO, Place.MANIFEST, Place.LIBRARY)
EVERYWHERE = (Place.ANALYZE, Place.COMPARE, Place.ZOO, Place.MANIFEST, Place.LIBRARY)
MONITORS = (Place.MONITOR, Place.CALLBACK, Place.ALLENNLP)


class Section(enum.Enum):
    """What options are about; a command shows the sections in groups of its own."""

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
    """What an option accepts. `parse` makes text, YAML's types or Python's into the value, or
    raises `ValueError` with the reason; `says` is for the documentation. A `repeated` option takes
    one value each time that it is given on the command line."""

    parse: Callable[[object], Any]
    says: str
    switch: bool = False
    repeated: bool = False


@dataclass(frozen=True)
class Option:
    """One option. `name` is that of its field and its keyword.

    `flag` is what the command line calls it where that is other than the name, without dashes;
    `default_says` words a default that does not speak for itself. What is not `material` does not
    change the reports. `elsewhere` has, for a front door that differs, the fields that do.
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
    material: bool = True
    elsewhere: Mapping[Place, Mapping[str, Any]] = field(default_factory=dict, hash=False)

    def at(self, place: Place) -> "Option":
        """The option as this front door has it."""
        return replace(self, **self.elsewhere.get(place, {}))

    @property
    def negative(self) -> bool:
        """Whether the flag switches off what is on by default."""
        return self.values.switch and self.default is True and bool(self.flag)

    @property
    def described(self) -> str:
        """The help with the default."""
        default = self.default_says
        if not default and not self.values.switch and self.default not in (None, "", ()):
            default = f"{self.default:g}" if isinstance(self.default, float) else str(self.default)
        return f"{self.help} (default: {default})" if default else self.help

    def checked(self, value: object) -> Any:
        """The value that `value` stands for; None stays where it is the default.

        Raises `OptionError`.
        """
        if value is None and self.default is None:
            return None
        try:
            return self.values.parse(value)
        except ValueError as error:
            raise OptionError(self.name, str(error)) from None

    def is_default(self, value: object) -> bool:
        """Whether `value` stands for the default."""
        try:
            return bool(self.checked(value) == self.default)
        except OptionError:
            return False


Table = Mapping[str, Option]


def options_at(place: Place, table: Table) -> dict[str, Option]:
    """The options that a front door knows, as it has them, by name and in the table's order."""
    return {name: x.at(place) for name, x in table.items() if place in x.places}
