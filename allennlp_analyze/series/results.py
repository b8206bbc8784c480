"""The results of a series as frozen dataclasses: each layer over time, and what began when."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

from allennlp_analyze.results.layer import ToolInfo
from allennlp_analyze.results.verdict import JUDGED_KINDS, Verdict

FULL_RANK = Verdict.FULL_RANK
# Layers that one figure can show.
MAX_TOGETHER = 6


@dataclass(frozen=True)
class State:
    """One layer at one checkpoint.

    `null_ratio` is its smallest singular value over that of noise of the same size, `rms` the root
    mean square of its entries, and `rms_ratio` that over the one at the first checkpoint.
    `harmless_directions` are lost, but do not matter. `spectral_norm` is sigma_max. Numbers are
    None where the analysis has none.

    Of a run that a monitor watched: `update` is the norm of the change of the weights since the
    reading before over that of the weights, `update_stable_rank` the stable rank of that change,
    `learning_rate` and `weight_decay` those of the optimizer.
    """

    verdict: Verdict
    lost_directions: int
    harmless_directions: int
    min_singular_value: Optional[float]
    null_ratio: Optional[float]
    stable_rank: Optional[float]
    effective_rank: Optional[float]
    alpha: Optional[float]
    spectral_norm: Optional[float]
    rms: Optional[float]
    rms_ratio: Optional[float]
    reason: str
    update: Optional[float] = None
    update_stable_rank: Optional[float] = None
    learning_rate: Optional[float] = None
    weight_decay: Optional[float] = None


@dataclass(frozen=True)
class Track:
    """One layer over time: a state for each checkpoint, None where it was not measured.

    `M` is the number of its singular values; `shape` is that of its last state, None if only M is
    known. `warned` is the first checkpoint at which a monitor warned of it although its verdict was
    still good, with the warning.
    """

    layer: str
    kind: str
    M: int
    shape: Optional[tuple[int, int]]
    states: tuple[Optional[State], ...]
    warned: Optional[tuple[int, str]] = None

    @property
    def counts(self) -> bool:
        """Whether the verdict on a model includes this layer: it multiplies activations."""
        return self.kind in JUDGED_KINDS

    @property
    def last(self) -> State:
        """The state at the last checkpoint that has one."""
        return next(state for state in reversed(self.states) if state is not None)

    @property
    def since(self) -> Optional[int]:
        """The checkpoint since which the layer has been as bad as it is now, or worse.

        None if it is not worse than full rank now.
        """
        now = self.last.verdict
        if not now.is_worse_than(FULL_RANK):
            return None
        begun = None
        for index, state in reversed(list(enumerate(self.states))):
            if state is None or not state.verdict.is_judgement:
                continue
            if now.is_worse_than(state.verdict):
                break
            begun = index
        return begun

    @property
    def recovered(self) -> Optional[int]:
        """The last checkpoint at which the layer was worse than full rank; None if it still is.

        None, too, if it never was.
        """
        if self.since is not None:
            return None
        bad = [i for i, x in enumerate(self.states) if x and x.verdict.is_worse_than(FULL_RANK)]
        return bad[-1] if bad else None


@dataclass(frozen=True)
class SeriesCheckpoint:
    """One checkpoint: its numbers, and how its analysis ended.

    `directory` has its reports; it is relative to that of the series, with slashes. `reason` says
    why the analysis failed; then `verdict` is None.
    """

    label: str
    archive: str
    epoch: Optional[int]
    step: Optional[int]
    directory: str
    verdict: Optional[Verdict]
    sentence: str
    reason: Optional[str] = None
    seconds: float = 0.0


@dataclass(frozen=True)
class SeriesReport:
    """A training as a story: its checkpoints in order, and each layer over time.

    `left_out` lists other models that were found, each with the reason.
    """

    tool: ToolInfo
    title: str
    settings: dict[str, object]
    checkpoints: tuple[SeriesCheckpoint, ...]
    tracks: tuple[Track, ...] = field(repr=False)
    left_out: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def failed(self) -> tuple[SeriesCheckpoint, ...]:
        return tuple(x for x in self.checkpoints if x.verdict is None)

    @property
    def last(self) -> Optional[SeriesCheckpoint]:
        """The last checkpoint that could be analyzed."""
        return next((x for x in reversed(self.checkpoints) if x.verdict is not None), None)

    @property
    def axis(self) -> tuple[str, tuple[float, ...]]:
        """What the checkpoints are counted by, and the value of each: increasing numbers.

        "step" or "epoch" if all checkpoints but the final model have it, else "checkpoint".
        """
        for name in ("step", "epoch"):
            values = [getattr(x, name) for x in self.checkpoints]
            if len(values) > 1 and values[-1] is None and values[-2] is not None:
                values[-1] = values[-2] + _usual_distance(values[:-1])
            known = [float(x) for x in values if x is not None]
            if len(known) == len(values) and all(a < b for a, b in zip(known, known[1:])):
                return name, tuple(known)
        return "checkpoint", tuple(float(i) for i in range(1, len(self.checkpoints) + 1))

    @property
    def went_wrong(self) -> tuple[Track, ...]:
        """The layers that count and are worse than full rank at the end, the worst first."""
        bad = [x for x in self.tracks if x.counts and x.since is not None]
        return tuple(sorted(bad, key=_worst_first))

    @property
    def warned(self) -> tuple[Track, ...]:
        """The layers that count and are well, but were warned of and have not been bad since."""
        return tuple(
            x
            for x in self.tracks
            if x.counts and x.warned and x.since is None and (x.recovered or -1) < x.warned[0]
        )

    @property
    def recovered(self) -> tuple[Track, ...]:
        """The layers that count and were worse than full rank, but are not any more."""
        return tuple(x for x in self.tracks if x.counts and x.recovered is not None)

    @property
    def worst_first(self) -> tuple[Track, ...]:
        """All layers: those that went wrong or were warned of, then those nearest to it."""
        first = (*self.went_wrong, *self.warned)
        named = {id(track) for track in first}
        rest = [x for x in self.tracks if id(x) not in named]
        return (*first, *sorted(rest, key=lambda x: (not x.counts, _nearness(x))))

    @property
    def telling(self) -> tuple[Track, ...]:
        """The layers to draw together: those that went wrong, then those nearest to it."""
        rest = [x for x in self.tracks if x.counts and x.since is None]
        rest.sort(key=_nearness)
        return (*self.went_wrong, *rest)[:MAX_TOGETHER]


def _usual_distance(values: Sequence[int]) -> int:
    return max(values[-1] - values[-2], 1) if len(values) > 1 and values[-2] is not None else 1


def _nearness(track: Track) -> float:
    ratio = track.last.null_ratio
    return math.inf if ratio is None else ratio


def _worst_first(track: Track) -> tuple[float, float, int]:
    state = track.last
    severity = state.verdict.severity or 0
    return (-severity, -state.lost_directions / track.M, track.since or 0)
