"""Sets adapters beside the weights of the base model that they change."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Optional

import numpy as np

from allennlp_analyze.analysis.adapters import matrix_of
from allennlp_analyze.errors import TensorError
from allennlp_analyze.linalg.leading import MOST_DIMENSIONS, TOP, changed_by, intruders, leading
from allennlp_analyze.matrices.adapters import Adapter
from allennlp_analyze.matrices.counterparts import counterparts
from allennlp_analyze.results.adapter import AdapterResult, BesideBase
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import StoredTensor
from allennlp_analyze.text.counts import count


def beside_base(
    adapters: Sequence[Adapter],
    results: Sequence[AdapterResult],
    base: Source,
    config: Mapping[str, object],
) -> tuple[tuple[AdapterResult, ...], tuple[str, ...]]:
    """Returns `results` beside the weights of `base`, and warnings about what has none.

    `config` is the adapter's own: PEFT's `fan_in_fan_out` says that W is stored inputs x outputs.
    """
    weights = weights_by_layer(base)
    pairs = counterparts((result.name for result in results), weights)
    by_name = {adapter.name: adapter for adapter in adapters}
    inputs_first = config.get("fan_in_fan_out") is True
    compared, warnings = [], []
    for result in results:
        found = None
        if result.name in pairs:
            try:
                found = _beside(
                    by_name[result.name], result, weights[pairs[result.name]], inputs_first
                )
            except TensorError as error:
                warnings.append(f"base model: {error}")
        words = [result.reason, _in_words(found)] if found else [result.reason]
        compared.append(replace(result, base=found, reason="; ".join(words)))
    without = [result.name for result in compared if result.base is None]
    if without:
        warnings.append(
            f"{count(len(without), 'adapter')} without weights in the base model: {without[0]}"
        )
    return tuple(compared), tuple(warnings)


def weights_by_layer(base: Source) -> dict[str, StoredTensor]:
    """Returns the tensors that an adapter may change, by the names of their layers."""
    return {
        name.removesuffix(".weight"): tensor
        for name, tensor in base.tensors.items()
        if len(tensor.shape) > 1 and tensor.unsupported is None
    }


def weights_of(adapter: Adapter, tensor: StoredTensor, inputs_first: bool) -> Optional[np.ndarray]:
    """Returns the values (outputs, inputs) that `adapter` changes; None if the shapes do not fit.

    `inputs_first` says that the tensor is stored inputs x outputs. Raises `TensorError` if it
    cannot be read or contains NaN or infinity.
    """
    weights = matrix_of(tensor)
    if weights.shape != adapter.shape or (inputs_first and len(set(weights.shape)) == 1):
        weights = weights.T
    return weights if weights.shape == adapter.shape else None


def _in_words(found: BesideBase) -> str:
    size = "the base weights are 0"
    if found.relative_norm is not None:
        size = f"{100 * found.relative_norm:.3g}% of the norm of the base weights"
    if not found.intruder_dimensions:
        return size
    return f"{size}, {found.intruder_dimensions} of the {found.n_top} largest directions are new"


def _beside(
    adapter: Adapter, result: AdapterResult, tensor: StoredTensor, inputs_first: bool
) -> Optional[BesideBase]:
    """Raises `TensorError` if the weights cannot be read or contain NaN or infinity."""
    weights = weights_of(adapter, tensor, inputs_first)
    if weights is None:
        return None
    norm = float(np.linalg.norm(weights))
    top = min(TOP, *weights.shape)
    return BesideBase(
        parameter=tensor.name,
        weight_norm=norm,
        relative_norm=result.delta_norm / norm if norm else None,
        intruder_dimensions=_intruders(adapter, weights) if norm and result.delta_norm else 0,
        n_top=top,
    )


def _intruders(adapter: Adapter, weights: np.ndarray) -> Optional[int]:
    """The number of intruders among the largest left singular vectors of W + delta."""
    if min(weights.shape) > MOST_DIMENSIONS:
        return None
    up, down = adapter.scale * matrix_of(adapter.up), matrix_of(adapter.down)
    before, after = leading(weights), leading(changed_by(weights, up, down))
    if before is None or after is None:
        return None
    return intruders(weights, before.left, after.left)
