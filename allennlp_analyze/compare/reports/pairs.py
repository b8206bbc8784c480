"""The pairs on the comparison page: the columns of their table, their numbers and notes."""

from collections.abc import Iterator
from typing import Callable

from allennlp_analyze.compare.results import TABLE_ORDER, LayerPair, ModelComparison
from allennlp_analyze.compare.wording import cause_line
from allennlp_analyze.metrics.catalogue import CATALOGUE
from allennlp_analyze.metrics.metric import Metric, PageColumn
from allennlp_analyze.reports.html.page import title_of_column
from allennlp_analyze.reports.terms import NOTHING, text
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.text.columns import Column
from allennlp_analyze.text.counts import percent
from allennlp_analyze.text.names import printable

# Each pair has two spectra: with more of all candidates, a page is too large to open and to mail.
MOST_PAIRS = 1500
MEASURE_LABELS = {metric.names[0]: metric.label for metric in CATALOGUE if metric.compared}


def most_of_each(candidates: int, most: int = MOST_PAIRS) -> int:
    """Returns how many of `most` pairs a page has of each of so many candidates."""
    return max(1, most // max(1, candidates))


def pairs_on_page(comparison: ModelComparison, most: int) -> tuple[LayerPair, ...]:
    """Returns the pairs that a page has, at most so many, in the order of the baseline.

    Of more, it has those that changed, and of the others those that moved most.
    """
    kept = set(map(id, (*comparison.shown, *comparison.folded)[:most]))
    return tuple(pair for pair in comparison.pairs if id(pair) in kept)


def columns(letter: str) -> tuple[Column[LayerPair], ...]:
    """Returns the columns of the table of pairs for the candidate `letter`."""
    return (
        Column("layer", _name, "name in A", style=""),
        Column(
            "change",
            lambda pair: pair.change,
            f"how the layer changed from A to {letter}",
            lambda pair: TABLE_ORDER.index(pair.change),
            "verdict",
        ),
        Column(
            "moved",
            lambda pair: percent(pair.moved) if pair.same_size else NOTHING,
            "distance of the singular values, in percent of A's",
            lambda pair: pair.moved,
        ),
        *_numbers(letter),
        Column("kind", _kind, "what the layer does", style="less"),
        Column(
            "N × M",
            lambda pair: size_text(pair.baseline.shape),
            "the size in A",
            lambda pair: pair.baseline.N * pair.baseline.M,
            "number less",
        ),
        Column(
            "shape",
            lambda pair: text(pair.ks_distance, 2),
            "Kolmogorov-Smirnov distance, independent of scale",
            lambda pair: pair.ks_distance,
            "number less",
        ),
    )


def measures(pair: LayerPair) -> list[list[str]]:
    """Returns for each measure its label, both numbers, the difference and the ratio."""
    found = [
        ["verdict", pair.baseline.verdict.words, pair.candidate.verdict.words, "", ""],
        ["N × M", size_text(pair.baseline.shape), size_text(pair.candidate.shape), "", ""],
    ]
    return found + [
        [
            MEASURE_LABELS[name],
            text(value.baseline),
            text(value.candidate),
            text(value.difference),
            text(value.ratio),
        ]
        for name, value in pair.differences.items()
    ]


def notes(pair: LayerPair, letter: str) -> list[str]:
    """Returns further notes on a pair."""
    line = cause_line(pair)
    lines = [] if line is None else [f"A {arrow('->')} {letter}: {arrow(line)}."]
    if pair.matched_by != "name":
        lines.append(f"Matched by {pair.matched_by}: in {letter} it is {pair.candidate.name}.")
    if not pair.same_size:
        lines.append(
            f"Not comparable: {pair.incomparable}, so the singular values cannot be compared one by"
            " one."
        )
    lines += [f"Warning in {letter} only: {warning}" for warning in pair.new_warnings]
    lines += [f"Warning in A only: {warning}" for warning in pair.gone_warnings]
    return [printable(line) for line in lines]


def _name(pair: LayerPair) -> str:
    return printable(pair.baseline.name)


def _kind(pair: LayerPair) -> str:
    return pair.baseline.kind


def size_text(shape: tuple[int, int]) -> str:
    """Returns N × M."""
    return f"{max(shape)} × {min(shape)}"


def _numbers(letter: str) -> Iterator[Column[LayerPair]]:
    """Yields a column for A and one for the candidate, for each number in the table."""
    for metric in CATALOGUE:
        if metric.page is not None and metric.page.compared:
            yield _number_column(metric, metric.page, "A", lambda pair: pair.baseline)
            yield _number_column(metric, metric.page, letter, lambda pair: pair.candidate)


def _number_column(
    metric: Metric, column: PageColumn, name: str, side: Callable[[LayerPair], LayerResult]
) -> Column[LayerPair]:
    percent = " %" if column.percent else ""
    return Column(
        f"{column.title}{percent} {name}",
        lambda pair: text(metric.read(side(pair)), column.digits),
        f"{title_of_column(metric)}: in {name}",
        lambda pair: metric.read(side(pair)),
        "number less",
    )


def arrow(text: str) -> str:
    """Returns `text` with real arrows."""
    return text.replace("->", "→")
