"""Measure the libraries that compute eigenvalues, and the stages of our own reduction.

    python -m scripts.benchmarks.eigenvalues [--sizes 2048,3072,4096] [--bands 32,48,64,96,128]
        [--threads 1,2] [--rounds 3]

For each size, number of threads and row: the fastest of a few rounds, in wall and in CPU seconds of
all threads. Only the CPU seconds of one thread count on a machine with other work: several threads
wait for each other at full speed. Every row is compared with the eigenvalues that numpy finds for
the smallest size.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Callable, Optional

import numpy as np

from allennlp_analyze.linalg.backend import backend, limited_blas
from allennlp_analyze.linalg.eigensolvers import EIGENSOLVERS, OPENBLAS
from allennlp_analyze.linalg.machine import processor
from allennlp_analyze.linalg.openblas import call_lapack, find_routines
from allennlp_analyze.linalg.tridiagonal import TWO_STAGES, Eigenvalues, one_stage

# The wall and the CPU seconds of each stage; what computes the eigenvalues of a matrix in stages.
Timed = dict[str, tuple[float, float]]
Run = Callable[[np.ndarray], tuple[np.ndarray, Timed]]
BANDS = "32,48,64,96,128"
TO_BAND = "to band"


def gram_matrix(size: int) -> np.ndarray:
    """The Gram matrix (size, size) of a matrix of normally distributed numbers."""
    values = np.random.default_rng(0).standard_normal((size + size // 8, size))
    return values.T @ values


def product_gflops(size: int = 2048, rounds: int = 3) -> float:
    """Of the product of two matrices of `size` rows: what BLAS does best."""
    square, best = np.random.default_rng(0).standard_normal((size, size)), math.inf
    with limited_blas(1):
        for _ in range(rounds):
            started = time.thread_time()
            square @ square
            best = min(best, time.thread_time() - started)
    return 2 * size**3 / best / 1e9


def fastest(run: Run, matrix: np.ndarray, expected: Optional[np.ndarray], rounds: int) -> Timed:
    """Returns the wall and the CPU seconds of each stage of `run`, each the least of `rounds`.

    Exits if the eigenvalues are not the `expected` ones.
    """
    best: Timed = {}
    for _ in range(rounds):
        found, stages = run(np.triu(matrix))
        if expected is not None:
            error = float(np.abs(found - expected).max() / expected[-1])
            if error > 1e-16 * len(expected):
                raise SystemExit(f"eigenvalues: off by {error:.1e}")
        for stage, seconds in stages.items():
            before = best.get(stage, seconds)
            best[stage] = (min(before[0], seconds[0]), min(before[1], seconds[1]))
    return best


class Stages:
    """Adds up the seconds of the stages of one run."""

    def __init__(self) -> None:
        self.found: Timed = {}
        self._begin()

    def _begin(self) -> None:
        self._last = time.perf_counter(), time.process_time()

    def end(self, stage: str) -> None:
        """What was done since the last stage was `stage`."""
        wall, cpu = self._last
        self.found[stage] = (time.perf_counter() - wall, time.process_time() - cpu)
        self._begin()


def two_stages_of(band: int) -> Run:
    """Our reduction through a band matrix of `band` diagonals, a stage at a time."""
    found = find_routines(*TWO_STAGES)
    if found is None:
        raise SystemExit("eigenvalues: no OpenBLAS is loaded")

    def run(matrix: np.ndarray) -> tuple[np.ndarray, Timed]:
        m, stages = len(matrix), Stages()
        banded, factors = np.zeros((m, band + 1)), np.empty(m)
        to_band, to_tridiagonal, of_tridiagonal = found
        call_lapack(to_band, [b"L", m, band, matrix, m, banded, band + 1, factors], workspaces=1)
        stages.end(TO_BAND)
        diagonal, beside = np.empty(m), np.empty(m)
        start = (b"Y", b"N", b"L", m, band, banded, band + 1, diagonal, beside)
        call_lapack(to_tridiagonal, start, workspaces=2)
        stages.end("to tridiagonal")
        call_lapack(of_tridiagonal, [m, diagonal, beside])
        stages.end("eigenvalues")
        return diagonal, stages.found

    return run


def whole(solve: Eigenvalues) -> Run:
    """A solver whose stages are not known."""

    def run(matrix: np.ndarray) -> tuple[np.ndarray, Timed]:
        stages = Stages()
        found = solve(matrix)
        stages.end("all")
        return found, stages.found

    return run


def contestants(bands: Sequence[int]) -> Iterator[tuple[str, Run]]:
    """Yields the rows: our reduction by band, in one stage, and the other libraries here."""
    for band in bands:
        yield f"two stages, band {band}", two_stages_of(band)
    in_one = one_stage()
    if in_one is not None:
        yield "one stage", whole(in_one)
    for solver in EIGENSOLVERS.values():
        found = solver.find() if solver.name != OPENBLAS else None
        if found is not None:
            yield solver.name, whole(found)


def line(name: str, stages: Timed, size: int) -> str:
    wall, cpu = (sum(one[i] for one in stages.values()) for i in (0, 1))
    found = {stage: f"{stage} {one[1]:.2f}" for stage, one in stages.items()}
    if TO_BAND in stages:
        found[TO_BAND] += f" ({4 / 3 * size**3 / stages[TO_BAND][1] / 1e9:.0f} GFLOP/s)"
    return f"{name:22} {wall:6.2f} {cpu:6.2f}   {', '.join(found.values())}"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.eigenvalues",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument("--sizes", default="2048,3072,4096", help="M, separated by commas")
    parser.add_argument("--bands", default=BANDS, help=f"of our reduction (default: {BANDS})")
    parser.add_argument("--threads", default="1,2", help="numbers of BLAS threads (default: 1,2)")
    parser.add_argument("--rounds", type=int, default=3, help="the fastest counts (default: 3)")
    options = parser.parse_args(arguments)
    sizes, bands, threads = (
        [int(one) for one in text.split(",") if one]
        for text in (options.sizes, options.bands, options.threads)
    )
    print(f"{processor()}; {backend()}; load {os.getloadavg()[0]:.1f}")
    print(f"a product of matrices does {product_gflops():.0f} GFLOP/s in CPU seconds of one thread")
    for size in sizes:
        matrix = gram_matrix(size)
        expected = np.linalg.eigvalsh(matrix) if size == min(sizes) else None
        for number in threads:
            heading = f"{size} x {size}, {number} thread" + "s" * (number > 1)
            print(f"\n{heading:22} wall s  CPU s   CPU s of each stage")
            for name, run in contestants(bands):
                with limited_blas(number):
                    seconds = fastest(run, matrix, expected, options.rounds)
                print(line(name, seconds, size), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
