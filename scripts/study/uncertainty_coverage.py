"""Measure the error rates of `--uncertainty` on samples whose law is known.

    python -m scripts.study.uncertainty_coverage [--draws N] [--seed N]

Prints the tables of docs/explanation/uncertainty.md: how often the 95% interval has the true alpha,
how often a true power law gets p <= 0.1 (it should be at most one in ten), how often other laws do
(the more, the better), and how alpha and its fixed-aspect estimate depend on the shape of a random
matrix.
"""

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from typing import Callable, Optional

import numpy as np

from allennlp_analyze.linalg.schedule import in_threads
from allennlp_analyze.metrics.fixed_aspect import hill_alpha, squares
from allennlp_analyze.metrics.power_law import fit_power_law
from allennlp_analyze.metrics.uncertainty import Bootstrap, bootstrap

SIZES = (50, 200, 512)
# Half as many draws of this size, and of other laws.
LARGE = 512
ALPHAS = (2.0, 4.0)
TAILS = (1.0, 0.5, 0.2)
SHAPES = ((512, 512), (1024, 512), (4096, 512), (16384, 256))


def power_law(rng: np.random.Generator, size: int, alpha: float, tail: float) -> np.ndarray:
    """A power law from 1 on, with the share `tail` of the values; an exponential law below."""
    above = rng.random(size) < tail
    beyond = (1 - rng.random(size)) ** (-1 / (alpha - 1))
    # Density proportional to exp(-alpha x) on (0.01, 1): by its inverse distribution function.
    low, high = np.exp(-alpha * 0.01), np.exp(-alpha)
    body = -np.log(low - rng.random(size) * (low - high)) / alpha
    return np.where(above, beyond, body)


def noise(rng: np.random.Generator, size: int) -> np.ndarray:
    """Eigenvalues of a matrix of independent normal entries with Q = 4."""
    matrix = rng.standard_normal((4 * size, size))
    return np.asarray(np.linalg.eigvalsh(matrix.T @ matrix))


OTHERS: dict[str, Callable[..., np.ndarray]] = {
    "exponential": lambda rng, size: rng.exponential(size=size),
    "lognormal": lambda rng, size: rng.lognormal(size=size),
    "uniform": lambda rng, size: rng.random(size),
    "normal entries, Q = 4": noise,
}


def found(
    sample: Callable[[np.random.Generator], np.ndarray], draws: int, seed: int
) -> list[Bootstrap]:
    """The bootstrap of each draw."""

    def work(draw: int) -> Bootstrap:
        values = sample(np.random.default_rng([seed, draw]))
        return bootstrap(values, fit_power_law(values), seed=draw)

    return [one for _, one in in_threads(work, range(draws), 2)]


def share(of: list[bool]) -> str:
    return f"{100 * sum(of) / len(of):.0f}%"


def of_power_laws(draws: int, seed: int) -> Iterator[str]:
    yield "| n | alpha | in the tail | interval has alpha | median width | p <= 0.1 | p <= 0.05 |"
    yield "|---|---|---|---|---|---|---|"
    for size in SIZES:
        for alpha in ALPHAS:
            for tail in TAILS:
                sample = partial(power_law, size=size, alpha=alpha, tail=tail)
                all_found = found(sample, draws if size < LARGE else draws // 2, seed)
                ends = [(x.low, x.high, x.p_value) for x in all_found]
                inside = [low is not None and low <= alpha <= (high or 0) for low, high, _ in ends]
                width = np.median([(high or 0) - (low or 0) for low, high, _ in ends])
                small = [share([p is not None and p <= at for *_, p in ends]) for at in (0.1, 0.05)]
                yield (
                    f"| {size} | {alpha:g} | {100 * tail:.0f}% | {share(inside)} | {width:.2g} |"
                    f" {small[0]} | {small[1]} |"
                )


def of_others(draws: int, seed: int) -> Iterator[str]:
    yield f"| law | {' | '.join(f'n = {size}' for size in SIZES)} |"
    yield "|---" * (1 + len(SIZES)) + "|"
    for name, sample in OTHERS.items():
        rates = []
        for size in SIZES:
            all_found = found(partial(sample, size=size), draws // 2, seed)
            rates.append(share([x.p_value is not None and x.p_value <= 0.1 for x in all_found]))
        yield f"| {name} | {' | '.join(rates)} |"


def of_shapes(draws: int, seed: int) -> Iterator[str]:
    yield "| entries | shape | Q | alpha of the upper half | alpha of square submatrices |"
    yield "|---|---|---|---|---|"
    for name, draw in (("normal", 0.0), ("t(2.5)", 2.5)):
        for rows, columns in SHAPES:
            alphas = []
            for index in range(draws):
                rng = np.random.default_rng([seed, index])
                shape = (rows, columns)
                matrix = rng.standard_t(draw, shape) if draw else rng.standard_normal(shape)
                parts = [np.linalg.svd(matrix[at], compute_uv=False) for at in squares(shape)]
                whole = np.sqrt(np.linalg.eigvalsh(matrix.T @ matrix))
                alphas.append([hill_alpha([whole]), hill_alpha(parts)])
            means, spreads = np.mean(alphas, axis=0), np.std(alphas, axis=0)
            cells = [f"{mean:.2f} ± {spread:.2f}" for mean, spread in zip(means, spreads)]
            yield f"| {name} | {rows} x {columns} | {rows / columns:g} | {' | '.join(cells)} |"


def main(argv: Optional[list[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.study.uncertainty_coverage",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2018)
    options = parser.parse_args(argv)
    for title, lines in (
        ("Power laws", of_power_laws(options.draws, options.seed)),
        ("Other laws: p <= 0.1", of_others(options.draws, options.seed)),
        ("Shapes", of_shapes(max(options.draws // 40, 3), options.seed)),
    ):
        print(f"\n{title}\n", flush=True)
        for line in lines:
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
