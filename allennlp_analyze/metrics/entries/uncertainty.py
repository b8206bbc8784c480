"""Entries of the catalogue: how far alpha can be trusted, and compared."""

from allennlp_analyze.metrics.metric import (
    A_COUNT,
    COUNT,
    Metric,
    PageColumn,
    TerminalColumn,
)

SECTION = "uncertainty"
_UNFITTED = "if nothing was fitted"
_BOOTSTRAP = "Clauset, Shalizi & Newman 2009, section"

UNCERTAINTY = (
    Metric(
        "uncertainty.p_value",
        "Share of samples from the power law that fit worse.",
        nullable=True,
        schema={"minimum": 0, "maximum": 1},
        columns=("p_value",),
        on_request=True,
        label="p-value of the power law",
        formula="#{D of a resample ≥ D} / 1,000",
        meaning="Up to 0.1 the tail is no power law; above that it may be one, or have too few"
        " eigenvalues to tell.",
        section=SECTION,
        details="Each resample has as many eigenvalues as were fitted: with the probability"
        " n_tail / n one of the fitted power law, else one of those below xmin. xmin is searched"
        " anew in each, among all of its values.",
        undefined=_UNFITTED,
        source=f"{_BOOTSTRAP} 4.1",
        agrees="resamples that `powerlaw.Fit` fits, resample by resample",
        distrust="a large one proves nothing: with few eigenvalues every law passes. It is for"
        " independent values; eigenvalues repel each other, which makes D smaller and p larger.",
        term=True,
        terminal=TerminalColumn("p", ".2f", rank_to_drop=4),
        page=PageColumn("p", 2, narrow=False),
    ),
    Metric(
        "uncertainty.alpha_low",
        "Lower end of the 95% interval of alpha.",
        nullable=True,
        columns=("alpha_low",),
        on_request=True,
        label="95% interval of alpha",
        formula="2.5% and 97.5% of the α of 500 resamples",
        meaning="Where alpha may be, with the search for xmin in it.",
        section=SECTION,
        details="Resamples of the eigenvalues with replacement; xmin is searched anew in each.",
        undefined=_UNFITTED,
        source=f"{_BOOTSTRAP} 3.3 (its bootstrap for xmin), as an interval of percentiles",
        distrust="with few eigenvalues in the tail: its coverage is in"
        " docs/explanation/uncertainty.md.",
        term=True,
        terminal=TerminalColumn("alpha 95%", ".3g", rank_to_drop=5),
        page=PageColumn("95% of α", 3, narrow=False),
    ),
    Metric(
        "uncertainty.alpha_high",
        "Upper end of the 95% interval of alpha.",
        nullable=True,
        columns=("alpha_high",),
        on_request=True,
        formula="the same, the upper end",
        section=SECTION,
        undefined=_UNFITTED,
    ),
    Metric(
        "uncertainty.n_resamples",
        "Number of resamples for each of the two.",
        COUNT,
        schema={"minimum": 1},
        columns=("n_resamples",),
        on_request=True,
        formula="1,000 for the p-value, half as many for the interval",
        section=SECTION,
        unit=A_COUNT,
        details="Their random numbers follow from the layer's name, so the same model gives the"
        " same numbers. By chance alone a p-value is off by up to 0.016 (standard error).",
    ),
    Metric(
        "uncertainty.fixed_aspect_alpha",
        "Alpha of square submatrices, comparable between layers of different Q.",
        nullable=True,
        columns=("fixed_aspect_alpha",),
        on_request=True,
        label="alpha of square submatrices",
        formula="1 + n / Σ ln(λᵢ / λ_half), over the upper half of their pooled eigenvalues",
        meaning="To be compared between layers of different Q, where alpha itself cannot be: it"
        " depends on the aspect ratio. Not on the scale of alpha.",
        section=SECTION,
        details="Up to 9 square submatrices, evenly spread; the n eigenvalues are the larger half.",
        undefined="if M < 10, or with fewer than 10 positive eigenvalues",
        source="Hu, Goel, Killiakov & Yang, *Eigenspectrum Analysis of Neural Networks without"
        " Aspect Ratio Bias*, 2025 (arXiv 2506.06280), FARMS with Q = 1",
        distrust="between layers of different `fixed_aspect_side`, or where a few directions hold"
        " the structure of the layer: a submatrix contains only a part of each.",
        term=True,
        terminal=TerminalColumn("fixed Q", ".2f", rank_to_drop=6),
        page=PageColumn("α, Q = 1", 3, narrow=False),
    ),
    Metric(
        "uncertainty.fixed_aspect_side",
        "Number of rows and columns of each submatrix.",
        COUNT,
        schema={"minimum": 1},
        columns=("fixed_aspect_side",),
        on_request=True,
        formula="min(M, 128)",
        section=SECTION,
        unit=A_COUNT,
    ),
)
