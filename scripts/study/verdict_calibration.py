"""Calibrate the verdict: the null law, false alarms on it, and the power to find planted losses.

    python -m scripts.study.verdict_calibration [--draws N] [--figure FILE]
                                                [--only TABLE] [--entries KIND]

Three tables in Markdown on standard output (docs/explanation/verdict.md quotes them):

1. the null law against simulated matrices of five kinds of entries, each with its own law: the
   largest deviation of the median of the smallest singular values, in percent, and how far the law
   of Gaussian entries is off, which the rule uses; it has its own number of draws;
2. how many matrices of the null are not at full rank, of those drawn, for each kind and shape;
3. how many planted losses are found: 1, 2, 1%, 10% or 50% of the directions times 0, 1e-3 or 1e-2,
   among those that are visible: whose largest lost singular value is below what the null law
   falls below once in 10,000 matrices at that place.

The figure shows the power against the size of the loss. Gaussian spectra come from bidiagonal
matrices with the same law (Dumitriu and Edelman 2002), so large shapes cost little; a planted loss
multiplies singular values directly. With the default of 3,000 draws, fewer for M = 1024, it takes
about 25 minutes on one core; table 1 alone (`--only law`) takes about 6.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Optional

import numpy as np

from allennlp_analyze.metrics.judging import judge
from allennlp_analyze.metrics.null_kinds import Entries
from allennlp_analyze.metrics.null_law import MEDIAN, SELDOM, VERY_RARELY, null_quantiles
from scripts.study.null_law import smallest_values
from scripts.study.random_entries import DRAWN, STANDARD_DEVIATIONS, spectra

SIZES = (2, 8, 32, 64, 256, 1024)
ASPECTS = (1.0, 1.01, 1.1, 1.5, 4.0, 40.0)
LOSSES = ("1", "2", "1%", "10%", "50%")
SCALES = (0.0, 1e-3, 1e-2)
FLOAT32 = 2.0**-23
# Other entries than Gaussian ones need whole matrices: these sizes are affordable.
MOST_ENTRIES = 200_000
# Fewer draws than these do not say where the 1% quantile is, nor, near a square, the smallest one.
ENOUGH = 1000
TABLES = ("law", "alarms", "power")
SEED = 2026


def rows_of(m: int, aspect: float) -> int:
    """N of a shape: at least one more row than M for every aspect above 1."""
    return m if aspect == 1 else max(round(m * aspect), m + 1)


def gaussian_spectrum(n: int, m: int, random: np.random.Generator) -> np.ndarray:
    """Singular values (m,), descending, with the law of those of a Gaussian n x m matrix."""
    from scipy.linalg import eigvalsh_tridiagonal

    squares = random.chisquare(n - np.arange(m))
    above = random.chisquare(m - 1 - np.arange(m - 1)) if m > 1 else np.zeros(0)
    diagonal = squares.copy()
    diagonal[:-1] += above
    beside = np.sqrt(squares[1:] * above)
    eigenvalues = eigvalsh_tridiagonal(diagonal, beside, lapack_driver="sterf")
    return np.asarray(np.sqrt(np.maximum(eigenvalues[::-1], 0)))


def draw(kind: Entries, n: int, m: int, random: np.random.Generator) -> tuple[np.ndarray, float]:
    """The singular values of one matrix, descending, and the standard deviation of its entries."""
    if kind is Entries.GAUSSIAN:
        values = gaussian_spectrum(n, m, random)
        return values, math.sqrt(float(np.sum(values**2)) / (n * m))
    entries = DRAWN[kind]((n, m), random)
    return np.linalg.svd(entries, compute_uv=False), float(entries.std())


def is_lost(values: np.ndarray, std: float, n: int, m: int) -> bool:
    judged = judge(values, std, n, m, rounding(std, n, m))
    return judged.lost > 0 or judged.is_near


def rounding(std: float, n: int, m: int) -> float:
    """What rounding to float32 leaves of a lost direction."""
    return 2.5 * FLOAT32 / math.sqrt(12) * std * (math.sqrt(n) + math.sqrt(m))


def draws_for(m: int, draws: int) -> int:
    return draws if m <= 256 else max(draws // 10, 20)


def head() -> list[str]:
    return ["| entries | M |" + "".join(f" Q = {q:g} |" for q in ASPECTS), "|---" * 8 + "|"]


def law_draws(kind: Entries, n: int, m: int) -> int:
    """Enough for a noise of 2% of the medians: only near squares they spread widely."""
    if kind is Entries.GAUSSIAN:
        return 20_000 if m <= 64 else 6_000
    if n - m <= 3 and m <= 256:
        return min(20_000, max((220_000_000 if n == m else 67_000_000) // (n * m), ENOUGH))
    least = 16 if n <= 2 * m else 6 if n <= 8 * m else 2
    return min(10_000, max(20_000_000 // (n * m), least))


def law_table(random: np.random.Generator) -> list[str]:
    """Table 1: a row for each kind of entries and M, a column for each Q."""
    lines = head()
    for kind in STANDARD_DEVIATIONS:
        for m in SIZES:
            cells = [_law_cell(kind, rows_of(m, aspect), m, random) for aspect in ASPECTS]
            lines.append(f"| {kind.value} | {m} | " + " | ".join(cells) + " |")
            print(lines[-1], file=sys.stderr)
    return lines


def _law_cell(kind: Entries, n: int, m: int, random: np.random.Generator) -> str:
    """The worst deviations over k = 1, 2, M/20, M/10.

    Of the medians from their own law, in brackets from that of Gaussian entries, and of the 1%
    quantiles from their own law.
    """
    draws = law_draws(kind, n, m)
    places = sorted({1, min(2, m), max(1, round(m / 20)), max(1, round(m / 10))})
    if kind is Entries.GAUSSIAN:
        values = smallest_values(n, m, draws, random, places)
    else:
        values = spectra(kind, n, m, draws, random)[:, [k - 1 for k in places]]
    few = draws < ENOUGH
    # Of a few near-squares, the smallest two say nothing.
    chosen = [i for i, k in enumerate(places) if not few or k > 2 or n > 1.05 * m]
    median, seldom = np.quantile(values, (MEDIAN, SELDOM), axis=0)

    def worst(found: np.ndarray, probability: float, entries: Entries) -> str:
        law = null_quantiles(n, m, probability, entries)
        off = [deviation(float(found[i]), float(law[places[i] - 1])) for i in chosen]
        return f"{100 * max(off):.0f}%"

    cell = worst(median, MEDIAN, kind)
    if kind is not Entries.GAUSSIAN:
        cell += f" ({worst(median, MEDIAN, Entries.GAUSSIAN)})"
    return cell if few else f"{cell}, {worst(seldom, SELDOM, kind)}"


def deviation(found: float, law: float) -> float:
    """Of the simulated from the law's, relative to the law's; 0 if both are 0."""
    return abs(found - law) / law if law > 0 else 0.0 if found == 0 else math.inf


def alarm_table(draws: int, kinds: Sequence[Entries]) -> Iterator[str]:
    """Table 2: matrices of the null that are not at full rank; each kind has its own draws."""
    yield from head()
    for kind in kinds:
        random = np.random.default_rng([SEED, list(DRAWN).index(kind)])
        for m in SIZES:
            cells = []
            for aspect in ASPECTS:
                n = rows_of(m, aspect)
                if kind is not Entries.GAUSSIAN and n * m > MOST_ENTRIES:
                    cells.append("–")
                    continue
                number = draws_for(m, draws)
                drawn = [draw(kind, n, m, random) for _ in range(number)]
                cells.append(f"{sum(is_lost(v, s, n, m) for v, s in drawn)} of {number}")
            if any(cell != "–" for cell in cells):
                yield f"| {kind.value} | {m} | " + " | ".join(cells) + " |"
            print(f"{kind.value}, M = {m}", file=sys.stderr)


def planted(
    n: int, m: int, number: int, scale: float, random: np.random.Generator
) -> tuple[np.ndarray, float, bool]:
    """A Gaussian spectrum with a loss in random directions; its entries' std; is it visible?"""
    values = gaussian_spectrum(n, m, random)
    chosen = random.choice(m, number, replace=False)
    values[chosen] *= scale
    largest = float(values[chosen].max())
    values = np.sort(values)[::-1]
    std = math.sqrt(float(np.sum(values**2)) / (n * m))
    place = int((values <= largest).sum())
    limit = std * null_quantiles(n, m, VERY_RARELY)[place - 1]
    return values, std, largest < limit


