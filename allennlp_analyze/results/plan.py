"""What an analysis would do: the matrices, the time, the memory and the bytes to download."""

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class PlannedKind:
    """The matrices of one kind: their number, their weights, and the seconds of one core."""

    kind: str
    matrices: int
    weights: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """The plan of an analysis, made from the headers of its files.

    `seconds` is the estimated time on this machine without transfers: `jobs` matrices at a time on
    `cores` cores. `memory` is the estimated peak in bytes. `fetched` are the bytes of the matrices
    and vectors that are to come from a server, of `remote` bytes of all tensors there.
    `too_large` matrices exceed `max_dim`, and are not among `matrices`. `largest` is the one that
    takes the longest.
    """

    archive: str
    matrices: int
    weights: int
    seconds: float
    memory: int
    fetched: int
    remote: int
    cores: int
    jobs: int
    kinds: tuple[PlannedKind, ...] = ()
    largest: Optional[str] = None
    too_large: tuple[str, ...] = ()
    skipped: int = 0
    warnings: tuple[str, ...] = ()

    def share(self, kind: PlannedKind) -> float:
        """The share of the work that a kind is, from 0 to 1."""
        total = sum(one.seconds for one in self.kinds)
        return kind.seconds / total if total else 0.0
