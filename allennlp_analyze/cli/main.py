"""The command `allennlp-analyze`: analyzes an archive, or runs a subcommand."""

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Protocol

from allennlp_analyze._version import VERSION
from allennlp_analyze.cli import compare as cli_compare
from allennlp_analyze.cli import render as cli_render
from allennlp_analyze.cli import series as cli_series
from allennlp_analyze.cli import zoo as cli_zoo
from allennlp_analyze.cli.exits import finish, guarded
from allennlp_analyze.cli.gate import gate
from allennlp_analyze.cli.install import install_plugin
from allennlp_analyze.cli.options import Parser, add_arguments, chosen
from allennlp_analyze.cli.uptime import process_seconds
from allennlp_analyze.cli.wording import spelled
from allennlp_analyze.errors import AnalyzeError, UsageError
from allennlp_analyze.options.choices import laid_over
from allennlp_analyze.options.option import Place, Table
from allennlp_analyze.options.table import TABLE
from allennlp_analyze.settings import Settings
from allennlp_analyze.text.lines import one_line
from allennlp_analyze.text.names import printable
from allennlp_analyze.text.redaction import redacted_url

if TYPE_CHECKING:
    from allennlp_analyze.analysis.writing import Outcome

DESCRIPTION = """Is this network healthy, layer by layer? Reads the weights of a model archive
without executing anything in it, and measures for every weight matrix the singular values, the
hard rank, a power-law fit of the spectrum and Marchenko-Pastur statistics."""


class Subcommand(Protocol):
    """A module of a subcommand: what `SUBCOMMANDS` and docs/reference/cli.md need of it."""

    NAME: str
    HELP: str
    EXAMPLE: str

    def make_parser(self, table: Table = TABLE) -> argparse.ArgumentParser:
        """The parser of its arguments."""

    def execute(self, args: argparse.Namespace) -> int:
        """Do it; the exit code. Errors become one line."""


SUBCOMMANDS: "dict[str, Subcommand]" = {
    module.NAME: module for module in (cli_compare, cli_render, cli_series, cli_zoo)
}


def analyze(args: argparse.Namespace) -> int:
    """Run and print the analysis; returns the exit code. Errors become one line."""
    execute = _plan if args.plan else _analyze
    return guarded(lambda: execute(args), redacted_url(args.archive), args.debug)


def _analyze(args: argparse.Namespace) -> int:
    choices = chosen(args, Place.ANALYZE)
    settings = laid_over(Settings(), choices)
    # Importing numpy, matplotlib and the readers would slow down --help.
    from allennlp_analyze.analysis.pipeline import run
    from allennlp_analyze.analysis.request import Building, Reading, Writing, default_directory

    part = choices.get("part")
    named = f"{args.archive}/{part}" if part else args.archive
    outcome = run(
        laid_over(Reading(args.archive), choices),
        laid_over(Writing(default_directory(named)), choices),
        settings,
        laid_over(Building(), choices),
        reference=choices.get("reference"),
        base=choices.get("base"),
        dask=choices.get("dask"),
        quiet=args.quiet,
        startup=process_seconds(),
    )
    _print(outcome, args)
    return gate(outcome.report, args.fail_on) if args.fail_on else 0


def _plan(args: argparse.Namespace) -> int:
    choices = chosen(args, Place.ANALYZE)
    settings = laid_over(Settings(), choices)
    from allennlp_analyze.analysis.planning import plan_archive
    from allennlp_analyze.analysis.request import Reading
    from allennlp_analyze.reports.plan import plan_json, plan_lines

    plan = plan_archive(laid_over(Reading(args.archive), choices), settings, args.quiet)
    encoding = sys.stdout.encoding or "utf-8"
    lines = [plan_json(plan)] if args.json else plan_lines(plan)
    print("\n".join(line if args.json else printable(line, encoding) for line in lines))
    for warning in () if args.quiet else plan.warnings:
        print(f"warning: {one_line(warning)}", file=sys.stderr)
    return 0


