"""Measures how fast this machine is with matrices, once."""

import math
import time

import numpy as np

from allennlp_analyze.analysis.measure import measure
from allennlp_analyze.analysis.remembered import remembered
from allennlp_analyze.linalg.backend import one_blas_thread
from allennlp_analyze.linalg.gram import gram_spectrum
from allennlp_analyze.linalg.speed import Speed, fitted
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.settings import Settings

# They tell the terms of the cost apart.
SHAPES = ((64, 64), (256, 256), (2048, 128), (512, 512), (2048, 512), (1024, 1024))
# The fastest of a few rounds counts; none begins after so many seconds.
ROUNDS, SECONDS = 4, 0.5


def this_speed(settings: Settings) -> Speed:
    """Returns the speed of this machine with these settings, measured in about a second, once."""

    def known(found: object) -> bool:
        return isinstance(found, list) and bool(found) and all(isinstance(x, float) for x in found)

    slow = [settings.uncertainty, settings.compare_distributions]
    factors = remembered(["speed", *slow], known, lambda: list(measured(settings).factors))
    return Speed(tuple(factors))


def measured(settings: Settings) -> Speed:
    """Measures matrices of normally distributed numbers, in seconds of one thread.

    They are those of the CPU, so that other work on the machine does not count.
    """
    started = time.perf_counter()
    best = [math.inf] * len(SHAPES)
    matrices = [_matrix(shape) for shape in SHAPES]
    with one_blas_thread():
        measure(matrices[0], settings, gram_spectrum)  # loads what it needs
        for _ in range(ROUNDS):
            for index, matrix in enumerate(matrices):
                before = time.thread_time()
                measure(matrix, settings, gram_spectrum)
                best[index] = min(best[index], time.thread_time() - before)
            if time.perf_counter() - started > SECONDS:
                break
    return fitted(SHAPES, [max(seconds, 1e-6) for seconds in best])


def _matrix(shape: tuple[int, int]) -> WeightMatrix:
    values = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return WeightMatrix("trial", "trial", None, "linear", "shape", shape, "float32", lambda: values)
