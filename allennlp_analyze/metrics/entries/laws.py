"""Entries of the catalogue: the laws fitted to the bulk and the tail of the spectrum."""

from allennlp_analyze.metrics.metric import (
    A_COUNT,
    COUNT,
    EIGENVALUES,
    TEXT,
    WEIGHTS,
    Metric,
    PageColumn,
    TerminalColumn,
)

BULK_SECTION = "Marchenko-Pastur"
SPLIT_SECTION = "Tikhonov"
TAIL_SECTION = "power law"
_FROM_ZERO = {"minimum": 0}
_SHARE = {"minimum": 0, "maximum": 1}

MARCHENKO_PASTUR = (
    Metric(
        "marchenko_pastur.sigma",
        "Standard deviation of the bulk's entries.",
        schema=_FROM_ZERO,
        columns=("mp_sigma",),
        label="sigma of the bulk",
        formula="the law fitted to the middle half of the λ",
        meaning="Standard deviation of random entries that would produce the bulk.",
        section=BULK_SECTION,
        unit=WEIGHTS,
        details="Fitted so that spikes have no weight: the eigenvalues between the quartiles are"
        " summed, and σ² is their sum over that of the law's quantiles for σ = 1, σ² = Σ λ₍ᵢ₎ / Σ"
        " q((i + ½) / m), i from ⌊m/4⌋ to ⌈3m/4⌉ − 1, ascending from i = 0; m = r at first."
        " Eigenvalues above `spike_threshold` are then removed, m becomes r minus their number,"
        " and this is repeated until none is removed, or half of them are.",
        source="ours. The quantiles must agree with the integral of the density above",
        term=True,
    ),
    Metric(
        "marchenko_pastur.lambda_minus",
        "Lower edge of the bulk.",
        schema=_FROM_ZERO,
        columns=("mp_lambda_minus",),
        label="lower bulk edge",
        formula="λ₋ = σ²(√N − √M)²",
        meaning="Smallest eigenvalue of a random matrix.",
        section=BULK_SECTION,
        unit=EIGENVALUES,
        details="If some eigenvalues are 0, r replaces M.",
        source="Marchenko & Pastur 1967",
        distrust="eigenvalues below λ₋ are common: training makes the smallest ones smaller.",
        term=True,
    ),
    Metric(
        "marchenko_pastur.lambda_plus",
        "Upper edge of the bulk.",
        schema=_FROM_ZERO,
        columns=("mp_lambda_plus",),
        label="upper bulk edge",
        formula="λ₊ = σ²(√N + √M)²",
        meaning="Largest eigenvalue of a random matrix: eigenvalues beyond it were learned.",
        section=BULK_SECTION,
        unit=EIGENVALUES,
        details="r replaces M, as above.",
        source="Marchenko & Pastur 1967",
        term=True,
    ),
    Metric(
        "marchenko_pastur.spike_threshold",
        "lambda_plus with a Tracy-Widom margin.",
        schema=_FROM_ZERO,
        columns=("mp_spike_threshold",),
        formula="σ² [(√(N−1) + √r)² + 2.0234 (√(N−1) + √r) (1/√(N−1) + 1/√r)^(1/3)]",
        section=BULK_SECTION,
        unit=EIGENVALUES,
        details="The edge with a margin: the largest eigenvalue of noise exceeds it in 1% of draws,"
        " where 2.0234 is the 99% quantile of the Tracy-Widom law for real matrices.",
        source="Johnstone, *On the distribution of the largest eigenvalue in principal components"
        " analysis*, 2001, theorem 1.1",
        distrust="for entries with heavy tails: it does not bound their largest eigenvalue.",
    ),
    Metric(
        "marchenko_pastur.n_spikes",
        "Number of eigenvalues above spike_threshold.",
        COUNT,
        schema=_FROM_ZERO,
        columns=("mp_n_spikes",),
        label="spikes",
        formula="#{λ > λ₊ with a Tracy-Widom margin}",
        meaning="Eigenvalues beyond the bulk.",
        section=BULK_SECTION,
        unit=A_COUNT,
        details="They are above `spike_threshold`: directions that stand out from the noise.",
        distrust="if the tail is heavy, see above.",
        term=True,
    ),
    Metric(
        "marchenko_pastur.soft_rank",
        "lambda_plus / largest eigenvalue.",
        schema=_FROM_ZERO,
        columns=("mp_soft_rank",),
        label="MP soft rank",
        formula="λ₊ / λ_max",
        meaning="1 if everything is bulk, near 0 with long tails.",
        section=BULK_SECTION,
        details="The share of the largest eigenvalue that noise explains.",
        source="Martin & Mahoney, *Implicit self-regularization in deep neural networks*, 2018"
        " (JMLR 22, 2021), MP soft rank",
        distrust="above 1 it shows only that there is no spike.",
        term=True,
    ),
    Metric(
        "marchenko_pastur.entry_sigma",
        "Standard deviation of all entries.",
        schema=_FROM_ZERO,
        columns=("mp_entry_sigma",),
        formula="√(Σ (Wᵢⱼ − mean)² / (N M))",
        section=BULK_SECTION,
        unit=WEIGHTS,
        details="The standard deviation of all entries, including spikes.",
        agrees="`numpy.std(W)`",
        distrust="as the σ of the noise if there are spikes, which make it larger than `sigma`.",
    ),
    Metric(
        "marchenko_pastur.entry_lambda_minus",
        "Lower edge for entry_sigma.",
        schema=_FROM_ZERO,
        columns=("mp_entry_lambda_minus",),
        formula="`entry_sigma`² (√N − √M)²",
        section=BULK_SECTION,
        unit=EIGENVALUES,
        details="The lower edge if all of W were noise. The verdict compares σ_min with its"
        " square root.",
    ),
    Metric(
        "marchenko_pastur.entry_lambda_plus",
        "Upper edge for entry_sigma.",
        schema=_FROM_ZERO,
        columns=("mp_entry_lambda_plus",),
        formula="`entry_sigma`² (√N + √M)²",
        section=BULK_SECTION,
        unit=EIGENVALUES,
        details="The upper edge if all of W were noise.",
    ),
)

