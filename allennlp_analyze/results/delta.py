"""The results of one layer's change: W_B - W_A as a matrix of its own."""

import enum
from dataclasses import dataclass, field
from typing import Optional

import numpy as np


class Movement(str, enum.Enum):
    """How far a layer moved from one model to another.

    UNCHANGED: all entries are equal. ROUNDING: one matrix rounds to both, so there need not be any
    change but that of the type. NOISE: it changed, but in no direction more than noise would.
    MOVED: some directions stand out of the noise.
    """

    UNCHANGED = "unchanged"
    ROUNDING = "within_rounding"
    NOISE = "noise"
    MOVED = "moved"

    def __str__(self) -> str:
        return self.value

    @property
    def words(self) -> str:
        """The member as tables show it."""
        return self.value.replace("_", " ")


class Edge(str, enum.Enum):
    """What the noise of a change is: its own bulk, or rounding of the two models."""

    BULK = "marchenko_pastur"
    ROUNDING = "rounding"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Turned:
    """The `n_top` leading singular vectors of a layer before and after.

    `left_angles` and `right_angles` are the principal angles between the spans of the left (output)
    and the right (input) vectors: degrees, ascending. `intruder_dimensions` counts those left
    vectors after whose cosine to every one before is below INTRUDER_COSINE (arXiv 2410.21228).
    """

    n_top: int
    left_angles: tuple[float, ...]
    right_angles: tuple[float, ...]
    intruder_dimensions: int


@dataclass(frozen=True)
class Delta:
    """The change D = W_B - W_A of one layer.

    `singular_values` (M,) are those of D, descending. `n_directions` of them are above the `edge`:
    that of the Marchenko-Pastur bulk of D, or what rounding of both models can make, whichever is
    larger; `edge_source` says which. `rounding_edge` is the latter. `share` is the part of
    ||D||_F^2 that these directions have; None for D = 0.

    `delta_norm` is ||D||_F, `relative_norm` that over ||W_A||_F (None for W_A = 0). `stable_rank`
    and `effective_rank` are those of D as of any matrix; None for D = 0. `precisions` are the types
    to which the values of A and B are rounded, which may be narrower than those of the files.
    `turned` is None if D = 0 or within rounding, if either matrix is 0, or for too large layers.
    """

    singular_values: np.ndarray = field(repr=False, compare=False)
    movement: Movement
    n_directions: int
    edge: float
    edge_source: Edge
    rounding_edge: float
    share: Optional[float]
    delta_norm: float
    relative_norm: Optional[float]
    stable_rank: Optional[float]
    effective_rank: Optional[float]
    precisions: tuple[str, str]
    turned: Optional[Turned] = None

    @property
    def M(self) -> int:
        """The smaller dimension: the number of singular values."""
        return len(self.singular_values)
