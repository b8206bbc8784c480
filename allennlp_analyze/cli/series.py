"""The command `allennlp-analyze series DIR`: one training over time, from its checkpoints."""

import argparse
import sys
from typing import TYPE_CHECKING

from allennlp_analyze.cli.exits import EXIT_CODES, guarded
from allennlp_analyze.cli.gate import gate_of_series
from allennlp_analyze.cli.options import Groups, Parser, add_options, chosen
from allennlp_analyze.errors import OptionError
from allennlp_analyze.options.choices import laid_over
from allennlp_analyze.options.option import Place, Section, Table
from allennlp_analyze.options.table import TABLE
from allennlp_analyze.settings import Settings
from allennlp_analyze.text.names import printable
from allennlp_analyze.text.redaction import redacted_url

if TYPE_CHECKING:
    from allennlp_analyze.series.run import SeriesOutcome

NAME = "series"
HELP = "follows one training through its checkpoints: what began, and when"
EXAMPLE = "output/ --watch"
DESCRIPTION = """Analyze the checkpoints of one training, in the order of their numbers, and write
series.json and the page series.html: every layer over time. What was analyzed before and has not
changed is kept. The report of each checkpoint is in a directory of its own."""
EPILOG = f"If at least one checkpoint failed, the exit code is 1. {EXIT_CODES}"

GROUPS: Groups = (
    ("output", (Section.OUTPUT,)),
    ("as a check", (Section.CHECK,)),
    ("when and where to run", (Section.WORKERS,)),
    ("reading the checkpoints", (Section.WEIGHTS, Section.LIMITS)),
    ("what to analyze, and how", (Section.SELECTION, Section.MEASURING, Section.MACHINE)),
    ("building the modules", (Section.BUILDING,)),
)


def make_parser(table: Table = TABLE) -> argparse.ArgumentParser:
    """The parser of `allennlp-analyze series`."""
    parser = Parser(prog=f"allennlp-analyze {NAME}", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument(
        "checkpoints",
        metavar="DIR",
        nargs="+",
        help="the directory of a training, or several checkpoints: of AllenNLP, Hugging Face or"
        " Lightning, or any files with numbers in their names",
    )
    add_options(parser, Place.SERIES, GROUPS, table)
    return parser


def execute(args: argparse.Namespace) -> int:
    """Analyze the series and return the exit code."""
    subject = " ".join(map(redacted_url, args.checkpoints))
    return guarded(lambda: _execute(args), subject, args.debug)


def _execute(args: argparse.Namespace) -> int:
    choices = chosen(args, Place.SERIES)
    settings = laid_over(Settings(), choices)
    if args.interval is not None and not args.watch:
        raise OptionError("interval", "applies to --watch only")
    # Importing numpy and the readers would slow down --help.
    from allennlp_analyze.series.run import SeriesRequest, run_series, series_directory
    from allennlp_analyze.series.watching import watch_series

    request = SeriesRequest(tuple(args.checkpoints), series_directory(args.checkpoints))
    request = laid_over(request, choices)
    if not args.watch:
        return _told(run_series(request, settings), args)
    try:
        for outcome in watch_series(request, settings, choices["interval"]):
            code = _told(outcome, args)
            sys.stdout.flush()
            if args.fail_on and code not in (0, 1):
                return code
    except KeyboardInterrupt as interrupt:
        # One that stops an analysis says what is kept, and SIGTERM is no way to end the watch.
        if interrupt.args or type(interrupt) is not KeyboardInterrupt:
            raise
    return 0


def _told(outcome: "SeriesOutcome", args: argparse.Namespace) -> int:
    """Print the series; returns the exit code."""
    report = outcome.report
    if args.json:
        from allennlp_analyze.series.reports.json import series_text

        sys.stdout.writelines(series_text(report))
    elif args.quiet:
        from allennlp_analyze.series.wording import series_sentence

        print(printable(series_sentence(report), sys.stdout.encoding or "utf-8"))
    else:
        from allennlp_analyze.series.reports.console import print_series

        print_series(report, [str(path) for path in outcome.written], len(outcome.new), sys.stdout)
    code = gate_of_series(report, args.fail_on) if args.fail_on else 0
    return code or (1 if report.failed else 0)
