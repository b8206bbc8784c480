"""Describes every number of a layer: label, formula, meaning and format."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Callable, Union

from allennlp_analyze.metrics.catalogue import CATALOGUE
from allennlp_analyze.results.layer import TOLERANCES, LayerResult

Number = Union[float, int, str, None]
NOTHING = "–"
# The metric whose column or term shows both ends of the interval of alpha.
INTERVAL = "uncertainty.alpha_low"


@dataclass(frozen=True)
class Term:
    """One number; `value` returns it for a layer, or None if it is undefined."""

    label: str
    formula: str
    meaning: str
    value: Callable[[LayerResult], Number]


def text(value: Number, digits: int = 4) -> str:
    """Formats a number with `digits` significant digits; a dash for None."""
    if value is None:
        return NOTHING
    return value if isinstance(value, str) else f"{value:.{digits}g}" if value else "0"


def _ranks(layer: LayerResult) -> str:
    return ", ".join(str(getattr(layer.hard_rank, name)) for name in TOLERANCES)


def _tolerances(layer: LayerResult) -> str:
    return ", ".join(text(getattr(layer.tolerance, name), 3) for name in TOLERANCES)


def interval(layer: LayerResult, dash: str = NOTHING, nothing: str = NOTHING) -> str:
    """Formats the 95% interval of alpha."""
    found = layer.uncertainty
    if found is None or found.alpha_low is None or found.alpha_high is None:
        return nothing
    return f"{found.alpha_low:.3g}{dash}{found.alpha_high:.3g}"


def _alpha(layer: LayerResult) -> Number:
    """Returns alpha, or the reason why there is none."""
    if layer.power_law is None:
        return f"{NOTHING} ({layer.power_law_note or ''})"
    return layer.power_law.alpha


_NAMES = ", ".join(TOLERANCES)
# Terms of several numbers, by the key of the metric that they replace.
_SEVERAL = {
    "Q": Term(
        "shape, Q",
        "N × M, Q = N / M",
        "Theory keeps the smallest singular value above 0 only if Q is clearly above 1.",
        lambda layer: f"{layer.N} × {layer.M}, {layer.Q:.4g}",
    ),
    "hard_rank.numpy": Term(
        f"hard rank ({_NAMES})",
        "#{i : σᵢ > tolerance}",
        "Directions that count as above zero, by each of the tolerances.",
        _ranks,
    ),
    "tolerance.numpy": Term(
        f"tolerances ({_NAMES})",
        "σ_max·N·ε; σ_max·ε/2·√(N+M+1); a constant; what rounding can leave",
        "Singular values up to these count as zero. ε is the spacing of the stored numbers.",
        _tolerances,
    ),
    "rank_loss_percent.rounding": Term(
        "rank loss, rounding",
        "100 · (M − hard rank) / M",
        "Share of the directions within rounding of zero.",
        lambda layer: f"{layer.rank_loss_percent['rounding']:.3g}%",
    ),
    INTERVAL: Term(
        "95% interval of alpha",
        "2.5% and 97.5% of the α of 1,000 resamples",
        "Where alpha may be, with the search for xmin in it.",
        interval,
    ),
    "tikhonov.n_information": Term(
        "information, noise",
        "#{λ > γ}, #{λ ≤ γ}",
        "Eigenvalues on either side of gamma.",
        lambda layer: (
            f"{layer.tikhonov.n_information}, {layer.tikhonov.n_noise}" if layer.tikhonov else None
        ),
    ),
}


def terms_of(layers: Sequence[LayerResult]) -> tuple[Term, ...]:
    """Returns the terms of a report with these layers."""
    return tuple(_terms(layers))


def _terms(layers: Sequence[LayerResult]) -> Iterator[Term]:
    for metric in CATALOGUE:
        if not metric.is_shown(layers):
            continue
        if metric.key in _SEVERAL:
            yield _SEVERAL[metric.key]
        elif metric.term:
            read = _alpha if metric.key == "power_law.alpha" else metric.read
            yield Term(metric.label, metric.formula, metric.meaning, read)
