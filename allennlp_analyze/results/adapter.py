"""The results of the analysis of one low-rank adapter."""

from dataclasses import dataclass, field
from typing import Optional

import numpy as np

from allennlp_analyze.results.verdict import Verdict

# A direction is an intruder if no direction of the base model is nearer than this cosine.
INTRUDER_COSINE = 0.5


@dataclass(frozen=True)
class BesideBase:
    """An adapter beside the weights W of the base model that it changes.

    `weight_norm` is the Frobenius norm of W, `relative_norm` that of delta over it (None for
    W = 0). `intruder_dimensions` counts those of the `n_top` largest left singular vectors of
    W + delta whose cosine to every one of W is below INTRUDER_COSINE (arXiv 2410.21228); None if W
    was too large to decompose.
    """

    parameter: str
    weight_norm: float
    relative_norm: Optional[float]
    intruder_dimensions: Optional[int]
    n_top: int


@dataclass(frozen=True)
class AdapterResult:
    """The change of one layer's weights by an adapter (LoRA): delta = scale * B A.

    `shape` is that of the layer (outputs x inputs), `r` the rank that the adapter could have.
    `singular_values` (r,) are those of delta, descending. `delta_norm` is its Frobenius norm,
    `stable_rank` ||delta||_F^2 / sigma_max^2, `effective_rank` the exponential of the entropy of
    the shares sigma^2 / sum sigma^2, and `first_direction_share` the largest of these; they are
    None for delta = 0. `used_directions` counts the singular values above 1% of the largest. `base`
    compares with the weights of a base model, if one was given that has this layer.
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
    base: Optional[BesideBase] = None
