"""The command `allennlp-analyze compare A B`: what collapsed, recovered or moved between models."""

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from allennlp_analyze.cli.exits import EXIT_CODES, guarded
from allennlp_analyze.cli.options import (
    add_debug,
    add_machine,
    add_reading_limits,
    add_selection,
    settings_from,
)
from allennlp_analyze.errors import OutputError, UsageError
from allennlp_analyze.results.verdict import LAYER_VERDICTS, MIN_Q
from allennlp_analyze.text.lines import one_line

if TYPE_CHECKING:
    from allennlp_analyze.compare.results import ComparisonReport

NAME = "compare"
HELP = "sets two or more models side by side: what collapsed, recovered or moved"
DESCRIPTION = """Compare models layer by layer: A, the baseline, with each of the others. Layers are
matched by parameter name, the rest by order and shape. Nothing is written without --output-dir."""
WORSE = 3
_JUDGEMENTS = ", ".join(verdict.value for verdict in LAYER_VERDICTS if verdict.is_judgement)
EPILOG = f"""With --fail-on-collapse the exit code is {WORSE} when a layer that is assessed in A
(Q > {MIN_Q}, of whatever kind; --kinds linear leaves the others out) has a worse verdict in another
model ({_JUDGEMENTS}), has lost more rank than --allow-rank-loss, or has no
counterpart there; and when a matrix holds NaN or infinity there and not in A. {EXIT_CODES}"""
COMPARISON = "compare.json"
PAGE = "compare.html"
MAX_NAMED = 10


def make_parser() -> argparse.ArgumentParser:
    """The parser of `allennlp-analyze compare`."""
    parser = argparse.ArgumentParser(
        prog=f"allennlp-analyze {NAME}", description=DESCRIPTION, epilog=EPILOG
    )
    parser.add_argument(
        "models",
        metavar="MODEL",
        nargs="+",
        help="two or more, the baseline first: the output directory of an analysis, the report.json"
        " in it, or any ARCHIVE, which is analyzed first",
    )
    _add_gate(parser.add_argument_group("as a check"))
    _add_output(parser.add_argument_group("output"))
    add_selection(parser.add_argument_group("what is compared"))
    analysis = parser.add_argument_group("how archives are analyzed")
    add_reading_limits(analysis)
    add_machine(analysis)
    return parser


def _add_gate(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--fail-on-collapse",
        action="store_true",
        help=f"exit with {WORSE} when a layer got worse than allowed, naming it on standard error",
    )
    group.add_argument(
        "--allow-rank-loss",
        type=_percentage,
        default=0.0,
        metavar="POINTS",
        help="percentage points by which the share of a layer's lost directions may grow"
        " (default: %(default)g); a verdict that gets worse is never allowed",
    )


def _add_output(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--output-dir",
        type=Path,
        metavar="DIR",
        help=f"write {COMPARISON} and the page {PAGE} into this directory",
    )
    group.add_argument(
        "--force", action="store_true", help="replace the comparison that the directory holds"
    )
    group.add_argument(
        "--json", action="store_true", help="print the comparison as JSON instead of the table"
    )
    group.add_argument(
        "--all", action="store_true", help="show every layer, not only those that changed most"
    )
    group.add_argument(
        "--quiet", action="store_true", help="print only errors (and the JSON of --json)"
    )
    add_debug(group)


def _percentage(text: str) -> float:
    points = float(text)
    if not (math.isfinite(points) and 0 <= points <= 100):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 100")
    return points


def execute(args: argparse.Namespace) -> int:
    """Compare; the exit code."""
    return guarded(lambda: _execute(args), " ".join(args.models), args.debug)


def _execute(args: argparse.Namespace) -> int:
    if len(args.models) < 2:
        raise UsageError(f"{args.models[0]}: name a second model to compare it with")
    settings = settings_from(args)
    # numpy and the readers take longer to import than --help may take.
    from allennlp_analyze.analysis.pipeline import Request
    from allennlp_analyze.compare.compare import compare_models
    from allennlp_analyze.compare.models import compared_models

    _check_output(args)
    request = Request(
        archive="",
        timeout=args.timeout,
        max_unpacked_size=args.max_unpacked_size,
        quiet=args.quiet,
    )
    baseline, *others = compared_models(args.models, settings, request)
    report = compare_models(baseline, others, args.allow_rank_loss)
    _print(report, _write(report, args), args)
    return _gate(report) if args.fail_on_collapse else 0


def _check_output(args: argparse.Namespace) -> None:
    """Before any work: a comparison can be written, and replaces none by accident."""
    from allennlp_analyze.storage.files import check_directory

    if args.output_dir is None:
        return
    check_directory(args.output_dir)
    if (args.output_dir / COMPARISON).exists() and not args.force:
        raise OutputError(f"{args.output_dir}: already holds a comparison; --force replaces it")


def _write(report: "ComparisonReport", args: argparse.Namespace) -> list[Path]:
    from allennlp_analyze.compare.reports.html import write_compare_html
    from allennlp_analyze.compare.reports.json import write_comparison
    from allennlp_analyze.storage.files import make_directory

    if args.output_dir is None:
        return []
    directory = make_directory(args.output_dir)
    write_comparison(report, directory / COMPARISON)
    return [directory / COMPARISON, write_compare_html(report, directory / PAGE)]


def _print(report: "ComparisonReport", written: list[Path], args: argparse.Namespace) -> None:
    from allennlp_analyze.compare.reports.console import print_comparison
    from allennlp_analyze.compare.reports.json import comparison_text

    if args.json:
        print(comparison_text(report), end="")
    elif not args.quiet:
        print_comparison(report, args.all, [str(path) for path in written], sys.stdout)


def _gate(report: "ComparisonReport") -> int:
    """3 when anything got worse than allowed, which standard error then names; else 0."""
    failed = 0
    for comparison in report.candidates:
        failed += len(comparison.failures)
        for failure in comparison.failures[:MAX_NAMED]:
            line = f"{comparison.letter}: {failure.layer}: {failure.reason}"
            print(f"failed: {one_line(line)}", file=sys.stderr)
        if len(comparison.failures) > MAX_NAMED:
            more = len(comparison.failures) - MAX_NAMED
            print(f"failed: {comparison.letter}: {more} more layers", file=sys.stderr)
    return WORSE if failed else 0
