"""Which layers a check of a training has time for: by their cost, and by how long they waited."""

import sys
from collections.abc import Iterable, Mapping

from allennlp_analyze.errors import UsageError
from allennlp_analyze.linalg.machine import is_large, seconds

Shape = tuple[int, int]


def refuse_no_time(max_seconds: object) -> None:
    """Raise `UsageError` for what is no time that a check may take."""
    if isinstance(max_seconds, bool) or not (
        isinstance(max_seconds, (int, float)) and 0 < max_seconds <= sys.float_info.max
    ):
        raise UsageError(f"max_seconds: {max_seconds!r:.40} is not a finite number > 0")


class Budget:
    """Seconds for one check, and what is remembered of each layer from check to check.

    A layer costs what its shape says until it has been measured, then what it took last. The one
    that has waited for most checks comes first, the cheapest first among those; one is put off
    when the time that is left does not suffice for it. So the costliest are put off first, and none
    starves: the first always begins. A layer that alone takes more than `max_seconds` is too
    costly: by its shape, or by having taken more twice in a row, since once may be a hiccup.
    `cores` is for the estimates: a large layer gets them all.
    """

    def __init__(self, max_seconds: float, cores: int = 1) -> None:
        self.max_seconds = max_seconds
        self._cores = cores
        self._known: dict[str, tuple[float, ...]] = {}
        self._waited: dict[str, int] = {}

    def cost(self, name: str, shape: Shape) -> float:
        """Seconds that layer `name`, of `shape`, is expected to take."""
        return self._lately(name, shape)[-1]

    def too_costly(self, shapes: Mapping[str, Shape]) -> dict[str, float]:
        """The layers that no check has time for, and the seconds that each would take."""
        least = {name: min(self._lately(name, shape)) for name, shape in shapes.items()}
        return {name: cost for name, cost in least.items() if cost > self.max_seconds}

    def order(self, shapes: Mapping[str, Shape]) -> list[str]:
        """The layers in the order in which they are to begin, without those that are too costly."""
        costly = self.too_costly(shapes)
        names = [name for name in shapes if name not in costly]
        return sorted(
            names, key=lambda name: (-self._waited.get(name, 0), self.cost(name, shapes[name]))
        )

    def fits(self, name: str, shape: Shape, left: float) -> bool:
        """Whether `left` seconds suffice for the layer."""
        return self.cost(name, shape) <= left

    def took(self, name: str, shape: Shape, spent: float) -> None:
        """Layer `name` has been measured, in `spent` seconds."""
        self._known[name] = (*self._lately(name, shape)[-1:], spent)

    @property
    def waiting(self) -> frozenset[str]:
        """The layers that the last check has put off."""
        return frozenset(name for name, checks in self._waited.items() if checks)

    def checked(self, measured: Iterable[str], put_off: Iterable[str]) -> None:
        """A check is over."""
        self._waited.update((name, self._waited.get(name, 0) + 1) for name in put_off)
        self._waited.update((name, 0) for name in measured)

    def _lately(self, name: str, shape: Shape) -> tuple[float, ...]:
        """What the layer cost the last two times, or its estimate for times that there were not."""
        return self._known.get(name) or (seconds(shape, self._cores if is_large(shape) else 1),)
