"""Write docs/reference/cli.md from the parsers, and the options in manifests.md from their table.

    python -m scripts.tools.make_cli_docs [--check]

With --check nothing is written; the exit code is 1 if the file is out of date.
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Optional, Union

from allennlp_analyze.options.option import Place, Table, options_at
from allennlp_analyze.options.table import TABLE
from scripts.tools.generated import ROOT, write_or_check

PAGE = ROOT / "docs" / "reference" / "cli.md"
MANIFESTS = ROOT / "docs" / "reference" / "manifests.md"
WIDTH = 100
HEADER = """# The command line

<!-- Made by scripts/tools/make_cli_docs.py from the parsers: change allennlp_analyze/options. -->

With AllenNLP installed, `allennlp analyze` is the same command: the same arguments but `--version`
and `--install-plugin`, and no subcommands.
"""
_DEFAULT = " (default: %(default)s)"
_PART = re.compile(r"(<!-- options: [^\n]+ -->\n).*?(<!-- end -->\n)", re.DOTALL)


def make_page(table: Table = TABLE) -> str:
    """The whole page: the command first, then every subcommand that it has."""
    from allennlp_analyze.cli.main import SUBCOMMANDS, make_parser

    parsers = [make_parser(table), *(x.make_parser(table) for x in SUBCOMMANDS.values())]
    return "\n".join([HEADER, *("\n".join(_section(parser)) for parser in parsers)])


def make_manifests_page(table: Table = TABLE) -> str:
    """The page on manifests, with the options that they may hold as the table has them."""
    rows = ["| option | value | |", "|---|---|---|"]
    for option in options_at(Place.MANIFEST, table).values():
        cells = (f"`{option.name}`", option.values.says, option.described)
        rows.append("| " + " | ".join(_cell(_plain(cell)) for cell in cells) + " |")
    text = "\n".join(rows)
    page = MANIFESTS.read_text(encoding="utf-8")
    return _PART.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page)


def _section(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"## {parser.prog}\n"
    if parser.description:
        yield _paragraph(_expanded(parser.description, parser.prog)) + "\n"
    yield f"```text\n{_usage(parser)}\n```\n"
    for group in parser._action_groups:
        rows = list(_rows(group, parser.prog))
        if rows:
            yield f"### {_title(parser, group)}\n"
            if group.description:
                yield _paragraph(_expanded(group.description, parser.prog)) + "\n"
            yield "| | |\n|---|---|"
            yield "\n".join(rows) + "\n"
    if parser.epilog:
        yield _paragraph(_expanded(parser.epilog, parser.prog)) + "\n"


def _usage(parser: argparse.ArgumentParser) -> str:
    """Positional arguments by name, options in a word: they are listed below."""
    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    required = [_invocation(x) for x in shown if x.option_strings and x.required]
    positional = [_values(x) for x in shown if not x.option_strings]
    return " ".join([parser.prog, "[OPTIONS]", *required, *positional])


def _title(parser: argparse.ArgumentParser, group: Any) -> str:
    # Python 3.9 calls its own group of options otherwise.
    own = {id(parser._positionals): "Arguments", id(parser._optionals): "Options"}
    title = own.get(id(group)) or group.title or "Options"
    return title[:1].upper() + title[1:]


def _rows(group: Any, prog: str) -> Iterator[str]:
    for action in group._group_actions:
        if action.help != argparse.SUPPRESS:
            yield f"| {_cell(f'`{_invocation(action)}`')} | {_cell(_plain(_help(action, prog)))} |"


def _invocation(action: argparse.Action) -> str:
    """As it is typed: `-o, --overrides JSON`."""
    if not action.option_strings:
        return _values(action)
    return " ".join(filter(None, [", ".join(action.option_strings), _values(action)]))


def _values(action: argparse.Action) -> str:
    """The names of the values that the action takes, with brackets where there may be none."""
    name = _metavar(action)
    if action.nargs is None:
        return _one(name, 0)
    if isinstance(action.nargs, int):
        return " ".join(_one(name, index) for index in range(action.nargs))
    forms = {
        argparse.OPTIONAL: f"[{_one(name, 0)}]",
        argparse.ZERO_OR_MORE: f"[{_one(name, 0)} ...]",
        argparse.ONE_OR_MORE: f"{_one(name, 0)} [{_one(name, 0)} ...]",
    }
    return forms.get(action.nargs, "...")


def _metavar(action: argparse.Action) -> Union[str, tuple[str, ...]]:
    if action.metavar is not None:
        return action.metavar
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper() if action.option_strings else action.dest


def _one(name: Union[str, tuple[str, ...]], index: int) -> str:
    return name if isinstance(name, str) else name[index]


def _help(action: argparse.Action, prog: str) -> str:
    text = action.help or ("default: %(default)s" if action.default else "")
    if isinstance(action, argparse.BooleanOptionalAction):
        text = text.replace(_DEFAULT, "")  # up to Python 3.12 argparse adds it by itself
    facts = dict(vars(action))
    if action.choices is not None:
        facts["choices"] = ", ".join(map(str, action.choices))
    return _expanded(text, prog, facts)


def _expanded(text: str, prog: str, facts: Mapping[str, object] = MappingProxyType({})) -> str:
    """`text` as argparse fills it in, on one line."""
    return " ".join((text % {**facts, "prog": prog}).split())


def _paragraph(text: str) -> str:
    return textwrap.fill(_plain(text), WIDTH, break_long_words=False, break_on_hyphens=False)


def _plain(text: str) -> str:
    """Outside of code Markdown would take <name> for a tag."""
    parts = text.split("`")
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(argv: Optional[list[str]] = None) -> int:
    """Write the pages, or check them; the exit code."""
    return write_or_check(
        "scripts.tools.make_cli_docs",
        __doc__,
        lambda: {PAGE: make_page(), MANIFESTS: make_manifests_page()},
        argv,
    )


if __name__ == "__main__":
    sys.exit(main())
