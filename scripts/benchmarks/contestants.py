"""The methods of the speed benchmark, each as a timed run over the same matrices."""

import contextlib
import io
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Callable, Optional

import numpy as np
import powerlaw
from threadpoolctl import threadpool_limits

from allennlp_analyze.analysis.measure import analyze
from allennlp_analyze.linalg.machine import this_machine
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.metrics.power_law import fit_power_law
from allennlp_analyze.settings import Settings
from scripts.benchmarks.weightwatcher_run import Peer
from scripts.benchmarks.work import layers_of

EXACT = 1e-9  # what is computed in float64
SINGLE = 1e-4  # WeightWatcher computes in float32


class Disagreement(Exception):
    """Two methods gave different numbers, so their times cannot be compared."""


@dataclass(frozen=True)
class Timing:
    """One run: seconds, and the arrays of numbers found."""

    seconds: float
    found: Sequence[np.ndarray]


@dataclass(frozen=True)
class Contestant:
    """A method, perhaps in several variants.

    `tolerance`: see `require_agreement`; None for numbers that are not compared. `once` marks a
    method too slow to repeat.
    """

    method: str
    variant: str
    run: Callable[[], Timing] = field(repr=False)
    tolerance: Optional[float] = EXACT
    once: bool = False

    @property
    def label(self) -> str:
        return f"{self.method}, {self.variant}" if self.variant else self.method


def require_agreement(
    label: str, found: Sequence[np.ndarray], expected: Sequence[np.ndarray], tolerance: float
) -> None:
    """Raise `Disagreement` unless every found array starts with the values of the expected one.

    They must agree within `tolerance` times the largest magnitude. A method may find only the first
    values.
    """
    if len(found) != len(expected):
        raise Disagreement(f"{label}: expected {len(expected)} results, got {len(found)}")
    for index, (theirs, ours) in enumerate(zip(found, expected)):
        if not 0 < len(theirs) <= len(ours):
            raise Disagreement(
                f"{label}, result {index}: expected {len(ours)} values, got {len(theirs)}"
            )
        error = np.max(np.abs(theirs - ours[: len(theirs)])) / np.max(np.abs(ours))
        if not error <= tolerance:  # NaN too
            raise Disagreement(f"{label}, result {index}: off by {error:.1e}")


def on_matrices(
    matrices: Sequence[np.ndarray], folder: Path, peer: Optional[Peer], dtype: str = "float32"
) -> Iterator[Contestant]:
    """Everyone, each finding the eigenvalues of W^T W; the peer's copies are saved in `folder`.

    Ours reads the matrices as they are stored in `dtype`, the others in float32.
    """
    yield Contestant("ours", "", _timed(our_eigenvalues, layers_of(matrices, dtype)))
    yield Contestant("floor", "BLAS threads", _timed(floor, matrices, 1))
    cores = this_machine().cores
    if min(cores, len(matrices)) > 1:
        yield Contestant("floor", "layers at once", _timed(floor, matrices, cores))
    yield Contestant("svd", "numpy", _timed(numpy_svd, matrices))
    if find_spec("torch"):
        import torch  # here, because importing is not to be timed

        yield Contestant("svd", f"torch {torch.__version__}", _timed(torch_svd, matrices))
    if peer is not None:
        for index, matrix in enumerate(matrices):
            np.save(folder / f"{index:04d}.npy", matrix)
        yield Contestant("weightwatcher", "", partial(weightwatcher, peer, folder), SINGLE)


def study_of_2018(matrices: Sequence[np.ndarray]) -> Contestant:
    """numpy.linalg.svd with all singular vectors, then powerlaw.Fit with its defaults."""
    return Contestant("2018", "", partial(full_svd_and_fit, matrices), None, once=True)


def on_spectrum(matrix: np.ndarray) -> Iterator[Contestant]:
    """The two power-law scans, on the eigenvalues of W^T W."""
    (eigenvalues,) = floor([matrix], 1)
    positive = eigenvalues[eigenvalues > 0]
    yield Contestant("ours", "", _timed(our_fit, positive))
    yield Contestant("powerlaw", "", _timed(powerlaw_fit, positive))


def our_eigenvalues(layers: Sequence[WeightMatrix]) -> list[np.ndarray]:
    """From matrices to finished results; of these, the eigenvalues, descending."""
    return [layer.singular_values**2 for layer in analyze(layers, Settings()).layers]


def floor(matrices: Sequence[np.ndarray], at_once: int) -> list[np.ndarray]:
    """Only syrk and eigvalsh in float64: with all BLAS threads, or `at_once` matrices of one
    thread each, the largest first."""
    if at_once == 1:
        return [_gram_eigenvalues(matrix) for matrix in matrices]
    order = sorted(range(len(matrices)), key=lambda index: -_work(matrices[index]))
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(at_once) as pool:
        done = pool.map(_gram_eigenvalues, [matrices[index] for index in order])
        found = dict(zip(order, done))
    return [found[index] for index in range(len(matrices))]


def _work(matrix: np.ndarray) -> int:
    return matrix.size * min(matrix.shape)


def _gram_eigenvalues(matrix: np.ndarray) -> np.ndarray:
    tall = (matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T).astype(np.float64)
    return np.linalg.eigvalsh(tall.T @ tall)[::-1]  # numpy calls syrk for this product


def numpy_svd(matrices: Sequence[np.ndarray]) -> list[np.ndarray]:
    wide = (matrix.astype(np.float64) for matrix in matrices)
    return [np.linalg.svd(matrix, compute_uv=False) ** 2 for matrix in wide]


def torch_svd(matrices: Sequence[np.ndarray]) -> list[np.ndarray]:
    import torch

    wide = (torch.from_numpy(matrix).double() for matrix in matrices)
    return [torch.linalg.svdvals(matrix).numpy() ** 2 for matrix in wide]


def weightwatcher(peer: Peer, folder: Path) -> Timing:
    seconds, largest = peer.analyze(folder)
    return Timing(seconds, [np.array([value]) for value in largest])


def full_svd_and_fit(matrices: Sequence[np.ndarray]) -> Timing:
    """The time of the first matrix of each shape counts for all of that shape."""
    counts = Counter(matrix.shape for matrix in matrices)
    seconds = 0.0
    for shape, count in counts.items():
        matrix = next(matrix for matrix in matrices if matrix.shape == shape)
        seconds += count * _timed(_full_svd_and_fit, matrix)().seconds
    return Timing(seconds, [])


def _full_svd_and_fit(matrix: np.ndarray) -> list[np.ndarray]:
    _, singular_values, _ = np.linalg.svd(matrix, full_matrices=True)
    return powerlaw_fit(singular_values**2)


def our_fit(eigenvalues: np.ndarray) -> list[np.ndarray]:
    fit = fit_power_law(eigenvalues)
    return [np.array([number]) for number in (fit.alpha, fit.D, fit.xmin)]


def powerlaw_fit(eigenvalues: np.ndarray) -> list[np.ndarray]:
    """alpha, D and xmin by the powerlaw package with its defaults, silenced."""
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            fit = powerlaw.Fit(eigenvalues)
            numbers = (fit.power_law.alpha, fit.power_law.D, fit.power_law.xmin)
    return [np.array([number]) for number in numbers]


def _timed(
    compute: Callable[..., Sequence[np.ndarray]], *arguments: object
) -> Callable[[], Timing]:
    def run() -> Timing:
        started = time.perf_counter()
        found = compute(*arguments)
        return Timing(time.perf_counter() - started, found)

    return run
