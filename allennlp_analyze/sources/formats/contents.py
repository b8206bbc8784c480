"""Finds out which objects of a pickle hold tensors, in time that grows with the pickle only."""

from collections.abc import Iterator

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.pickles.arrays import tensor_of
from allennlp_analyze.sources.pickles.description import CONTAINERS, parts_of

MAX_CONTAINERS = 2_000_000


class Holders:
    """The containers from which a tensor can be reached.

    A pickle may name one object in many places, and an object may contain itself.
    """

    def __init__(self, root: object) -> None:
        self._root = root  # no object may go while its id is known
        parents: dict[int, list[int]] = {}
        holding: list[int] = []
        pending = [root] if isinstance(root, CONTAINERS) else []
        parents.update((id(x), []) for x in pending)
        while pending:
            container = pending.pop()
            holds = False
            for _, value in parts_of(container):
                if tensor_of(value) is not None:
                    holds = True
                elif isinstance(value, CONTAINERS):
                    known = parents.get(id(value))
                    if known is None:
                        known = parents[id(value)] = []
                        pending.append(value)
                    known.append(id(container))
            if holds:
                holding.append(id(container))
            if len(parents) > MAX_CONTAINERS:
                raise CheckpointError(f"contains more than {MAX_CONTAINERS} objects")
        self._ids = set(holding)
        while holding:
            for parent in parents[holding.pop()]:
                if parent not in self._ids:
                    self._ids.add(parent)
                    holding.append(parent)

    def holds(self, value: object) -> bool:
        """Whether `value` is a tensor or holds one."""
        return tensor_of(value) is not None or id(value) in self._ids

    def parts(self, container: object) -> Iterator[tuple[str, object]]:
        """Yields the parts of a container that are or hold tensors."""
        return ((name, value) for name, value in parts_of(container) if self.holds(value))
