"""Sets adapters beside the weights of the base model that they change."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Optional

import numpy as np

from allennlp_analyze.analysis.adapters import matrix_of
from allennlp_analyze.errors import TensorError
from allennlp_analyze.matrices.adapters import Adapter
from allennlp_analyze.matrices.counterparts import counterparts
from allennlp_analyze.results.adapter import INTRUDER_COSINE, AdapterResult, BesideBase
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import StoredTensor
from allennlp_analyze.text.counts import count

# The largest singular vectors of W + delta that may be intruders, as in arXiv 2410.21228.
TOP = 10
# Up to this smaller dimension all singular vectors are computed at once.
DENSE = 64
# An SVD of a larger matrix takes minutes.
MOST_DIMENSIONS = 8192
_SEED = 2018


def beside_base(
    adapters: Sequence[Adapter],
    results: Sequence[AdapterResult],
    base: Source,
    config: Mapping[str, object],
) -> tuple[tuple[AdapterResult, ...], tuple[str, ...]]:
    """Returns `results` beside the weights of `base`, and warnings about what has none.

    `config` is the adapter's own: PEFT's `fan_in_fan_out` says that W is stored inputs x outputs.
    """
    weights = {
        name.removesuffix(".weight"): tensor
        for name, tensor in base.tensors.items()
        if len(tensor.shape) > 1 and tensor.unsupported is None
    }
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
    weights = matrix_of(tensor)
    if weights.shape != adapter.shape or (inputs_first and len(set(weights.shape)) == 1):
        weights = weights.T
    if weights.shape != adapter.shape:
        return None
    norm = float(np.linalg.norm(weights))
    intruders = None
    top = min(TOP, *weights.shape)
    if min(weights.shape) <= MOST_DIMENSIONS:
        intruders = _intruders(adapter, weights, top) if norm and result.delta_norm else 0
    return BesideBase(
        parameter=tensor.name,
        weight_norm=norm,
        relative_norm=result.delta_norm / norm if norm else None,
        intruder_dimensions=intruders,
        n_top=top,
    )


def _intruders(adapter: Adapter, weights: np.ndarray, top: int) -> int:
    """The number of intruders among the `top` largest left singular vectors of W + delta."""
    before = np.linalg.svd(weights, full_matrices=False)[0]
    after = _largest_vectors(adapter, weights, top)
    nearest = np.max(np.abs(before.T @ after), axis=0)
    return int((nearest < INTRUDER_COSINE).sum())


def _largest_vectors(adapter: Adapter, weights: np.ndarray, top: int) -> np.ndarray:
    """The `top` largest left singular vectors (outputs, top) of W + delta."""
    up, down = adapter.scale * matrix_of(adapter.up), matrix_of(adapter.down)
    if min(weights.shape) <= DENSE:
        found: np.ndarray = np.linalg.svd(weights + up @ down, full_matrices=False)[0][:, :top]
        return found
    from scipy.sparse.linalg import LinearOperator, svds

    changed = LinearOperator(
        weights.shape,
        matvec=lambda v: weights @ v + up @ (down @ v),
        rmatvec=lambda v: weights.T @ v + down.T @ (up.T @ v),
        dtype=np.float64,
    )
    start = np.random.default_rng(_SEED).standard_normal(min(weights.shape))
    return np.asarray(svds(changed, k=top, v0=start, return_singular_vectors="u")[0])
