"""What the analysis of a zoo of models found, as frozen dataclasses."""

from dataclasses import dataclass, field
from typing import Optional

from allennlp_analyze.results.layer import Summary, ToolInfo
from allennlp_analyze.results.verdict import Verdict

# What became of a model.
DONE, FAILED = "done", "failed"
STATUSES = (DONE, FAILED)
CLAIM_VERDICTS = ("holds", "does not hold", "not run")


@dataclass(frozen=True)
class ZooLayer:
    """The numbers of one layer that figures and claims over all models need.

    `rank_loss_percent` is its `lost_percent`; `alpha` and `D` are None without a fit.
    """

    name: str
    kind: str
    N: int
    M: int
    min_singular_value: float
    rank_loss_percent: float
    alpha: Optional[float]
    D: Optional[float]
    verdict: Verdict

    @property
    def Q(self) -> float:
        """The aspect ratio N / M >= 1."""
        return self.N / self.M

    @property
    def is_linear(self) -> bool:
        """Whether figures, counts and claims over all models look at it."""
        return self.kind == "linear"

    @property
    def is_assessed(self) -> bool:
        """Whether theory keeps the smallest singular value of a healthy layer from 0."""
        return self.verdict.is_judgement


@dataclass(frozen=True)
class ModelOutcome:
    """What became of one model, as its own directory keeps it.

    `request` is a digest of all that was asked for: of another, the outcome is out of date.
    `weights` is a digest of the names, shapes and norms of its matrices: equal where two archives
    hold the same weights. What follows `seconds` is empty or None for a model that failed.
    """

    status: str
    request: str
    reason: Optional[str] = None
    seconds: float = 0.0
    sha256: Optional[str] = None
    weights: Optional[str] = None
    resolved: Optional[str] = None
    model_type: Optional[str] = None
    summary: Optional[Summary] = None
    layers: tuple[ZooLayer, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ZooModel:
    """One model of a zoo.

    `directory` is where its reports are, relative to the zoo's and with slashes. `duplicate_of` is
    the name of an earlier model with the same file or the same weights: then this one is named, and
    not counted.
    """

    name: str
    group: str
    archive: str
    directory: str
    outcome: ModelOutcome = field(repr=False)
    duplicate_of: Optional[str] = None

    @property
    def is_counted(self) -> bool:
        """Whether figures, counts and claims include it."""
        return self.outcome.status == DONE and self.duplicate_of is None


@dataclass(frozen=True)
class Claim:
    """A statement of the 2018 study beside what was found.

    `verdict` is one of `CLAIM_VERDICTS`; "not run" says in `note` why there is nothing to judge by.
    `published` and `ours` are short texts with the numbers; `data` names the file they come from.
    """

    claim: str
    published: str
    ours: str
    verdict: str
    note: str = ""
    data: Optional[str] = None


@dataclass(frozen=True)
class ZooTotals:
    """All models of a zoo in a few numbers, or those of one group.

    What follows `n_counted` is over the counted models. `n_layers` are their matrices of every
    kind; what follows that is over their linear layers, the last four over assessed ones, but for
    `median_alpha`, which is over all `n_power_law` with a fit. `models_by_verdict` counts the
    models by every `Verdict`, `layers_by_verdict` the linear layers by `verdict.LAYER_VERDICTS`.
    """

    n_models: int
    n_done: int
    n_failed: int
    n_duplicates: int
    n_counted: int
    models_by_verdict: dict[Verdict, int]
    n_layers: int
    n_linear: int
    n_assessed: int
    n_power_law: int
    layers_by_verdict: dict[Verdict, int]
    median_alpha: Optional[float]
    max_rank_loss_percent: Optional[float]
    min_singular_value: Optional[float]
    min_singular_value_model: Optional[str]
    min_singular_value_layer: Optional[str]


@dataclass(frozen=True)
class ZooSummary:
    """The totals over all models, and of each group in the order of its first model."""

    totals: ZooTotals
    groups: dict[str, ZooTotals]


@dataclass(frozen=True)
class ZooReport:
    """The analysis of all models of a zoo: what every report format over them is written from.

    `summary` is what `zoo_summary.summarise_zoo` makes of `models`; reports that need it cannot be
    written without.
    """

    tool: ToolInfo
    title: str
    manifest: str
    settings: dict[str, object]
    models: tuple[ZooModel, ...]
    claims: tuple[Claim, ...] = ()
    seconds: float = 0.0
    summary: Optional[ZooSummary] = None

    @property
    def counted(self) -> tuple[ZooModel, ...]:
        """The models that figures, counts and claims include."""
        return tuple(model for model in self.models if model.is_counted)

    @property
    def failed(self) -> tuple[ZooModel, ...]:
        return tuple(model for model in self.models if model.outcome.status == FAILED)

    @property
    def duplicates(self) -> tuple[ZooModel, ...]:
        """The models whose file or weights an earlier one has."""
        return tuple(model for model in self.models if model.duplicate_of is not None)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups in the order of their first models."""
        return tuple(dict.fromkeys(model.group for model in self.models))

    def require_summary(self) -> ZooSummary:
        """`summary`. Raises `ValueError` where there is none: a mistake of the caller."""
        if self.summary is None:
            raise ValueError("the report of a zoo needs its summary: zoo_summary.summarise_zoo")
        return self.summary
