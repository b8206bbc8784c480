"""Where our time goes on one work, and how near its largest part is to the processor's limit."""

import cProfile
import pstats
import time
from collections.abc import Iterator, Sequence
from typing import Any, Callable

import numpy as np
from benchmark_contestants import layers_of
from threadpoolctl import threadpool_limits

from allennlp_analyze import gram, power_law
from allennlp_analyze.analysis import analyse
from allennlp_analyze.settings import Settings

STAGES: dict[str, Callable[..., Any]] = {
    "Gram matrices": gram.add_gram,
    "eigenvalues": gram.symmetric_eigenvalues,
    "power laws": power_law.fit_power_law,
}
REST = "the rest"
PRODUCT_SIZE = 2048


def profile(matrices: Sequence[np.ndarray]) -> dict[str, Any]:
    """Seconds of each stage of our analysis of `matrices` on one core, and GFLOP/s of the Gram
    matrices and of a plain matrix product."""
    profiler = cProfile.Profile()
    started = time.perf_counter()
    profiler.runcall(analyse, layers_of(matrices), Settings(jobs=1))
    total = time.perf_counter() - started
    seconds = {stage: _seconds(profiler, function) for stage, function in STAGES.items()}
    seconds[REST] = total - sum(seconds.values())
    return {
        "seconds": seconds,
        "gram_gflops": _gram_operations(matrices) / seconds["Gram matrices"] / 1e9,
        "product_gflops": product_gflops(),
    }


def _seconds(profiler: cProfile.Profile, function: Callable[..., Any]) -> float:
    """What calls of `function` took, with all that they called."""
    code = function.__code__
    stats = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    return stats[(code.co_filename, code.co_firstlineno, code.co_name)][3]


def _gram_operations(matrices: Sequence[np.ndarray]) -> float:
    """Multiplications and additions of one triangle of each Gram matrix."""
    return float(sum(max(m.shape) * min(m.shape) * (min(m.shape) + 1) for m in matrices))


def product_gflops() -> float:
    """Of the product of two float64 matrices on one core: what BLAS does best."""
    square = np.random.default_rng(0).standard_normal((PRODUCT_SIZE, PRODUCT_SIZE))
    with threadpool_limits(1, user_api="blas"):
        times = []
        for _ in range(3):
            started = time.perf_counter()
            square @ square
            times.append(time.perf_counter() - started)
    return 2 * PRODUCT_SIZE**3 / sorted(times)[1] / 1e9


def profile_lines(work: str, found: dict[str, Any]) -> Iterator[str]:
    total = sum(found["seconds"].values())
    yield f"Where ours spends its time on {work}, {total:.2f} s with one core:"
    for stage, seconds in found["seconds"].items():
        speed = (
            f"   at {found['gram_gflops']:.1f} GFLOP/s; a product of matrices does"
            f" {found['product_gflops']:.1f}"
        )
        share = f"{stage:<15} {seconds:>6.2f} s {100 * seconds / total:>3.0f}%"
        yield share + (speed if stage == "Gram matrices" else "")
