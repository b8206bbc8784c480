"""Entries of the catalogue: tolerances and hard ranks."""

from allennlp_analyze.metrics.metric import WHOLE, Metric
from allennlp_analyze.results.layer import TOLERANCES

SECTION = "hard rank"
_FROM_ZERO = {"minimum": 0}
_PERCENT = {"minimum": 0, "maximum": 100}
# For each tolerance: an ASCII description and its formula.
_TOLERANCES = {
    "numpy": (
        "sigma_max * N * eps, as numpy.linalg.matrix_rank; eps of float32 for float32 and lower"
        " precision, of float64 for float64.",
        "σ_max · N · eps",
    ),
    "numerical_recipes": (
        "sigma_max * eps / 2 * sqrt(M + N + 1).",
        "σ_max · (eps / 2) · √(N + M + 1)",
    ),
    "loose": (
        "The 2018 study's 0.001, absolute, unless set otherwise.",
        "0.001, or the option `loose_tolerance`",
    ),
    "rounding": (
        "The largest singular value that rounding to the stored dtype alone can produce.",
        "the larger of k · (eps_stored / √12) · rms · (√N + √M) and σ_max · N · 2⁻⁵²; rms ="
        " `frobenius_norm` / √(N M); k = 2.5, for float8 1.1",
    ),
}
_COMPARED = ("numpy", "rounding")


def _hard_rank(name: str) -> Metric:
    return Metric(
        f"hard_rank.{name}",
        f"Number of singular values above the tolerance {name}.",
        WHOLE,
        schema=_FROM_ZERO,
        label=f"hard rank, {name}",
        section=SECTION,
        compared=name in _COMPARED,
    )


def _tolerance(name: str) -> Metric:
    description, formula = _TOLERANCES[name]
    return Metric(
        f"tolerance.{name}", description, schema=_FROM_ZERO, formula=formula, section=SECTION
    )


def _rank_loss(name: str) -> Metric:
    return Metric(
        f"rank_loss_percent.{name}",
        f"Share of the M directions lost under the tolerance {name}, in percent.",
        schema=_PERCENT,
        label=f"rank loss in percent, {name}",
        section=SECTION,
        compared=name in _COMPARED,
        size_free=True,
    )


RANKS = (
    *map(_hard_rank, TOLERANCES),
    *map(_tolerance, TOLERANCES),
    *map(_rank_loss, TOLERANCES),
)
