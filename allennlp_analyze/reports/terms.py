"""Every number of a layer in words: its label, formula and meaning, and how it is written."""

from dataclasses import dataclass
from typing import Callable, Optional, Union

from allennlp_analyze.results.layer import TOLERANCES, LayerResult

Number = Union[float, int, str, None]
NOTHING = "–"


@dataclass(frozen=True)
class Term:
    """One number: `value` takes it from a layer, None where it is not defined."""

    label: str
    formula: str
    meaning: str
    value: Callable[[LayerResult], Number]


def text(value: Number, digits: int = 4) -> str:
    """A number as people read it: `digits` significant digits, a dash where there is none."""
    if value is None:
        return NOTHING
    return value if isinstance(value, str) else f"{value:.{digits}g}" if value else "0"


def fit_number(name: str) -> Callable[[LayerResult], Optional[float]]:
    return lambda layer: getattr(layer.power_law, name) if layer.power_law else None


def _alpha(layer: LayerResult) -> Number:
    """Or why there is none."""
    if layer.power_law is None:
        return f"{NOTHING} ({layer.power_law_note or ''})"
    return layer.power_law.alpha


def _bulk(name: str) -> Callable[[LayerResult], Optional[float]]:
    return lambda layer: getattr(layer.marchenko_pastur, name) if layer.marchenko_pastur else None


def _split(name: str) -> Callable[[LayerResult], Optional[float]]:
    return lambda layer: getattr(layer.tikhonov, name) if layer.tikhonov else None


def _ranks(layer: LayerResult) -> str:
    return ", ".join(str(getattr(layer.hard_rank, name)) for name in TOLERANCES)


def _tolerances(layer: LayerResult) -> str:
    return ", ".join(text(getattr(layer.tolerance, name), 3) for name in TOLERANCES)


_NAMES = ", ".join(TOLERANCES)
TERMS = (
    Term(
        "shape, Q",
        "N × M, Q = N / M",
        "Theory keeps the smallest singular value clear of zero only where Q is clear of 1.",
        lambda layer: f"{layer.N} × {layer.M}, {layer.Q:.4g}",
    ),
    Term(
        "smallest singular value",
        "σ_min = √λ_min(WᵀW)",
        "How much is left of the input direction that the layer weakens most.",
        lambda layer: layer.min_singular_value,
    ),
    Term(
        "largest singular value",
        "σ_max = ‖W‖₂",
        "The spectral norm: how much the layer can stretch an input.",
        lambda layer: layer.max_singular_value,
    ),
    Term(
        "condition number",
        "σ_max / σ_min",
        "How unevenly directions are treated; large where some are nearly lost.",
        lambda layer: layer.condition_number,
    ),
    Term(
        f"hard rank ({_NAMES})",
        "#{i : σᵢ > tolerance}",
        "Directions that count as more than zero, by each of the tolerances.",
        _ranks,
    ),
    Term(
        f"tolerances ({_NAMES})",
        "σ_max·N·ε; σ_max·ε/2·√(N+M+1); a constant; what rounding can leave",
        "Singular values up to these count as zero. ε is the spacing of the stored numbers.",
        _tolerances,
    ),
    Term(
        "rank loss, rounding",
        "100 · (M − hard rank) / M",
        "Share of the directions that are nothing but rounding.",
        lambda layer: f"{layer.rank_loss_percent['rounding']:.3g}%",
    ),
    Term(
        "stable rank",
        "‖W‖²_F / σ²_max",
        "A rank that small singular values hardly change; at most M.",
        lambda layer: layer.stable_rank,
    ),
    Term(
        "effective rank",
        "exp(−Σ pᵢ ln pᵢ), p = σ / Σσ",
        "How many directions share the weight evenly, in the sense of entropy.",
        lambda layer: layer.effective_rank,
    ),
    Term(
        "Frobenius norm",
        "‖W‖_F = √Σσ²",
        "The size of all entries together.",
        lambda layer: layer.frobenius_norm,
    ),
    Term(
        "log norm",
        "log₁₀ Σλ",
        "The same on a logarithmic scale.",
        lambda layer: layer.log_norm,
    ),
    Term(
        "log spectral norm",
        "log₁₀ λ_max",
        "The largest eigenvalue on a logarithmic scale.",
        lambda layer: layer.log_spectral_norm,
    ),
    Term(
        "alpha",
        "ρ(λ) ∝ λ^(−α) for λ ≥ xmin",
        "Exponent of the tail. 2 to 6 in well-trained layers; above 6 hardly more structure than"
        " chance, below 2 very heavy tails. Uncertain on few eigenvalues.",
        _alpha,
    ),
    Term(
        "standard error of alpha",
        "(α − 1) / √n",
        "From the n eigenvalues of the tail.",
        fit_number("sigma"),
    ),
    Term(
        "D",
        "max |F_fit − F_data|",
        "Kolmogorov-Smirnov distance of the fit: above 0.1 the tail is hardly a power law.",
        fit_number("D"),
    ),
    Term("xmin", "the λ that minimises D", "Where the fitted tail begins.", fit_number("xmin")),
    Term(
        "eigenvalues in the tail", "n = #{λ ≥ xmin}", "What the fit rests on.", fit_number("n_tail")
    ),
    Term(
        "alpha weighted",
        "α · log₁₀ λ_max",
        "The exponent weighted with the size of the layer.",
        lambda layer: layer.alpha_weighted,
    ),
    Term(
        "log alpha norm",
        "log₁₀ Σλ^α",
        "A norm in which the tail decides.",
        lambda layer: layer.log_alpha_norm,
    ),
    Term(
        "sigma of the bulk",
        "the law fitted to the middle half of the λ",
        "Standard deviation of the entries that would make the bulk, were they random.",
        _bulk("sigma"),
    ),
    Term(
        "lower bulk edge",
        "λ₋ = σ²(√N − √M)²",
        "Where the eigenvalues of a random matrix begin.",
        _bulk("lambda_minus"),
    ),
    Term(
        "upper bulk edge",
        "λ₊ = σ²(√N + √M)²",
        "Where they end: what lies beyond was learned.",
        _bulk("lambda_plus"),
    ),
    Term(
        "spikes",
        "#{λ > λ₊ with a Tracy-Widom margin}",
        "Eigenvalues that stick out of the bulk.",
        _bulk("n_spikes"),
    ),
    Term(
        "MP soft rank",
        "λ₊ / λ_max",
        "1 where all is bulk, near 0 with long tails.",
        _bulk("soft_rank"),
    ),
    Term(
        "gamma",
        "the eigenvalue that splits the spectrum",
        "Tikhonov: eigenvalues above gamma are information, the others noise.",
        _split("gamma"),
    ),
    Term(
        "information, noise",
        "#{λ > γ}, #{λ ≤ γ}",
        "Eigenvalues on either side of gamma.",
        lambda layer: (
            f"{layer.tikhonov.n_information}, {layer.tikhonov.n_noise}" if layer.tikhonov else None
        ),
    ),
    Term(
        "share of information",
        "Σ_{λ>γ} λ / Σ λ",
        "How much of the squared norm is information.",
        _split("information_share"),
    ),
)
