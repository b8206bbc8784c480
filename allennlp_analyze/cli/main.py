"""The command `allennlp-analyze`: analyze an archive, or do a subcommand."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Optional

from allennlp_analyze._version import VERSION
from allennlp_analyze.cli import compare as cli_compare
from allennlp_analyze.cli import render as cli_render
from allennlp_analyze.cli import zoo as cli_zoo
from allennlp_analyze.cli.exits import finish, guarded
from allennlp_analyze.cli.install import install_plugin
from allennlp_analyze.cli.options import add_arguments, add_include_package, settings_from
from allennlp_analyze.cli.uptime import process_seconds
from allennlp_analyze.errors import AnalyzeError
from allennlp_analyze.text.lines import one_line

if TYPE_CHECKING:
    from allennlp_analyze.analysis.pipeline import Outcome

DESCRIPTION = """Is this network healthy, layer by layer? Reads the weights of a model archive
without executing anything in it, and measures for every weight matrix the singular values, the
hard rank, a power-law fit of the spectrum and Marchenko-Pastur statistics."""
# Each is a module with NAME, HELP, make_parser() and execute(args) -> exit code.
SUBCOMMANDS = {module.NAME: module for module in (cli_compare, cli_render, cli_zoo)}


def analyze(args: argparse.Namespace) -> int:
    """Run the analysis that `args` ask for and print it; the exit code. Errors become one line."""
    return guarded(lambda: _analyze(args), args.archive, args.debug)


def _analyze(args: argparse.Namespace) -> int:
    settings = settings_from(args)
    # numpy, matplotlib and the readers take longer to import than --help may take.
    from allennlp_analyze.analysis.pipeline import Request, run

    request = Request(
        archive=args.archive,
        output_dir=args.output_dir,
        force=args.force,
        resume=args.resume,
        weights_file=args.weights_file,
        sha256=args.sha256,
        timeout=args.timeout,
        max_unpacked_size=args.max_unpacked_size,
        build_model=args.build_model,
        overrides=args.overrides,
        include_packages=tuple(args.include_package or ()),
        plots=not args.no_plots,
        plot_format=args.plot_format,
        quiet=args.quiet,
        reference=args.reference,
        startup=process_seconds(),
    )
    _print(run(request, settings), args)
    return 0


def _print(outcome: "Outcome", args: argparse.Namespace) -> None:
    from allennlp_analyze.reports.console import print_report, table_2018

    if args.table:
        print(table_2018(outcome.report))
        for warning in () if args.quiet else outcome.report.warnings:
            print(f"warning: {one_line(warning)}", file=sys.stderr)
    elif not args.quiet:
        print_report(outcome.report, [str(path) for path in outcome.written], sys.stdout)
    if outcome.report.reference is not None:
        from allennlp_analyze.reports.reference_console import format_reference

        stream = sys.stderr if args.table else sys.stdout
        print(format_reference(outcome.report.reference, stream.encoding or "utf-8"), file=stream)


class _InstallPlugin(argparse.Action):
    """Runs at once, as --version does, so that no ARCHIVE is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        try:
            print(install_plugin())
        except AnalyzeError as error:
            parser.exit(error.exit_code, f"error: {error}\n")
        parser.exit(0)


def make_parser() -> argparse.ArgumentParser:
    """The parser of `allennlp-analyze ARCHIVE`."""
    commands = "; ".join(f"`%(prog)s {name}` {module.HELP}" for name, module in SUBCOMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="allennlp-analyze", description=f"{DESCRIPTION} Subcommands: {commands}."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    parser.add_argument(
        "--install-plugin",
        action=_InstallPlugin,
        nargs=0,
        help="make AllenNLP find the subcommand `allennlp analyze`, and exit",
    )
    add_arguments(parser)
    add_include_package(parser)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Entry point of `allennlp-analyze`; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments and arguments[0] in SUBCOMMANDS:
        module = SUBCOMMANDS[arguments[0]]
        return finish(module.execute(module.make_parser().parse_args(arguments[1:])))
    return finish(analyze(make_parser().parse_args(arguments)))
