"""The texts of the comparison page: sections, tables and lists."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Optional

from allennlp_analyze.compare.growth import growth_lines
from allennlp_analyze.compare.reports.deltas import DeltaTable, delta_table
from allennlp_analyze.compare.reports.pairs import (
    MOST_PAIRS,
    arrow,
    columns,
    most_of_each,
    pairs_on_page,
    size_text,
)
from allennlp_analyze.compare.results import (
    CHANGES,
    ComparedModel,
    ComparisonReport,
    LayerPair,
    ModelComparison,
    Unmatched,
)
from allennlp_analyze.compare.wording import (
    cause_lines,
    folded_words,
    short_labels,
)
from allennlp_analyze.reports.html.page import without_word
from allennlp_analyze.reports.html.table import Row, table_row
from allennlp_analyze.reports.terms import NOTHING
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.text.columns import Column
from allennlp_analyze.text.counts import count
from allennlp_analyze.text.lists import first_lines
from allennlp_analyze.text.names import NAME_WIDTH, printable, shorten

LISTED = 200
CAUSES = "Other verdicts and causes, A → {}"
# The mark of each change, from the style's marks for verdicts.
MARKS = {
    "collapsed": Verdict.COLLAPSED.value,
    "worse": Verdict.NEAR_COLLAPSE.value,
    "incomparable": Verdict.HIDDEN.value,
    "same": Verdict.NOT_ASSESSED.value,
    "better": Verdict.FULL_RANK.value,
    "recovered": Verdict.FULL_RANK.value,
}
# The first of these that any candidate has marks the page.
WORST_FIRST = (Verdict.INVALID.value, *MARKS.values())
TERMS = (
    (
        "moved",
        "‖σ(A) − σ(B)‖ / ‖σ(A)‖",
        "How far the singular values moved in total. The weights changed by at least as much:"
        " ‖W_A − W_B‖_F / ‖W_A‖_F is never less (Mirsky's theorem). Not defined if the sizes"
        " differ.",
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
    (
        "incomparable",
        "N or M differs",
        "The shape of the layer changed, so its singular values cannot be compared one by one. Its"
        " verdicts can: a worse one is reported as such.",
    ),
)


@dataclass(frozen=True)
class Model:
    """A model with its letter, its role and its own verdict; `name` is a short label."""

    letter: str
    name: str
    label: str
    role: str
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
class Change:
    """A layer that changed for the worse: its mark, how it changed, and the evidence."""

    name: str
    mark: str
    word: str
    evidence: str


@dataclass(frozen=True)
class Section:
    """One candidate against the baseline; `folded` says what the rows have in common that fold.

    `not_shown` counts the pairs without a row.
    """

    model: Model
    mark: str
    sentence: str
    worse: tuple[Change, ...]
    worse_more: int
    columns: tuple[Column[LayerPair], ...]
    rows: tuple[Row, ...]
    folded_rows: tuple[Row, ...]
    folded: str
    not_shown: int
    listings: tuple[Listing, ...]
    deltas: Optional[DeltaTable] = None

    @property
    def letter(self) -> str:
        return self.model.letter

    @property
    def table_rows(self) -> tuple[Row, ...]:
        """The rows of the table; the folded ones follow a row that opens them."""
        if not self.folded_rows:
            return self.rows
        place = str(len(self.rows) + len(self.folded_rows))
        group = {"class": "group", "data-group": "0", "data-place": place}
        return (*self.rows, Row(self.folded, self.folded, (), group), *self.folded_rows)


@dataclass(frozen=True)
class ComparePage:
    """All texts of the page except the numbers of single pairs."""

    title: str
    mark: str
    baseline: Model
    models: tuple[Model, ...]
    sections: tuple[Section, ...]
    terms: tuple[tuple[str, str, str], ...] = TERMS


def compare_page_of(report: ComparisonReport, most: int = MOST_PAIRS) -> ComparePage:
    """Returns the texts of the page; names and texts from the archives are made printable.

    It has at most this number of pairs, and of changes of weights.
    """
    models, each = models_of(report), most_of_each(len(report.candidates), most)
    sections = tuple(_section(one, of, each) for one, of in zip(report.candidates, models[1:]))
    marks = [section.mark for section in sections]
    return ComparePage(
        title=" and ".join(f"{of.letter}: {of.name}" for of in models)
        if len(models) == 2
        else f"A: {models[0].name} and {count(len(sections), 'other model')}",
        mark=next((mark for mark in WORST_FIRST if mark in marks), MARKS["same"]),
        baseline=models[0],
        models=models,
        sections=sections,
    )


def models_of(report: ComparisonReport) -> tuple[Model, ...]:
    """Returns the baseline and the candidates, with short names that tell them apart."""
    models = [("A", report.baseline), *((c.letter, c.candidate) for c in report.candidates)]
    names = short_labels([model.label for _, model in models])
    return tuple(_model(of, model, name) for (of, model), name in zip(models, names))


def _model(letter: str, model: ComparedModel, name: str) -> Model:
    summary = model.report.summary
    return Model(
        letter=letter,
        name=shorten(printable(name), NAME_WIDTH),
        label=printable(model.label),
        role="the baseline" if letter == "A" else "",
        verdict=summary.verdict.value,
        word=summary.verdict.model_words.capitalize(),
        sentence=without_word(summary.sentence),
    )


def _section(comparison: ModelComparison, model: Model, most: int) -> Section:
    shown, on_page = columns(comparison.letter), pairs_on_page(comparison, most)
    counts = comparison.counts
    worst = next((MARKS[change] for change in CHANGES if counts[change]), MARKS["same"])
    places = {id(pair): index for index, pair in enumerate(on_page)}

    def rows(pairs: Sequence[LayerPair], **group: str) -> tuple[Row, ...]:
        known = (pair for pair in pairs if id(pair) in places)
        return tuple(_row(pair, shown, places[id(pair)], group) for pair in known)

    return Section(
        model=model,
        mark=Verdict.INVALID.value if comparison.new_invalid else worst,
        sentence=printable(comparison.sentence),
        worse=tuple(_worse(comparison)),
        worse_more=max(0, len(comparison.worse) - LISTED),
        columns=shown,
        rows=rows(comparison.shown),
        folded_rows=rows(comparison.folded, **{"data-member": "0", "class": "member"}),
        folded=folded_words(comparison),
        not_shown=len(comparison.pairs) - len(on_page),
        listings=tuple(_listings(comparison)),
        deltas=delta_table(comparison, most),
    )


def _row(
    pair: LayerPair,
    shown: Sequence[Column[LayerPair]],
    place: int,
    group: Mapping[str, str],
) -> Row:
    attributes = {"data-index": str(place), **group}
    row = table_row(pair.baseline.name, shown, pair, MARKS[pair.change], attributes)
    return replace(row, remark=pair.incomparable)


def _worse(comparison: ModelComparison) -> Iterator[Change]:
    """Yields what changed for the worse: the matrices with NaN, then the pairs, worst first."""
    changes = [Verdict.INVALID.value] * len(comparison.new_invalid)
    changes += [x.change for x in comparison.worst_first if x.change in ("collapsed", "worse")]
    for change, one in zip(changes[:LISTED], comparison.worse):
        mark = MARKS.get(change, change)
        yield Change(printable(one.layer), mark, change, printable(arrow(one.reason)))


def _listings(comparison: ModelComparison) -> list[Listing]:
    name = comparison.letter
    causes = [arrow(line) for line in cause_lines(comparison.pairs)]
    lists = {
        CAUSES.format(name): causes,
        "Warnings": list(comparison.warnings),
        "Worse than allowed": [f"{f.layer}: {f.reason}" for f in comparison.failures],
        "Attention": growth_lines(comparison.attention, name),
        f"Only in A, not in {name}": [_unmatched(layer) for layer in comparison.missing],
        f"Only in {name}, not in A": [_unmatched(layer) for layer in comparison.added],
    }
    return [_listing(title, lines) for title, lines in lists.items() if lines]


def _listing(title: str, lines: Sequence[str]) -> Listing:
    shown = map(printable, first_lines(lines, LISTED, "compare.json"))
    is_open = title.startswith(CAUSES[: CAUSES.index("{")])
    return Listing(f"{title} ({len(lines)})", tuple(shown), is_open)


def _unmatched(unmatched: Unmatched) -> str:
    layer = unmatched.layer
    reason = f"; skipped there: {unmatched.reason}" if unmatched.reason else ""
    name = shorten(printable(layer.name), 2 * NAME_WIDTH) or NOTHING
    return f"{name}: {layer.kind}, {size_text(layer.shape)}, {layer.verdict.words}{reason}"
