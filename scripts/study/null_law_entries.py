"""Simulate the table of the null law for entries that are not Gaussian.

    python -m scripts.study.null_law_entries [--quick] [--output FILE]

For uniform, truncated normal, t(3) and half-sparse entries and N x M with M up to 32, the script
draws matrices and writes the medians of their k-th smallest singular values over those of the
Gaussian null law, in thousandths. It takes about 2 minutes on one core; --quick draws a hundredth
and writes nothing unless --output is given.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Optional

import numpy as np

from allennlp_analyze.data import HERE
from allennlp_analyze.metrics.null_kinds import FADING, KINDS_TABLE, Entries
from allennlp_analyze.metrics.null_law import null_quantiles
from scripts.study.random_entries import spectra

SIZES = (2, 3, 4, 5, 6, 8, 12, 16, 32)
SEED = 3


def excesses_for(m: int) -> list[int]:
    """The values of N - M: a few rows more, then Q = 1.1, 1.5, 2, 4, 12 and 40."""
    return sorted({0, 1, 2, max(3, round(m / 10)), round(m / 2), m, 3 * m, 11 * m, 39 * m})


def places_for(m: int) -> list[int]:
    """The values of k."""
    wanted = {1, 2, 3, 4, 6, 8, round(m / 2), round(3 * m / 4), m}
    return sorted(k for k in wanted if k <= m)


def draws_for(kind: Entries, m: int, excess: int) -> int:
    """Enough for a percent: many where the smallest value spreads, near squares."""
    if m <= 6 and excess <= 3:
        # Half-sparse squares are often singular, and the median is near the end of the others.
        return 400_000 if kind is Entries.HALF_SPARSE and excess == 0 else 60_000
    entries = 15_000_000 if excess <= 2 else 5_000_000
    return min(40_000, max(40, entries // ((m + excess) * m)))


def simulate(share: float = 1.0) -> dict[str, Any]:
    """The table in JSON types; `share` of the draws are made."""
    random = np.random.default_rng(SEED)
    kinds: dict[str, Any] = {}
    for kind in FADING:
        started = time.perf_counter()
        rows = []
        for m in SIZES:
            places = places_for(m)
            ratios = []
            for excess in excesses_for(m):
                draws = max(int(draws_for(kind, m, excess) * share), 20)
                medians = np.median(spectra(kind, m + excess, m, draws, random), axis=0)
                thousandths = 1000 * medians / null_quantiles(m + excess, m)
                ratios.append([round(float(thousandths[k - 1])) for k in places])
            rows.append({"M": m, "N - M": excesses_for(m), "k": places, "thousandths": ratios})
        kinds[kind.value] = rows
        print(f"{kind.value}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return {
        "about": "Medians of the k-th smallest singular value of N x M matrices over those of"
        " Gaussian entries, in thousandths. From scripts/study/null_law_entries.py.",
        "kinds": kinds,
    }


def as_text(table: dict[str, Any]) -> str:
    """JSON with one line for each M."""
    kinds = []
    for kind, rows in table["kinds"].items():
        lines = ",\n  ".join(json.dumps(row, separators=(",", ":")) for row in rows)
        kinds.append(f" {json.dumps(kind)}: [\n  {lines}]")
    about = json.dumps(table["about"])
    return f'{{"about": {about},\n"kinds": {{\n' + ",\n".join(kinds) + "}}\n"


def main(argv: Optional[list[str]] = None) -> int:
    """Write the table; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.study.null_law_entries",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a hundredth of the draws")
    parser.add_argument("--output", type=Path, help=f"default: {KINDS_TABLE} of the package")
    args = parser.parse_args(argv)
    table = simulate(0.01 if args.quick else 1.0)
    if args.output or not args.quick:
        (args.output or HERE / KINDS_TABLE).write_text(as_text(table), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