def _print(outcome: "Outcome", args: argparse.Namespace) -> None:
    written = [*outcome.written, *_written_too(outcome, args)]
    if args.json:
        from allennlp_analyze.reports.json import report_text

        sys.stdout.writelines(report_text(outcome.report))
    elif args.table:
        from allennlp_analyze.reports.console import table_2018

        print(table_2018(outcome.report))
        for warning in () if args.quiet else outcome.report.warnings:
            print(f"warning: {one_line(warning)}", file=sys.stderr)
    elif args.quiet:
        # Importing rich would take as long as measuring a small model.
        print(printable(outcome.report.summary.sentence, sys.stdout.encoding or "utf-8"))
    else:
        from allennlp_analyze.reports.console import print_report

        print_report(
            outcome.report,
            [str(path) for path in written],
            sys.stdout,
            args.all,
            "--all shows them",
        )
    if outcome.report.reference is not None:
        from allennlp_analyze.reports.reference_console import format_reference

        stream = sys.stderr if args.table or args.json else sys.stdout
        print(format_reference(outcome.report.reference, stream.encoding or "utf-8"), file=stream)
    if args.annotate == "github":
        from allennlp_analyze.reports.annotations import github_annotations

        print(github_annotations(outcome.report), end="")


def _written_too(outcome: "Outcome", args: argparse.Namespace) -> list[Path]:
    """Write the files beside the report that are wanted for other tools; returns their paths."""
    directory, paths = outcome.written[0].parent, []
    if args.annotate == "junit":
        from allennlp_analyze.reports.annotations import JUNIT, junit_xml
        from allennlp_analyze.storage.files import write_text

        paths.append(directory / JUNIT)
        write_text(paths[-1], junit_xml(outcome.report))
    if args.weightwatcher:
        from allennlp_analyze.reports.weightwatcher import PEER_TABLE, write_peer_csv

        paths.append(directory / PEER_TABLE)
        write_peer_csv(outcome.report, paths[-1])
    return paths


class _InstallPlugin(argparse.Action):
    """Runs at once, like --version, so that ARCHIVE is not required."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        try:
            print(install_plugin())
        except AnalyzeError as error:
            parser.exit(error.exit_code, f"error: {error.worded(spelled)}\n")
        parser.exit(0)


def make_parser(table: Table = TABLE) -> argparse.ArgumentParser:
    """Returns the parser of `allennlp-analyze ARCHIVE`."""
    commands = "; ".join(
        f"`%(prog)s {name}` {module.HELP} (`%(prog)s {name} {module.EXAMPLE}`)"
        for name, module in SUBCOMMANDS.items()
    )
    parser = Parser(prog="allennlp-analyze", description=f"{DESCRIPTION} Subcommands: {commands}.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    parser.add_argument(
        "--install-plugin",
        action=_InstallPlugin,
        nargs=0,
        help="register the subcommand `allennlp analyze` with AllenNLP and exit",
    )
    add_arguments(parser, table)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Entry point of `allennlp-analyze`; returns the exit code.

    Without `argv` the process is this command's own, and may be ended while a thread computes.
    """
    if argv is None:
        return finish(_execute(sys.argv[1:]))
    return _execute(argv)


def _execute(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] in SUBCOMMANDS:
        module = SUBCOMMANDS[arguments[0]]
        return module.execute(module.make_parser().parse_args(arguments[1:]))
    args = make_parser().parse_args(arguments)
    close = difflib.get_close_matches(args.archive, SUBCOMMANDS, 1)
    if close and not os.path.exists(args.archive):
        print(
            f"error: {one_line(args.archive)}: no such file, directory or subcommand;"
            f" did you mean `allennlp-analyze {close[0]}`?",
            file=sys.stderr,
        )
        return UsageError.exit_code
    return analyze(args)
