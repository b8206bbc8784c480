"""Entries of the catalogue: which matrix it is, and what is said of it in words."""

from allennlp_analyze.metrics.metric import COUNT, TEXT, WHOLE, Metric, PageColumn, TerminalColumn
from allennlp_analyze.options.names import KINDS
from allennlp_analyze.results.verdict import LAYER_VERDICTS

SECTION = "matrix"
_POSITIVE = {"minimum": 1}

MATRIX = (
    Metric(
        "name",
        "Unique name: the path of the module, then [part] where a tensor holds several matrices.",
        TEXT,
        section=SECTION,
    ),
    Metric("parameter", "Name of the tensor in the weights file.", TEXT, section=SECTION),
    Metric(
        "part",
        "Which part of the tensor this matrix is; null for the whole.",
        TEXT,
        nullable=True,
        section=SECTION,
        details="A gate, a slice, `query`, `key` or `value`.",
    ),
    Metric(
        "module_index",
        "Position of the module in model.modules(); null where no modules were built.",
        COUNT,
        nullable=True,
        schema={"minimum": 0},
        section=SECTION,
    ),
    Metric(
        "kind",
        "Role of the matrix in the model.",
        TEXT,
        schema={"enum": list(KINDS)},
        section=SECTION,
        details=f"One of {', '.join(KINDS[:-1])} or {KINDS[-1]}.",
    ),
    Metric(
        "kind_source",
        "Whether the kind was inferred from names and shapes, or read from the built module.",
        TEXT,
        schema={"enum": ["inferred", "module"]},
        section=SECTION,
        details="`module`: by its class; `inferred`: by names, shapes and vocabulary.",
    ),
    Metric(
        "module_class",
        "Class of the module that owns the tensor; null where no modules were built.",
        TEXT,
        nullable=True,
        section=SECTION,
    ),
    Metric(
        "shape",
        "Rows and columns of the analyzed matrix.",
        WHOLE,
        schema={
            "type": "array",
            "items": {"type": "integer", "minimum": 0},
            "minItems": 2,
            "maxItems": 2,
        },
        columns=("rows", "columns"),
        section=SECTION,
        details="As it stands in the model.",
    ),
    Metric(
        "dtype",
        "Type in which the values are stored.",
        TEXT,
        section=SECTION,
        details="By torch's name.",
    ),
    Metric(
        "M",
        "Smaller dimension: the number of singular values.",
        WHOLE,
        schema=_POSITIVE,
        section=SECTION,
    ),
    Metric("N", "Larger dimension.", WHOLE, schema=_POSITIVE, section=SECTION),
    Metric(
        "Q",
        "Aspect ratio N / M.",
        schema=_POSITIVE,
        label="Q",
        section=SECTION,
        terminal=TerminalColumn("Q", ".4g", rank_to_drop=1),
        page=PageColumn("Q", 4, narrow=False),
    ),
)

IN_WORDS = (
    Metric(
        "power_law_note",
        "Why there is no power law, or what to be careful of; null where there is nothing to say.",
        TEXT,
        nullable=True,
    ),
    Metric(
        "verdict",
        "What the singular values say of this matrix; not_assessed where Marchenko-Pastur theory"
        " lets the smallest one be 0.",
        TEXT,
        schema={"enum": [verdict.value for verdict in LAYER_VERDICTS]},
    ),
    Metric(
        "warnings",
        "What a reader of this layer's numbers should know.",
        TEXT,
        schema={"type": "array", "items": {"type": "string"}},
    ),
)