def lost_number(loss: str, m: int) -> int:
    return max(1, round(float(loss[:-1]) / 100 * m)) if loss.endswith("%") else int(loss)


def power_table(draws: int, random: np.random.Generator) -> list[str]:
    """Table 3: found of the visible losses, in percent, and in brackets how many are visible."""
    lines = ["| M | lost | scale |" + "".join(f" Q = {q:g} |" for q in ASPECTS), "|---" * 9 + "|"]
    for m in SIZES[1:]:
        for loss in LOSSES:
            number = lost_number(loss, m)
            if number >= m or (loss.endswith("%") and number <= 2 and loss != "50%"):
                continue
            for scale in SCALES:
                cells = [_power(rows_of(m, q), m, number, scale, draws, random) for q in ASPECTS]
                lines.append(f"| {m} | {loss} | {scale:g} | " + " | ".join(cells) + " |")
        print(f"planted, M = {m}", file=sys.stderr)
    return lines


def _power(
    n: int, m: int, number: int, scale: float, draws: int, random: np.random.Generator
) -> str:
    total = max(draws_for(m, draws) // 10, 20)
    spectra = [planted(n, m, number, scale, random) for _ in range(total)]
    visible = [(values, std) for values, std, seen in spectra if seen]
    if not visible:
        return "– (0%)"
    found = sum(judge(v, std, n, m, rounding(std, n, m)).lost > 0 for v, std in visible)
    return f"{100 * found / len(visible):.0f}% ({100 * len(visible) / total:.0f}%)"


def draw_power(path: Path, draws: int, random: np.random.Generator) -> None:
    """Draw the share of losses that is found against the factor of the lost directions."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.4), layout="constrained")
    factors = np.logspace(0, -6, 25)
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for ax, aspect in zip(panels.ravel(), (1.0, 1.1, 1.5, 4.0)):
        for m, style in ((64, "--"), (256, "-")):
            n = rows_of(m, aspect)
            for loss, colour in (("1", "#0072B2"), ("10%", "#E69F00"), ("50%", "#009E73")):
                number = lost_number(loss, m)
                shares = []
                for factor in factors:
                    spectra = [planted(n, m, number, factor, random) for _ in range(draws)]
                    found = [judge(v, s, n, m, rounding(s, n, m)).lost > 0 for v, s, _ in spectra]
                    shares.append(100 * float(np.mean(found)))
                ax.plot(factors, shares, style, color=colour, label=f"M = {m}, {loss} lost")
        ax.set(xscale="log", title=f"Q = {aspect:g}", ylim=(-3, 103))
        ax.grid(alpha=0.3)
    for ax in panels[-1]:
        ax.set_xlabel("lost directions are multiplied by")
    for ax in panels[:, 0]:
        ax.set_ylabel("found, in % of matrices")
    panels[0, 0].invert_xaxis()
    panels[1, 1].legend(fontsize=8)
    figure.savefig(path, dpi=200)


def main(argv: Optional[list[str]] = None) -> int:
    """Print the tables and draw the figure; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.study.verdict_calibration",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--draws", type=int, default=3000, help="matrices for each cell")
    parser.add_argument("--figure", type=Path, help="draw the power into this file")
    parser.add_argument(
        "--entries", choices=[kind.value for kind in DRAWN], help="this kind only, in table 2"
    )
    parser.add_argument("--only", choices=TABLES, help="this table only")
    args = parser.parse_args(argv)
    random = np.random.default_rng(SEED)
    wanted = TABLES if args.only is None else (args.only,)
    if "law" in wanted:
        print("Deviation of the medians (of the Gaussian law's), of the 1% quantiles:\n")
        print(*law_table(random), sep="\n")
    if "alarms" in wanted:
        print("\nNot at full rank, of matrices of the null:\n")
        kinds = [kind for kind in DRAWN if args.entries in (None, kind.value)]
        for line in alarm_table(args.draws, kinds):
            print(line, flush=True)
    if "power" in wanted:
        print("\nFound, of the visible losses (in brackets: visible, of all):\n")
        print(*power_table(args.draws, random), sep="\n")
    if args.figure is not None:
        draw_power(args.figure, max(args.draws // 30, 20), random)
    return 0


if __name__ == "__main__":
    sys.exit(main())
