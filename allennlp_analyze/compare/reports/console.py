"""Prints a comparison: a table of pairs and one sentence for each candidate."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Callable, TextIO

from allennlp_analyze.compare.growth import growth_lines
from allennlp_analyze.compare.reports.deltas import DELTA_COLUMNS, DELTA_LEGEND, farthest_moved
from allennlp_analyze.compare.results import (
    MATCHED_BY,
    MOST_MOVED,
    ComparedModel,
    ComparisonReport,
    LayerDelta,
    LayerPair,
    ModelComparison,
    Unmatched,
)
from allennlp_analyze.compare.wording import cause_lines, folded_words
from allennlp_analyze.metrics.catalogue import CATALOGUE
from allennlp_analyze.reports.console import MOST_ROWS, VERDICT_STYLES, number_cell
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.text.columns import Column
from allennlp_analyze.text.counts import count, percent
from allennlp_analyze.text.lists import titled_lines
from allennlp_analyze.text.terminal import make_console, print_hidden, print_wrapped, print_written
from allennlp_analyze.text.terminal_table import print_table

if TYPE_CHECKING:
    from rich.console import Console

MAX_NAMED = 10
# More changes than these are not all shown.
MANY_CHANGES = 30
CHANGE_STYLES = {
    "collapsed": "bold red",
    "worse": "red",
    "incomparable": "yellow",
    "same": "dim",
    "better": "green",
    "recovered": "bold green",
}
LEGEND = (
    "sigma_min: smallest singular value; lost: directions lost by the verdict's rule;"
    " moved: change of all singular values, in percent of A's (the weights changed by at least"
    " this)."
)


def print_comparison(
    report: ComparisonReport,
    show_all: bool,
    written: Sequence[str],
    stream: TextIO,
    how_to_see_all: str = "",
) -> None:
    """Print the comparison to `stream`: in colour on a terminal, else in lines of 100 columns.

    What changed for the worse comes first. Pairs that are the same are not shown, except those that
    moved most, unless `show_all`, and of more than MOST_ROWS the worst. `written` lists the files
    that were written, `how_to_see_all` says what shows the other pairs. Names from the archives are
    shown as text only.
    """
    console = make_console(stream)
    models = [("A", report.baseline), *((c.letter, c.candidate) for c in report.candidates)]
    for name, model in models:
        _print_model(console, name, model, report.baseline)
    for comparison in report.candidates:
        console.print()
        _print_candidate(console, comparison, show_all, how_to_see_all)
    if any(comparison.pairs for comparison in report.candidates):
        console.print()
        print_wrapped(console, LEGEND)
    print_written(console, written)


def _print_model(
    console: "Console", name: str, model: ComparedModel, baseline: ComparedModel
) -> None:
    summary = model.report.summary
    what = f"{name} (the baseline)" if model is baseline else name
    print_wrapped(console, f"{what}: {model.label}")
    print_wrapped(console, f"   {summary.sentence}", VERDICT_STYLES[summary.verdict])


def _print_candidate(
    console: "Console", comparison: ModelComparison, show_all: bool, how_to_see_all: str
) -> None:
    counts = comparison.counts
    style = next((CHANGE_STYLES[c] for c in ("collapsed", "worse") if counts[c]), "")
    print_wrapped(console, comparison.sentence, "bold red" if comparison.new_invalid else style)
    for line in _notes(comparison, show_all):
        print_wrapped(console, line)
    notable = comparison.worst_first if show_all else comparison.shown
    shown = notable if show_all else notable[:MOST_ROWS]
    if shown:
        console.print()
        names = [pair.baseline.name for pair in shown]
        print_table(console, _columns(comparison.letter), shown, names)
    hidden = [folded_words(comparison)] if comparison.folded and not show_all else []
    if len(shown) < len(notable):
        further = count(len(notable) - len(shown), "further layer")
        hidden.insert(0, f"{further} that changed or moved")
    if hidden:
        console.print()
        print_hidden(console, " and ".join(hidden), how_to_see_all)
    if comparison.deltas is not None:
        console.print()
        _print_deltas(console, comparison, comparison.deltas, show_all, how_to_see_all)


def _print_deltas(
    console: "Console",
    comparison: ModelComparison,
    deltas: Sequence[LayerDelta],
    show_all: bool,
    how_to_see_all: str,
) -> None:
    """Print a sentence about the changes of the weights, and a table of them."""
    print_wrapped(console, comparison.deltas_sentence or "")
    shown = list(deltas)
    if not show_all and len(shown) > MANY_CHANGES:
        shown = farthest_moved(shown, MOST_MOVED)
    if shown:
        print_table(console, DELTA_COLUMNS, shown, [change.name for change in shown])
        print_wrapped(console, DELTA_LEGEND)
    hidden = len(deltas) - len(shown)
    if hidden:
        print_hidden(console, f"{count(hidden, 'change')} of less", how_to_see_all)


def _columns(name: str) -> tuple[Column[LayerPair], ...]:
    return (
        Column("N x M", lambda pair: f"{pair.baseline.N} x {pair.baseline.M}", rank_to_drop=1),
        *_numbers(name),
        Column("moved", lambda pair: percent(pair.moved)),
        Column(
            "change",
            lambda pair: pair.change,
            style="",
            colour=lambda pair: CHANGE_STYLES[pair.change],
        ),
    )


def _numbers(name: str) -> Iterator[Column[LayerPair]]:
    """Yields a column for A and one for the candidate."""
    for metric in CATALOGUE:
        if metric.terminal is not None and metric.terminal.compared is not None:
            cell, rank = partial(number_cell, metric), metric.terminal.compared
            yield Column(f"{metric.terminal.title} A", partial(_before, cell), rank_to_drop=rank)
            yield Column(name, partial(_after, cell), rank_to_drop=rank)


def _before(cell: Callable[[LayerResult], str], pair: LayerPair) -> str:
    return cell(pair.baseline)


def _after(cell: Callable[[LayerResult], str], pair: LayerPair) -> str:
    return cell(pair.candidate)


def _notes(comparison: ModelComparison, show_all: bool) -> list[str]:
    most = len(comparison.pairs) + 1 if show_all else MAX_NAMED
    pairs, name = comparison.pairs, comparison.letter
    notes = [f"Warning: {warning}" for warning in comparison.warnings]
    worse = [f"{one.layer}: {one.reason}" for one in comparison.worse]
    notes += titled_lines(f"Worse in {name} than in A, worst first", worse, most)
    notes += titled_lines("Other verdicts and causes, A -> " + name, cause_lines(pairs), most)
    resized = [
        f"{pair.baseline.name}: {_size(pair.baseline)} in A, {_size(pair.candidate)} in {name}"
        for pair in pairs
        if not pair.same_size
    ]
    notes += titled_lines("Not comparable, because the shape changed", resized, most)
    for how in MATCHED_BY[1:]:
        renamed = [
            f"{pair.baseline.name} = {pair.candidate.name}"
            for pair in pairs
            if pair.matched_by == how
        ]
        notes += titled_lines(f"Matched by {how}", renamed, most)
    notes += titled_lines(f"Only in A, not in {name}", map(_unmatched, comparison.missing), most)
    added = map(_unmatched, comparison.added)
    notes += titled_lines(f"Only in {name}, not in A", added, most)
    return notes + growth_lines(comparison.attention, name)


def _size(layer: LayerResult) -> str:
    return f"{layer.N} x {layer.M}"


def _unmatched(unmatched: Unmatched) -> str:
    layer = unmatched.layer
    reason = f"; skipped there: {unmatched.reason}" if unmatched.reason else ""
    return f"{layer.name}: {layer.kind}, {_size(layer)}, {layer.verdict}{reason}"
