"""The command `allennlp-analyze zoo MANIFEST`: many models, one report."""

import argparse
import sys
from pathlib import Path

from allennlp_analyze.cli.exits import EXIT_CODES, guarded
from allennlp_analyze.cli.options import (
    add_building,
    add_choices,
    add_debug,
    add_include_package,
    add_plot_format,
    add_reading_limits,
    settings_from,
)

NAME = "zoo"
HELP = "analyzes many models in parallel and sums them up"
DESCRIPTION = """Analyze every model of a manifest, each into a directory of its own, and write one
report over all: zoo.json, zoo.csv (a row per layer), zoo-models.csv (a row per model), index.html
and plots. A model that fails is recorded with its reason, and the rest go on."""
EPILOG = (
    f"With a model that failed the exit code is 1; all the others are in the report. {EXIT_CODES}"
)


def make_parser() -> argparse.ArgumentParser:
    """The parser of `allennlp-analyze zoo`."""
    parser = argparse.ArgumentParser(
        prog=f"allennlp-analyze {NAME}", description=DESCRIPTION, epilog=EPILOG
    )
    parser.add_argument(
        "manifest",
        metavar="MANIFEST",
        help="a YAML or CSV file of models (docs/manifests.md), a directory of archives, a glob, or"
        " one of allennlp-2018, allennlp-public, torchvision-2018",
    )
    _add_output(parser.add_argument_group("output"))
    _add_workers(parser.add_argument_group("where it is done"))
    reading = parser.add_argument_group("reading the archives")
    add_reading_limits(reading)
    add_choices(parser.add_argument_group("what is analyzed, and how"))
    add_building(parser.add_argument_group("building the modules"))
    add_include_package(parser)
    return parser


def _add_output(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--output-dir",
        type=Path,
        metavar="DIR",
        help="where the reports go (default: analysis/<manifest name>)",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on with the zoo in that directory: models that are done stay, unless they or the"
        " options have changed",
    )
    group.add_argument(
        "--retry-failed", action="store_true", help="the same, and try again what failed"
    )
    group.add_argument(
        "--force", action="store_true", help="begin anew where the directory holds a zoo"
    )
    group.add_argument(
        "--plots",
        action="store_true",
        help="also draw the figures of every model, as the single command does",
    )
    add_plot_format(group)
    group.add_argument("--quiet", action="store_true", help="print only errors")
    add_debug(group)


def _add_workers(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes on this machine, a model each (default: one per core); a model is begun"
        " when its estimated size fits into memory",
    )
    group.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="analyze on the Dask cluster whose scheduler is there, like tcp://host:8786",
    )


def execute(args: argparse.Namespace) -> int:
    """Analyze the zoo; the exit code."""
    return guarded(lambda: _execute(args), args.manifest, args.debug)


def _execute(args: argparse.Namespace) -> int:
    settings = settings_from(args)
    # numpy, matplotlib and the readers take longer to import than --help may take.
    from allennlp_analyze.analysis.pipeline import Request
    from allennlp_analyze.zoo.reports.console import print_zoo
    from allennlp_analyze.zoo.run import ZooRequest, run_zoo, zoo_name

    request = Request(
        archive="",
        timeout=args.timeout,
        max_unpacked_size=args.max_unpacked_size,
        build_model=args.build_model,
        overrides=args.overrides,
        include_packages=tuple(args.include_package or ()),
        plots=args.plots,
        plot_format=args.plot_format,
        quiet=args.quiet,
    )
    zoo = ZooRequest(
        manifest=args.manifest,
        output_dir=args.output_dir or Path("analysis") / zoo_name(args.manifest),
        force=args.force,
        resume=args.resume,
        retry_failed=args.retry_failed,
        workers=args.workers,
        dask=args.dask,
        request=request,
    )
    outcome = run_zoo(zoo, settings)
    if not args.quiet:
        print_zoo(outcome.report, [str(path) for path in outcome.written], sys.stdout)
    return 1 if outcome.report.failed else 0
