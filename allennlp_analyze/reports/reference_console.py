"""Formats the comparison with a reference: published numbers and ours, and the verdict."""

import textwrap
from collections.abc import Sequence
from typing import Optional

from allennlp_analyze.results.reference import ReferenceComparison, ReferenceRow
from allennlp_analyze.text.names import display_width, printable, shorten

WIDTH = 100
_NAME_WIDTH = 21
_CELL_WIDTH = 10
_MEASURES = (("alpha", "alpha"), ("D", "D"), ("min_singular_value", "min singular value"))
_MARKS = {"close": " ~", "differs": " !", "not_compared": " -"}


def format_reference(comparison: ReferenceComparison, encoding: str = "utf-8") -> str:
    """Returns the comparison in lines of at most 100 columns, printable in `encoding`.

    A row that does not agree ends in a mark: ~ for close, ! for differs, - for nothing to compare.
    """
    archive = "" if comparison.archive is None else f" ({comparison.archive})"
    lines = [
        *_wrapped(f"{comparison.name}: {comparison.title}{archive}", encoding),
        *_wrapped(comparison.sentence, encoding),
    ]
    same = [row for row in comparison.rows if row.same_shape]
    other = [row for row in comparison.rows if not row.same_shape]
    if same:
        lines += ["", *_header(same), *(_table_row(row, encoding) for row in same)]
        lines += ["", *_largest(comparison)]
    if {row.agreement for row in same} & set(_MARKS):
        lines.append("Marks: ~ close, ! differs, - nothing to compare.")
    if other:
        lines += ["", "Without a partner:", *(_other_row(row, encoding) for row in other)]
    return "\n".join(lines).rstrip("\n")


def _wrapped(text: str, encoding: str) -> list[str]:
    return textwrap.wrap(printable(text, encoding), WIDTH, break_on_hyphens=False)


def _header(rows: Sequence[ReferenceRow]) -> list[str]:
    sides = [row.published for row in rows if row.published is not None]
    indexed = any(side.module_index is not None for side in sides)
    start = f"{'mod' if indexed else 'row':>4} {'layer':{_NAME_WIDTH}}{'M':>5}{'N':>6}"
    above = "".join(f"{title:>{_CELL_WIDTH + 9}} " for _, title in _MEASURES)
    pair = f"{'published':>{_CELL_WIDTH}}{'ours':>{_CELL_WIDTH}}"
    return [f"{'':{len(start)}}{above}".rstrip(), start + pair * len(_MEASURES)]


def _table_row(row: ReferenceRow, encoding: str) -> str:
    published, ours = row.published, row.ours
    if published is None or ours is None:
        return ""  # the caller passes rows with both sides
    place = row.number if published.module_index is None else published.module_index
    before, sizes = f"{place:>4} ", f"{ours.M:>5}{ours.N:>6}"
    # Long numbers take space from the name.
    width = _NAME_WIDTH + len(f"{0:>4} {0:>5}{0:>6}") - len(before + sizes)
    name = shorten(printable(ours.name or "", encoding), width - 1)
    gap = " " * (width - display_width(name))
    cells = (_cell(getattr(side, key)) for key, _ in _MEASURES for side in (published, ours))
    return f"{before}{name}{gap}{sizes}{''.join(cells)}{_MARKS.get(row.agreement, '')}"


def _other_row(row: ReferenceRow, encoding: str) -> str:
    """Returns such as "module 50, 17 x 400; here tag_projection_layer 17 x 64"."""
    published, ours = row.published, row.ours
    name = row.label
    start, end = "  ", ""
    if published is None and ours is not None:
        end = f", {ours.size}: not in the reference"
    elif published is not None and ours is None:
        end = f", {published.size}; no such layer here"
    elif published is not None and ours is not None and published.name is not None:
        end = f", {published.size}; here {ours.size}"
    elif published is not None and ours is not None:
        start, end = f"  {row.place}, {published.size}; here ", f" {ours.size}"
        name = ours.name or ""
    return f"{start}{shorten(printable(name, encoding), WIDTH - len(start) - len(end))}{end}"


def _cell(value: Optional[float]) -> str:
    """Formats five digits, or fewer if there is an exponent."""
    if value is None:
        return f"{'-':>{_CELL_WIDTH}}"
    texts = [format(value, style) for style in (".5g", ".2e", ".1e", ".0e")]
    return f"{next(text for text in texts if len(text) < _CELL_WIDTH):>{_CELL_WIDTH}}"


def _largest(comparison: ReferenceComparison) -> list[str]:
    found = [(title, comparison.largest_difference(key)) for key, title in _MEASURES]
    said = [f"{title} {value:.1e}" for title, value in found if value is not None]
    return [f"Largest relative difference: {', '.join(said)}"] if said else []
