"""The texts of the comparison page: sections, tables and lists."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Callable, Optional

from allennlp_analyze.compare.growth import growth_lines
from allennlp_analyze.compare.reports.deltas import DeltaTable, delta_table
from allennlp_analyze.compare.results import (
    CHANGES,
    ComparedModel,
    ComparisonReport,
    LayerPair,
    ModelComparison,
    Unmatched,
)
from allennlp_analyze.compare.wording import cause_line, cause_lines
from allennlp_analyze.metrics.catalogue import CATALOGUE
from allennlp_analyze.metrics.metric import Metric, PageColumn
from allennlp_analyze.reports.html.page import title_of_column, without_word
from allennlp_analyze.reports.html.table import Row, table_row
from allennlp_analyze.reports.terms import NOTHING, text
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.text.columns import Column
from allennlp_analyze.text.counts import count, percent
from allennlp_analyze.text.lists import first_lines
from allennlp_analyze.text.names import NAME_WIDTH, printable, shorten

LISTED = 200
CAUSES = "Verdicts and causes, A → {}"
# The mark of each change, from the style's marks for verdicts.
MARKS = {
    "collapsed": Verdict.COLLAPSED.value,
    "worse": Verdict.NEAR_COLLAPSE.value,
    "same": Verdict.NOT_ASSESSED.value,
    "better": Verdict.FULL_RANK.value,
    "recovered": Verdict.FULL_RANK.value,
}
# The first of these that any candidate has marks the page.
WORST_FIRST = (Verdict.INVALID.value, *MARKS.values())
MEASURE_LABELS = {metric.names[0]: metric.label for metric in CATALOGUE if metric.compared}
TERMS = (
    (
        "moved",
        "‖σ(A) − σ(B)‖ / ‖σ(A)‖",
        "How far the singular values moved in total. The weights changed by at least as much:"
        " ‖W_A − W_B‖_F / ‖W_A‖_F is never less (Mirsky's theorem). If the sizes differ, the"
        " 2-Wasserstein distance of the two distributions is used instead.",
    ),
    (
        "shape",
        "max |F_A − F_B|",
        "Kolmogorov-Smirnov distance of the eigenvalues, each spectrum divided by its mean: 0 if"
        " only the scale changed, 1 if the two do not overlap.",
    ),
    (
        "lost",
        "σ within rounding, or far below s(√N − √M)",
        "Directions that are lost by the rule of the verdict: within rounding of zero, or far below"
        " the smallest singular value of noise of this size and variance.",
    ),
    (
        "collapsed, recovered",
        f"the verdict is, or is no longer, {Verdict.COLLAPSED.words}",
        "Worse and better describe other steps of the verdict"
        f" ({Verdict.FULL_RANK.words}, {Verdict.NEAR_COLLAPSE.words}) or,"
        " without such a step, the number of lost directions.",
    ),
)


@dataclass(frozen=True)
class Model:
    """A model with its letter and its own verdict."""

    letter: str
    label: str
    verdict: str
    word: str
    sentence: str


@dataclass(frozen=True)
class Listing:
    """A titled list of lines, cut where it is long; readers can close one that `is_open`."""

    title: str
    lines: tuple[str, ...]
    is_open: bool = False


@dataclass(frozen=True)
class Section:
    """One candidate against the baseline."""

    letter: str
    label: str
    mark: str
    sentence: str
    columns: tuple[Column[LayerPair], ...]
    rows: tuple[Row, ...]
    listings: tuple[Listing, ...]
    deltas: Optional[DeltaTable] = None


@dataclass(frozen=True)
class ComparePage:
    """All texts of the page except the numbers of single pairs."""

    title: str
    mark: str
    models: tuple[Model, ...]
    sections: tuple[Section, ...]
    terms: tuple[tuple[str, str, str], ...] = TERMS


def compare_page_of(report: ComparisonReport) -> ComparePage:
    """Returns the texts of the page; names and texts from the archives are made printable."""
    sections = tuple(_section(comparison) for comparison in report.candidates)
    models = [("A", report.baseline), *((c.letter, c.candidate) for c in report.candidates)]
    marks = [section.mark for section in sections]
    return ComparePage(
        title=f"{_file_name(report.baseline)} against {count(len(sections), 'other model')}",
        mark=next((mark for mark in WORST_FIRST if mark in marks), MARKS["same"]),
        models=tuple(_model(letter, model) for letter, model in models),
        sections=sections,
    )


def columns(letter: str) -> tuple[Column[LayerPair], ...]:
    """Returns the columns of the table of pairs for the candidate `letter`."""
    return (
        Column("layer", _name, "name in A", style=""),
        Column("kind", _kind, "what the layer does", style="less"),
        Column("N × M", _sizes, "the sizes", lambda p: p.baseline.N * p.baseline.M, "number less"),
        *_numbers(letter),
        Column(
            "moved",
            lambda pair: percent(pair.spectral_distance),
            "distance of the singular values, in percent of A's",
            lambda pair: pair.spectral_distance,
        ),
        Column(
            "shape",
            lambda pair: text(pair.ks_distance, 2),
            "Kolmogorov-Smirnov distance, independent of scale",
            lambda pair: pair.ks_distance,
            "number less",
        ),
        Column(
            "change",
            lambda pair: pair.change,
            "how the layer changed",
            lambda pair: CHANGES.index(pair.change),
            "verdict",
        ),
    )


def measures(pair: LayerPair) -> list[list[str]]:
    """Returns for each measure its label, both numbers, the difference and the ratio."""
    found = [
        ["verdict", pair.baseline.verdict.words, pair.candidate.verdict.words, "", ""],
        ["N × M", _size(pair.baseline.shape), _size(pair.candidate.shape), "", ""],
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
    lines = [] if line is None else [f"A {_arrow('->')} {letter}: {_arrow(line)}."]
    if pair.matched_by != "name":
        lines.append(f"Matched by {pair.matched_by}: in {letter} it is {pair.candidate.name}.")
    if not pair.same_size:
        lines.append("The sizes differ, so only numbers independent of size have a difference.")
    lines += [f"Warning in {letter} only: {warning}" for warning in pair.new_warnings]
    lines += [f"Warning in A only: {warning}" for warning in pair.gone_warnings]
    return [printable(line) for line in lines]


def _name(pair: LayerPair) -> str:
    return printable(pair.baseline.name)


def _kind(pair: LayerPair) -> str:
    return pair.baseline.kind


def _size(shape: tuple[int, int]) -> str:
    return f"{max(shape)} × {min(shape)}"


def _sizes(pair: LayerPair) -> str:
    before, after = _size(pair.baseline.shape), _size(pair.candidate.shape)
    return before if pair.same_size else f"{before} → {after}"


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


def _file_name(model: ComparedModel) -> str:
    """Returns the last part of a path or URL."""
    return printable(PurePath(model.label.rstrip("/")).name or model.label)


def _model(letter: str, model: ComparedModel) -> Model:
    summary = model.report.summary
    return Model(
        letter=letter,
        label=printable(model.label),
        verdict=summary.verdict.value,
        word=summary.verdict.model_words.capitalize(),
        sentence=without_word(summary.sentence),
    )


def _section(comparison: ModelComparison) -> Section:
    shown = columns(comparison.letter)
    counts = comparison.counts
    worst = next((MARKS[change] for change in CHANGES if counts[change]), MARKS["same"])
    return Section(
        letter=comparison.letter,
        label=printable(comparison.candidate.label),
        mark=Verdict.INVALID.value if comparison.new_invalid else worst,
        sentence=printable(comparison.sentence),
        columns=shown,
        rows=tuple(
            table_row(pair.baseline, shown, pair, MARKS[pair.change]) for pair in comparison.pairs
        ),
        listings=tuple(_listings(comparison)),
        deltas=delta_table(comparison),
    )


def _listings(comparison: ModelComparison) -> list[Listing]:
    name = comparison.letter
    causes = [_arrow(line) for line in cause_lines(comparison.pairs)]
    lists = {
        CAUSES.format(name): causes,
        "Warnings": list(comparison.warnings),
        "Worse than allowed": [f"{f.layer}: {f.reason}" for f in comparison.failures],
        f"With NaN or infinity in {name}, not in A": [
            f"{tensor.parameter}: {tensor.reason}" for tensor in comparison.new_invalid
        ],
        "Attention": growth_lines(comparison.attention, name),
        f"Only in A, not in {name}": [_unmatched(layer) for layer in comparison.missing],
        f"Only in {name}, not in A": [_unmatched(layer) for layer in comparison.added],
    }
    return [_listing(title, lines) for title, lines in lists.items() if lines]


def _listing(title: str, lines: Sequence[str]) -> Listing:
    shown = map(printable, first_lines(lines, LISTED, "compare.json"))
    is_open = title.startswith(CAUSES[: CAUSES.index("{")])
    return Listing(f"{title} ({len(lines)})", tuple(shown), is_open)


def _arrow(text: str) -> str:
    return text.replace("->", "→")


def _unmatched(unmatched: Unmatched) -> str:
    layer = unmatched.layer
    reason = f"; skipped there: {unmatched.reason}" if unmatched.reason else ""
    name = shorten(printable(layer.name), 2 * NAME_WIDTH) or NOTHING
    return f"{name}: {layer.kind}, {_size(layer.shape)}, {layer.verdict.words}{reason}"
