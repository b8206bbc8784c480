"""The page's table of groups: of each, its models by what became of them, and its linear layers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from allennlp_analyze.reports.terms import NOTHING, text
from allennlp_analyze.reports.zoo_arrays import LinearLayers
from allennlp_analyze.reports.zoo_charts import group_label
from allennlp_analyze.reports.zoo_table import STATES, model_name, state_counts
from allennlp_analyze.zoo_results import ZooModel, ZooReport

# What a group says of its linear layers: heading, what it means, style.
LAYER_COLUMNS = (
    ("layers", "linear, with Q above 1.1", "number less"),
    ("σ_min", "the smallest singular value of these", "number"),
    ("of model", "where that is", "less name"),
    ("α", "median power-law exponent of all linear layers", "number"),
)


@dataclass(frozen=True)
class GroupRow:
    """One group: its name, and a text for each column."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class GroupTable:
    """Headings after that of the name, each with its meaning and style, and the rows."""

    columns: tuple[tuple[str, str, str], ...]
    rows: tuple[GroupRow, ...]
    n_groups: int


def group_table(report: ZooReport, layers: LinearLayers, most: int) -> GroupTable:
    """The first `most` groups; `layers` are the linear ones of the counted models.

    What no model of the zoo is has no column.
    """
    groups = report.groups
    found = [state for state, number in state_counts(report.models).items() if number]
    members: dict[str, list[ZooModel]] = {group: [] for group in groups}
    for model in report.models:
        members[model.group].append(model)
    of_groups = layers.by_group(len(groups))
    states = ((STATES[state], "of the models", "number less") for state in found)
    return GroupTable(
        columns=(("models", "in the manifest", "number"), *states, *LAYER_COLUMNS),
        rows=tuple(
            GroupRow(group_label(group), _cells(members[group], of, report.models, found))
            for group, of in zip(groups[:most], of_groups)
        ),
        n_groups=len(groups),
    )


def _cells(
    members: Sequence[ZooModel],
    layers: LinearLayers,
    models: Sequence[ZooModel],
    states: Sequence[str],
) -> tuple[str, ...]:
    counts = state_counts(members)
    assessed = layers.where(layers.assessed)
    alphas = layers.fitted.alpha
    least, where = NOTHING, NOTHING
    if len(assessed):
        weakest = int(assessed.sigma_min.argmin())
        least = text(float(assessed.sigma_min[weakest]), 3)
        where = model_name(models[assessed.model[weakest]].name)
    alpha = text(float(np.median(alphas)), 3) if len(alphas) else NOTHING
    numbers = (len(members), *(counts[state] for state in states), len(assessed))
    return (*(f"{number:,}" for number in numbers), least, where, alpha)
