"""Measures how fast this machine is with matrices, once, and remembers it."""

import contextlib
import json
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from allennlp_analyze._versions import tool_info
from allennlp_analyze.analysis.measure import measure
from allennlp_analyze.errors import OutputError
from allennlp_analyze.linalg.backend import one_blas_thread
from allennlp_analyze.linalg.gram import gram_spectrum
from allennlp_analyze.linalg.machine import this_machine
from allennlp_analyze.linalg.speed import Speed, fitted
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.download.cache import cache_directory
from allennlp_analyze.storage.files import make_directory, write_text

# They tell the terms of the cost apart.
SHAPES = ((64, 64), (256, 256), (2048, 128), (512, 512), (2048, 512), (1024, 1024))
# The fastest of a few rounds counts; none begins after so many seconds.
ROUNDS, SECONDS = 4, 0.5
REMEMBERED = "allennlp-analyze-speed.json"


def this_speed(settings: Settings) -> Speed:
    """Returns the speed of this machine with these settings, measured in about a second.

    It is remembered beside the download cache, until a package or the number of cores changes.
    """
    path, key = cache_directory().parent / REMEMBERED, _key(settings)
    known = _remembered(path)
    factors = known.get(key)
    if isinstance(factors, list) and factors and all(isinstance(x, float) for x in factors):
        return Speed(tuple(factors))
    found = measured(settings)
    with contextlib.suppress(OSError, OutputError):
        make_directory(path.parent)
        write_text(path, json.dumps({**known, key: list(found.factors)}))
    return found


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


def _key(settings: Settings) -> str:
    facts = {"tool": asdict(tool_info()), "cores": this_machine().cores}
    slow = [settings.uncertainty, settings.compare_distributions]
    return json.dumps([facts, slow], sort_keys=True)


def _remembered(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        known = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(known, dict):
            return known
    return {}
