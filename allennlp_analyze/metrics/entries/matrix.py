"""Entries of the catalogue: the identity of a matrix, and its notes."""

from allennlp_analyze.metrics.metric import COUNT, TEXT, WHOLE, Metric, PageColumn, TerminalColumn
from allennlp_analyze.options.names import KINDS

SECTION = "matrix"
_POSITIVE = {"minimum": 1}

MATRIX = (
    Metric(
        "name",
        "Unique name: the path of the module, then [part] if a tensor contains several matrices.",
        TEXT,
        section=SECTION,
    ),
    Metric("parameter", "Name of the tensor in the weights file.", TEXT, section=SECTION),
    Metric(
        "part",
        "The part of the tensor that is this matrix; null for the whole tensor.",
        TEXT,
        nullable=True,
        section=SECTION,
        details="A gate, a slice, `query`, `key` or `value`.",
    ),
    Metric(
        "module_index",
        "Position of the module in model.modules(); null if no modules were built.",
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
        "Where the kind comes from: names and shapes, the built module, or the file's own graph.",
        TEXT,
        schema={"enum": ["inferred", "module", "graph"]},
        section=SECTION,
        details="`module`: by its class; `graph`: by the operator that uses it;"
        " `inferred`: by names, shapes and vocabulary.",
    ),
    Metric(
        "module_class",
        "Class of the module that owns the tensor; null if no modules were built.",
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
        details="As in the model.",
    ),
    Metric(
        "dtype",
        "Type in which the values are stored.",
        TEXT,
        section=SECTION,
        details="The name in torch.",
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
        "Why there is no power law, or a caution about it; otherwise null.",
        TEXT,
        nullable=True,
    ),
    Metric(
        "warnings",
        "Cautions about this layer's numbers.",
        TEXT,
        schema={"type": "array", "items": {"type": "string"}},
    ),
)
