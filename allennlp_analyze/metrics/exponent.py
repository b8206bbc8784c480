"""Says where the exponent alpha of a power law allows a conclusion about a layer."""

from typing import Optional

from allennlp_analyze.metrics.power_law import FEW_EIGENVALUES
from allennlp_analyze.results.layer import LayerResult, PowerLaw

# The range of alpha in well-trained layers (Martin & Mahoney 2018).
LOW_ALPHA, HIGH_ALPHA = 2.0, 6.0
# With a larger Kolmogorov-Smirnov distance the tail is hardly a power law.
MOST_D = 0.1
# Up to this p the power law is ruled out (Clauset, Shalizi & Newman 2009, section 4.1).
LEAST_P = 0.1
# Standard errors by which alpha must be outside the range.
ERRORS = 2.0


def is_conclusive(layer: LayerResult) -> bool:
    """Whether the tail has enough eigenvalues, and is near enough to a power law, to trust alpha.

    The p-value counts, too, if it was computed.
    """
    fit, uncertainty = layer.power_law, layer.uncertainty
    if fit is None or fit.D > MOST_D or fit.n_tail < FEW_EIGENVALUES:
        return False
    p_value = None if uncertainty is None else uncertainty.p_value
    return p_value is None or p_value > LEAST_P


def is_above(layer: LayerResult) -> bool:
    """Whether alpha is above the range by more than its uncertainty, and conclusive."""
    if layer.power_law is None or not is_conclusive(layer):
        return False
    return _interval(layer, layer.power_law)[0] > HIGH_ALPHA


def is_below(layer: LayerResult) -> bool:
    """Whether alpha is below the range by more than its uncertainty, and conclusive."""
    if layer.power_law is None or not is_conclusive(layer):
        return False
    return _interval(layer, layer.power_law)[1] < LOW_ALPHA


def _interval(layer: LayerResult, fit: PowerLaw) -> tuple[float, float]:
    """The interval of resamples if there is one, or else `ERRORS` standard errors on each side."""
    found = layer.uncertainty
    low: Optional[float] = None if found is None else found.alpha_low
    high: Optional[float] = None if found is None else found.alpha_high
    if low is None or high is None:
        return fit.alpha - ERRORS * fit.sigma, fit.alpha + ERRORS * fit.sigma
    return low, high
