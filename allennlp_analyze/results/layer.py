"""The results of an analysis: frozen dataclasses with measurements; ratios are properties."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional, Union

import numpy as np

from allennlp_analyze.results.adapter import AdapterResult
from allennlp_analyze.results.attention import AttentionLogits
from allennlp_analyze.results.attributes import LayerAttributes
from allennlp_analyze.results.evidence import Evidence
from allennlp_analyze.results.files import FileState
from allennlp_analyze.results.reference import ReferenceComparison
from allennlp_analyze.results.uncertainty import AlphaUncertainty
from allennlp_analyze.results.verdict import Verdict, count_lost, lower_edge
from allennlp_analyze.text.redaction import redacted_url

TOLERANCES = ("numpy", "numerical_recipes", "loose", "rounding")
# The beginnings of the layer warnings that reports explain further.
TIED_WARNING = "tied: "
FEW_WARNING = "power law fitted to only "


@dataclass(frozen=True)
class Tolerances:
    """One number per rule that decides which singular values count as zero."""

    numpy: float
    numerical_recipes: float
    loose: float
    rounding: float

    @property
    def zero(self) -> float:
        """The largest singular value of a lost direction, from rounding in the stored precision.

        The `numpy` tolerance is not used: it grows with N, and would count the smallest directions
        of a healthy, large embedding as lost.
        """
        return max(self.rounding, self.numerical_recipes)


@dataclass(frozen=True)
class HardRank:
    """Number of singular values above each of the `Tolerances`."""

    numpy: int
    numerical_recipes: int
    loose: int
    rounding: int


@dataclass(frozen=True)
class MarchenkoPastur:
    """The Marchenko-Pastur law of the bulk, in the units of the eigenvalues of W^T W.

    `sigma`, `lambda_minus` and `lambda_plus` are those of the bulk, fitted so that spikes have no
    weight; the `entry_*` fields use the standard deviation of all entries. `n_spikes` counts
    eigenvalues above `spike_threshold`, which is lambda_plus with a Tracy-Widom margin.
    """

    sigma: float
    lambda_minus: float
    lambda_plus: float
    spike_threshold: float
    n_spikes: int
    soft_rank: float
    entry_sigma: float
    entry_lambda_minus: float
    entry_lambda_plus: float


@dataclass(frozen=True)
class Tikhonov:
    """The spectrum split at gamma: eigenvalues above it are information, the others noise."""

    gamma: float
    n_information: int
    n_noise: int
    information_share: float
    noise_share: float


@dataclass(frozen=True)
class Comparison:
    """Log-likelihood ratio of the power law against another distribution, and its p-value.

    `ratio` > 0 favors the power law (normalized as in the powerlaw package).
    """

    ratio: Optional[float]
    p: Optional[float]


@dataclass(frozen=True)
class PowerLaw:
    """Continuous maximum-likelihood power law of the eigenvalues >= xmin.

    `D` is the Kolmogorov-Smirnov distance, `sigma` the standard error of alpha, `n_tail` the number
    of eigenvalues >= xmin.
    """

    alpha: float
    D: float
    xmin: float
    sigma: float
    n_tail: int
    best_fit: Optional[str] = None
    comparisons: Optional[dict[str, Comparison]] = None


@dataclass(frozen=True)
class LayerResult(LayerAttributes):
    """All measurements of one matrix W (N x M, N >= M).

    `singular_values` (M,) are float64 and descending. `shape` is the shape of the matrix in the
    model (rows x columns). `metrics` are the catalogue's scalars of the spectrum, by key. Every
    number is an attribute, too, named like its column in layers.csv: `alpha` is `power_law.alpha`,
    `mp_lambda_plus` is `marchenko_pastur.lambda_plus`. An undefined number is None, never NaN.
    """

    name: str
    parameter: str
    part: Optional[str]
    module_index: Optional[int]
    kind: str
    kind_source: str
    module_class: Optional[str]
    shape: tuple[int, int]
    dtype: str
    singular_values: np.ndarray = field(repr=False, compare=False)
    hard_rank: HardRank
    tolerance: Tolerances
    metrics: Mapping[str, Optional[float]] = field(hash=False)
    marchenko_pastur: Optional[MarchenkoPastur]
    tikhonov: Optional[Tikhonov]
    power_law: Optional[PowerLaw]
    power_law_note: Optional[str]
    verdict: Verdict
    warnings: tuple[str, ...] = ()
    evidence: Optional[Evidence] = None
    uncertainty: Optional[AlphaUncertainty] = None

    @property
    def M(self) -> int:
        """The smaller dimension: the number of singular values."""
        return min(self.shape)

    @property
    def N(self) -> int:
        """The larger dimension."""
        return max(self.shape)

    @property
    def Q(self) -> float:
        """The aspect ratio N / M >= 1."""
        return self.N / self.M

    @property
    def min_singular_value(self) -> float:
        return float(self.singular_values[-1])

    @property
    def max_singular_value(self) -> float:
        return float(self.singular_values[0])

    @property
    def spectral_norm(self) -> float:
        """sigma_max, as usual (WeightWatcher uses this name for lambda_max)."""
        return self.max_singular_value

    @property
    def rms(self) -> Optional[float]:
        """The root mean square of the entries."""
        if self.frobenius_norm is None:
            return None
        return self.frobenius_norm / math.sqrt(self.N * self.M)

    @property
    def lower_edge(self) -> Optional[float]:
        """The smallest singular value of noise of the same size and variance, see `verdict`.

        Without a Marchenko-Pastur law, the root mean square of the entries replaces their standard
        deviation. None if neither is known.
        """
        if self.marchenko_pastur is not None:
            return lower_edge(self.marchenko_pastur.entry_sigma, self.N, self.M)
        if self.rms is None:
            return None
        return lower_edge(self.rms, self.N, self.M)

    @property
    def lost_directions(self) -> int:
        """Number of lost directions out of M by the rule of the verdict, without harmless ones.

        Early reports have no evidence; theirs are counted by the rule of that time.
        """
        if self.evidence is not None:
            return self.evidence.lost_directions
        if self.verdict is Verdict.NOT_ASSESSED:
            return count_lost(self.singular_values, self.tolerance.zero, 0.0)
        if self.verdict is not Verdict.COLLAPSED:
            return 0
        edge = self.lower_edge or 0.0
        return max(count_lost(self.singular_values, self.tolerance.zero, edge), 1)

    @property
    def reason(self) -> str:
        """The findings in words, "" if there are none."""
        return self.evidence.reason if self.evidence is not None else ""

    @property
    def lost_percent(self) -> float:
        """Percentage of the M directions that are lost, as `lost_directions` counts them."""
        return 100.0 * self.lost_directions / self.M

    @property
    def rank_loss_percent(self) -> dict[str, float]:
        """Percentage of the M directions that count as zero under each tolerance."""
        return {t: 100.0 * (self.M - getattr(self.hard_rank, t)) / self.M for t in TOLERANCES}

    @property
    def eigenvalues(self) -> np.ndarray:
        """(M,) eigenvalues of W^T W, descending: squared singular values, not divided by N."""
        return self.singular_values**2


@dataclass(frozen=True)
class Skipped:
    """A skipped tensor and the reason; `invalid` marks a tensor with NaN or infinity.

    `weights` is the number of weights not judged for this reason, 0 for what is no weight matrix.
    """

    parameter: str
    shape: tuple[int, ...]
    reason: str
    invalid: bool = False
    weights: int = 0


# The outcome for one matrix.
LayerOutcome = Union[LayerResult, Skipped]


@dataclass(frozen=True)
class SourceInfo:
    """The origin of the weights. `walk` is "weights", or "modules" if modules were built.

    A URL is redacted: reports are mailed.
    """

    archive: str
    resolved: str
    sha256: Optional[str]
    weights_file: Optional[str]
    model_type: Optional[str]
    walk: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "archive", redacted_url(self.archive))


@dataclass(frozen=True)
class ToolInfo:
    """Versions of the packages in use; None if not installed."""

    version: str
    python: str
    torch: Optional[str]
    numpy: str
    powerlaw: Optional[str]
    allennlp: Optional[str]


@dataclass(frozen=True)
class Summary:
    """The model in a few numbers. Means skip layers without the number.

    `verdict` is INVALID if a tensor contains NaN or infinity; `n_invalid` counts such tensors.
    Otherwise it is the worst of the `n_judged` layers that multiply activations, or NOT_ASSESSED if
    `judged_percent` of the model's weights, embeddings included, is too little. The `n_assessed`
    layers are the linear ones with Q > MIN_Q; `max_rank_loss_percent` is their largest loss.
    """

    verdict: Verdict
    sentence: str
    n_layers: int
    n_skipped: int
    n_invalid: int
    n_assessed: int
    layers_by_kind: dict[str, int]
    layers_by_verdict: dict[Verdict, int]
    min_singular_value: Optional[float]
    min_singular_value_layer: Optional[str]
    max_rank_loss_percent: Optional[float]
    mean_alpha: Optional[float]
    median_alpha: Optional[float]
    n_power_law: int
    n_judged: int = 0
    judged_percent: Optional[float] = None


@dataclass(frozen=True)
class Timing:
    """Wall seconds of each stage, which add up to the time of the command.

    `startup` is the time before the command's own work, 0 when used as a library.
    """

    startup: float = 0.0
    read: float = 0.0
    spectra: float = 0.0
    fits: float = 0.0
    write: float = 0.0
    plots: float = 0.0


@dataclass(frozen=True)
class ModelReport:
    """The analysis of one model, from which every report format is written.

    `files` are the states of the files that were read; they are in no report.
    """

    tool: ToolInfo
    source: SourceInfo
    settings: dict[str, object]
    layers: tuple[LayerResult, ...]
    skipped: tuple[Skipped, ...]
    summary: Summary
    timing: Timing
    warnings: tuple[str, ...] = ()
    reference: Optional[ReferenceComparison] = None
    adapters: tuple[AdapterResult, ...] = ()
    attention: tuple[AttentionLogits, ...] = ()
    files: tuple[FileState, ...] = field(default=(), repr=False, compare=False)
