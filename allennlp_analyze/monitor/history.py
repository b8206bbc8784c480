"""What is remembered of each layer of a training, and when it has to be warned of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

from allennlp_analyze.monitor.results import Reading

# A layer that theory lets lose directions (Q <= 1.1) does so when healthy, a few of them, and more
# the coarser its weights are stored: bfloat16 costs random square matrices 0.7%, see
# tests/test_monitor_layers.py. Only more than this share of them, and more than one, is a loss.
NOTABLE_SHARE = 0.05
NEAR = "near_collapse"
COLLAPSED = "collapsed"
_WELL = "well"
_RANK = {_WELL: 0, NEAR: 1, COLLAPSED: 2}


class When(NamedTuple):
    """A check: the `number` of an "epoch", or of a "check" where no epochs were given."""

    unit: str
    number: float


@dataclass(frozen=True)
class Trouble:
    """A layer has to be warned of: it is `state`, NEAR or COLLAPSED.

    `since` is the last check at which it was well, None when it never was; `at_first` says that
    this is the first look at it. `smallest` is the largest that its smallest singular value has
    been while it was well, None when it never was.
    """

    state: str
    since: Optional[When]
    at_first: bool
    smallest: Optional[float] = None


@dataclass
class LayerHistory:
    """One layer, from check to check."""

    since: Optional[When] = None
    warned: str = _WELL
    lost_at_first: Optional[int] = None
    smallest: Optional[float] = None

    def state(self) -> dict[str, Any]:
        """In plain values, as checkpoints and JSON hold them."""
        return {
            "since": None if self.since is None else list(self.since),
            "warned": self.warned,
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
        if warned not in _RANK:
            raise ValueError(warned)
        return cls(
            since=None if since is None else When(str(since[0]), float(since[1])),
            warned=str(warned),
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
        if state == _WELL:
            self.since = when
            self.smallest = max(reading.min_singular_value, self.smallest or 0.0)
        if _RANK[state] <= _RANK[self.warned]:
            return None
        self.warned = state
        return Trouble(state, self.since, at_first, self.smallest)

    def _state(self, reading: Reading) -> str:
        if reading.verdict in (NEAR, COLLAPSED):
            return reading.verdict
        if reading.verdict == "not_assessed":
            lost = reading.lost - (self.lost_at_first or 0)
            return COLLAPSED if lost > max(1, NOTABLE_SHARE * reading.M) else _WELL
        return _WELL
