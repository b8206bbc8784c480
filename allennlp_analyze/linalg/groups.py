"""Gives a solver that can take several matrices at once groups of them, ahead of their turns."""

import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import Callable, Optional, Protocol, runtime_checkable

from allennlp_analyze.errors import TensorError
from allennlp_analyze.linalg.gram import GramSolver, GramSpectrum
from allennlp_analyze.linalg.schedule import Shape
from allennlp_analyze.sources.blocks import Entries


@runtime_checkable
class GroupSolver(Protocol):
    """A `GramSolver` that is faster with several matrices at once.

    `at_once`: how many threads should call it at the same time, for large matrices too.
    """

    at_once: int

    def __call__(self, entries: Entries, scale: float) -> Optional[GramSpectrum]: ...

    def groups(self, shapes: Sequence[Shape]) -> list[list[int]]:
        """Returns disjoint groups of indices of `shapes`; what is in none is solved by itself."""
        ...

    def solve_many(self, many: Sequence[Entries]) -> Optional[list[Optional[GramSpectrum]]]:
        """Returns the result of each of a group for scale 1, or None if it must be split."""
        ...


class Ahead:
    """The solver of each matrix, which solves its whole group when the first one has its turn.

    `entries(index)` reads a matrix. The indices in `without` are in no group. Any other `solver`
    than a `GroupSolver` remains as it is.
    """

    def __init__(
        self,
        solver: GramSolver,
        shapes: Sequence[Shape],
        entries: Callable[[int], Entries],
        without: Collection[int] = (),
    ) -> None:
        self._solver = solver
        self._groups: dict[int, _Group] = {}
        self.at_once = 1
        if not isinstance(solver, GroupSolver):
            return
        self.at_once = solver.at_once
        for indices in solver.groups(shapes):
            members = [index for index in indices if index not in without]
            if len(members) > 1:
                self._groups.update(dict.fromkeys(members, _Group(solver, members, entries)))

    def solver(self, index: int) -> GramSolver:
        group = self._groups.get(index)
        return self._solver if group is None else partial(group.solve, index)


class _Group:
    """Matrices that are solved together; each result is kept until it is asked for."""

    def __init__(
        self, solver: GroupSolver, members: Sequence[int], entries: Callable[[int], Entries]
    ) -> None:
        self._solver = solver
        self._members = members
        self._entries = entries
        self._lock = threading.Lock()
        self._found: Optional[dict[int, Optional[GramSpectrum]]] = None

    def solve(self, index: int, entries: Entries, scale: float) -> Optional[GramSpectrum]:
        if scale == 1.0:
            with self._lock:
                if self._found is None:
                    self._found = self._solved(index, entries)
                if index in self._found:
                    return self._found.pop(index)
        return self._solver(entries, scale)

    def _solved(self, index: int, entries: Entries) -> dict[int, Optional[GramSpectrum]]:
        """Returns what can be solved together, by index.

        What is wrong with another matrix is said in its own turn.
        """
        many = {index: entries}
        for other in self._members:
            if other != index:
                with suppress(TensorError, MemoryError):
                    many[other] = self._entries(other)
        try:
            found = self._solver.solve_many(list(many.values()))
        except (TensorError, MemoryError):
            found = None
        return {} if found is None else dict(zip(many, found))
