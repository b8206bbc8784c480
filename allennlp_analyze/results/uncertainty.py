"""The uncertainty of the power law of one layer, as a frozen dataclass."""

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class AlphaUncertainty:
    """How far alpha can be trusted, and an alpha that does not depend on the aspect ratio.

    `p_value` is the share of resamples from the fitted power law that are at least as far from
    their own fit as the layer is; `alpha_low` and `alpha_high` are the ends of a 95% interval, in
    which xmin is uncertain, too. These three are None without a fit. `fixed_aspect_alpha` is that
    of square submatrices with `fixed_aspect_side` rows and columns; it is None if they have too few
    positive eigenvalues.
    """

    p_value: Optional[float]
    alpha_low: Optional[float]
    alpha_high: Optional[float]
    n_resamples: int
    fixed_aspect_alpha: Optional[float]
    fixed_aspect_side: int
