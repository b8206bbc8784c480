"""Simulate the table of the null law: how far the smallest singular values stray from theory.

    python -m scripts.study.null_law [--quick] [--output FILE]

For matrices of independent Gaussian entries, N x M with M up to 256 and N - M from 0 on, the script
draws the k-th smallest singular values (k up to 16) and writes their quantiles over those of the
Marchenko-Pastur law. The draws are of the bidiagonal matrix with the same singular values (Dumitriu
and Edelman 2002), whose entries are independent chi variables. It takes about 10 minutes on one
core; --quick draws a hundredth and writes nothing unless --output is given.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from allennlp_analyze.data import HERE
from allennlp_analyze.metrics.null_law import (
    MEDIAN,
    RARELY,
    SELDOM,
    TABLE,
    marchenko_pastur_quantiles,
)

SIZES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256)
EXCESSES = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 4096)
PROBABILITIES = (RARELY, SELDOM, MEDIAN)
SMALLEST = 16
BISECTIONS = 44
SEED = 1
DIGITS = 4


def smallest_values(
    n: int,
    m: int,
    draws: int,
    random: np.random.Generator,
    places: Optional[Sequence[int]] = None,
) -> np.ndarray:
    """The smallest singular values, ascending, of `draws` Gaussian n x m matrices: (draws, k).

    `places` are the values of k; 1 to SMALLEST by default. By bisection of all at once: the number
    of eigenvalues of a tridiagonal matrix below x is that of the negative pivots of its LDL^T
    factors after subtracting x (Sturm).
    """
    wanted = np.array(places or range(1, min(m, SMALLEST) + 1))[:, None]
    k = len(wanted)
    squares = random.chisquare(n - np.arange(m), size=(draws, m)).T
    above = random.chisquare(np.maximum(m - 1 - np.arange(m - 1), 1), size=(draws, m - 1)).T
    diagonal = squares.copy()
    diagonal[:-1] += above
    beside = squares[1:] * above
    low = np.zeros((k, draws))
    high = np.full((k, draws), np.sqrt(n) + np.sqrt(m) + 8.0)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        x = middle**2
        pivot = diagonal[0] - x
        below = (pivot < 0).astype(int)
        for j in range(1, m):
            pivot = np.where(pivot == 0, np.finfo(float).tiny, pivot)
            pivot = diagonal[j] - x - beside[j - 1] / pivot
            below += pivot < 0
        enough = below >= wanted
        high = np.where(enough, middle, high)
        low = np.where(enough, low, middle)
    found: np.ndarray = ((low + high) / 2).T
    return found


def is_simulated(m: int, excess: int) -> bool:
    """Whether the table has N - M = `excess` for this M; far above, nothing changes any more."""
    return excess <= 40 * m and not (m >= 128 and excess > max(4 * m, 512))


def draws_for(m: int) -> int:
    return 40_000 if m <= 32 else 20_000 if m <= 64 else 10_000 if m <= 128 else 6_000


def simulate(share: float = 1.0) -> dict[str, Any]:
    """The table in JSON types; `share` of the draws are made."""
    random = np.random.default_rng(SEED)
    rows = []
    for m in SIZES:
        started = time.perf_counter()
        excesses = [excess for excess in EXCESSES if is_simulated(m, excess)]
        strays = []
        for excess in excesses:
            values = smallest_values(m + excess, m, max(int(draws_for(m) * share), 50), random)
            law = marchenko_pastur_quantiles(m + excess, m)[: values.shape[1]]
            quantiles = np.quantile(values, PROBABILITIES, axis=0) / law
            strays.append([[round_to_digits(x) for x in row] for row in quantiles])
        rows.append({"M": m, "N - M": excesses, "strays": strays})
        print(f"M = {m}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return {
        "about": "Quantiles of the k-th smallest singular value of Gaussian N x M matrices over"
        " those of the Marchenko-Pastur law at (k - 1/2) / M. From scripts/study/null_law.py.",
        "probabilities": list(PROBABILITIES),
        "rows": rows,
    }


def round_to_digits(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def as_text(table: dict[str, Any]) -> str:
    """JSON with one line for each N - M."""
    rows = []
    for row in table["rows"]:
        lines = ",\n   ".join(json.dumps(strays) for strays in row["strays"])
        rows.append(
            f' {{"M": {row["M"]}, "N - M": {json.dumps(row["N - M"])}, "strays": [\n   {lines}]}}'
        )
    return (
        f'{{"about": {json.dumps(table["about"])},\n"probabilities":'
        f' {json.dumps(table["probabilities"])},\n"rows": [\n' + ",\n".join(rows) + "]}\n"
    )


def main(argv: Optional[list[str]] = None) -> int:
    """Write the table; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.study.null_law",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a hundredth of the draws")
    parser.add_argument("--output", type=Path, help=f"default: {TABLE} of the package")
    args = parser.parse_args(argv)
    table = simulate(0.01 if args.quick else 1.0)
    if args.output or not args.quick:
        (args.output or HERE / TABLE).write_text(as_text(table), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
