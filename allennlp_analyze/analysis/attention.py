"""Measures the largest logit that each head of attention can have, from its weights alone."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

import numpy as np

from allennlp_analyze.errors import TensorError
from allennlp_analyze.matrices.attention import AttentionBlock, find_attention
from allennlp_analyze.matrices.fused import Heads
from allennlp_analyze.matrices.input_norms import Gain
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.results.attention import AttentionLogits
from allennlp_analyze.sources.source import Source


def attention_logits(
    source: Source, matrices: Sequence[WeightMatrix]
) -> tuple[AttentionLogits, ...]:
    """Returns the largest logits of every block of attention whose projections are `matrices`."""
    return tuple(measure_attention(block) for block in find_attention(source, matrices))


def timed_logits(
    source: Source, matrices: Sequence[WeightMatrix], max_dim: int
) -> tuple[tuple[AttentionLogits, ...], float]:
    """Returns the logits of blocks whose projections are not larger than `max_dim`, and seconds.

    Queries and keys are read once more than for their spectra: to keep those of a model until both
    of a block are there would take memory without bound.
    """
    started = time.perf_counter()
    found = attention_logits(source, [x for x in matrices if min(x.shape) <= max_dim])
    return found, time.perf_counter() - started


def measure_attention(block: AttentionBlock) -> AttentionLogits:
    """Measure one block; what cannot be measured has its reason.

    The largest logit of a head for inputs of norm 1 is scale * sigma_max(W_q^T W_k). That product
    has the size of the model, so it is never formed: sigma_max(R_q R_k^T) of the thin QR
    decompositions of W_q^T and W_k^T is equal.
    """
    heads, scale = block.heads, block.scale
    named = AttentionLogits(block.name, block.query.name, block.key.name, reason=block.reason)
    if heads is None or scale is None:
        return named
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # checked in `_largest`
            unit, largest, norm = _logits(block, heads, scale)
    except TensorError as error:
        return replace(named, reason=str(error))
    except MemoryError:
        return replace(named, reason="not enough memory")
    return replace(
        named,
        n_heads=heads.queries,
        n_key_heads=heads.keys,
        head_size=heads.size,
        scale=scale,
        norm=norm,
        unit_logits=unit,
        max_logits=largest,
    )


def _logits(
    block: AttentionBlock, heads: Heads, scale: float
) -> tuple[tuple[float, ...], Optional[tuple[float, ...]], Optional[str]]:
    """Returns the logits for inputs of norm 1, for normalized inputs, and the gain's name."""
    if block.query_norm is not None and block.key_norm is not None:
        largest = _of_normalized_heads(block.query_norm, block.key_norm, scale)
        return (), (largest,) * heads.queries, block.query_norm.tensor.name
    queries = _factors(_outputs_first(block.query), heads.queries, block.gain)
    keys = _factors(_outputs_first(block.key), heads.keys, block.gain)
    each = heads.queries // heads.keys
    unit = tuple(
        _largest(query @ keys[index // each].T, scale) for index, query in enumerate(queries)
    )
    if block.gain is None:
        return unit, None, None
    # A normalization without its gain gives vectors of norm sqrt(size).
    return unit, tuple(block.gain.size * logit for logit in unit), block.gain.tensor.name


def _of_normalized_heads(query: Gain, key: Gain, scale: float) -> float:
    """The largest logit of queries and keys of norm sqrt(head size), multiplied by their gains."""
    product = np.diag(query.values() * key.values())
    for gain, axis in ((query, 0), (key, 1)):
        if gain.is_centred:
            product = product - product.mean(axis=axis, keepdims=True)
    return _largest(product, scale * query.size)


def _largest(product: np.ndarray, factor: float) -> float:
    """Returns `factor` times the largest singular value. Raises `TensorError` beyond float64."""
    found = factor * float(np.linalg.norm(product, 2)) if np.isfinite(product).all() else np.inf
    if not np.isfinite(found):
        raise TensorError("its logits are beyond the range of float64")
    return found


def _factors(weights: np.ndarray, count: int, gain: Optional[Gain]) -> list[np.ndarray]:
    """Returns R (head size, head size) of the QR decomposition of each head's W^T."""
    if gain is not None:
        weights = weights * gain.values()
        if gain.is_centred:
            weights = weights - weights.mean(axis=1, keepdims=True)
    if not np.isfinite(weights).all():
        raise TensorError("its logits are beyond the range of float64")
    parts = np.split(weights, count)
    return [np.asarray(np.linalg.qr(part.T, mode="r")) for part in parts]


def _outputs_first(matrix: WeightMatrix) -> np.ndarray:
    values = np.asarray(matrix.values(), np.float64)
    if not np.isfinite(values).all():
        raise TensorError(f"{matrix.name} contains NaN or infinity")
    return values if matrix.surroundings.outputs_first else values.T
