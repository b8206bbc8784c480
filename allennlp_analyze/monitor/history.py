"""What is remembered of each layer of a training, and when it has to be warned of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

from allennlp_analyze.monitor.results import Reading
from allennlp_analyze.results.verdict import LAYER_VERDICTS, Verdict
from allennlp_analyze.storage.records import decoded

# A layer that theory lets lose directions (Q <= MIN_Q) does so when healthy, a few of them, and
# more the coarser its weights are stored: bfloat16 costs random square matrices 0.7%, see
# tests/monitor/test_history.py. Only more than this share of them, and more than one, is a loss.
NOTABLE_SHARE = 0.05
# What a checkpoint says of a layer that was not warned of.
WELL = "well"


class When(NamedTuple):
    """A check: the `number` of an "epoch", or of a "check" where no epochs were given."""

    unit: str
    number: float


@dataclass(frozen=True)
class Trouble:
    """A layer has to be warned of: it is `state`, worse than FULL_RANK.

    `since` is the last check at which it was well, None when it never was; `at_first` says that
    this is the first look at it. `smallest` is the largest that its smallest singular value has
    been while it was well, None when it never was.
    """

    state: Verdict
    since: Optional[When]
    at_first: bool
    smallest: Optional[float] = None


@dataclass
class LayerHistory:
    """One layer, from check to check. `warned` is what was warned of last, FULL_RANK: nothing."""

    since: Optional[When] = None
    warned: Verdict = Verdict.FULL_RANK
    lost_at_first: Optional[int] = None
    smallest: Optional[float] = None

    def state(self) -> dict[str, Any]:
        """In plain values, as checkpoints and JSON hold them."""
        return {
            "since": None if self.since is None else list(self.since),
            "warned": self.warned.value if _is_trouble(self.warned) else WELL,
            "lost_at_first": self.lost_at_first,
            "smallest": self.smallest,
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "LayerHistory":
        """The history of which this is the `state`.

        Raises `AttributeError`, `LookupError`, `OverflowError`, `TypeError` or `ValueError` for
        anything else.
        """
        since, warned, lost = state["since"], state["warned"], state["lost_at_first"]
        smallest = state.get("smallest")
        return cls(
            since=None if since is None else When(str(since[0]), float(since[1])),
            warned=_warned(warned),
            lost_at_first=None if lost is None else int(lost),
            smallest=None if smallest is None else float(smallest),
        )

    def seen(self, reading: Reading, when: When) -> Optional[Trouble]:
        """Take note of a check's reading; what has to be warned of now, each state once.

        A layer that has been zero all along has not begun to learn: it is neither well nor lost.
        """
        at_first = self.lost_at_first is None
        if at_first and reading.stable_rank is None:
            return None
        state = self._state(reading)
        if at_first:
            self.lost_at_first = reading.lost
        if not _is_trouble(state):
            self.since = when
            self.smallest = max(reading.min_singular_value, self.smallest or 0.0)
        if not state.is_worse_than(self.warned):
            return None
        self.warned = state
        return Trouble(state, self.since, at_first, self.smallest)

    def _state(self, reading: Reading) -> Verdict:
        """A judgement, on layers too that are not assessed."""
        if reading.verdict.is_judgement:
            return reading.verdict
        lost = reading.lost - (self.lost_at_first or 0)
        notable = lost > max(1, NOTABLE_SHARE * reading.M)
        return Verdict.COLLAPSED if notable else Verdict.FULL_RANK


def _is_trouble(state: Verdict) -> bool:
    return state.is_worse_than(Verdict.FULL_RANK)


def _warned(text: Any) -> Verdict:
    """What a checkpoint says was warned of. Raises `ValueError` for what never is."""
    if text == WELL:
        return Verdict.FULL_RANK
    warned: Verdict = decoded(Verdict, text)
    if warned not in LAYER_VERDICTS or not _is_trouble(warned):
        raise ValueError(text)
    return warned
