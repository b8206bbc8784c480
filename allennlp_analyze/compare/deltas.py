"""Measures W_B - W_A of every pair of layers, and what adapters do to the layers of A."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Optional

import numpy as np

from allennlp_analyze.analysis.adapters import matrix_of
from allennlp_analyze.analysis.base_adapters import weights_by_layer, weights_of
from allennlp_analyze.analysis.choosing import with_eigensolver
from allennlp_analyze.analysis.delta import described, measure_delta, turned
from allennlp_analyze.analysis.request import Limits
from allennlp_analyze.compare.delta_wording import deltas_sentence
from allennlp_analyze.compare.results import (
    ComparedModel,
    ComparisonReport,
    LayerDelta,
    ModelComparison,
)
from allennlp_analyze.errors import SourceError, TensorError
from allennlp_analyze.linalg.eigensolvers import gram_solver
from allennlp_analyze.linalg.gram import GramSolver
from allennlp_analyze.linalg.leading import MOST_DIMENSIONS, changed_by
from allennlp_analyze.matrices.adapters import Adapter, find_adapters
from allennlp_analyze.matrices.counterparts import counterparts
from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.matrices.surroundings import with_surroundings
from allennlp_analyze.results.adapter import AdapterResult
from allennlp_analyze.results.delta import Delta
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.opening import open_source
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import StoredTensor
from allennlp_analyze.storage.states import first_write
from allennlp_analyze.text.progress import progress_bar

Matrices = Mapping[str, WeightMatrix]


def with_deltas(
    report: ComparisonReport,
    names: Sequence[str],
    settings: Settings,
    limits: Limits,
    quiet: bool = True,
) -> ComparisonReport:
    """Returns `report` with the change of every layer; `names` are the paths or URLs of its models.

    The models are read again, two layers at a time. Raises `SourceError` if one has changed since
    it was analyzed.
    """
    found = []
    with _opened(names[0], report.baseline, limits, quiet) as base:
        before = _matrices(base, settings)
        settings = with_eigensolver(settings, [matrix.shape for matrix in before.values()])
        solver = gram_solver(settings.eigensolver)
        for name, comparison in zip(names[1:], report.candidates):
            with _opened(name, comparison.candidate, limits, quiet) as source:
                after = _matrices(source, settings)
                adapters = find_adapters(source)
                total = len(comparison.pairs) + len(adapters)
                deltas = []
                with progress_bar("changes", total, quiet=quiet) as bar:
                    for delta in _of_pairs(comparison, before, after, solver):
                        deltas.append(delta)
                        bar.advance()
                    for delta in _of_adapters(comparison, adapters, base, source):
                        deltas.append(delta)
                        bar.advance()
            found.append(_with(comparison, tuple(deltas)))
    return replace(report, candidates=tuple(found))


def _with(comparison: ModelComparison, deltas: tuple[LayerDelta, ...]) -> ModelComparison:
    sentence = deltas_sentence(comparison.letter, deltas)
    return replace(comparison, deltas=deltas, deltas_sentence=sentence)


@contextlib.contextmanager
def _opened(name: str, model: ComparedModel, limits: Limits, quiet: bool) -> Iterator[Source]:
    with open_source(
        name,
        quiet=quiet,
        max_unpacked_size=limits.max_unpacked_size,
        timeout=limits.timeout,
        cache=limits.cache,
    ) as source:
        yield source
        changed = first_write((*model.report.files, *source.files))
        if changed is not None:
            raise SourceError(f"{changed}: changed while it was being compared; run again")


def _matrices(source: Source, settings: Settings) -> Matrices:
    """Returns the matrices of `source` by name, as an analysis finds them."""
    found, _ = find_matrices(
        source, None, settings.split_gates, find_adapters(source), settings.split_heads
    )
    return {matrix.name: matrix for matrix in with_surroundings(source, found)}


def _of_pairs(
    comparison: ModelComparison, before: Matrices, after: Matrices, solver: GramSolver
) -> Iterator[LayerDelta]:
    for pair in comparison.pairs:
        names = pair.baseline.name, pair.candidate.name
        yield _measured(*names, before.get(names[0]), after.get(names[1]), solver)


def _measured(
    name: str,
    other: str,
    before: Optional[WeightMatrix],
    after: Optional[WeightMatrix],
    solver: GramSolver,
) -> LayerDelta:
    if before is None or after is None:
        return LayerDelta(name, other, None, "its weights were not found again")
    try:
        return LayerDelta(name, other, measure_delta(before, after, solver))
    except TensorError as error:
        return LayerDelta(name, other, None, str(error))


def _of_adapters(
    comparison: ModelComparison, adapters: Sequence[Adapter], base: Source, source: Source
) -> Iterator[LayerDelta]:
    """Yields the changes that the adapters of `source` make to the layers of `base`."""
    results = {adapter.name: adapter for adapter in comparison.candidate.report.adapters}
    weights = weights_by_layer(base)
    pairs = counterparts(results, weights)
    inputs_first = source.adapter_config.get("fan_in_fan_out") is True
    for adapter in adapters:
        name, delta, reason = adapter.name, None, None
        if name not in results:
            reason = "the adapter could not be read"
        elif name not in pairs:
            reason = "A has no such layer"
        else:
            tensor, name = weights[pairs[name]], pairs[name]
            try:
                delta = _by_adapter(adapter, results[adapter.name], tensor, inputs_first)
            except TensorError as error:
                reason = str(error)
        yield LayerDelta(name, adapter.name, delta, reason, is_adapter=True)


def _by_adapter(
    adapter: Adapter, result: AdapterResult, tensor: StoredTensor, inputs_first: bool
) -> Delta:
    """The change that an adapter makes to a layer of A: scale * B A, which is never formed.

    Raises `TensorError` if values cannot be read, or the adapter does not fit the layer.
    """
    weights = weights_of(adapter, tensor, inputs_first)
    if weights is None:
        raise TensorError(
            f"the adapter is for {adapter.shape[0]} x {adapter.shape[1]}, the layer is"
            f" {' x '.join(map(str, tensor.shape))}"
        )
    norm = float(np.linalg.norm(weights))
    values = np.zeros(min(weights.shape))
    used = min(len(values), adapter.r)
    values[:used] = result.singular_values[:used]
    change = described(values, adapter.shape, norm, 0.0, (tensor.dtype, adapter.up.dtype))
    if not values[0] or not norm or len(values) > MOST_DIMENSIONS:
        return change
    up, down = adapter.scale * matrix_of(adapter.up), matrix_of(adapter.down)
    return replace(change, turned=turned(weights, changed_by(weights, up, down)))
