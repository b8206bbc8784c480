"""Draw the theory figures of docs/explanation/rank-collapse.md, in seconds and without training.

    python -m scripts.rank_collapse.theory [--output-dir DIR]

They show the Marchenko-Pastur law with random matrices, the singular values that each tolerance
counts as zero, and the effect of Tikhonov's gamma on each direction. Every run writes the same
files.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

import numpy as np

from allennlp_analyze import analyze
from allennlp_analyze.cli.exits import finish, guarded
from allennlp_analyze.metrics.marchenko_pastur import edges
from allennlp_analyze.reports.figures.density import bulk_curve
from allennlp_analyze.reports.figures.file import Caption, save_figure
from allennlp_analyze.reports.figures.singular_values import plot_singular_values
from allennlp_analyze.reports.figures.style import (
    BLACK,
    BLUE,
    GAMMA,
    GREEN,
    GREY,
    LAMBDA_MINUS,
    SMALL_SIZE,
    TINY_SIZE,
    VERMILLION,
    WIDTH,
    house_style,
    line,
    linear_ticks,
    log_ticks,
)
from allennlp_analyze.results.layer import MarchenkoPastur
from allennlp_analyze.results.verdict import MIN_Q
from allennlp_analyze.storage.files import make_directory
from scripts.rank_collapse.marks import End, name_ends, panels, place_of
from scripts.rank_collapse.words import l2_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURES = Path(__file__).resolve().parent.parent.parent / "docs" / "explanation" / "figures"
RATIOS = (1.0, MIN_Q, 2.0, 10.0)
COLUMNS_OF_W = 400
BINS = 40
# A product of Gaussian factors, rounded to float32.
RANK_DEFICIENT = (1000, 200, 150)
GAMMAS = ((1e-6, BLUE), (1e-3, GREEN), (1.0, VERMILLION))
SIGMAS = np.geomspace(1e-4, 1e2, 241)


def random_eigenvalues(q: float, m: int = COLUMNS_OF_W) -> tuple[np.ndarray, int]:
    """Returns the eigenvalues (m,) of W^T W, ascending, and n.

    W is n x m with n = q m and entries of variance 1/n.
    """
    n = round(q * m)
    matrix = np.random.default_rng(0).standard_normal((n, m)) / np.sqrt(n)
    return np.linalg.eigvalsh(matrix.T @ matrix), n


def law(n: int, m: int) -> MarchenkoPastur:
    """Returns the law for entries of variance 1/n, which is known, not fitted."""
    sigma = 1 / np.sqrt(n)
    low, high = edges(sigma, n, m)
    return MarchenkoPastur(sigma, low, high, high, 0, 1.0, sigma, low, high)


def draw_law() -> "Figure":
    """Draw the density and the eigenvalues of one random matrix for each Q."""
    figure, axes = panels((WIDTH, 2.5), 1, len(RATIOS), (0.5, 0.1, 0.5, 0.45), (0.42, 0))
    for ax, q in zip(axes[0], RATIOS):
        eigenvalues, n = random_eigenvalues(q)
        known = law(n, len(eigenvalues))
        curve = bulk_curve(known, len(eigenvalues))
        density, places = np.histogram(eigenvalues, BINS, (0, known.lambda_plus), density=True)
        _bars(ax, density, places)
        line(ax, curve.x, curve.density, color=GREEN, lw=1.4)
        top = 1.25 * float(np.sort(density)[-2])  # for Q = 1 the density is infinite at 0
        ax.set_xlim(0, 4.1)
        ax.set_ylim(0, top)
        linear_ticks(ax.xaxis, 4)
        linear_ticks(ax.yaxis, top)
        ax.set_title(f"Q = {q:g}", loc="left", fontsize=SMALL_SIZE)
        text = f"{LAMBDA_MINUS} = {known.lambda_minus:.2g}\nsmallest {eigenvalues[0]:.2g}"
        place: dict[str, Any] = {"transform": ax.transAxes, "ha": "right", "va": "top"}
        ax.text(0.98, 0.97, text, fontsize=TINY_SIZE, linespacing=1.4, **place)
    axes[0][0].set_ylabel("density")
    figure.text(0.5, 0.05, "eigenvalue of WᵀW, entries of variance 1/N", ha="center")
    return figure


def _bars(ax: "Axes", density: np.ndarray, places: np.ndarray) -> None:
    from matplotlib.patches import StepPatch

    ax.add_artist(StepPatch(density, places, fill=True, lw=0, color=BLUE, alpha=0.45))


def rank_deficient() -> np.ndarray:
    """Returns an (N, M) float32 product of Gaussian factors, whose exact rank rounding hides."""
    n, m, rank = RANK_DEFICIENT
    rng = np.random.default_rng(0)
    product = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, m))
    return (product / np.sqrt(n * rank)).astype(np.float32)


def draw_tolerances() -> "Figure":
    """Draw the singular values of a rank-deficient float32 matrix, with the tolerances as lines."""
    figure, axes = panels((WIDTH, 3.0), 1, 1, (0.75, 2.4, 0.5, 0.15), (0, 0))
    (layer,) = analyze({"weight": rank_deficient()}, kinds=None).layers
    bare = replace(layer, tikhonov=None, marchenko_pastur=None, evidence=None)
    plot_singular_values(axes[0][0], bare)
    return figure


def draw_ridge() -> "Figure":
    """Draw the effect of gamma on each singular value: the kept share, and the inverse."""
    figure, axes = panels((WIDTH, 3.0), 1, 2, (0.6, 0.95, 0.5, 0.35), (1.5, 0))
    filtered, inverse = axes[0]
    filtered.set_ylim(0, 1.05)
    linear_ticks(filtered.yaxis, 1)
    inverse.set_yscale("log")
    inverse.set_ylim(1e-2, 1e4)
    log_ticks(inverse.yaxis, *inverse.get_ylim())
    _draw_gammas(filtered, lambda gamma: SIGMAS**2 / (SIGMAS**2 + gamma), at_half=True)
    _draw_gammas(inverse, lambda gamma: SIGMAS / (SIGMAS**2 + gamma), at_half=False)
    line(inverse, SIGMAS, 1 / SIGMAS, color=GREY, lw=1, ls=(0, (4, 2)), zorder=1)
    inverse.text(2.5e-4, 5e3, "1 / σ", fontsize=TINY_SIZE, color=GREY)
    titles = (f"kept: σ² / (σ² + {GAMMA})", f"ridge inverse: σ / (σ² + {GAMMA})")
    for ax, title in zip((filtered, inverse), titles):
        ax.set_title(title, loc="left", fontsize=SMALL_SIZE)
        ax.set_xlabel("singular value σ")
    return figure


def _draw_gammas(ax: "Axes", curve: Callable[[float], np.ndarray], at_half: bool) -> None:
    """Draw a line for each gamma, and a point at sigma = sqrt gamma.

    There half is kept, and the inverse has its maximum, 1 / (2 sqrt gamma).
    """
    ax.set_xscale("log")
    ax.set_xlim(SIGMAS[0], SIGMAS[-1])
    log_ticks(ax.xaxis, *ax.get_xlim())
    ends = []
    for gamma, colour in GAMMAS:
        values = curve(gamma)
        line(ax, SIGMAS, values, color=colour, lw=1.4)
        root = float(np.sqrt(gamma))
        y = 0.5 if at_half else 1 / (2 * root)
        line(ax, [root], [y], ls="", marker="o", ms=5, color=colour)
        ends.append(End(*place_of(ax, root, y), f"{GAMMA} = {l2_label(gamma)}", BLACK))
    if not at_half:
        name_ends(ax, ends)
        return
    for end, (_, colour) in zip(ends, GAMMAS):
        style: dict[str, Any] = {"fontsize": TINY_SIZE, "color": colour, "va": "bottom"}
        ax.text(end.x + 0.03, end.y - 0.02, end.text, transform=ax.transAxes, **style)


DRAWINGS: tuple[tuple[str, Callable[[], "Figure"], Caption], ...] = (
    (
        "marchenko-pastur",
        draw_law,
        Caption(
            f"The Marchenko-Pastur law for Q = 1, {MIN_Q}, 2 and 10",
            "Histograms of the eigenvalues of W^T W of random matrices with 400 columns, and the"
            " density of the law: for Q = 1 it begins at 0, for larger Q clear of it.",
        ),
    ),
    (
        "tolerances",
        draw_tolerances,
        Caption(
            "What the tolerances call zero",
            "Singular values of a 1000 x 200 matrix of rank 150 rounded to float32: 150 of the size"
            " of the weights, 50 of the size of rounding, and the four tolerances as lines.",
        ),
    ),
    (
        "ridge",
        draw_ridge,
        Caption(
            "What Tikhonov's gamma does to each direction",
            "Left, the share sigma^2 / (sigma^2 + gamma) that is kept of a direction with the"
            " singular value sigma, for three gammas; right, its ridge inverse, which is largest at"
            " sigma = sqrt gamma.",
        ),
    ),
)


def write_theory(directory: Path) -> tuple[Path, ...]:
    """Write every figure as SVG to `directory` and return the paths. Raises `OutputError`."""
    make_directory(directory)
    with house_style():
        return tuple(
            save_figure(draw(), directory / f"{name}.svg", "svg", caption)
            for name, draw, caption in DRAWINGS
        )


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.rank_collapse.theory",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument(
        "--output-dir",
        type=Path,
        default=FIGURES,
        metavar="DIR",
        help="directory for the figures (docs/explanation/figures)",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def execute(options: argparse.Namespace) -> int:
    for path in write_theory(options.output_dir):
        print(f"Written: {path}")
    return 0


def main(argv: Optional[Sequence[str]] = None) -> int:
    options = make_parser().parse_args(argv)
    return guarded(lambda: execute(options), "the theory's figures", options.debug)


if __name__ == "__main__":
    sys.exit(finish(main()))
