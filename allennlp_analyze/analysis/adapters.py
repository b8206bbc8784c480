"""Measures low-rank adapters: the singular values of delta = scale * B A, which is never formed."""

import math
from collections.abc import Sequence
from typing import Optional

import numpy as np

from allennlp_analyze.errors import InvalidTensorError, TensorError
from allennlp_analyze.matrices.adapters import Adapter
from allennlp_analyze.results.adapter import AdapterResult
from allennlp_analyze.results.layer import Skipped
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.sources.tensor import StoredTensor

# An adapter is concentrated if one direction has more than this share of its energy.
CONCENTRATED_SHARE = 0.9
USED_SHARE = 0.01


def measure_adapters(
    adapters: Sequence[Adapter],
) -> tuple[tuple[AdapterResult, ...], tuple[Skipped, ...]]:
    """Returns the results, and what could not be measured with the reason."""
    results, skipped = [], []
    for adapter in adapters:
        try:
            results.append(measure_adapter(adapter))
        except TensorError as error:
            invalid = isinstance(error, InvalidTensorError)
            skipped.append(Skipped(adapter.name, adapter.shape, str(error), invalid))
    return tuple(results), tuple(skipped)


def measure_adapter(adapter: Adapter) -> AdapterResult:
    """Measure one adapter by thin QR of both factors and the SVD of the r x r product.

    Agrees with numpy.linalg.svd of scale * B @ A. Raises `TensorError` if a factor cannot be read
    or contains NaN or infinity.
    """
    down = matrix_of(adapter.down)
    up = matrix_of(adapter.up)
    left = np.asarray(np.linalg.qr(up, mode="r"))
    right = np.asarray(np.linalg.qr(down.T, mode="r"))
    values = abs(adapter.scale) * np.linalg.svd(left @ right.T, compute_uv=False)
    largest = float(values[0])
    shares = (values / largest) ** 2 if largest > 0 else values
    shares = shares / shares.sum() if largest > 0 else shares
    effective = _effective(shares) if largest > 0 else None
    first = float(shares[0]) if largest > 0 else None
    verdict, reason = _verdict(adapter.r, first, effective)
    return AdapterResult(
        name=adapter.name,
        parameters=adapter.parameters,
        shape=adapter.shape,
        r=adapter.r,
        scale=adapter.scale,
        scale_source=adapter.scale_source,
        singular_values=values,
        delta_norm=float(np.linalg.norm(values)),
        used_directions=int((values > USED_SHARE * largest).sum()),
        stable_rank=1 / first if first else None,
        effective_rank=effective,
        first_direction_share=first,
        verdict=verdict,
        reason=reason,
    )


def matrix_of(tensor: StoredTensor) -> np.ndarray:
    """The values of `tensor` in float64, first dimension x all others.

    Raises `TensorError` if they cannot be read or contain NaN or infinity.
    """
    matrix = np.asarray(tensor.values(), np.float64).reshape(tensor.shape[0], -1)
    if not np.isfinite(matrix).all():
        raise InvalidTensorError(f"{tensor.name}: contains NaN or infinity")
    return matrix


def _effective(shares: np.ndarray) -> float:
    positive = shares[shares > 0]
    return math.exp(-float(np.sum(positive * np.log(positive))))


def _verdict(r: int, first: Optional[float], effective: Optional[float]) -> tuple[Verdict, str]:
    if first is None or effective is None:
        return Verdict.UNTRAINED, "delta is 0, as before any training"
    if r > 1 and first > CONCENTRATED_SHARE:
        return (
            Verdict.CONCENTRATED,
            f"{100 * first:.3g}% of the change is in one direction of {r}",
        )
    return Verdict.FULL_RANK, f"uses {effective:.3g} of {r} directions"
