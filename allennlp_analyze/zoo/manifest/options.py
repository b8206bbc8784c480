"""The options of one model of a zoo: checked, and laid over what all its models share."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Optional

from allennlp_analyze.analysis.request import Building, Limits
from allennlp_analyze.errors import Advice, OptionError, UsageError
from allennlp_analyze.options.choices import check_fields, default, laid_over
from allennlp_analyze.options.option import Option, Place, Table, options_at
from allennlp_analyze.options.table import TABLE
from allennlp_analyze.options.values import MAX_SHOWN, quoted
from allennlp_analyze.settings import Settings
from allennlp_analyze.zoo.manifest.entries import ZooEntry

OPTIONS = tuple(options_at(Place.MANIFEST, TABLE))


@dataclass(frozen=True)
class Choices:
    """All that is chosen about a model of a zoo but what it is and where its reports go.

    Raises `OptionError`.
    """

    settings: Settings = field(default_factory=Settings)
    limits: Limits = field(default_factory=Limits)
    building: Building = field(default_factory=Building)
    weights_file: Optional[str] = default("weights_file")
    reference: Optional[str] = default("reference")
    plots: bool = False
    plot_format: str = default("plot_format")

    def __post_init__(self) -> None:
        check_fields(self)


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """The message that `name` is none of `known`, with the one that was likely meant."""
    names = list(known)
    close = get_close_matches(str(name)[:MAX_SHOWN], names, 1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return f"unknown {what} {quoted(name)}{meant} (there are {', '.join(names)})"


def spellings(table: Table = TABLE) -> dict[str, Option]:
    """The options of a manifest by their names, and by those of the command line, with
    underscores."""
    found = options_at(Place.MANIFEST, table)
    flags = {x.flag.replace("-", "_"): x for x in found.values() if x.flag}
    return {**found, **flags}


SPELLINGS = spellings()


def field_name(written: str) -> str:
    """What an option is called here, with dashes or underscores; what switches off (no_plots) and
    what is no option keeps its name."""
    name = written.strip().lower().replace("-", "_")
    option = SPELLINGS.get(name)
    return name if option is None or option.negative else option.name


def is_option(name: str) -> bool:
    return field_name(name) in SPELLINGS


def read_options(
    options: Mapping[Any, Any], known: Mapping[str, Option] = SPELLINGS
) -> dict[str, Any]:
    """Options as they were written, in YAML's types or as text, by field name and of its type.

    What is None stays: it takes back what the manifest says of all its models. Raises `UsageError`,
    with the option, for an unknown one, one given twice, and a value that cannot be.
    """
    found: dict[str, Any] = {}
    for written, value in options.items():
        name = str(written).strip().lower().replace("-", "_")
        option = known.get(name)
        if option is None:
            names = dict.fromkeys(option.name for option in known.values())
            raise UsageError(unknown("option", written, names))
        if option.name in found:
            raise UsageError(f"option {written}: given twice")
        found[option.name] = None
        if value is not None:
            parsed = _parsed(str(written), option, value)
            found[option.name] = not parsed if option.negative and name != option.name else parsed
    return found


def _parsed(written: str, option: Option, value: object) -> Any:
    try:
        return option.checked(value)
    except OptionError as error:
        raise UsageError(f"option {written}: {error.reason}") from None


def model_choices(entry: ZooEntry, shared: Choices) -> Choices:
    """What is chosen for one model: its own options over those that all models share.

    A manifest may come from anybody, and building modules can execute what is in an archive: no
    entry can ask for that unless all models are to be built. Raises `UsageError`, saying where the
    entry is.
    """
    try:
        options = read_options(entry.options)
        if options.get("build_model") and not shared.building.build_model:
            raise UsageError(
                "option build_model: can execute code from the archive; a manifest cannot switch it"
                " on",
                Advice("build_model", "give {} for archives that you trust", switch=True),
            )
    except UsageError as error:
        place = entry.place or entry.name
        raise UsageError(f"{place}: {error.text}", *error.advice) from None
    given = {name: value for name, value in options.items() if value is not None}
    return laid_over(shared, given) if given else shared
