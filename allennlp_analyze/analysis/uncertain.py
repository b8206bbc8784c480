"""Measures how uncertain the power law of one matrix is."""

import zlib
from collections.abc import Iterator, Sequence
from typing import Optional

import numpy as np

from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.metrics.exponent import LEAST_P
from allennlp_analyze.metrics.fixed_aspect import hill_alpha, side_of, squares
from allennlp_analyze.metrics.ranks import hard_rank, tolerances
from allennlp_analyze.metrics.uncertainty import RESAMPLES, Bootstrap, bootstrap
from allennlp_analyze.results.layer import LayerResult, PowerLaw
from allennlp_analyze.results.uncertainty import AlphaUncertainty
from allennlp_analyze.text.counts import count

# Aspect ratios up to this factor apart count as equal.
SAME_Q = 1.1


def alpha_uncertainty(
    matrix: WeightMatrix, eigenvalues: np.ndarray, fit: Optional[PowerLaw]
) -> AlphaUncertainty:
    """Returns the uncertainty of `fit`, which is that of these positive `eigenvalues` (n,).

    The random numbers depend on the name of the matrix only, not on other matrices or on jobs.
    """
    found = Bootstrap(None, None, None)
    if fit is not None:
        found = bootstrap(eigenvalues, fit, zlib.crc32(matrix.name.encode("utf-8", "replace")))
    return AlphaUncertainty(
        p_value=found.p_value,
        alpha_low=found.low,
        alpha_high=found.high,
        n_resamples=RESAMPLES,
        fixed_aspect_alpha=hill_alpha(list(_singular_values(matrix))),
        fixed_aspect_side=side_of(matrix.shape),
    )


def _singular_values(matrix: WeightMatrix) -> Iterator[np.ndarray]:
    """Yields those of each submatrix that are above rounding."""
    stored = matrix.stored()
    for rows, columns in squares(matrix.shape):
        entries = np.asarray(matrix.decode(stored[rows, columns]), dtype=np.float64)
        values = np.linalg.svd(entries, compute_uv=False)
        rank = hard_rank(values, tolerances(values, entries.shape, matrix.dtype, 0.0))
        yield values[: min(rank.numpy, rank.rounding)]


def notes_on_alpha(layers: Sequence[LayerResult]) -> Iterator[str]:
    """Yields what the uncertainties mean for the alphas of a model; nothing without them."""
    tested = [
        layer.uncertainty.p_value
        for layer in layers
        if layer.uncertainty is not None and layer.uncertainty.p_value is not None
    ]
    if not tested:
        return
    refused = sum(p <= LEAST_P for p in tested)
    if refused:
        yield (
            f"the tail is no power law in {refused} of {count(len(tested), 'layer')}"
            f" (p <= {LEAST_P}), so alpha is no exponent there"
        )
    ratios = [layer.Q for layer in layers if layer.power_law is not None]
    if max(ratios) > SAME_Q * min(ratios):
        yield (
            f"alpha depends on the aspect ratio Q, which is {min(ratios):.3g} to"
            f" {max(ratios):.3g} here: between layers of different Q compare"
            " `fixed_aspect_alpha`, not `alpha`"
        )
