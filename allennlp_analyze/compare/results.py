"""The results of a comparison: the baseline's numbers and those of each candidate."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Optional

from allennlp_analyze.metrics.catalogue import CATALOGUE
from allennlp_analyze.results.delta import Delta
from allennlp_analyze.results.layer import LayerResult, ModelReport, Skipped, ToolInfo
from allennlp_analyze.results.verdict import Verdict

MATCHED_BY = ("name", "name without prefix", "order and shape")
# How a layer changed, from bad to good.
CHANGES = ("collapsed", "worse", "incomparable", "same", "better", "recovered")
# The order of tables: what changed for the worse, what else changed, and the rest.
TABLE_ORDER = ("collapsed", "worse", "incomparable", "recovered", "better", "same")
# Of the layers that are the same, so many that moved most are shown.
MOST_MOVED = 10


def letter(index: int) -> str:
    """The reports' letter for the model at `index` of the command line: A (baseline), B, C."""
    return chr(ord("A") + index) if index < 26 else f"#{index + 1}"


@dataclass(frozen=True)
class Difference:
    """One measure of two layers; `comparable` is False if it depends on a size that differs."""

    baseline: Optional[float]
    candidate: Optional[float]
    comparable: bool = True

    @property
    def difference(self) -> Optional[float]:
        """Candidate minus baseline; None if either is missing or they are not comparable."""
        if self.baseline is None or self.candidate is None or not self.comparable:
            return None
        return _finite(self.candidate - self.baseline)

    @property
    def ratio(self) -> Optional[float]:
        """Candidate divided by baseline; also None if the baseline is 0."""
        if self.baseline is None or self.candidate is None or not self.comparable:
            return None
        return _finite(self.candidate / self.baseline) if self.baseline else None


def _all_lost(layer: LayerResult) -> tuple[int, int]:
    """The directions of `layer` that are lost, and those of which it is harmless."""
    harmless = layer.evidence.harmless_directions if layer.evidence else 0
    return layer.lost_directions, harmless


def _finite(number: float) -> Optional[float]:
    return number if math.isfinite(number) else None


_MEASURES = {metric.names[0]: metric for metric in CATALOGUE if metric.compared}
MEASURES = tuple(_MEASURES)


@dataclass(frozen=True)
class LayerPair:
    """A layer of the baseline and its counterpart.

    `matched_by` is one of `MATCHED_BY`. `spectral_distance` and `ks_distance` come from the module
    `distances`: how far the singular values moved, as a share of the baseline's root mean square,
    and how much the shape of the spectrum changed, independent of its scale (0 to 1).
    """

    baseline: LayerResult
    candidate: LayerResult
    matched_by: str
    spectral_distance: Optional[float]
    ks_distance: Optional[float]

    @property
    def same_size(self) -> bool:
        """Whether N and M are equal; a transposed matrix has the same singular values."""
        return (self.baseline.N, self.baseline.M) == (self.candidate.N, self.candidate.M)

    @property
    def incomparable(self) -> str:
        """Why the singular values cannot be compared one by one; "" if they can."""
        if self.same_size:
            return ""
        before, after = self.baseline, self.candidate
        return f"the shape changed from {before.N} x {before.M} to {after.N} x {after.M}"

    @property
    def moved(self) -> Optional[float]:
        """`spectral_distance`, or None if the sizes differ."""
        return self.spectral_distance if self.same_size else None

    @property
    def differences(self) -> dict[str, Difference]:
        """All of `MEASURES`; those that depend on a size that differs have no difference."""
        return {name: self.measure(name) for name in MEASURES}

    def measure(self, name: str) -> Difference:
        """One of `MEASURES`."""
        measure = _MEASURES[name]
        before, after = measure.read(self.baseline), measure.read(self.candidate)
        return Difference(
            None if before is None else float(before),
            None if after is None else float(after),
            self.same_size or measure.size_free,
        )

    @property
    def verdict_got_worse(self) -> bool:
        """Whether the verdict is more severe; False unless both layers are judged."""
        return self.candidate.verdict.is_worse_than(self.baseline.verdict)

    @property
    def change(self) -> str:
        """One of `CHANGES`.

        "collapsed" and "recovered" describe the verdict, "worse" and "better" its other steps or,
        without such a step, the share of lost directions (`lost_percent`). If the size differs, a
        layer without a step for the worse or better is "incomparable".
        """
        before, after = self.baseline.verdict, self.candidate.verdict
        if after.is_worse_than(before):
            return "collapsed" if after is Verdict.COLLAPSED else "worse"
        if before.is_worse_than(after):
            return "recovered" if before is Verdict.COLLAPSED else "better"
        lost = self.measure("lost_percent").difference or 0.0
        if lost > 0:
            return "worse"
        if not self.same_size:
            return "incomparable"
        return "better" if lost < 0 else "same"

    @property
    def place(self) -> tuple[int, float, float, float]:
        """The sort key of tables: `TABLE_ORDER`, the worst verdict, the most lost, the farthest."""
        lost = self.measure("lost_percent").difference or 0.0
        severity = self.candidate.verdict.severity or 0
        return TABLE_ORDER.index(self.change), -severity, -lost, -(self.moved or 0.0)

    @property
    def cause_changed(self) -> bool:
        """Whether the verdict changed, or the number of lost directions, with harmless ones."""
        before, after = self.baseline, self.candidate
        return before.verdict is not after.verdict or _all_lost(before) != _all_lost(after)

    @property
    def new_warnings(self) -> tuple[str, ...]:
        """Warnings on the candidate's layer that the baseline's does not have."""
        return tuple(w for w in self.candidate.warnings if w not in self.baseline.warnings)

    @property
    def gone_warnings(self) -> tuple[str, ...]:
        """Warnings on the baseline's layer that the candidate's does not have."""
        return tuple(w for w in self.baseline.warnings if w not in self.candidate.warnings)


