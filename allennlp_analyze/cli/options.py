"""The arguments that the commands which analyze an archive share."""

import argparse
import dataclasses
import math
from pathlib import Path

from allennlp_analyze.cli.exits import EXIT_CODES
from allennlp_analyze.settings import (
    KINDS,
    MAX_UNPACKED_SIZE,
    PLOT_FORMATS,
    REFERENCES,
    TIMEOUT,
    Settings,
)
from allennlp_analyze.sources.formats.registry import WEIGHTS_ENDINGS
from allennlp_analyze.text.sizes import UNITS, parse_size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what both front doors understand."""
    parser.epilog = EXIT_CODES
    parser.add_argument(
        "archive",
        metavar="ARCHIVE",
        help="http(s)://, s3://, gs:// or hf:// URL, .tar.gz archive, serialization directory, or"
        f" weights file ({', '.join(WEIGHTS_ENDINGS)})",
    )
    _add_reading_arguments(parser.add_argument_group("reading the archive"))
    _add_output_arguments(parser.add_argument_group("output"))
    add_choices(parser.add_argument_group("what is analyzed, and how"))
    add_building(parser.add_argument_group("building the modules"))


def _add_reading_arguments(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--weights-file",
        metavar="FILE",
        help="weights to analyze instead of the archive's weights.th: a member or a path",
    )
    group.add_argument(
        "--sha256", metavar="HEX", help="refuse ARCHIVE unless its file has this checksum"
    )
    add_reading_limits(group)


def add_reading_limits(group: "argparse._ArgumentGroup") -> None:
    """Add how long to wait for an archive and how large it may be."""
    group.add_argument(
        "--timeout",
        type=_positive_seconds,
        default=TIMEOUT,
        metavar="SECONDS",
        help="give up on a server that is silent for so long (default: %(default)g)",
    )
    group.add_argument(
        "--max-unpacked-size",
        type=_size,
        default=MAX_UNPACKED_SIZE,
        metavar="SIZE",
        help="refuse an archive that unpacks to more bytes, or with K, M, G, T: KiB and so on"
        f" (default: {MAX_UNPACKED_SIZE // UNITS['G']}G)",
    )


def _positive_seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return seconds


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add_output_arguments(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--output-dir",
        type=Path,
        metavar="DIR",
        help="where the reports go (default: analysis/<archive name>)",
    )
    group.add_argument(
        "--force", action="store_true", help="replace the report that the directory already holds"
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on with an interrupted run in that directory: what it had done is kept",
    )
    group.add_argument("--no-plots", action="store_true", help="draw nothing")
    add_plot_format(group)
    group.add_argument("--quiet", action="store_true", help="print only errors")
    add_debug(group)
    group.add_argument(
        "--table",
        choices=("2018",),
        help="print only the six columns of the 2018 study, for linear layers",
    )
    group.add_argument(
        "--reference",
        metavar="NAME|FILE",
        help=f"compare with published values: {', '.join(REFERENCES)}, or a CSV or JSON file with"
        " name (or M and N) and alpha, D, min_singular_value; or another report.json",
    )


def add_plot_format(group: "argparse._ArgumentGroup") -> None:
    """Add how figures are written."""
    group.add_argument("--plot-format", choices=PLOT_FORMATS, default=PLOT_FORMATS[0])


def add_include_package(parser: argparse.ArgumentParser) -> None:
    """Add what AllenNLP adds to its own subcommands."""
    parser.add_argument(
        "--include-package",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="package to import before the modules are built (may be repeated)",
    )


def add_debug(group: "argparse._ActionsContainer") -> None:
    """Add what every command understands about its errors."""
    group.add_argument("--debug", action="store_true", help="show where in the code an error arose")


def add_choices(group: "argparse._ArgumentGroup") -> None:
    """Add what is analyzed, and how."""
    add_selection(group)
    group.add_argument(
        "--loose-tolerance",
        type=float,
        default=Settings.loose_tolerance,
        metavar="SIGMA",
        help="singular values up to this are zero for the loose rank (default: %(default)s)",
    )
    group.add_argument(
        "--gamma",
        type=float,
        metavar="LAMBDA",
        help="eigenvalue that splits information from noise (default: the Marchenko-Pastur edge)",
    )
    group.add_argument(
        "--compare-distributions",
        action="store_true",
        help="compare the power law with other distributions (slower)",
    )
    add_machine(group)


def add_selection(group: "argparse._ArgumentGroup") -> None:
    """Add which matrices are wanted."""
    group.add_argument(
        "--kinds",
        metavar="KIND[,KIND...]",
        help=f"only matrices of these kinds: {', '.join(KINDS)}",
    )
    group.add_argument(
        "--layers",
        metavar="PATTERN",
        help="only layers whose name contains this regular expression",
    )
    group.add_argument(
        "--split-gates", action="store_true", help="also analyze each gate of LSTMs and GRUs"
    )


def add_machine(group: "argparse._ArgumentGroup") -> None:
    """Add how much of the machine an analysis may take."""
    group.add_argument(
        "--max-dim",
        type=int,
        default=Settings.max_dim,
        metavar="M",
        help="leave out matrices whose smaller dimension exceeds this (default: %(default)s)",
    )
    group.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="analyze N layers at a time (default: one per core)",
    )
    group.add_argument(
        "--cuda-device",
        type=int,
        default=Settings.cuda_device,
        metavar="N",
        help="compute on this GPU (default: %(default)s, the processor)",
    )


def add_building(group: "argparse._ArgumentGroup") -> None:
    """Add how modules are built. AllenNLP itself adds --include-package to its own subcommands."""
    group.add_argument(
        "--build-model",
        action="store_true",
        help="build the modules with AllenNLP to learn their classes and indices; this can execute"
        " code from the archive: only for archives that you trust",
    )
    group.add_argument(
        "-o",
        "--overrides",
        default="",
        metavar="JSON",
        help="JSON that overrides the archive's configuration when the modules are built",
    )


def settings_from(args: argparse.Namespace) -> Settings:
    """The `Settings` that the arguments ask for; defaults for those that a command has not.

    Raises `UsageError`.
    """
    names = (field.name for field in dataclasses.fields(Settings))
    chosen = {name: getattr(args, name) for name in names if hasattr(args, name)}
    if args.kinds is not None:
        chosen["kinds"] = tuple(kind.strip() for kind in args.kinds.split(",") if kind.strip())
    return Settings(**chosen)
