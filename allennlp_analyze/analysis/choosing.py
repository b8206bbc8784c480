"""Chooses the library that computes the eigenvalues of the large matrices of a run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Optional

from allennlp_analyze.analysis.remembered import remembered
from allennlp_analyze.errors import Advice, OptionError
from allennlp_analyze.linalg.backend import blas_threads
from allennlp_analyze.linalg.eigensolvers import (
    AUTO,
    EIGENSOLVERS,
    SIZE,
    Eigensolver,
    candidates,
    trial,
    usual,
    winner,
)
from allennlp_analyze.linalg.machine import this_machine
from allennlp_analyze.linalg.schedule import Shape, largest_first
from allennlp_analyze.linalg.speed import Speed
from allennlp_analyze.linalg.tridiagonal import TWO_STAGES_FROM
from allennlp_analyze.settings import Settings

# Large matrices that take fewer seconds are not worth a trial: loading torch takes about two, as
# much as another library must save of them.
WORTH_SECONDS = 20.0


def require_eigensolver(settings: Settings) -> None:
    """Raise `OptionError` if the library that `settings` asks for is not available here."""
    name = settings.eigensolver
    if name != AUTO and EIGENSOLVERS[name].find() is None:
        raise OptionError(
            "eigensolver",
            f"{name!r} is not available here: {EIGENSOLVERS[name].lacks}",
            Advice("eigensolver", f"omit {{}}, or choose {usual()}"),
        )


def with_eigensolver(
    settings: Settings, shapes: Sequence[Shape], earlier: Optional[Mapping[str, Any]] = None
) -> Settings:
    """Returns `settings` with the name of the library for matrices of these `shapes`.

    It depends on nothing else of a run, so that any number of jobs gives the same bits. `earlier`
    are the facts of the interrupted run that this one resumes: "auto" goes on with its library.
    Raises `OptionError` if the library that was asked for is not available.
    """
    require_eigensolver(settings)
    if settings.eigensolver != AUTO:
        return settings
    name = _of_earlier(earlier or {}) or (usual() if settings.cuda_device >= 0 else None)
    return replace(settings, eigensolver=name or _fastest(shapes, settings.max_dim))


def _of_earlier(facts: Mapping[str, Any]) -> Optional[str]:
    """Returns the library of an interrupted run, if it is available here."""
    settings = facts.get("settings")
    name = settings.get("eigensolver") if isinstance(settings, Mapping) else None
    solver = EIGENSOLVERS.get(name) if isinstance(name, str) else None
    return solver.name if solver is not None and solver.find() else None


def _fastest(shapes: Sequence[Shape], max_dim: int) -> str:
    """Returns the library to use, by a trial if the work is worth one and there is a choice."""
    machine, speed = this_machine(), Speed()
    large = {i for i, x in enumerate(shapes) if TWO_STAGES_FROM <= min(x) <= max_dim}
    if speed.total([shapes[i] for i in large], machine.cores, machine) < WORTH_SECONDS:
        return usual()
    names = candidates()
    if len(names) == 1:
        return usual()
    # As many threads as most of the work has.
    one_by_one, side_by_side = (
        math.fsum(speed.seconds(shapes[i]) for i in large.intersection(some))
        for some in largest_first(shapes, machine)
    )
    return fastest_of(names, blas_threads() if one_by_one > side_by_side else 1)


def fastest_of(
    names: Sequence[str],
    threads: int,
    solvers: Mapping[str, Eigensolver] = EIGENSOLVERS,
    size: int = SIZE,
) -> str:
    """Returns the name of the fastest library in a trial with so many threads, which is remembered.

    Of the `names`, those that are not available are left out. `size`: see `trial`.
    """

    def known(found: object) -> bool:
        """Whether `found` has seconds of as many rounds for each library."""
        if not isinstance(found, dict) or not set(found) <= set(solvers):
            return False
        rounds, lists = found.get(usual()), found.values()
        if not isinstance(rounds, list) or not all(isinstance(some, list) for some in lists):
            return False
        is_float = all(isinstance(x, float) for some in lists for x in some)
        return is_float and all(len(some) == len(rounds) for some in lists)

    def find() -> dict[str, list[float]]:
        found = ((name, solvers[name].find()) for name in names)
        available = {name: solve for name, solve in found if solve is not None}
        return trial(available, threads, size) if len(available) > 1 else {usual(): []}

    name = winner(remembered(["eigensolver", list(names), threads], known, find))
    return name if solvers[name].find() else usual()
