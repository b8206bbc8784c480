"""Chooses the layers that a check has time for, by their cost and by how long they have waited."""

from collections.abc import Iterable, Mapping

from allennlp_analyze.linalg.machine import is_large, seconds

Shape = tuple[int, int]


class Budget:
    """The seconds for one check, and what each layer cost in earlier checks.

    The cost of a layer is estimated from its shape until it has been measured; then its last
    duration counts. The layer that has waited for the most checks comes first, and the cheapest
    first among equals. A layer is postponed if the remaining time is too short for it. So the most
    expensive layers are postponed first, and none starves, because the first one always starts. A
    layer is too costly if it alone takes more than `max_seconds`: by its shape, or twice in a row
    by its duration, since once may be an accident. `cores` is used in the estimates, because a
    large layer gets all cores.
    """

    def __init__(self, max_seconds: float, cores: int = 1) -> None:
        self.max_seconds = max_seconds
        self._cores = cores
        self._known: dict[str, tuple[float, ...]] = {}
        self._waited: dict[str, int] = {}

    def cost(self, name: str, shape: Shape) -> float:
        """Returns the expected seconds for the layer `name` of `shape`."""
        return self._lately(name, shape)[-1]

    def too_costly(self, shapes: Mapping[str, Shape]) -> dict[str, float]:
        """Returns the layers that are too costly for any check, with the seconds they take."""
        least = {name: min(self._lately(name, shape)) for name, shape in shapes.items()}
        return {name: cost for name, cost in least.items() if cost > self.max_seconds}

    def order(self, shapes: Mapping[str, Shape]) -> list[str]:
        """Returns the layers in the order in which to start them, without those too costly."""
        costly = self.too_costly(shapes)
        names = [name for name in shapes if name not in costly]
        return sorted(
            names, key=lambda name: (-self._waited.get(name, 0), self.cost(name, shapes[name]))
        )

    def fits(self, name: str, shape: Shape, left: float) -> bool:
        """Whether `left` seconds are enough for the layer."""
        return self.cost(name, shape) <= left

    def took(self, name: str, shape: Shape, spent: float) -> None:
        """Record that the layer `name` was measured in `spent` seconds."""
        self._known[name] = (*self._lately(name, shape)[-1:], spent)

    @property
    def waiting(self) -> frozenset[str]:
        """Returns the layers that the last check postponed."""
        return frozenset(name for name, checks in self._waited.items() if checks)

    def checked(self, measured: Iterable[str], put_off: Iterable[str]) -> None:
        """Record the end of a check."""
        self._waited.update((name, self._waited.get(name, 0) + 1) for name in put_off)
        self._waited.update((name, 0) for name in measured)

    def _lately(self, name: str, shape: Shape) -> tuple[float, ...]:
        """Returns the layer's last two durations, or its estimate for missing ones."""
        return self._known.get(name) or (seconds(shape, self._cores if is_large(shape) else 1),)
