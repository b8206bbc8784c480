"""Measures every weight matrix of a model; reads and writes no files."""

import math
import time
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Callable, Optional, TypeVar

import numpy as np

from allennlp_analyze.analysis.uncertain import alpha_uncertainty
from allennlp_analyze.analysis.verdicts import verdict_on
from allennlp_analyze.errors import InvalidTensorError, OptionError, TensorError
from allennlp_analyze.linalg.gram import GramSolver, gram_spectrum
from allennlp_analyze.linalg.groups import Ahead
from allennlp_analyze.linalg.machine import memory, this_machine, why_refused
from allennlp_analyze.linalg.schedule import in_parallel
from allennlp_analyze.linalg.spectrum import Spectrum, spectrum
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.metrics.catalogue import compute_metrics
from allennlp_analyze.metrics.marchenko_pastur import marchenko_pastur, tikhonov
from allennlp_analyze.metrics.metric import SpectrumFacts
from allennlp_analyze.metrics.power_law import (
    FEW_EIGENVALUES,
    compare_distributions,
    fit_power_law,
    why_no_fit,
)
from allennlp_analyze.metrics.ranks import hard_rank
from allennlp_analyze.options.patterns import matcher
from allennlp_analyze.results.layer import (
    FEW_WARNING,
    TIED_WARNING,
    LayerOutcome,
    LayerResult,
    MarchenkoPastur,
    PowerLaw,
    Skipped,
    Tikhonov,
)
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.blocks import Entries

# Range of singular values whose squares fit into float64, with room for sums and powers.
SQUARABLE = (1e-150, 1e150)
# Finding a layer's name takes microseconds, unless its expression has many repeats.
MAX_SECONDS = 60
Matrix = TypeVar("Matrix", WeightMatrix, LayerResult)


@dataclass(frozen=True)
class Analysis:
    """The layers in model order, the skipped tensors, and the wall seconds for spectra and fits."""

    layers: tuple[LayerResult, ...]
    skipped: tuple[Skipped, ...]
    spectra_seconds: float = 0.0
    fits_seconds: float = 0.0


@dataclass(frozen=True)
class Measured:
    """The outcome for one matrix, and the seconds for its spectrum and its fits."""

    outcome: LayerOutcome
    spectrum_seconds: float
    fits_seconds: float


# Measures matrices on other machines, all but those whose indices are done: yields each index with
# what was measured, in any order.
Elsewhere = Callable[
    [Sequence[WeightMatrix], Collection[int]], Generator[tuple[int, Measured], None, None]
]


def select(matrices: Iterable[Matrix], settings: Settings) -> list[Matrix]:
    """Returns the matrices that `settings.kinds` and `settings.layers` select.

    Raises `OptionError` if finding the expression `settings.layers` takes too long.
    """
    matches = matcher(settings.layers or "")
    chosen, started = [], time.monotonic()
    for matrix in matrices:
        if settings.kinds is not None and matrix.kind not in settings.kinds:
            continue
        try:
            found = matches(matrix.name)
        except ValueError as error:
            raise OptionError("layers", str(error)) from None
        if time.monotonic() - started > MAX_SECONDS:
            raise OptionError(
                "layers", f"takes more than {MAX_SECONDS} s to find; use fewer repeats"
            )
        if found:
            chosen.append(matrix)
    return chosen


def analyze(
    matrices: Sequence[WeightMatrix],
    settings: Settings,
    solver: GramSolver = gram_spectrum,
    on_outcome: Optional[Callable[[int, LayerOutcome], None]] = None,
    finished: Optional[Mapping[int, LayerOutcome]] = None,
    elsewhere: Optional[Elsewhere] = None,
) -> Analysis:
    """Measure each matrix; one that cannot be measured (NaN, too large) is skipped with its reason.

    `solver` computes the eigenvalues of a Gram matrix (see `gram`). `on_outcome` is called after
    each matrix with its index and outcome. `finished` are outcomes of an earlier run by index,
    which are used unchanged. Up to `settings.jobs` matrices are measured at the same time; the
    results do not depend on that number, nor on whether they are measured `elsewhere`.
    """
    started = time.perf_counter()
    measured = {index: Measured(outcome, 0.0, 0.0) for index, outcome in (finished or {}).items()}
    jobs = settings.jobs or this_machine().cores
    shapes = [matrix.shape for matrix in matrices]

    done = frozenset(measured)
    # Reading a quantized matrix means computing it, so it is read only in its own turn.
    quantized = (index for index, matrix in enumerate(matrices) if matrix.noise is not None)
    ahead = Ahead(solver, shapes, lambda index: _entries(matrices[index]), done.union(quantized))

    def work(index: int) -> Measured:
        return measure(matrices[index], settings, ahead.solver(index))

    if elsewhere:
        results = elsewhere(matrices, done)
    else:
        results = in_parallel(work, shapes, jobs, done=done, large_at_once=ahead.at_once)
    with closing(results):
        for index, one in results:
            measured[index] = one
            if on_outcome is not None:
                on_outcome(index, one.outcome)
    in_order = [measured[index] for index in range(len(matrices))]
    spectra = math.fsum(one.spectrum_seconds for one in in_order)
    fits = math.fsum(one.fits_seconds for one in in_order)
    # Matrices overlap in time, so the wall time is divided in proportion to their seconds.
    share = (time.perf_counter() - started) / max(spectra + fits, 1e-9)
    return Analysis(
        layers=tuple(one.outcome for one in in_order if isinstance(one.outcome, LayerResult)),
        skipped=tuple(one.outcome for one in in_order if isinstance(one.outcome, Skipped)),
        spectra_seconds=spectra * share,
        fits_seconds=fits * share,
    )


