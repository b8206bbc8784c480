"""The results of the analysis of a zoo as frozen dataclasses."""

from dataclasses import dataclass, field
from typing import Optional

from allennlp_analyze.results.evidence import Cause
from allennlp_analyze.results.files import FileState
from allennlp_analyze.results.layer import Summary, ToolInfo
from allennlp_analyze.results.verdict import JUDGED_KINDS, MIN_Q, Verdict

# The states of a model's analysis.
DONE, FAILED = "done", "failed"
STATUSES = (DONE, FAILED)
CLAIM_VERDICTS = ("holds", "does not hold", "not run")


@dataclass(frozen=True)
class ZooCause:
    """A cause of a layer's findings; `count` is the number of its directions.

    `is_lost` is False for weak directions, and for units or a layer without a lost direction.
    """

    cause: Cause
    count: int
    is_harmless: bool
    is_lost: bool


@dataclass(frozen=True)
class WorstLayer:
    """The layer of a model that says most about its verdict, and why, in words."""

    name: str
    kind: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class ZooLayer:
    """The numbers of one layer for figures and claims over all models.

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
    causes: tuple[ZooCause, ...] = ()

    @property
    def Q(self) -> float:
        """The aspect ratio N / M >= 1."""
        return self.N / self.M

    @property
    def is_linear(self) -> bool:
        """Whether figures, counts and claims over all models include it."""
        return self.kind == "linear"

    @property
    def is_assessed(self) -> bool:
        """Whether theory keeps the smallest singular value of a healthy layer above 0.

        As in the study, that is so with Q > MIN_Q; the verdict judges squares, too.
        """
        return self.verdict.is_judgement and self.Q > MIN_Q


@dataclass(frozen=True)
class ModelOutcome:
    """The outcome of one model, which is stored in its directory.

    `request` is a digest of the request; an outcome with another digest is out of date. `weights`
    is a digest of the names, shapes and norms of its matrices, equal if two archives have the same
    weights. `worst_layer` is the worst of the judged layers, or of all. `files` are the states of
    the files that were read: a change of one makes the outcome out of date, too. `reports` are the
    names of the files in its directory, with the sizes of those that hold numbers. The fields after
    `seconds` are empty or None for a failed model.
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
    files: tuple[FileState, ...] = field(default=(), repr=False)
    reports: tuple[tuple[str, Optional[int]], ...] = field(default=(), repr=False)
    worst_layer: Optional[WorstLayer] = None

    @property
    def lost_percent(self) -> Optional[float]:
        """The largest share of directions that one of the layers behind the verdict has lost."""
        judged = (x for x in self.layers if x.kind in JUDGED_KINDS and x.verdict.is_judgement)
        return max((x.rank_loss_percent for x in judged), default=None)


@dataclass(frozen=True)
class ZooModel:
    """One model of a zoo.

    `directory` has its reports; it is relative to the zoo's directory, with slashes. `duplicate_of`
    is the name of an earlier model with the same file or the same weights, `checkpoint_of` that of
    the model which stands for the training of which this is another checkpoint; then this one is
    listed but not counted.
    """

    name: str
    group: str
    archive: str
    directory: str
    outcome: ModelOutcome = field(repr=False)
    duplicate_of: Optional[str] = None
    checkpoint_of: Optional[str] = None

    @property
    def is_repeated(self) -> bool:
        """Whether another model counts for it: its twin, or one of the same training."""
        return self.duplicate_of is not None or self.checkpoint_of is not None

    @property
    def is_counted(self) -> bool:
        """Whether figures, counts and claims include it."""
        return self.outcome.status == DONE and not self.is_repeated


@dataclass(frozen=True)
class ZooRun:
    """One training of which the zoo has several checkpoints; `model` stands for it in all counts.

    `why` says why it is that one. Of the others, `listed` are the names of models of the zoo, and
    `not_analyzed` paths below its directory. `follow` are the arguments of `allennlp-analyze
    series`, quoted for a shell.
    """

    model: str
    why: str
    listed: tuple[str, ...] = ()
    not_analyzed: tuple[str, ...] = ()
    follow: str = ""

    @property
    def others(self) -> tuple[str, ...]:
        """All checkpoints that are not counted."""
        return (*self.listed, *self.not_analyzed)


@dataclass(frozen=True)
class Claim:
    """A statement of the 2018 study and our numbers for it.

    `verdict` is one of `CLAIM_VERDICTS`; for "not run", `note` gives the reason. `published` and
    `ours` are short texts with the numbers; `data` names the file with ours.
    """

    claim: str
    published: str
    ours: str
    verdict: str
    note: str = ""
    data: Optional[str] = None


@dataclass(frozen=True)
class CauseTotals:
    """How many layers have findings with a cause, and in how many models.

    `n_harmful` of the `n_layers` have lost directions for it, `n_harmless` harmless ones. The
    `n_other` layers have weak directions, or units without a lost direction.
    """

    cause: Cause
    n_models: int
    n_layers: int
    n_harmful: int
    n_harmless: int
    n_other: int


@dataclass(frozen=True)
class ZooTotals:
    """The totals over all models of a zoo, or over one group.

    `n_checkpoints` are analyzed, but another checkpoint of their training is counted. The fields
    after `n_counted` are over the counted models. `n_layers` counts their matrices of
    every kind. The fields after it are over their linear layers, the last four over assessed ones,
    except `median_alpha`, which is over all `n_power_law` layers with a fit. `models_by_verdict`
    counts the models by every `Verdict`, `layers_by_verdict` the linear layers by
    `verdict.LAYER_VERDICTS`. `causes` are over layers of every kind, the most frequent first.
    """

    n_models: int
    n_done: int
    n_failed: int
    n_duplicates: int
    n_checkpoints: int
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
    causes: tuple[CauseTotals, ...] = ()


@dataclass(frozen=True)
class ZooSummary:
    """The totals over all models, and of each group in the order of its first model."""

    totals: ZooTotals
    groups: dict[str, ZooTotals]


@dataclass(frozen=True)
class ZooReport:
    """The analysis of all models of a zoo, from which every report of the zoo is written.

    `summary` is the result of `summary.summarize_zoo`; reports that need it cannot be written
    without it. `trainer_files` and `unread` are those of the manifest: what was passed over; `runs`
    are the trainings that are counted once. The page and the terminal have `claims` only if
    `shows_claims`.
    """

    tool: ToolInfo
    title: str
    manifest: str
    settings: dict[str, object]
    models: tuple[ZooModel, ...]
    claims: tuple[Claim, ...] = ()
    seconds: float = 0.0
    summary: Optional[ZooSummary] = None
    trainer_files: int = 0
    unread: tuple[str, ...] = ()
    shows_claims: bool = False
    runs: tuple[ZooRun, ...] = ()

    @property
    def counted(self) -> tuple[ZooModel, ...]:
        """The models that figures, counts and claims include."""
        return tuple(model for model in self.models if model.is_counted)

    @property
    def failed(self) -> tuple[ZooModel, ...]:
        return tuple(model for model in self.models if model.outcome.status == FAILED)

    @property
    def duplicates(self) -> tuple[ZooModel, ...]:
        """The models with the same file or weights as an earlier one."""
        return tuple(model for model in self.models if model.duplicate_of is not None)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups in the order of their first models."""
        return tuple(dict.fromkeys(model.group for model in self.models))

    def require_summary(self) -> ZooSummary:
        """Returns `summary`. Raises `ValueError` if it is missing, a mistake of the caller."""
        if self.summary is None:
            raise ValueError("the report of a zoo has no summary: call zoo.summary.summarize_zoo")
        return self.summary
