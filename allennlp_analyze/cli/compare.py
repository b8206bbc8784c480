"""The command `allennlp-analyze compare A B`: what collapsed, recovered or moved between models."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from allennlp_analyze.cli.exits import EXIT_CODES, guarded
from allennlp_analyze.cli.gate import FAILED, name_failed
from allennlp_analyze.cli.options import Groups, Parser, add_options, chosen
from allennlp_analyze.errors import Advice, OutputError, UsageError
from allennlp_analyze.options.choices import laid_over
from allennlp_analyze.options.option import Place, Section, Table
from allennlp_analyze.options.table import TABLE
from allennlp_analyze.results.verdict import LAYER_VERDICTS
from allennlp_analyze.settings import Settings
from allennlp_analyze.text.redaction import redacted_url

if TYPE_CHECKING:
    from allennlp_analyze.compare.results import ComparisonReport

NAME = "compare"
HELP = "compares two or more models: what collapsed, recovered or moved"
EXAMPLE = "before.pt after.pt"
DESCRIPTION = """Compare models layer by layer: A, the baseline, with each of the others. Layers are
matched by parameter name, the rest by order and shape. Nothing is written without --output-dir."""
_JUDGEMENTS = ", ".join(verdict.value for verdict in LAYER_VERDICTS if verdict.is_judgement)
EPILOG = f"""With --fail-on-collapse the exit code is {FAILED} if a layer that is judged in A
(of any kind; use --kinds linear for linear layers only) has a worse verdict in another
model ({_JUDGEMENTS}), has lost more rank than --allow-rank-loss, or has no
counterpart there; or if a matrix contains NaN or infinity there and not in A. {EXIT_CODES}"""
COMPARISON = "compare.json"
PAGE = "compare.html"
GROUPS: Groups = (
    ("as a check", (Section.CHECK,)),
    ("output", (Section.OUTPUT,)),
    ("what is compared", (Section.SELECTION,)),
    ("how archives are analyzed", (Section.LIMITS, Section.MACHINE)),
)


def make_parser(table: Table = TABLE) -> argparse.ArgumentParser:
    """The parser of `allennlp-analyze compare`."""
    parser = Parser(prog=f"allennlp-analyze {NAME}", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument(
        "models",
        metavar="MODEL",
        nargs="+",
        help="two or more models, the baseline first: the output directory of an analysis, its"
        " report.json, or any ARCHIVE, which is analyzed first",
    )
    add_options(parser, Place.COMPARE, GROUPS, table)
    return parser


def execute(args: argparse.Namespace) -> int:
    """Run the comparison and return the exit code."""
    return guarded(lambda: _execute(args), " ".join(map(redacted_url, args.models)), args.debug)


def _execute(args: argparse.Namespace) -> int:
    if len(args.models) < 2:
        raise UsageError(f"{redacted_url(args.models[0])}: expected a second model to compare with")
    choices = chosen(args, Place.COMPARE)
    settings = laid_over(Settings(), choices)
    # Importing numpy and the readers would slow down --help.
    from allennlp_analyze.analysis.request import Limits
    from allennlp_analyze.compare.compare import compare_models
    from allennlp_analyze.compare.models import compared_models

    directory: Optional[Path] = choices.get("directory")
    if directory is not None:
        _check_output(directory, args.force)
    limits = laid_over(Limits(), choices)
    baseline, *others = compared_models(
        args.models, settings, limits, args.quiet, needs_weights=choices["delta"]
    )
    report = compare_models(baseline, others, choices["allow_rank_loss"])
    if choices["delta"]:
        from allennlp_analyze.compare.deltas import with_deltas

        report = with_deltas(report, args.models, settings, limits, args.quiet)
    written = [] if directory is None else _write(report, directory)
    _print(report, written, args)
    return _gate(report) if args.fail_on_collapse else 0


def _check_output(directory: Path, force: bool) -> None:
    """Check before any work that the comparison can be written and replaces none by accident."""
    from allennlp_analyze.storage.files import check_directory

    check_directory(directory, (COMPARISON, PAGE))
    if (directory / COMPARISON).exists() and not force:
        raise OutputError(
            f"{directory}: a comparison already exists",
            Advice("force", "use {} to replace it", switch=True),
        )


def _write(report: "ComparisonReport", directory: Path) -> list[Path]:
    from allennlp_analyze.compare.reports.html import write_compare_html
    from allennlp_analyze.compare.reports.json import write_comparison
    from allennlp_analyze.storage.files import make_directory

    make_directory(directory)
    write_comparison(report, directory / COMPARISON)
    return [directory / COMPARISON, write_compare_html(report, directory / PAGE)]


def _print(report: "ComparisonReport", written: list[Path], args: argparse.Namespace) -> None:
    from allennlp_analyze.compare.reports.console import print_comparison
    from allennlp_analyze.compare.reports.json import comparison_text

    if args.json:
        print(comparison_text(report), end="")
    elif not args.quiet:
        print_comparison(
            report, args.all, [str(path) for path in written], sys.stdout, "--all shows them"
        )


def _gate(report: "ComparisonReport") -> int:
    """Print what got worse than allowed to standard error; returns 3 if anything did, else 0."""
    failed = [
        name_failed(
            [f"{comparison.letter}: {f.layer}: {f.reason}" for f in comparison.failures],
            "layers",
        )
        for comparison in report.candidates
    ]
    return max(failed, default=0)