def measure(
    matrix: WeightMatrix, settings: Settings, solver: GramSolver = gram_spectrum
) -> Measured:
    """Measure one matrix, as `analyze` does."""
    started = time.perf_counter()
    try:
        found = _spectrum(matrix, settings, solver)
    except TensorError as error:
        return Measured(left_out(matrix, error), time.perf_counter() - started, 0.0)
    computed = time.perf_counter()
    layer = describe(matrix, found, settings)
    return Measured(layer, computed - started, time.perf_counter() - computed)


def _entries(matrix: WeightMatrix) -> Entries:
    return Entries(matrix.stored(), matrix.decode)


def _spectrum(matrix: WeightMatrix, settings: Settings, solver: GramSolver) -> Spectrum:
    if min(matrix.shape) > settings.max_dim:
        raise TensorError(why_refused(matrix.shape, settings.max_dim))
    try:
        return spectrum(
            matrix.stored(), matrix.dtype, settings.loose_tolerance, solver, matrix.decode
        )
    except MemoryError:
        need = memory(matrix.shape) / 2**30
        raise TensorError(f"not enough memory: about {need:.1f} GiB needed") from None


def left_out(matrix: WeightMatrix, error: TensorError) -> Skipped:
    """Returns `matrix` as skipped for the reason `error`."""
    text = str(error).removeprefix(f"{matrix.parameter}: ")
    reason = f"{matrix.part}: {text}" if matrix.part else text
    return Skipped(matrix.parameter, matrix.shape, reason, isinstance(error, InvalidTensorError))


def describe(matrix: WeightMatrix, found: Spectrum, settings: Settings) -> LayerResult:
    """Returns all results that follow from the spectrum of one matrix."""
    values = found.singular_values
    n, m = max(matrix.shape), min(matrix.shape)
    rank = hard_rank(values, found.tolerance)
    # The numpy tolerance has the eps of float32; rounding to half precision leaves more than that.
    fitted = min(rank.numpy, rank.rounding)
    warnings = (*_tied_warnings(matrix), *matrix.notes)
    bulk: Optional[MarchenkoPastur] = None
    split: Optional[Tikhonov] = None
    fit: Optional[PowerLaw] = None
    if SQUARABLE[0] < values[0] < SQUARABLE[1]:
        positive = values[:fitted] ** 2
        bulk = marchenko_pastur(positive, n, m, found.entry_std)
        split = _split(values**2, bulk, settings.gamma)
        fit, note = _fit(positive, settings)
        if note is not None and fitted < rank.numpy:
            note += f" ({m - fitted} more are within the rounding of {matrix.dtype})"
    elif values[0] == 0:
        note = "all entries are zero"
    else:
        note = "the eigenvalues are beyond the range of float64"
    if fit is not None and fitted < FEW_EIGENVALUES:
        warnings += (f"{FEW_WARNING}{fitted} eigenvalues, so alpha is uncertain",)
    uncertainty = None
    if settings.uncertainty and SQUARABLE[0] < values[0] < SQUARABLE[1]:
        uncertainty = alpha_uncertainty(matrix, values[:fitted] ** 2, fit)
    verdict, evidence = verdict_on(matrix, found)
    return LayerResult(
        name=matrix.name,
        parameter=matrix.parameter,
        part=matrix.part,
        module_index=matrix.module_index,
        kind=matrix.kind,
        kind_source=matrix.kind_source,
        module_class=matrix.module_class,
        shape=matrix.shape,
        dtype=matrix.dtype,
        singular_values=values,
        hard_rank=rank,
        tolerance=found.tolerance,
        metrics=compute_metrics(SpectrumFacts(values, n, m, rank.numpy, fit)),
        marchenko_pastur=bulk,
        tikhonov=split,
        power_law=fit,
        power_law_note=note,
        verdict=verdict,
        warnings=warnings,
        evidence=evidence,
        uncertainty=uncertainty,
    )


def _tied_warnings(matrix: WeightMatrix) -> tuple[str, ...]:
    if not matrix.tied:
        return ()
    return (f"{TIED_WARNING}{', '.join(matrix.tied)} shares these values; analyzed once",)


def _split(
    eigenvalues: np.ndarray, bulk: Optional[MarchenkoPastur], gamma: Optional[float]
) -> Optional[Tikhonov]:
    """Split at the user's gamma, or else at the bulk edge; returns None if neither exists."""
    if gamma is None:
        if bulk is None:
            return None
        gamma = bulk.lambda_plus
    return tikhonov(eigenvalues, gamma)


def _fit(positive: np.ndarray, settings: Settings) -> tuple[Optional[PowerLaw], Optional[str]]:
    """Fit the positive eigenvalues; returns the power law, or None and the reason."""
    note = why_no_fit(positive)
    if note is not None:
        return None, note
    fit = fit_power_law(positive)
    if settings.compare_distributions:
        best, comparisons = compare_distributions(positive, fit.xmin)
        fit = replace(fit, best_fit=best, comparisons=comparisons)
    return fit, None
