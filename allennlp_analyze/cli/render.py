"""The command `allennlp-analyze render DIR`: writes the page again from the files of a run."""

import argparse

from allennlp_analyze.cli.exits import EXIT_CODES, guarded
from allennlp_analyze.cli.options import Parser, add_options
from allennlp_analyze.errors import SourceError
from allennlp_analyze.options.option import Place, Section, Table
from allennlp_analyze.options.table import TABLE
from allennlp_analyze.text.lines import excerpt

# What drawing raises for impossible numbers, and writing for impossible text.
_ODD = (ValueError, TypeError, LookupError, ArithmeticError)

NAME = "render"
HELP = "writes report.html again from report.json and singular_values.npz"
EXAMPLE = "analysis/model"


def make_parser(table: Table = TABLE) -> argparse.ArgumentParser:
    """The parser of `allennlp-analyze render`."""
    parser = Parser(
        prog=f"allennlp-analyze {NAME}", description=HELP.capitalize() + ".", epilog=EXIT_CODES
    )
    parser.add_argument(
        "directory",
        metavar="DIR",
        help="the output directory of an analysis, or its report.json",
    )
    add_options(parser, Place.RENDER, (("", (Section.OUTPUT,)),), table)
    return parser


def execute(args: argparse.Namespace) -> int:
    """Render the page and return the exit code."""
    return guarded(lambda: _render(args.directory), args.directory, args.debug)


def _render(directory: str) -> int:
    from allennlp_analyze.reports.html.model import PAGE, write_html
    from allennlp_analyze.reports.loader import load_report, report_directory

    where = report_directory(directory)
    report = load_report(directory)
    try:
        page = write_html(report, where / PAGE)
    except _ODD as error:
        # Each value fits the schema, but together they are those of no matrix.
        raise SourceError(
            f"{where}: the report has values that no analysis writes ({excerpt(error)});"
            " analyze the archive again"
        ) from error
    print(page)
    return 0
