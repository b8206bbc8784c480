"""Compare the speed of the analysis with the minimum that BLAS needs, and with other tools.

    python -m scripts.benchmarks.speed [--weightwatcher-python PYTHON] [--work ner,4096]
        [--json FILE]

Each round times every contestant once, in turn, so that a change in the machine's load affects all
of them. The run fails if the contestants give different numbers.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Callable, Optional

import numpy as np

from allennlp_analyze.errors import OutputError
from allennlp_analyze.storage.files import make_directory, write_atomically
from allennlp_analyze.text.progress import progress_bar
from scripts.benchmarks import weightwatcher_run as benchmark_weightwatcher
from scripts.benchmarks.contestants import (
    Contestant,
    Disagreement,
    Timing,
    on_matrices,
    on_spectrum,
    require_agreement,
    study_of_2018,
)
from scripts.benchmarks.profiling import profile, profile_lines
from scripts.benchmarks.speed_report import (
    NOTES,
    Measurement,
    WorkResult,
    as_json,
    header,
    machine,
    machine_lines,
    target_lines,
    work_lines,
)
from scripts.benchmarks.weightwatcher_run import Peer, PeerError
from scripts.benchmarks.work import WORKS, Work, draw

DEFAULT_WORK = "ner,bert,vgg,4096,powerlaw"
METHODS = ("floor", "svd", "weightwatcher", "2018", "powerlaw")
STUDIED = ("ner", "tiny")  # the 2018 method would take hours on the others
PROFILED = ("ner", "4096", "tiny")


def contestants(
    work: Work, matrices: Sequence[np.ndarray], folder: Path, peer: Optional[Peer]
) -> list[Contestant]:
    """All that can measure `work`, ours first."""
    if work.spectrum:
        return list(on_spectrum(matrices[0]))
    found = list(on_matrices(matrices, folder, peer, work.dtype))
    return [*found, study_of_2018(matrices)] if work.name in STUDIED else found


def measure(work: Work, entered: Sequence[Contestant], rounds: int) -> WorkResult:
    """Interleaved rounds of the contestants, ours first. Raises `Disagreement`, `PeerError`."""
    seconds: dict[str, list[float]] = {one.label: [] for one in entered}
    total = sum(1 if one.once else rounds for one in entered)
    with progress_bar("run", total, quiet=False, title=work.name) as bar:
        for number in range(rounds):
            ours: Optional[Timing] = None
            for one in entered:
                if one.once and number:
                    continue
                timing = one.run()
                ours = ours or timing
                if one.tolerance is not None:
                    require_agreement(one.label, timing.found, ours.found, one.tolerance)
                seconds[one.label].append(timing.seconds)
                bar.advance()
    found = (Measurement(one.method, one.label, tuple(seconds[one.label])) for one in entered)
    return WorkResult(work, tuple(found))


def run(work: Work, options: argparse.Namespace, peer: Optional[Peer]) -> WorkResult:
    with tempfile.TemporaryDirectory() as folder:
        matrices = draw(work, options.seed)
        found = contestants(work, matrices, Path(folder), peer)
        entered = [one for one in found if one.method not in options.without]
        return measure(work, entered, options.rounds)


def benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; what is to be written as JSON."""
    with ExitStack() as stack:
        peer: Optional[Peer] = None
        if options.weightwatcher_python and "weightwatcher" not in options.without:
            peer = stack.enter_context(benchmark_weightwatcher.start(options.weightwatcher_python))
        facts = machine(peer.versions if peer else None)
        print(*machine_lines(facts), "", header(), sep="\n", flush=True)
        results = []
        for name in options.work:
            results.append(run(WORKS[name], options, peer))
            print(*work_lines(results[-1]), sep="\n", flush=True)
    print("", NOTES, "", *target_lines(results), sep="\n")
    profiles = {}
    for name in options.work:
        if name in PROFILED:
            profiles[name] = profile(draw(WORKS[name], options.seed))
            print("", *profile_lines(name, profiles[name]), sep="\n")
    return {**as_json(facts, options.seed, results), "profiles": profiles}


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def split(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"unknown name {unknown[0]!r}; choose from {', '.join(known)}"
            )
        return names

    return split


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def parse(argv: Optional[list[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.speed",
        description=(__doc__ or "").split("\n")[0],
    )
    add = parser.add_argument
    add(
        "--work",
        type=_names(tuple(WORKS)),
        default=DEFAULT_WORK,
        help=f"work to measure: {', '.join(WORKS)}",
    )
    add("--with-8192", action="store_true", help="also measure one 8192 x 8192 matrix (minutes)")
    add(
        "--without", type=_names(METHODS), default=[], help=f"methods to skip: {', '.join(METHODS)}"
    )
    add("--weightwatcher-python", metavar="PYTHON", help="an interpreter with weightwatcher")
    add("--rounds", type=_positive, default=3)
    add("--seed", type=int, default=2018)
    add("--json", type=Path, default=Path("build/benchmark.json"), metavar="FILE")
    options = parser.parse_args(argv)
    if options.with_8192 and "8192" not in options.work:
        options.work.append("8192")
    return options


def _write(path: Path, found: dict[str, Any]) -> None:
    def write(file: BinaryIO) -> None:
        file.write((json.dumps(found, indent=2) + "\n").encode())

    write_atomically(path, write)


def main(argv: Optional[list[str]] = None) -> int:
    options = parse(argv)
    try:
        make_directory(options.json.parent)
        _write(options.json, benchmark(options))
    except (Disagreement, PeerError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    except OutputError as error:
        print(f"benchmark: --json: {error.__cause__}", file=sys.stderr)
        return 1
    print(f"\nWritten: {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
