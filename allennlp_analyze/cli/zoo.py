"""The command `allennlp-analyze zoo MANIFEST`: many models, one report."""

import argparse
import sys
from pathlib import Path

from allennlp_analyze.cli.exits import EXIT_CODES, guarded
from allennlp_analyze.cli.gate import gate_of_zoo
from allennlp_analyze.cli.options import Groups, Parser, add_options, chosen
from allennlp_analyze.options.choices import laid_over
from allennlp_analyze.options.option import Place, Section, Table
from allennlp_analyze.options.table import TABLE
from allennlp_analyze.settings import Settings

NAME = "zoo"
HELP = "analyzes many models in parallel and summarizes them"
EXAMPLE = "checkpoints/ --workers 2"
DESCRIPTION = """Analyze every model of a manifest, each into a directory of its own, and write one
report over all: zoo.json, zoo.csv (a row per layer), zoo-models.csv (a row per model), index.html
and plots. A failed model is recorded with its reason, and the others continue."""
EPILOG = (
    f"If at least one model failed, the exit code is 1; the report has all others. {EXIT_CODES}"
)

GROUPS: Groups = (
    ("output", (Section.OUTPUT,)),
    ("as a check", (Section.CHECK,)),
    ("where to run", (Section.WORKERS,)),
    ("reading the archives", (Section.LIMITS,)),
    ("what to analyze, and how", (Section.SELECTION, Section.MEASURING, Section.MACHINE)),
    ("building the modules", (Section.BUILDING,)),
)


def make_parser(table: Table = TABLE) -> argparse.ArgumentParser:
    """The parser of `allennlp-analyze zoo`."""
    parser = Parser(prog=f"allennlp-analyze {NAME}", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument(
        "manifest",
        metavar="MANIFEST",
        help="a YAML or CSV file of models (docs/reference/manifests.md), a directory of archives,"
        " a glob, or one of allennlp-2018, allennlp-public, torchvision-2018",
    )
    add_options(parser, Place.ZOO, GROUPS, table)
    return parser


def execute(args: argparse.Namespace) -> int:
    """Analyze the zoo and return the exit code."""
    return guarded(lambda: _execute(args), args.manifest, args.debug)


def _execute(args: argparse.Namespace) -> int:
    choices = chosen(args, Place.ZOO)
    settings = laid_over(Settings(), choices)
    # Importing numpy, matplotlib and the readers would slow down --help.
    from allennlp_analyze.zoo.reports.console import print_zoo
    from allennlp_analyze.zoo.run import ZooRequest, run_zoo, zoo_name

    request = ZooRequest(args.manifest, Path("analysis") / zoo_name(args.manifest))
    outcome = run_zoo(laid_over(request, choices), settings)
    if not args.quiet:
        print_zoo(outcome.report, [str(path) for path in outcome.written], sys.stdout)
    if outcome.report.failed:
        return 1
    return gate_of_zoo(outcome.report, args.fail_on) if args.fail_on else 0
