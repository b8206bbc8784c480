"""The cards at the top of the page: key numbers of all judged layers, and those of the study."""

from dataclasses import dataclass

from allennlp_analyze.reports.terms import NOTHING, text
from allennlp_analyze.results.layer import ModelReport, Summary
from allennlp_analyze.results.verdict import MIN_Q
from allennlp_analyze.results.worst import (
    judged_layers,
    most_lost,
    weakest,
    with_harmless_directions,
)
from allennlp_analyze.text.counts import count, rounded_percent
from allennlp_analyze.text.names import printable

STUDY = f"Linear layers with Q above {MIN_Q}, as in the 2018 study"
NOT_JUDGED = "no layer is judged"


@dataclass(frozen=True)
class Card:
    """One of the numbers at the top of the page; `study` is the number of the 2018 study."""

    title: str
    value: str
    where: str
    meaning: str
    formula: str
    study: str = ""


def cards_of(report: ModelReport) -> tuple[Card, ...]:
    """Returns the cards of the page on one model."""
    return (_smallest(report), _lost(report), _alpha(report.summary), _layers(report.summary))


def _smallest(report: ModelReport) -> Card:
    judged = judged_layers(report.layers)
    layer, summary = weakest(judged), report.summary
    meaning = "How much remains of the input direction that a layer weakens most."
    if layer is not None:
        why = f" ({printable(layer.reason)})" if layer.reason else ""
        meaning = (
            f"Of {_judged(len(judged))}. The verdict compares it with random matrices of the same"
            f" size. Verdict on this layer: {layer.verdict.words}{why}."
        )
    name = summary.min_singular_value_layer
    value = text(summary.min_singular_value, 3) + (f", in {printable(name)}" if name else "")
    return Card(
        "Smallest singular value",
        text(layer.min_singular_value if layer else None, 3),
        printable(layer.name) if layer else NOT_JUDGED,
        meaning,
        "σ_min = √λ_min(WᵀW)",
        f"{STUDY}: {value}." if summary.n_assessed else "",
    )


def _lost(report: ModelReport) -> Card:
    judged = judged_layers(report.layers)
    layer, loss = most_lost(judged), report.summary.max_rank_loss_percent
    where = NOT_JUDGED
    if layer is not None and layer.lost_directions:
        where = f"{layer.lost_directions} of {layer.M} in {printable(layer.name)}"
    elif layer is not None:
        where = f"none in {_judged(len(judged))}"
        harmless = len(with_harmless_directions(judged))
        where += f", but for harmless ones in {count(harmless, 'layer')}" if harmless else ""
    return Card(
        "Directions lost",
        f"{layer.lost_percent:.3g}%" if layer else NOTHING,
        where,
        "The largest share that a judged layer has lost by the rule of the verdict. Harmless"
        " directions do not count.",
        "100 · #{lost} / M",
        "" if loss is None else f"{STUDY}: {loss:.3g}%.",
    )


def _alpha(summary: Summary) -> Card:
    return Card(
        "Power-law exponent α",
        text(summary.median_alpha, 3),
        f"median of {summary.n_power_law} layers; mean {text(summary.mean_alpha, 3)}",
        "Of the tail of the spectrum, which has no part in the verdict. Between 2 and 6 in many"
        " well-trained layers (Martin and Mahoney 2018).",
        "ρ(λ) ∝ λ^(−α) for λ ≥ xmin",
    )


def _layers(summary: Summary) -> Card:
    counts = [
        f"{number} {verdict.words}"
        for verdict, number in summary.layers_by_verdict.items()
        if number
    ]
    meaning = "No layer could be judged."
    if summary.n_judged:
        meaning = f"The verdict is the worst on {_judged(summary.n_judged)}."
    if summary.judged_percent is not None:
        meaning += (
            f" Judged matrices hold {rounded_percent(summary.judged_percent)} of the weights."
        )
    return Card(
        "Layers",
        str(summary.n_layers),
        ", ".join(counts),
        meaning,
        "Q = N / M",
        f"{STUDY}: {summary.n_assessed}.",
    )


def _judged(number: int) -> str:
    return "the judged layer" if number == 1 else f"the {count(number, 'judged layer')}"
