"""Profiles our analysis: the time of each stage, and how close it is to the CPU's limit."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from threading import local
from typing import Any, Callable
from unittest.mock import patch

import numpy as np
from threadpoolctl import threadpool_limits

from allennlp_analyze.analysis import measure as analysis
from allennlp_analyze.linalg import gram
from allennlp_analyze.settings import Settings
from scripts.benchmarks.work import layers_of

# Each stage has functions whose time is taken, by where they are looked up when they are called.
Stages = Mapping[str, Sequence[tuple[Any, str]]]
Clock = Callable[[], float]
STAGES: Stages = {
    "Gram matrices": [(gram, "add_gram")],
    "eigenvalues": [(gram, "symmetric_eigenvalues")],
    "power laws": [(analysis, "fit_power_law")],
}
REST = "the rest"
PRODUCT_SIZE = 2048


def profile(matrices: Sequence[np.ndarray]) -> dict[str, Any]:
    """Seconds of each stage of our analysis of `matrices`, one at a time (a large one with all BLAS
    threads, as always), and GFLOP/s of the Gram matrices and of a plain product on one core."""
    seconds = seconds_of(STAGES, lambda: analysis.analyze(layers_of(matrices), Settings(jobs=1)))
    return {
        "seconds": seconds,
        "gram_gflops": _gram_operations(matrices) / seconds["Gram matrices"] / 1e9,
        "product_gflops": product_gflops(),
    }


def seconds_of(
    stages: Stages,
    work: Callable[[], object],
    clock: Clock = time.perf_counter,
    whole: Clock = time.perf_counter,
) -> dict[str, float]:
    """Seconds of each stage of `work` and of REST; those of a stage within another count once.

    `clock` is that of the stages, `whole` that of all.
    """
    seconds = dict.fromkeys(stages, 0.0)
    inner = local()
    with ExitStack() as stack:
        for stage, functions in stages.items():
            for owner, name in functions:
                timed = _adding_to(seconds, stage, getattr(owner, name), clock, inner)
                stack.enter_context(patch.object(owner, name, timed))
        started = whole()
        work()
        total = whole() - started
    return {**seconds, REST: total - sum(seconds.values())}


def _adding_to(
    seconds: dict[str, float], stage: str, function: Any, clock: Clock, inner: local
) -> Any:
    """`function`, with the time of each call added to that of its stage.

    `inner` has the seconds of the stages within the one that runs in this thread.
    """

    def timed(*arguments: Any, **options: Any) -> Any:
        before, inner.seconds = getattr(inner, "seconds", 0.0), 0.0
        started = clock()
        try:
            return function(*arguments, **options)
        finally:
            whole = clock() - started
            seconds[stage] += whole - inner.seconds
            inner.seconds = before + whole

    return timed


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
    yield f"Where ours spends its time on {work}, {total:.2f} s, one matrix at a time:"
    for stage, seconds in found["seconds"].items():
        speed = (
            f"   at {found['gram_gflops']:.1f} GFLOP/s; a product of matrices does"
            f" {found['product_gflops']:.1f} on one core"
        )
        share = f"{stage:<15} {seconds:>6.2f} s {100 * seconds / total:>3.0f}%"
        yield share + (speed if stage == "Gram matrices" else "")