TIKHONOV = (
    Metric(
        "tikhonov.gamma",
        "Eigenvalue at which the spectrum is split.",
        schema=_FROM_ZERO,
        label="gamma",
        formula="the eigenvalue that splits the spectrum",
        meaning="Tikhonov: eigenvalues above gamma are information, the others noise.",
        section=SPLIT_SECTION,
        unit=EIGENVALUES,
        details="γ is the option `gamma`, or else λ₊ of the bulk.",
        term=True,
    ),
    Metric(
        "tikhonov.n_information",
        "Number of eigenvalues above gamma.",
        COUNT,
        schema=_FROM_ZERO,
        formula="#{λ > γ}",
        section=SPLIT_SECTION,
        unit=A_COUNT,
    ),
    Metric(
        "tikhonov.n_noise",
        "Number of the others.",
        COUNT,
        schema=_FROM_ZERO,
        formula="#{λ ≤ γ}",
        section=SPLIT_SECTION,
        unit=A_COUNT,
    ),
    Metric(
        "tikhonov.information_share",
        "Share of the eigenvalues' sum above gamma.",
        schema=_SHARE,
        label="share of information",
        formula="Σ_{λ>γ} λ / Σ λ",
        meaning="Share of the squared norm that is information.",
        section=SPLIT_SECTION,
        term=True,
    ),
    Metric(
        "tikhonov.noise_share",
        "Share of the others.",
        schema=_SHARE,
        formula="Σ_{λ≤γ} λ / Σ λ",
        section=SPLIT_SECTION,
    ),
)

