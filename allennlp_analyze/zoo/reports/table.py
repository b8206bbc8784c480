"""The table of models: rows as texts for a page without scripts, and as plain data."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional, Union

from allennlp_analyze.reports.html.model import PAGE as MODEL_PAGE
from allennlp_analyze.reports.terms import NOTHING, text
from allennlp_analyze.results.layer import Summary
from allennlp_analyze.results.verdict import MIN_Q, Verdict
from allennlp_analyze.results.verdict import worst_first as by_severity
from allennlp_analyze.text.links import link_target
from allennlp_analyze.text.names import NAME_WIDTH, printable, shorten
from allennlp_analyze.zoo.reports.charts import group_label
from allennlp_analyze.zoo.reports.sentences import verdict_sentence
from allennlp_analyze.zoo.results import FAILED, ZooModel

FAILED_STATE, DUPLICATE, CHECKPOINT = "failed", "duplicate", "checkpoint"
# The states of a model, the worst first; each row has one mark, and the counts add up.
STATES = {
    FAILED_STATE: "failed",
    **{verdict.value: verdict.model_words for verdict in by_severity(Verdict)},
    DUPLICATE: "duplicate",
    CHECKPOINT: "checkpoint",
}
ORDER = {state: place for place, state in enumerate(STATES)}
# The digits of numbers, for display and for sorting.
DIGITS = 4
MODEL_WIDTH, NOTE_WIDTH = 2 * NAME_WIDTH, 400
Value = Union[float, int, str, None]


@dataclass(frozen=True)
class ModelColumn:
    """A column after the name, whose values zoo.js formats by `form`:

    text; plain: all digits; number; percent; state: an index into `STATES`, with its mark.
    """

    title: str
    meaning: str
    form: str
    value: Callable[[ZooModel], Value]
    style: str = "number"


@dataclass(frozen=True)
class ModelRow:
    """A row of a model: its name, the link to its report, and a value for each column.

    `note` is the sentence below its verdict.
    """

    name: str
    full_name: str
    link: Optional[str]
    note: str
    state: str
    values: tuple[Value, ...]

    @property
    def cells(self) -> "list[tuple[str, str]]":
        """Returns style and text of each value."""
        return [(c.style, shown(v, c.form)) for c, v in zip(COLUMNS, self.values)]


def _summary(take: Callable[[Summary], Value]) -> Callable[[ZooModel], Value]:
    return lambda model: None if model.outcome.summary is None else take(model.outcome.summary)


COLUMNS = (
    ModelColumn(
        "verdict", "has the model lost rank?", "state", lambda m: ORDER[state_of(m)], "verdict"
    ),
    ModelColumn(
        "lost",
        "the largest share of directions that a layer which multiplies activations has lost",
        "percent",
        lambda m: m.outcome.lost_percent,
        "number less",
    ),
    ModelColumn(
        "σ_min",
        f"smallest singular value of its linear layers with Q above {MIN_Q}",
        "number",
        _summary(lambda s: s.min_singular_value),
        "number less",
    ),
    ModelColumn(
        "in layer",
        "the layer of that value",
        "text",
        _summary(lambda s: shorten(printable(s.min_singular_value_layer or ""), NAME_WIDTH)),
        "less",
    ),
    ModelColumn(
        "α",
        "median power-law exponent of all layers that have one",
        "number",
        _summary(lambda s: s.median_alpha),
        "number less",
    ),
    ModelColumn(
        "layers", "matrices analyzed", "plain", _summary(lambda s: s.n_layers), "number less"
    ),
    ModelColumn("group", "from the manifest", "text", lambda m: group_label(m.group), "less"),
    ModelColumn(
        "seconds", "of its analysis", "plain", lambda m: round(m.outcome.seconds, 2), "number less"
    ),
)


def state_of(model: ZooModel) -> str:
    """Returns the state of the model, one of `STATES`."""
    if model.outcome.status == FAILED:
        return FAILED_STATE
    if model.checkpoint_of is not None:
        return CHECKPOINT
    if model.duplicate_of is not None:
        return DUPLICATE
    summary = model.outcome.summary
    return (Verdict.NOT_ASSESSED if summary is None else summary.verdict).value


def model_row(model: ZooModel) -> ModelRow:
    """Returns the row of `model`; it has a link only if its report was written."""
    full_name = printable(model.name) or "(no name)"
    done = model.outcome.status != FAILED
    return ModelRow(
        name=model_name(model.name),
        full_name=full_name,
        link=link_target(f"{model.directory}/{MODEL_PAGE}") if done else None,
        note=note_of(model),
        state=state_of(model),
        values=tuple(_rounded(column.value(model)) for column in COLUMNS),
    )


def worst_first(rows: Sequence[ModelRow]) -> list[ModelRow]:
    """Sort the rows: the worst state first, in it what lost most; as zoo.js does at first."""
    at = [column.title for column in COLUMNS].index("lost")

    def place(row: ModelRow) -> tuple[int, float]:
        lost = row.values[at]
        return ORDER[row.state], -(float(lost) if lost is not None else -1.0)

    return sorted(rows, key=place)


def model_name(name: str) -> str:
    """Returns the name of a model, shortened for tables."""
    return shorten(printable(name), MODEL_WIDTH) or "(no name)"


def note_of(model: ZooModel) -> str:
    """Returns why the model failed, which model is counted for it, or its verdict's sentence."""
    if model.outcome.status == FAILED:
        return shorten(printable(model.outcome.reason or "no reason was recorded"), NOTE_WIDTH)
    if model.checkpoint_of is not None:
        return f"another checkpoint of the training of {model_name(model.checkpoint_of)}"
    if model.duplicate_of is not None:
        return f"same as {model_name(model.duplicate_of)}"
    return shorten(verdict_sentence(model), NOTE_WIDTH)


def shown(value: Value, form: str) -> str:
    """Formats a value for the table, in the same way as zoo.js."""
    if form == "state":
        return list(STATES.values())[int(value or 0)]
    if value is None or value == "":
        return NOTHING
    written = text(value, 15 if form == "plain" else DIGITS)
    return f"{written}%" if form == "percent" and value else written


def table_data(rows: Sequence[ModelRow]) -> "dict[str, Any]":
    """Returns all rows for zoo.js; notes and columns of texts contain indices of `texts`."""
    texts: dict[Value, int] = {}
    forms = [column.form for column in COLUMNS]

    def packed(row: ModelRow) -> "list[Value]":
        return [
            texts.setdefault(value or "", len(texts)) if form == "text" else value
            for form, value in zip(forms, row.values)
        ]

    values = [packed(row) for row in rows]
    notes = [texts.setdefault(row.note, len(texts)) for row in rows]
    return {
        "columns": [[column.form, column.style] for column in COLUMNS],
        "group_column": [column.title for column in COLUMNS].index("group"),
        "states": list(STATES.items()),
        "nothing": NOTHING,
        "digits": DIGITS,
        "rows": [[row.name, row.link, *of] for row, of in zip(rows, values)],
        "texts": list(texts),
        "notes": notes,
        "names": {i: row.full_name for i, row in enumerate(rows) if row.full_name != row.name},
    }


def state_counts(models: Iterable[ZooModel]) -> "dict[str, int]":
    """Returns the number of models in each of `STATES`."""
    counts = dict.fromkeys(STATES, 0)
    for model in models:
        counts[state_of(model)] += 1
    return counts


def _rounded(value: Value) -> Value:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
