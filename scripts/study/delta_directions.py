"""Measure how often `compare --delta` counts another number of directions than were planted.

    python -m scripts.study.delta_directions [--draws N] [--only TABLE]

Two tables in Markdown on standard output (docs/how-to/compare.md quotes them):

1. `planted`: k directions in Gaussian noise, the weakest of them 1.5 or 2 times the edge
   s (sqrt N + sqrt M): the share of draws in which more, and in which fewer, are counted;
2. `rounding`: one matrix in two precisions: the largest singular value of the difference over the
   edge of rounding, and the draws that are not found to be within rounding. The
   entries are Gaussian, or products of Gaussian factors of one direction, whose rows differ most.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence

import numpy as np

from allennlp_analyze.analysis.delta import measure_delta
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.results.delta import Delta, Movement

SHAPES = ((10, 10), (20, 20), (64, 64), (200, 100), (100, 400), (300, 300))
PLANTED = (0, 1, 3, 8)
STRENGTHS = (1.5, 2.0)
NOISE = 1e-3
TABLES = ("planted", "rounding")
SEED = 2026


def change(before: np.ndarray, after: np.ndarray, types: Sequence[str]) -> Delta:
    """The change between two arrays that are stored in these types."""
    one, other = (
        WeightMatrix("x", "x", None, "linear", "inferred", x.shape, kind, lambda x=x: x)  # type: ignore[misc]
        for x, kind in zip((before, after), types)
    )
    return measure_delta(one, other)


def planted_change(
    shape: tuple[int, int], k: int, strength: float, random: np.random.Generator
) -> np.ndarray:
    """Noise of standard deviation NOISE with `k` directions; each is half an edge above the last.

    A direction planted with the value t is seen at sqrt((t^2 + N s^2)(t^2 + M s^2)) / t.
    """
    found = NOISE * random.standard_normal(shape)
    left, right = (np.linalg.qr(random.standard_normal((size, k)))[0] for size in shape)
    edge = NOISE * (math.sqrt(shape[0]) + math.sqrt(shape[1]))
    sizes = edge * (strength + 0.5 * np.arange(k))
    return np.asarray(found + (left * sizes) @ right.T)


def planted(draws: int) -> Iterator[str]:
    yield "| N x M | k | weakest, in edges | more | fewer |"
    yield "|---|---|---|---|---|"
    for shape in SHAPES:
        for k in PLANTED:
            for strength in STRENGTHS if k else (0.0,):
                if 2 * k > min(shape):
                    continue
                random = np.random.default_rng(SEED)
                more = fewer = 0
                for _ in range(draws):
                    start = 0.05 * random.standard_normal(shape)
                    end = start + planted_change(shape, k, strength, random)
                    found = change(start, end, ("float64", "float64")).n_directions
                    more, fewer = more + (found > k), fewer + (found < k)
                yield (
                    f"| {shape[0]} x {shape[1]} | {k} | {strength or '-'}"
                    f" | {100 * more / draws:.2g}% | {100 * fewer / draws:.2g}% |"
                )


def rounding(draws: int) -> Iterator[str]:
    yield "| N x M | entries | A | B | median over the edge | largest | not within rounding |"
    yield "|---|---|---|---|---|---|---|"
    for shape in SHAPES:
        for rank in (0, 1):
            for types in (("float32", "float16"), ("float64", "float32")):
                random = np.random.default_rng(SEED)
                ratios, wrong = [], 0
                for _ in range(draws):
                    exact = entries(shape, rank, random)
                    one, other = exact.astype(types[0]), exact.astype(types[1])
                    delta = change(one, other, types)
                    ratios.append(delta.singular_values[0] / delta.rounding_edge)
                    wrong += delta.movement is not Movement.ROUNDING
                yield (
                    f"| {shape[0]} x {shape[1]} | {'one direction' if rank else 'Gaussian'}"
                    f" | {types[0]} | {types[1]} | {np.median(ratios):.2f} | {max(ratios):.2f}"
                    f" | {100 * wrong / draws:.2g}% |"
                )


def entries(shape: tuple[int, int], rank: int, random: np.random.Generator) -> np.ndarray:
    """Gaussian entries, or with a `rank` the product of Gaussian factors."""
    if not rank:
        return np.asarray(0.05 * random.standard_normal(shape))
    left, right = (random.standard_normal((size, rank)) for size in shape)
    return np.asarray(0.05 * left @ right.T)


def main(arguments: "Sequence[str] | None" = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.study.delta_directions",
        description="How often other directions are counted than were planted.",
    )
    parser.add_argument("--draws", type=int, default=1000, help="draws of each row")
    parser.add_argument("--only", choices=TABLES, help="only this table")
    options = parser.parse_args(arguments)
    for table in TABLES:
        if options.only in (None, table):
            lines = planted(options.draws) if table == "planted" else rounding(options.draws)
            print(f"{table}\n")
            for line in lines:
                print(line, flush=True)
            print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