POWER_LAW = (
    Metric(
        "power_law.alpha",
        "Exponent of the power law.",
        columns=("alpha",),
        label="alpha",
        formula="ρ(λ) ∝ λ^(−α) for λ ≥ xmin",
        meaning="Exponent of the tail. 2 to 6 in well-trained layers; above 6 hardly more structure"
        " than chance, below 2 very heavy tails. Uncertain with few eigenvalues.",
        section=TAIL_SECTION,
        details="α is 1 + n / Σ ln(λᵢ / xmin), over the n eigenvalues λᵢ ≥ xmin: the smaller, the"
        " heavier the tail. Eigenvalues that rounding to the stored precision may have made (the"
        " squares of singular values up to the tolerances `numpy` or `rounding`) are left out. The"
        " range is that of Martin & Mahoney.",
        source="Clauset, Shalizi & Newman, *Power-law distributions in empirical data*, 2009,"
        " equation 3.1",
        distrust="with fewer than 50 eigenvalues (the report warns); with a large `D` or"
        " `alpha_sigma`; and never as a proof of a power law. The fit always gives a number: for"
        " matrices of independent normal entries one between 2.4 (60 x 40) and well above 10 (3000"
        " x 1000).",
        term=True,
        terminal=TerminalColumn("alpha", ".2f", compared=2),
        page=PageColumn("α", narrow=False, compared=True),
        compared=True,
        size_free=True,
    ),
    Metric(
        "power_law.D",
        "Distance of the power law from the data (Kolmogorov-Smirnov).",
        schema=_SHARE,
        columns=("D",),
        label="D",
        formula="max |F_fit − F_data|",
        meaning="Kolmogorov-Smirnov distance of the fit: above 0.1 the tail is hardly a power law.",
        section=TAIL_SECTION,
        details="The maximum is over the λᵢ ≥ xmin; F_data is the share of the tail below λᵢ, F_fit"
        " = 1 − (λ / xmin)^(1 − α). 0 for a perfect fit.",
        source="the same, equation 3.9, with F_data as powerlaw has it",
        distrust="to compare different `n_tail`: for a true power law it is about 0.5 / √n_tail by"
        " chance. It is not a p-value.",
        term=True,
        terminal=TerminalColumn("D", ".3f", rank_to_drop=3),
        page=PageColumn("D", 2, narrow=False),
        compared=True,
        size_free=True,
    ),
    Metric(
        "power_law.xmin",
        "Start of the tail.",
        schema=_FROM_ZERO,
        columns=("xmin",),
        label="xmin",
        formula="the λ that minimizes D",
        meaning="Start of the fitted tail.",
        section=TAIL_SECTION,
        unit=EIGENVALUES,
        details="The largest λ is excluded; of equal ones it is the first.",
        source="the same, section 3.3",
        distrust="it jumps: two almost equal local minima of D give very different fits for nearly"
        " equal matrices.",
        term=True,
    ),
    Metric(
        "power_law.sigma",
        "Standard error of alpha.",
        schema=_FROM_ZERO,
        columns=("alpha_sigma",),
        attributes=("sigma",),
        label="standard error of alpha",
        formula="(α − 1) / √n",
        meaning="From the n eigenvalues of the tail.",
        section=TAIL_SECTION,
        details="The standard error is for this xmin.",
        source="the same, equation 3.2",
        distrust="as the whole uncertainty: it does not include the search for xmin.",
        term=True,
    ),
    Metric(
        "power_law.n_tail",
        "Number of eigenvalues >= xmin.",
        COUNT,
        schema=_FROM_ZERO,
        columns=("n_tail",),
        label="eigenvalues in the tail",
        formula="n = #{λ ≥ xmin}",
        meaning="Number of eigenvalues in the fit.",
        section=TAIL_SECTION,
        unit=A_COUNT,
        details="At least 2.",
        term=True,
    ),
    Metric(
        "power_law.best_fit",
        "Name of the distribution that fits best; null if none was compared.",
        TEXT,
        nullable=True,
        columns=("best_fit",),
    ),
    Metric(
        "power_law.comparisons",
        "By name of the other distribution; null if none was compared.",
        schema={
            "oneOf": [
                {"type": "null"},
                {"type": "object", "additionalProperties": {"$ref": "#/$defs/comparison"}},
            ]
        },
        columns=(),
    ),
)
