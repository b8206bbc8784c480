"""Measure whether the noise floor of quantization bounds what is left of lost directions.

    python -m scripts.study.quantization_floor [--repeats N]

Matrices with planted losses (1, an eighth, half of their directions are zero) are rounded to each
scheme. The table in Markdown on standard output (docs/explanation/verdict.md quotes it) has how
often the smallest singular value, and the largest of the lost ones, is above the floor, and the
largest ratio of both. With the default of 10 repeats it takes about two minutes.
"""

import argparse
import math
import sys
from typing import Callable, NamedTuple, Optional

import numpy as np

from allennlp_analyze.metrics.judging import noise_floor
from allennlp_analyze.sources.quantized.codes import error_variances
from allennlp_analyze.sources.small_floats import table

SHAPES = ((128, 128), (192, 128), (512, 128), (256, 64))
ENTRIES = ("normal", "t(3)", "rows of different scale", "spikes")
# Quantiles of the normal distribution, as NF4 has them.
NORMAL_QUANTILES = np.array(
    [-1.0, -0.6962, -0.5251, -0.3949, -0.2844, -0.1848, -0.0911, 0.0]
    + [0.0796, 0.1609, 0.2461, 0.3379, 0.4407, 0.5626, 0.7230, 1.0]
)


class Rounded(NamedTuple):
    """A matrix after quantization, and the root mean square error that its steps state."""

    weight: np.ndarray
    rms_error: float


def whole(weight: np.ndarray, bits: int, group: int) -> Rounded:
    """Rounds to whole numbers, with a step for each group of a row."""
    blocks = weight.reshape(len(weight), -1, min(group, weight.shape[1]))
    step = np.abs(blocks).max(-1, keepdims=True) / (2 ** (bits - 1) - 1)
    rounded = np.rint(blocks / step) * step
    return Rounded(rounded.reshape(weight.shape), math.sqrt(float((step**2).mean()) / 12))


def book(weight: np.ndarray, numbers: np.ndarray, group: int) -> Rounded:
    """Rounds to the nearest of `numbers`, times a scale for each group of a row."""
    known = np.unique(numbers[np.isfinite(numbers)])
    blocks = weight.reshape(len(weight), -1, min(group, weight.shape[1]))
    scale = np.abs(blocks).max(-1, keepdims=True) / known[-1]
    places = np.searchsorted((known[1:] + known[:-1]) / 2, blocks / scale)
    variance = float((error_variances(known)[places] * scale**2).mean())
    return Rounded((known[places] * scale).reshape(weight.shape), math.sqrt(variance))


SCHEMES: "dict[str, Callable[[np.ndarray], Rounded]]" = {
    "int8, groups of 128": lambda weight: whole(weight, 8, 128),
    "int4, groups of 128": lambda weight: whole(weight, 4, 128),
    "int4, groups of 32": lambda weight: whole(weight, 4, 32),
    "int3, groups of 128": lambda weight: whole(weight, 3, 128),
    "NF4": lambda weight: book(weight, NORMAL_QUANTILES, 64),
    "4-bit floats, groups of 32": lambda weight: book(weight, table("float4_e2m1"), 32),
    "4-bit floats, groups of 16": lambda weight: book(weight, table("float4_e2m1"), 16),
    "float8 by rows": lambda weight: book(weight, table("float8_e4m3fn"), 1 << 20),
}


def drawn(random: np.random.Generator, shape: "tuple[int, int]", entries: str) -> np.ndarray:
    n, m = shape
    if entries == "t(3)":
        return random.standard_t(3, size=shape)
    weight = random.standard_normal(shape)
    if entries == "rows of different scale":
        weight *= np.exp(random.standard_normal((n, 1)))
    if entries == "spikes":
        count = max(2, m // 16)
        sizes = (random.pareto(2.0, count) + 1) * (n * m) ** 0.25
        left = np.linalg.qr(random.standard_normal((n, count)))[0]
        right = np.linalg.qr(random.standard_normal((m, count)))[0]
        weight += (left * sizes) @ right.T
    return weight


def ratios(random: np.random.Generator, scheme: str, repeats: int) -> np.ndarray:
    """Returns the smallest and the largest lost singular value over the floor, (n, 2)."""
    found = []
    for entries in ENTRIES:
        for n, m in SHAPES:
            for lost in (1, m // 8, m // 2):
                for _ in range(repeats):
                    u, s, v = np.linalg.svd(drawn(random, (n, m), entries), full_matrices=False)
                    s[m - lost :] = 0
                    rounded = SCHEMES[scheme]((u * s) @ v)
                    values = np.linalg.svd(rounded.weight, compute_uv=False)
                    floor = noise_floor(rounded.rms_error, n, m)
                    found.append((values[-1] / floor, values[m - lost] / floor))
    return np.array(found)


def main(argv: Optional[list[str]] = None) -> int:
    """Print the table; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.study.quantization_floor",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeats", type=int, default=10, help="matrices of each kind")
    arguments = parser.parse_args(argv)
    random = np.random.default_rng(0)
    print("| scheme | smallest above | at most | any lost one above | at most |")
    print("|---|---|---|---|---|")
    for scheme in SCHEMES:
        found = ratios(random, scheme, arguments.repeats)
        above = (found > 1).sum(0)
        cells = [f"{above[i]} of {len(found)} | {found[:, i].max():.2f}" for i in range(2)]
        print(f"| {scheme} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
