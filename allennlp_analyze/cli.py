"""The command `allennlp-analyze`, and the arguments that it shares with `allennlp analyze`."""

import argparse
import contextlib
import math
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from allennlp_analyze.clock import process_seconds
from allennlp_analyze.errors import AnalyzeError
from allennlp_analyze.install import install_plugin
from allennlp_analyze.reference import REFERENCES
from allennlp_analyze.reports.names import printable
from allennlp_analyze.settings import KINDS, MAX_UNPACKED_SIZE, PLOT_FORMATS, TIMEOUT, Settings
from allennlp_analyze.version import VERSION

if TYPE_CHECKING:
    from allennlp_analyze.run import Outcome

DESCRIPTION = """Is this network healthy, layer by layer? Reads the weights of a model archive
without executing anything in it, and measures for every weight matrix the singular values, the
hard rank, a power-law fit of the spectrum and Marchenko-Pastur statistics."""
EXIT_CODES = (
    "Exit codes: 0 done, 1 the archive or the output failed, 2 usage, 130 interrupted,"
    " 143 terminated."
)
INTERRUPTED = 130
TERMINATED = 143
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what both front doors understand. AllenNLP itself adds --include-package to its own."""
    parser.epilog = EXIT_CODES
    parser.add_argument(
        "archive",
        metavar="ARCHIVE",
        help="http(s)://, s3://, gs:// or hf:// URL, .tar.gz archive, serialization directory, or"
        " weights file (.th, .pt, .pth, .bin, .safetensors)",
    )
    _add_reading_arguments(parser.add_argument_group("reading the archive"))
    _add_output_arguments(parser.add_argument_group("output"))
    _add_choice_arguments(parser.add_argument_group("what is analysed, and how"))
    _add_model_arguments(parser.add_argument_group("building the modules"))


def _add_reading_arguments(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--weights-file",
        metavar="FILE",
        help="weights to analyse instead of the archive's weights.th: a member or a path",
    )
    group.add_argument(
        "--sha256", metavar="HEX", help="refuse ARCHIVE unless its file has this checksum"
    )
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
        f" (default: {MAX_UNPACKED_SIZE // _UNITS['G']}G)",
    )


def _positive_seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return seconds


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d{1,18})([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None or int(match.group(1)) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write one like 500M or 20G")
    return int(match.group(1)) * _UNITS[match.group(2).upper()]


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
    group.add_argument("--plot-format", choices=PLOT_FORMATS, default=PLOT_FORMATS[0])
    group.add_argument("--quiet", action="store_true", help="print only errors")
    group.add_argument("--debug", action="store_true", help="show where in the code an error arose")
    group.add_argument(
        "--table",
        choices=("2018",),
        help="print only the six columns of the 2018 study, for linear layers",
    )
    group.add_argument(
        "--reference",
        choices=REFERENCES,
        metavar="NAME",
        help=f"compare with the published values: {', '.join(REFERENCES)}",
    )


def _add_choice_arguments(group: "argparse._ArgumentGroup") -> None:
    defaults = Settings()
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
        "--split-gates", action="store_true", help="also analyse each gate of LSTMs and GRUs"
    )
    group.add_argument(
        "--loose-tolerance",
        type=float,
        default=defaults.loose_tolerance,
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
    group.add_argument(
        "--max-dim",
        type=int,
        default=defaults.max_dim,
        metavar="M",
        help="leave out matrices whose smaller dimension exceeds this (default: %(default)s)",
    )
    group.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="analyse N layers at a time (default: one per core)",
    )
    group.add_argument(
        "--cuda-device",
        type=int,
        default=defaults.cuda_device,
        metavar="N",
        help="compute on this GPU (default: %(default)s, the processor)",
    )


def _add_model_arguments(group: "argparse._ArgumentGroup") -> None:
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
    """The `Settings` that the arguments ask for. Raises `UsageError`."""
    kinds = None
    if args.kinds is not None:
        kinds = tuple(kind.strip() for kind in args.kinds.split(",") if kind.strip())
    return Settings(
        kinds=kinds,
        layers=args.layers,
        split_gates=args.split_gates,
        loose_tolerance=args.loose_tolerance,
        gamma=args.gamma,
        compare_distributions=args.compare_distributions,
        max_dim=args.max_dim,
        jobs=args.jobs,
        cuda_device=args.cuda_device,
    )


class Terminated(KeyboardInterrupt):
    """SIGTERM: ends the run as Ctrl-C does, with everything cleaned up."""


def analyze(args: argparse.Namespace) -> int:
    """Run the analysis that `args` ask for and print it; the exit code. Errors become one line."""
    try:
        with _terminating():
            _analyze(args)
    except AnalyzeError as error:
        _say(args, error)
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        terminated = isinstance(interrupt, Terminated)
        hint = f"; {interrupt}" if str(interrupt) else ""
        _say(args, f"{'terminated' if terminated else 'interrupted'}{hint}")
        return TERMINATED if terminated else INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away, as in `... | head`: nothing is left to say.
        sys.stderr.close()
        return 1
    except Exception as error:  # a fault of ours: still one line, and what was computed is kept
        where = "" if args.debug else "; --debug shows where it arose: please report that"
        _say(args, f"{args.archive}: unexpected {type(error).__name__}: {error}{where}")
        return 1
    return 0


def _say(args: argparse.Namespace, error: object) -> None:
    if args.debug:
        traceback.print_exc()
    print(f"error: {_one_line(error)}", file=sys.stderr)


@contextlib.contextmanager
def _terminating() -> Iterator[None]:
    """Meanwhile SIGTERM raises `Terminated`, in the main thread, where Python handles signals."""

    def terminate(*_: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _analyze(args: argparse.Namespace) -> None:
    settings = settings_from(args)
    # numpy, matplotlib and the readers take longer to import than --help may take.
    from allennlp_analyze.run import Request, run

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
        startup=process_seconds(),
    )
    _print(run(request, settings), args)


def _print(outcome: "Outcome", args: argparse.Namespace) -> None:
    from allennlp_analyze.reports.console import print_report, table_2018

    if args.table:
        print(table_2018(outcome.report))
        for warning in () if args.quiet else outcome.report.warnings:
            print(f"warning: {_one_line(warning)}", file=sys.stderr)
    elif not args.quiet:
        print_report(outcome.report, [str(path) for path in outcome.written], sys.stdout)
    if args.reference:
        from allennlp_analyze.reference import compare_with_reference, format_comparison

        text = format_comparison(compare_with_reference(outcome.report, args.reference))
        print(text, file=sys.stderr if args.table else sys.stdout)


def _one_line(message: object) -> str:
    """Printable, on one line: names in it may come from an archive."""
    return printable(" ".join(str(message).split()))


class _InstallPlugin(argparse.Action):
    """Runs at once, as --version does, so that no ARCHIVE is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        try:
            print(install_plugin())
        except AnalyzeError as error:
            parser.exit(error.exit_code, f"error: {error}\n")
        parser.exit(0)


def make_parser() -> argparse.ArgumentParser:
    """The parser of `allennlp-analyze`."""
    parser = argparse.ArgumentParser(prog="allennlp-analyze", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    parser.add_argument(
        "--install-plugin",
        action=_InstallPlugin,
        nargs=0,
        help="make AllenNLP find the subcommand `allennlp analyze`, and exit",
    )
    add_arguments(parser)
    parser.add_argument(
        "--include-package",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="package to import before the modules are built (may be repeated)",
    )
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Entry point of `allennlp-analyze`; returns the exit code."""
    return left(analyze(make_parser().parse_args(argv)))


def left(code: int) -> int:
    """`code`, unless a matrix is still being worked on after an interrupt: BLAS cannot be stopped,
    and crashes when it is unloaded at work. Then the process ends here; all is cleaned up."""
    from allennlp_analyze.schedule import THREAD

    if any(thread.name == THREAD for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
