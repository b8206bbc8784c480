"""What a GPU must compute like the processor: every type as stored, lost ranks, invalid values."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from allennlp_analyze.analysis.measure import Analysis, analyze
from allennlp_analyze.linalg.cuda import OnDevice
from allennlp_analyze.linalg.lanes import EIGHTHS, UPLOADED
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.dtypes import decode
from scripts.benchmarks.work import bfloat16_bits, layer

# Promised of every singular value, as a share of the largest of its matrix.
PROMISED = 1e-7


@dataclass(frozen=True)
class Agreement:
    """How the numbers of a device compare with those of the processor.

    `error` is the largest of a singular value, as a share of the largest of its matrix.
    `differences` names the layers of which anything else differs. `warnings`: what the device could
    not do, so that the processor did it.
    """

    case: str
    matrices: int
    error: float
    differences: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return self.error <= PROMISED and not self.differences and not self.warnings


def agreement(
    case: str, found: Analysis, expected: Analysis, warnings: Sequence[str] = ()
) -> Agreement:
    """Compare singular values, ranks, verdicts, and what was skipped for which reason."""
    error, differences = 0.0, []
    of_device = {one.name: one for one in found.layers}
    for other in expected.layers:
        one = of_device.pop(other.name, None)
        if one is None:
            differences.append(f"{other.name}: is missing")
            continue
        largest = max(float(other.singular_values[0]), 1e-300)
        off = np.abs(one.singular_values - other.singular_values).max() / largest
        error = max(error, float(off)) if np.isfinite(off) else float("inf")
        for what in ("hard_rank", "verdict"):
            if getattr(one, what) != getattr(other, what):
                differences.append(
                    f"{other.name}: {what} {getattr(one, what)}, not {getattr(other, what)}"
                )
    differences += [f"{name}: is measured" for name in of_device]
    if found.skipped != expected.skipped:
        differences.append("other matrices are skipped")
    count = len(expected.layers) + len(expected.skipped)
    return Agreement(case, count, error, tuple(differences), tuple(warnings))


def checked(case: str, layers: Sequence[WeightMatrix], device: object) -> Agreement:
    """Measure `layers` on the torch device and on the processor."""
    warnings: list[str] = []
    found = analyze(layers, Settings(), OnDevice(device, warnings.append))
    return agreement(case, found, analyze(layers, Settings()), warnings)


def cases(quick: bool) -> Iterator[tuple[str, list[WeightMatrix]]]:
    """The cases by name; `quick`: small ones, to try the script."""
    rng = np.random.default_rng(20)
    n, m = (400, 300) if quick else (3000, 1200)
    for dtype in UPLOADED:
        tall, wide = (_stored(rng, shape, dtype) for shape in ((n, m), (m, n)))
        yield dtype, [layer("tall", tall, dtype), layer("wide", wide, dtype)]
    yield "views", list(_views(rng.standard_normal((2 * n, 2 * m)), n, m))
    yield "lost ranks", list(_lost(rng, n, m))
    yield "invalid values", list(_invalid(rng, n, m))
    yield "groups", list(_many(rng))


def _stored(rng: np.random.Generator, shape: "tuple[int, int]", dtype: str) -> np.ndarray:
    """Finite values as torch stores them in `dtype`."""
    if dtype in EIGHTHS:
        codes = rng.integers(0, 256, shape).astype(np.uint8)
        codes[~np.isfinite(decode(codes, dtype))] = 0
        return codes
    values = rng.standard_normal(shape) * 0.05
    if dtype == "bfloat16":
        return bfloat16_bits(values.astype(np.float32))
    return values.astype(dtype)


def _views(whole: np.ndarray, n: int, m: int) -> Iterator[WeightMatrix]:
    """Strided, transposed and read-only values, and those that are decoded on the processor."""
    whole.flags.writeable = False
    yield layer("strided", whole[::2, ::2], "float64")
    yield layer("transposed", whole[:n, :m].T, "float64")
    yield layer("reversed", whole[:n, :m][::-1], "float64")
    swapped = layer("swapped", whole[:n, :m].astype(">f8"), "float64")
    yield replace(swapped, decode=lambda stored: stored.astype("<f8"))


def _lost(rng: np.random.Generator, n: int, m: int) -> Iterator[WeightMatrix]:
    """Matrices whose smallest singular values the Gram matrix alone does not resolve."""
    noise = rng.standard_normal((n, m)).astype(np.float32)
    yield layer("low-rank", noise[:, : m // 4] @ noise[: m // 4], "float32")
    dead = noise.copy()
    dead[:, :5] = 0.0
    yield layer("dead-columns", dead, "float32")
    graded = np.linalg.qr(rng.standard_normal((n, m)))[0] * np.logspace(0, -14, m)
    yield layer("graded", graded, "float64")
    yield layer("near-collapse", noise + 100 * noise[:, :1] * noise[:1], "float32")
    yield layer("tiny", noise[:40, :30].copy(), "float32")


def _invalid(rng: np.random.Generator, n: int, m: int) -> Iterator[WeightMatrix]:
    """Values that are not numbers, or whose squares are out of range."""
    for name, value in (("nan", np.nan), ("infinity", np.inf), ("huge", 1e200)):
        matrix = rng.standard_normal((n, m))
        matrix[7, 5] = value
        yield layer(name, matrix, "float64")
    yield layer("zero", np.zeros((n, m)), "float64")
    yield layer("small", rng.standard_normal((n, m)) * 1e-180, "float64")


def _many(rng: np.random.Generator) -> Iterator[WeightMatrix]:
    """Equal small matrices, one of which is invalid."""
    for index in range(12):
        codes = _stored(rng, (400, 300) if index % 2 else (300, 400), "bfloat16")
        if index == 7:
            codes[3, 3] = 0x7FC0
        yield layer(f"expert_{index}", codes, "bfloat16")
