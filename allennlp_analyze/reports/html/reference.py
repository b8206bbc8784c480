"""The page's section on a reference: published numbers and ours, row by row, and the verdict."""

from dataclasses import dataclass
from typing import Optional

from allennlp_analyze.reports.html.page import without_word
from allennlp_analyze.reports.terms import text
from allennlp_analyze.results.layer import ModelReport
from allennlp_analyze.results.reference import ReferenceComparison, ReferenceRow
from allennlp_analyze.text.names import NAME_WIDTH, printable, shorten

MEASURES = (("alpha", "α"), ("D", "D"), ("min_singular_value", "σ_min"))
WORDS = {
    "agrees": "agrees",
    "close": "close",
    "differs": "differs",
    "not_compared": "not compared",
    "missing": "not here",
    "extra": "not published",
    "reproduced": "Reproduced",
    "incomplete": "Incomplete",
    "not_comparable": "Not comparable",
}


@dataclass(frozen=True)
class ComparedRow:
    """One row: its label, both sizes, and the published number and ours for each measure."""

    name: str
    full_name: str
    size: str
    numbers: tuple[tuple[str, str], ...]
    agreement: str
    word: str


@dataclass(frozen=True)
class ReferenceSection:
    """The texts of the section."""

    title: str
    about: str
    verdict: str
    word: str
    sentence: str
    rule: str
    measures: tuple[str, ...]
    rows: tuple[ComparedRow, ...]


def reference_section(report: ModelReport) -> Optional[ReferenceSection]:
    """Returns the section of `report`, or None if it was not compared with a reference."""
    compared = report.reference
    if compared is None:
        return None
    archive = f" ({compared.archive})" if compared.archive else ""
    return ReferenceSection(
        title=printable(f"Against {compared.name}"),
        about=printable(f"{compared.title}{archive}"),
        verdict=compared.verdict,
        word=WORDS[compared.verdict].capitalize(),
        sentence=without_word(compared.sentence),
        rule=_rule(compared),
        measures=tuple(symbol for _, symbol in MEASURES),
        rows=tuple(_row(row) for row in compared.rows),
    )


def _rule(compared: ReferenceComparison) -> str:
    tolerance = compared.tolerance
    return (
        f"M and N agree if they are equal; other numbers agree within {tolerance.relative:g} of"
        f" the larger (D also within {tolerance.D:g}, σ_min also within"
        f" {tolerance.min_singular_value:g} σ_max), and are close within {tolerance.close:g}."
    )


def _row(row: ReferenceRow) -> ComparedRow:
    name = printable(row.label)
    numbers = tuple(
        (text(_of(row.published, key), 5), text(_of(row.ours, key), 5)) for key, _ in MEASURES
    )
    return ComparedRow(
        name=shorten(name, NAME_WIDTH),
        full_name=name,
        size=_size(row),
        numbers=numbers,
        agreement=row.agreement,
        word=WORDS[row.agreement],
    )


def _of(side: object, key: str) -> Optional[float]:
    return getattr(side, key, None)


def _size(row: ReferenceRow) -> str:
    """N × M, of both sides if they differ."""
    sizes = [
        " × ".join("?" if size is None else str(size) for size in (side.N, side.M))
        for side in (row.published, row.ours)
        if side is not None
    ]
    return sizes[0] if row.same_shape or len(sizes) == 1 else f"{sizes[0]}; here {sizes[1]}"