@dataclass(frozen=True)
class Unmatched:
    """A layer without a counterpart; `reason` is why the other model skipped its parameter.

    `reason` is None if the other model has no such parameter. `invalid` marks NaN or infinity
    there.
    """

    layer: LayerResult
    reason: Optional[str] = None
    invalid: bool = False


@dataclass(frozen=True)
class Failure:
    """A layer (or parameter) that got worse than allowed, and how."""

    layer: str
    reason: str


@dataclass(frozen=True)
class LayerDelta:
    """The change of the layer `name` of the baseline; its counterpart is `candidate`.

    `delta` is None if it was not measured, for this `reason`. `is_adapter` says that an adapter
    (LoRA) of the candidate makes the change to the baseline's layer.
    """

    name: str
    candidate: str
    delta: Optional[Delta]
    reason: Optional[str] = None
    is_adapter: bool = False


@dataclass(frozen=True)
class AttentionGrowth:
    """A block of attention in both models: the largest possible logit of each head."""

    name: str
    candidate_name: str
    baseline: tuple[float, ...]
    candidate: tuple[float, ...]

    @property
    def ratios(self) -> tuple[Optional[float], ...]:
        """Candidate divided by baseline for each head; None if the baseline is 0."""
        return tuple(
            _finite(after / before) if before else None
            for before, after in zip(self.baseline, self.candidate)
        )

    @property
    def largest_head(self) -> int:
        """The head that grew most."""
        ratios = self.ratios
        return max(range(len(ratios)), key=lambda head: ratios[head] or 0.0)

    @property
    def largest_ratio(self) -> Optional[float]:
        """How much that head grew."""
        return self.ratios[self.largest_head]


@dataclass(frozen=True)
class ComparedModel:
    """A report and the user's argument for it."""

    label: str
    report: ModelReport


@dataclass(frozen=True)
class ModelComparison:
    """The baseline against one candidate.

    `pairs` and `missing` (layers of the baseline without a counterpart) are in the baseline's
    order, `added` (layers of the candidate without one) in the candidate's. `new_invalid` are the
    candidate's tensors with NaN or infinity that the baseline does not have. `worse` lists what
    changed for the worse, with the evidence, and `failures` what got worse than allowed, both
    with the worst first; `warnings` say what makes the two models hard to compare. `attention` are
    the blocks of attention of both. `deltas` are the changes of the weights of all pairs, and those
    by adapters, with `deltas_sentence` about them; None if they were not asked for.
    """

    letter: str
    candidate: ComparedModel
    pairs: tuple[LayerPair, ...]
    missing: tuple[Unmatched, ...]
    added: tuple[Unmatched, ...]
    new_invalid: tuple[Skipped, ...]
    worse: tuple[Failure, ...]
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    sentence: str
    attention: tuple[AttentionGrowth, ...] = ()
    deltas: Optional[tuple[LayerDelta, ...]] = None
    deltas_sentence: Optional[str] = None

    @property
    def counts(self) -> dict[str, int]:
        """The number of pairs with each of `CHANGES`."""
        found = Counter(pair.change for pair in self.pairs)
        return {change: found[change] for change in CHANGES}

    @property
    def worst_first(self) -> tuple[LayerPair, ...]:
        """The pairs in the order of tables; equal ones are in the baseline's."""
        return tuple(sorted(self.pairs, key=lambda pair: pair.place))

    @property
    def shown(self) -> tuple[LayerPair, ...]:
        """The pairs that changed, and the `MOST_MOVED` others that moved most, the worst first."""
        changed = [pair for pair in self.worst_first if pair.change != "same"]
        moved = [pair for pair in self.worst_first if pair.change == "same" and pair.moved]
        return (*changed, *moved[:MOST_MOVED])

    @property
    def folded(self) -> tuple[LayerPair, ...]:
        """The pairs that are not in `shown`, in the order of tables."""
        shown = {id(pair) for pair in self.shown}
        return tuple(pair for pair in self.worst_first if id(pair) not in shown)


@dataclass(frozen=True)
class ComparisonReport:
    """A baseline against every candidate, from which every report of the comparison is written.

    `allowed_rank_loss` is the increase of rank loss, in percentage points, that is not a failure.
    """

    tool: ToolInfo
    baseline: ComparedModel
    candidates: tuple[ModelComparison, ...]
    allowed_rank_loss: float
