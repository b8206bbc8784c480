"""Entries of the catalogue: the verdict and the numbers that decide it."""

from allennlp_analyze.metrics.metric import (
    COUNT,
    TEXT,
    WEIGHTS,
    WHOLE,
    Metric,
    PageColumn,
    TerminalColumn,
)
from allennlp_analyze.results.verdict import LAYER_VERDICTS

SECTION = "verdict"
_FROM_ZERO = {"minimum": 0}
_PERCENT = {"minimum": 0, "maximum": 100}

LOST = (
    Metric(
        "lost_directions",
        "Directions that are lost by the rule of the verdict, without harmless ones.",
        WHOLE,
        schema=_FROM_ZERO,
        section=SECTION,
        terminal=TerminalColumn("lost", "d", compared=0),
    ),
    Metric(
        "lost_percent",
        "Share of the directions that are lost by the rule of the verdict, in percent.",
        schema=_PERCENT,
        label="directions lost in percent, by the verdict's rule",
        section=SECTION,
        page=PageColumn("lost", percent=True, compared=True),
        compared=True,
        size_free=True,
    ),
)

VERDICT = (
    Metric(
        "verdict",
        "Verdict on this matrix by its singular values and the causes of lost directions;"
        " not_assessed for a single row or column.",
        TEXT,
        schema={"enum": [verdict.value for verdict in LAYER_VERDICTS]},
        section=SECTION,
    ),
    Metric(
        "evidence.lost_directions",
        "The same as lost_directions.",
        COUNT,
        schema=_FROM_ZERO,
        columns=(),
    ),
    Metric(
        "evidence.harmless_directions",
        "Lost directions that do not matter to what the network computes.",
        COUNT,
        schema=_FROM_ZERO,
        columns=("harmless_directions",),
        section=SECTION,
    ),
    Metric(
        "evidence.hidden_directions",
        "Directions of which rounding to the stored precision would hide as many in noise.",
        COUNT,
        schema=_FROM_ZERO,
        columns=("hidden_directions",),
        section=SECTION,
    ),
    Metric(
        "evidence.limit",
        "Singular values up to this one count as lost; null if there is no limit.",
        nullable=True,
        schema=_FROM_ZERO,
        columns=("limit",),
        unit=WEIGHTS,
        label="limit of lost directions",
        section=SECTION,
    ),
    Metric(
        "evidence.null_ratio",
        "The smallest singular value over its median for independent entries of the same standard"
        " deviation.",
        nullable=True,
        schema=_FROM_ZERO,
        columns=("null_ratio",),
        label="σ_min over the null law's median",
        section=SECTION,
        terminal=TerminalColumn("of null", ".2g", rank_to_drop=1),
    ),
    Metric(
        "evidence.start_ratio",
        "The root mean square of the entries over the smallest usual initialization.",
        nullable=True,
        schema=_FROM_ZERO,
        columns=("start_ratio",),
        label="weights over the smallest usual start",
        section=SECTION,
    ),
    Metric(
        "evidence.base_lost",
        "Directions that the base model had lost already; null without a base model.",
        COUNT,
        nullable=True,
        schema=_FROM_ZERO,
        columns=("base_lost",),
        section=SECTION,
    ),
    Metric(
        "evidence.base_ratio",
        "The root mean square of the entries over that of the base model; null without one.",
        nullable=True,
        schema=_FROM_ZERO,
        columns=("base_ratio",),
        label="weights over those of the base model",
        section=SECTION,
    ),
    Metric(
        "evidence.noise_floor",
        "The singular value that the errors of quantization can reach in a lost direction; null"
        " without quantization.",
        nullable=True,
        schema=_FROM_ZERO,
        columns=("noise_floor",),
        unit=WEIGHTS,
        label="noise floor of quantization",
        section=SECTION,
    ),
    Metric(
        "evidence.findings",
        "Groups of lost, weak or harmless directions with a cause each.",
        TEXT,
        schema={"type": "array", "items": {"$ref": "#/$defs/finding"}},
        columns=(),
    ),
    Metric(
        "evidence.reason",
        "The findings in words.",
        TEXT,
        columns=("reason",),
        section=SECTION,
    ),
)
