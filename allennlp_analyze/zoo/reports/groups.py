"""The page's table of groups: the models of each by state, and its linear layers."""

from collections.abc import Sequence
from dataclasses import dataclass

from allennlp_analyze.reports.terms import NOTHING, text
from allennlp_analyze.results.verdict import MIN_Q
from allennlp_analyze.zoo.reports.charts import group_label
from allennlp_analyze.zoo.reports.table import STATES, model_name, state_counts
from allennlp_analyze.zoo.results import ZooModel, ZooReport, ZooTotals

# The columns on a group's linear layers: heading, meaning, style.
LAYER_COLUMNS = (
    ("layers", f"assessed: linear with Q above {MIN_Q}", "number less"),
    ("σ_min", "the smallest singular value of these", "number"),
    ("of model", "the model of that layer", "less name"),
    ("α", "median power-law exponent of all linear layers", "number"),
)


@dataclass(frozen=True)
class GroupRow:
    """One group: its name and a text for each column."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class GroupTable:
    """The headings after the name, each with its meaning and style, and the rows."""

    columns: tuple[tuple[str, str, str], ...]
    rows: tuple[GroupRow, ...]
    n_groups: int


def group_table(report: ZooReport, most: int) -> GroupTable:
    """Returns the first `most` groups; a state that no model has gets no column."""
    totals = report.require_summary().groups
    found = [state for state, number in state_counts(report.models).items() if number]
    members: dict[str, list[ZooModel]] = {group: [] for group in totals}
    for model in report.models:
        members[model.group].append(model)
    states = ((STATES[state], "of the models", "number less") for state in found)
    return GroupTable(
        columns=(("models", "in the manifest", "number"), *states, *LAYER_COLUMNS),
        rows=tuple(
            GroupRow(group_label(group), _cells(totals[group], members[group], found))
            for group in list(totals)[:most]
        ),
        n_groups=len(totals),
    )


def _cells(
    totals: ZooTotals, members: Sequence[ZooModel], states: Sequence[str]
) -> tuple[str, ...]:
    counts = state_counts(members)
    numbers = (totals.n_models, *(counts[state] for state in states), totals.n_assessed)
    where = totals.min_singular_value_model
    return (
        *(f"{number:,}" for number in numbers),
        text(totals.min_singular_value, 3),
        NOTHING if where is None else model_name(where),
        text(totals.median_alpha, 3),
    )
