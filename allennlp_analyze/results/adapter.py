"""The results of the analysis of one low-rank adapter."""

from dataclasses import dataclass, field
from typing import Optional

import numpy as np

from allennlp_analyze.results.verdict import Verdict


@dataclass(frozen=True)
class AdapterResult:
    """The change of one layer's weights by an adapter (LoRA): delta = scale * B A.

    `shape` is that of the layer (outputs x inputs), `r` the rank that the adapter could have.
    `singular_values` (r,) are those of delta, descending. `delta_norm` is its Frobenius norm,
    `stable_rank` ||delta||_F^2 / sigma_max^2, `effective_rank` the exponential of the entropy of
    the shares sigma^2 / sum sigma^2, and `first_direction_share` the largest of these; they are
    None for delta = 0. `used_directions` counts the singular values above 1% of the largest.
    """

    name: str
    parameters: tuple[str, ...]
    shape: tuple[int, int]
    r: int
    scale: float
    scale_source: str
    singular_values: np.ndarray = field(repr=False, compare=False)
    delta_norm: float
    used_directions: int
    stable_rank: Optional[float]
    effective_rank: Optional[float]
    first_direction_share: Optional[float]
    verdict: Verdict
    reason: str
