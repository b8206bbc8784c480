"""The options of one model of a zoo: checked, and applied over those of all models."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Optional

from allennlp_analyze.analysis.request import Building, Limits
from allennlp_analyze.errors import Advice, OptionError, UsageError
from allennlp_analyze.options.choices import check_fields, default, laid_over
from allennlp_analyze.options.figures import figure_format
from allennlp_analyze.options.option import Option, Place, Table, options_at
from allennlp_analyze.options.table import TABLE
from allennlp_analyze.options.values import MAX_SHOWN, quoted
from allennlp_analyze.settings import Settings
from allennlp_analyze.zoo.manifest.entries import ZooEntry

OPTIONS = tuple(options_at(Place.MANIFEST, TABLE))
# Before the name of a switch that is off.
NOT = "no_"


@dataclass(frozen=True)
class Choices:
    """All options of a model of a zoo except its archive and output directory.

    Raises `OptionError`.
    """

    settings: Settings = field(default_factory=Settings)
    limits: Limits = field(default_factory=Limits)
    building: Building = field(default_factory=Building)
    weights_file: Optional[str] = default("weights_file")
    part: Optional[str] = default("part")
    key: Optional[str] = default("key")
    reference: Optional[str] = default("reference")
    plots: Optional[bool] = default("plots")
    plot_format: Optional[str] = default("plot_format")

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def figures(self) -> Optional[str]:
        """The format of the model's figures, or None if none are drawn."""
        return None if self.plots is False else figure_format(self.plots, self.plot_format)


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """Returns the message for an unknown `name`, with the closest one of `known`."""
    names = list(known)
    close = get_close_matches(str(name)[:MAX_SHOWN], names, 1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return f"unknown {what} {quoted(name)}{meant} (known: {', '.join(names)})"


def spellings(table: Table = TABLE) -> dict[str, Option]:
    """Returns the options of a manifest by name, and by the command line's spelling."""
    found = options_at(Place.MANIFEST, table)
    flags = {x.flag.replace("-", "_"): x for x in found.values() if x.flag}
    negations = {f"{NOT}{name}": x for name, x in found.items() if x.negatable}
    return {**found, **flags, **negations}


SPELLINGS = spellings()


def field_name(written: str) -> str:
    """Returns the field name of an option written with dashes or underscores.

    An option that switches off (no_plots) and an unknown name are returned unchanged.
    """
    name = written.strip().lower().replace("-", "_")
    option = SPELLINGS.get(name)
    return name if option is None or name == NOT + option.name else option.name


def is_option(name: str) -> bool:
    return field_name(name) in SPELLINGS


def read_options(
    options: Mapping[Any, Any], known: Mapping[str, Option] = SPELLINGS
) -> dict[str, Any]:
    """Parse the options of a model, in YAML's types or as text; returns them by field name.

    None is kept, because it cancels an option of all models. Raises `UsageError`, with the option,
    if it is unknown, given twice, has an invalid value, or contradicts another.
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
            found[option.name] = not parsed if name == NOT + option.name else parsed
    try:
        figure_format(found.get("plots"), found.get("plot_format"))
    except OptionError as error:
        raise UsageError(f"option {error.option}: {error.reason}") from None
    return found


def _parsed(written: str, option: Option, value: object) -> Any:
    try:
        return option.checked(value)
    except OptionError as error:
        raise UsageError(f"option {written}: {error.reason}") from None


def model_choices(entry: ZooEntry, shared: Choices) -> Choices:
    """Returns the options of one model: its own, applied over those that all models share.

    A manifest may come from anyone, and building modules can execute code in an archive, so an
    entry cannot request it unless it is requested for all models. Raises `UsageError` with the
    place of the entry.
    """
    try:
        options = read_options(entry.options)
        if options.get("build_model") and not shared.building.build_model:
            raise UsageError(
                "option build_model: can execute code from the archive; a manifest cannot switch it"
                " on",
                Advice("build_model", "use {} for archives that you trust", switch=True),
            )
    except UsageError as error:
        place = entry.place or entry.name
        raise UsageError(f"{place}: {error.text}", *error.advice) from None
    given = {name: value for name, value in options.items() if value is not None}
    if "plot_format" in given:
        given["plots"] = True
    return laid_over(shared, given) if given else shared
