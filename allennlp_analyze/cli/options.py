"""Adds the table of options to argparse parsers, and reads the values back."""

import argparse
import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Union

from allennlp_analyze.cli.exits import EXIT_CODES
from allennlp_analyze.cli.wording import flag
from allennlp_analyze.errors import Advice, OptionError, UsageError
from allennlp_analyze.options.option import Option, Place, Section, Table, options_at
from allennlp_analyze.options.table import TABLE
from allennlp_analyze.sources.formats.registry import WEIGHTS_ENDINGS
from allennlp_analyze.text.lines import one_line
from allennlp_analyze.text.redaction import redacted

Container = Union[argparse.ArgumentParser, "argparse._ArgumentGroup"]

# The groups of options with their titles; without a title, they are shown beside --help.
Groups = Sequence[tuple[str, Sequence[Section]]]
ANALYZE_GROUPS: Groups = (
    ("reading the archive", (Section.WEIGHTS, Section.LIMITS)),
    ("output", (Section.OUTPUT,)),
    ("as a check", (Section.CHECK,)),
    ("what to analyze, and how", (Section.SELECTION, Section.MEASURING, Section.MACHINE)),
    ("where to run", (Section.WORKERS,)),
    ("building the modules", (Section.BUILDING,)),
)
# argparse's words before what it does not know.
UNRECOGNIZED = "unrecognized arguments: "
SEVERAL = (
    "; one model at a time: `allennlp-analyze compare A B` compares models,"
    " `allennlp-analyze zoo DIRECTORY` analyzes many"
)
OUTPUT = flag(TABLE["directory"])
# AllenNLP adds this option to its own subcommands.
OF_ALLENNLP = "include_packages"


class Parser(argparse.ArgumentParser):
    """A parser whose usage errors are one line, with redacted URLs, and suggest what is meant."""

    def error(self, message: str) -> NoReturn:
        line = one_line(redacted(f"{message}{self._suggestion(message)}"))
        end = "" if line.endswith("?") else ";"
        self.exit(UsageError.exit_code, f"error: {line}{end} see `{self.prog} --help`\n")

    def _suggestion(self, message: str) -> str:
        """Returns "; did you mean ...?" for an unknown option, advice for a second model."""
        _, found, rest = message.partition(UNRECOGNIZED)
        words = rest.split()
        if not found or not words:
            return ""
        unknown = [word.partition("=")[0] for word in words if word.startswith("-")]
        if not unknown:
            return SEVERAL if any(action.dest == "archive" for action in self._actions) else ""
        known = [name for action in self._actions for name in action.option_strings]
        if unknown[0].startswith("-o") and OUTPUT in known:
            return f"; did you mean {OUTPUT}?"
        close = difflib.get_close_matches(unknown[0], known, 1)
        return f"; did you mean {close[0]}?" if close else ""


def add_arguments(
    parser: argparse.ArgumentParser, table: Table = TABLE, of_allennlp: bool = True
) -> None:
    """Add the arguments of both commands; without `of_allennlp`, skip those that AllenNLP adds."""
    parser.epilog = EXIT_CODES
    parser.add_argument(
        "archive",
        metavar="ARCHIVE",
        help="http(s)://, s3://, gs:// or hf:// URL, .tar.gz archive, serialization directory, or"
        f" weights file ({', '.join(WEIGHTS_ENDINGS)})",
    )
    shown = {name: x for name, x in table.items() if of_allennlp or name != OF_ALLENNLP}
    add_options(parser, Place.ANALYZE, ANALYZE_GROUPS, shown)


def add_options(
    parser: argparse.ArgumentParser, place: Place, groups: Groups, table: Table = TABLE
) -> None:
    """Add the options of the command in its groups."""
    options = options_at(place, table).values()
    for title, sections in groups:
        group: Container = parser.add_argument_group(title) if title else parser
        for section in sections:
            for option in options:
                if option.section is section:
                    add_option(group, option)


def add_option(container: Container, option: Option) -> None:
    """Add one option; its value stays text, which `chosen` checks."""
    names = [f"-{option.short}"] if option.short else []
    how: dict[str, Any] = {"metavar": option.metavar or None}
    if option.negatable:
        how = {"action": argparse.BooleanOptionalAction}
    elif option.values.switch:
        how = {"action": "store_true"}
    elif option.values.repeated:
        how["action"] = "append"
    container.add_argument(
        *names,
        flag(option),
        dest=option.name,
        default=option.default if option.values.switch else None,
        help=option.described.replace("%", "%%"),
        **how,
    )


def chosen(args: argparse.Namespace, place: Place, table: Table = TABLE) -> Mapping[str, Any]:
    """Returns the values of the options by name; options without value and default are omitted.

    Raises `OptionError`.
    """
    options = options_at(place, table)
    given = {name: getattr(args, name) for name in options}
    values = {
        name: option.default if given[name] is None else _checked(option, given[name])
        for name, option in options.items()
    }
    return {name: value for name, value in values.items() if value is not None}


def _checked(option: Option, value: object) -> Any:
    """Returns the parsed value. Raises `OptionError`, which says what -o is not."""
    try:
        return option.checked(value)
    except OptionError as error:
        if option.short != "o":
            raise
        meant = Advice("directory", "the directory for the reports is {}")
        raise OptionError(error.option, error.reason, meant) from None
