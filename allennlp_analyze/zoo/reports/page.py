"""The texts of the zoo's page: sentence, cards, groups, lists, settings and terms."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from allennlp_analyze.reports.html.cards import Card
from allennlp_analyze.reports.html.page import how_of_several
from allennlp_analyze.reports.terms import NOTHING, text
from allennlp_analyze.results.verdict import MIN_Q, NEAR_SHARE, Verdict
from allennlp_analyze.results.verdict import worst_first as by_severity
from allennlp_analyze.text.counts import counted, fraction
from allennlp_analyze.text.names import NAME_WIDTH, printable, shorten
from allennlp_analyze.zoo.reports.arrays import LinearLayers
from allennlp_analyze.zoo.reports.causes import CauseRow, cause_rows
from allennlp_analyze.zoo.reports.charts import OTHERS, group_label
from allennlp_analyze.zoo.reports.claims import ClaimRow, claim_rows, claims_sentence
from allennlp_analyze.zoo.reports.groups import GroupTable, group_table
from allennlp_analyze.zoo.reports.runs import RunRow, not_counted, run_row
from allennlp_analyze.zoo.reports.table import (
    COLUMNS,
    DUPLICATE,
    FAILED_STATE,
    ORDER,
    STATES,
    ModelColumn,
    ModelRow,
    model_name,
    note_of,
    state_counts,
    state_of,
    worst_first,
)
from allennlp_analyze.zoo.results import ZooModel, ZooReport, ZooTotals

# Rows of the table of models on a page without scripts, and rows of the other tables.
STATIC_ROWS, LISTED = 2000, 200
USUAL_ALPHA = (2.0, 4.0)
ARCHIVE_WIDTH = 2 * NAME_WIDTH
NAME_COLUMN = ModelColumn("model", "its name in the manifest", "text", lambda m: m.name, "")
# The states of counted models, the worst first; the first that occurs marks the page.
VERDICT_STATES = by_severity(Verdict)
TERMS = (
    (
        "σ_min",
        "√λ_min(WᵀW)",
        "Smallest singular value of a layer: how much remains of the input direction that the"
        f" layer weakens most. For a model: the smallest over linear layers with Q above {MIN_Q}.",
    ),
    (
        "Q",
        "N / M",
        "Theory keeps the smallest singular value of a healthy layer above 0 only if Q is clearly"
        " above 1.",
    ),
    (
        "lost",
        "100 · #{σ within rounding, or far below s(√N − √M)} / M",
        "Share of the directions that are lost by the rule of the verdict: within rounding of zero,"
        " or far below the smallest singular value of noise of this size and variance.",
    ),
    (
        "α",
        "ρ(λ) ∝ λ^(−α) for λ ≥ xmin",
        "Exponent of the power law of the eigenvalues; between 2 and 6 in well-trained layers"
        " (Martin and Mahoney 2018), mostly between 2 and 4 in the study of that year.",
    ),
    (
        f"{Verdict.COLLAPSED.words}, {Verdict.NEAR_COLLAPSE.words}",
        "the worst among the layers that multiply activations",
        "Collapsed: a direction is lost, and matters. Near collapse: the smallest singular value is"
        " below"
        f" {fraction(NEAR_SHARE)} of that of a random matrix of this size and variance.",
    ),
    (
        Verdict.INVALID.words,
        "a matrix contains NaN or infinity",
        "Such a network cannot compute anything; its other matrices are in the figures.",
    ),
    (
        "checkpoint",
        "another checkpoint of the same training is counted",
        "Listed here, but excluded from all counts, figures and claims: the checkpoints of one"
        " training are not independent models.",
    ),
    (
        "duplicate",
        "the same file or the same weights as an earlier model",
        "Listed here, but excluded from all counts, figures and claims.",
    ),
)


@dataclass(frozen=True)
class ListedModel:
    """A model in a list: its name, its origin and a remark."""

    name: str
    archive: str
    note: str


@dataclass(frozen=True)
class Listed:
    """A list of models, cut if it is long, and the number of omitted ones."""

    number: int
    models: tuple[ListedModel, ...]

    @property
    def more(self) -> int:
        return self.number - len(self.models)


@dataclass(frozen=True)
class ZooPage:
    """All texts of the page except the rows that are only in its data."""

    title: str
    mark: str
    sentence: str
    cards: tuple[Card, ...]
    claims: tuple[ClaimRow, ...]
    claims_sentence: str
    name_column: ModelColumn
    columns: tuple[ModelColumn, ...]
    rows: tuple[ModelRow, ...]
    n_models: int
    causes: tuple[CauseRow, ...]
    groups: GroupTable
    group_options: tuple[tuple[str, int], ...]
    states: tuple[tuple[int, str, int], ...]
    failed: Listed
    duplicates: Listed
    how: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    trainer_files: int = 0
    unread: tuple[str, ...] = ()
    n_unread: int = 0
    runs: tuple[RunRow, ...] = ()
    n_runs: int = 0
    n_not_counted: int = 0
    terms: tuple[tuple[str, str, str], ...] = TERMS


def zoo_page_of(report: ZooReport, layers: LinearLayers, rows: Sequence[ModelRow]) -> ZooPage:
    """Returns the texts of the page; names and texts from the archives are made printable.

    `layers` are the linear layers of the counted models, `rows` those of the table of models.
    """
    states = state_counts(report.models)
    return ZooPage(
        title=printable(report.title) or "Zoo",
        mark=next((v.value for v in VERDICT_STATES if states[v]), Verdict.NOT_ASSESSED.value),
        sentence=_sentence(states),
        cards=_cards(report, layers, states),
        claims=claim_rows(report.claims) if report.shows_claims else (),
        claims_sentence=claims_sentence(report.claims),
        name_column=NAME_COLUMN,
        columns=COLUMNS,
        rows=tuple(worst_first(rows)[:STATIC_ROWS]),
        n_models=len(rows),
        causes=cause_rows(report.require_summary().totals),
        groups=group_table(report, LISTED),
        group_options=group_options(report),
        states=tuple((ORDER[s], word, states[s]) for s, word in STATES.items() if states[s]),
        failed=_listed([m for m in report.models if state_of(m) == FAILED_STATE]),
        duplicates=_listed([m for m in report.models if state_of(m) == DUPLICATE]),
        how=_how(report),
        trainer_files=report.trainer_files,
        unread=tuple(printable(line) for line in report.unread[:LISTED]),
        n_unread=len(report.unread),
        runs=tuple(map(run_row, report.runs[:LISTED])),
        n_runs=len(report.runs),
        n_not_counted=not_counted(report.runs),
    )


def group_options(report: ZooReport) -> tuple[tuple[str, int], ...]:
    """Returns the groups by which the table of models can be filtered, with their sizes."""
    labels = Counter(group_label(model.group) for model in report.models)
    shown = list(labels.items())[:LISTED]
    rest = len(report.models) - sum(number for _, number in shown)
    return (*shown, (OTHERS, rest)) if rest else tuple(shown)


def _sentence(states: "dict[str, int]") -> str:
    analyzed = sum(states[verdict] for verdict in VERDICT_STATES)
    if not analyzed:
        return f"No model could be analyzed: {counted(states[FAILED_STATE], 'model')} failed."
    failed, same = states[FAILED_STATE], states[DUPLICATE]
    return "".join(
        (
            f"{counted(analyzed, 'model')} analyzed: {_verdicts(states)}.",
            f" {failed:,} failed." if failed else "",
            f" {counted(same, 'duplicate')} excluded." if same else "",
        )
    )


def _verdicts(states: "dict[str, int]") -> str:
    """Returns the number of models with each verdict; always that of collapsed ones."""
    return ", ".join(
        f"{states[verdict]:,} {STATES[verdict]}" if states[verdict] else f"none {STATES[verdict]}"
        for verdict in VERDICT_STATES
        if states[verdict] or verdict is Verdict.COLLAPSED
    )


def _cards(report: ZooReport, layers: LinearLayers, states: "dict[str, int]") -> tuple[Card, ...]:
    totals = report.require_summary().totals
    low, high = USUAL_ALPHA
    n_fitted = totals.n_power_law
    usual = int(((layers.alpha >= low) & (layers.alpha <= high)).sum())
    share = f"{100 * usual / n_fitted:.3g}%" if n_fitted else NOTHING
    return (
        Card(
            "Models",
            f"{totals.n_counted:,}",
            _verdicts(states),
            "Each counts once, with the worst verdict on a layer that multiplies activations.",
            f"{states[FAILED_STATE]:,} failed, {counted(states[DUPLICATE], 'duplicate')}",
        ),
        Card(
            "Layers",
            f"{totals.n_assessed:,}",
            f"assessed: linear with Q above {MIN_Q}; {totals.n_linear:,} linear and"
            f" {totals.n_layers:,} matrices in all",
            "For these, theory says how small a healthy smallest singular value can be.",
            "Q = N / M",
        ),
        Card(
            "Smallest singular value",
            text(totals.min_singular_value, 3),
            _weakest(totals),
            "Over the assessed layers, as in the study. The verdicts judge squares, too.",
            "σ_min = √λ_min(WᵀW)",
        ),
        Card(
            "Power-law exponent α",
            text(totals.median_alpha, 3),
            f"median of {counted(n_fitted, 'linear layer')} with a fit",
            f"{share} between {low:g} and {high:g}.",
            "ρ(λ) ∝ λ^(−α) for λ ≥ xmin",
        ),
    )


def _weakest(totals: ZooTotals) -> str:
    """Returns the model and layer with the smallest of all smallest singular values."""
    model, layer = totals.min_singular_value_model, totals.min_singular_value_layer
    if model is None or layer is None:
        return "no layer is assessed"
    return f"{model_name(model)}: {shorten(printable(layer), NAME_WIDTH)}"


def _listed(models: Sequence[ZooModel]) -> Listed:
    return Listed(
        len(models),
        tuple(
            ListedModel(
                model_name(model.name),
                shorten(printable(model.archive), ARCHIVE_WIDTH) or NOTHING,
                note_of(model),
            )
            for model in models[:LISTED]
        ),
    )


def _how(report: ZooReport) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    facts = {
        "manifest": report.manifest,
        "models": f"{len(report.models):,}",
        "seconds": text(report.seconds, 4),
    }
    return how_of_several("Zoo", facts, "models", report.tool, report.settings)
