"""The tables of changes, W_B - W_A, for the terminal and the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Optional, Union

from allennlp_analyze.compare.delta_wording import delta_sentence
from allennlp_analyze.compare.results import LayerDelta, ModelComparison
from allennlp_analyze.reports.html.table import Cell, Row, short_text
from allennlp_analyze.results.delta import Delta, Movement, Turned
from allennlp_analyze.text.columns import Column
from allennlp_analyze.text.counts import percent
from allennlp_analyze.text.names import printable

DELTA_LEGEND = (
    "change: ||W_B - W_A|| in percent of ||W_A||; moved: directions of W_B - W_A above the edge of"
    " noise, of all; share: their part of the change, in squares; stable, effective: ranks of the"
    " change; turned: largest angle between the 10 leading directions of outputs (left) and inputs"
    " (right), in degrees; new: of those outputs, the ones that A does not have (intruder"
    " dimensions)."
)
Value = Union[int, float, None]


@dataclass(frozen=True)
class DeltaTable:
    """The changes of one candidate on the page: a sentence, the heads and the rows of the table.

    `not_shown` counts the changes without a row.
    """

    sentence: str
    columns: tuple[Column[LayerDelta], ...]
    rows: tuple[Row, ...]
    not_shown: int


def delta_table(comparison: ModelComparison, most: int) -> Optional[DeltaTable]:
    """Returns the table of the page, with the `most` changes; None if they were not measured."""
    if comparison.deltas is None:
        return None
    columns = (*DELTA_COLUMNS[:-1], Column("in words", _in_words, "the change in words", style=""))
    rows = tuple(
        Row(
            short_text(change.name),
            printable(change.name),
            tuple(Cell(column.text(change), column.style) for column in columns),
        )
        for change in farthest_moved(comparison.deltas, most)
    )
    sentence = printable(comparison.deltas_sentence or "")
    return DeltaTable(sentence, columns, rows, len(comparison.deltas) - len(rows))


def _in_words(change: LayerDelta) -> str:
    words = delta_sentence(change).removeprefix(f"{change.name}: ")
    return printable(words[:1].upper() + words[1:])


def farthest_moved(changes: Sequence[LayerDelta], most: int) -> list[LayerDelta]:
    """Returns the `most` layers that moved farthest relative to their norm, in their order."""

    def size(place: int) -> float:
        delta = changes[place].delta
        moved = delta is not None and delta.movement is Movement.MOVED
        return (delta.relative_norm or 0.0) if delta is not None and moved else -1.0

    places = sorted(range(len(changes)), key=lambda place: -size(place))[:most]
    return [changes[place] for place in sorted(places)]


def _of(read: Callable[[Delta], Value]) -> Callable[[LayerDelta], Value]:
    return lambda change: None if change.delta is None else read(change.delta)


def _turned(read: Callable[[Turned], Value]) -> Callable[[LayerDelta], Value]:
    return _of(lambda delta: None if delta.turned is None else read(delta.turned))


def _column(
    title: str,
    meaning: str,
    read: Callable[[LayerDelta], Value],
    shown: Callable[[float], str] = "{:.3g}".format,
    drop: int = 0,
) -> Column[LayerDelta]:
    def text(change: LayerDelta) -> str:
        value = read(change)
        return "-" if value is None else shown(value)

    return Column(title, text, meaning, read, "number", rank_to_drop=drop)


def _moved(change: LayerDelta) -> str:
    delta = change.delta
    return "-" if delta is None else f"{delta.n_directions} of {delta.M}"


def _movement(change: LayerDelta) -> str:
    return "not measured" if change.delta is None else change.delta.movement.words


def _percent(value: Optional[float]) -> str:
    return percent(value)


DELTA_COLUMNS: tuple[Column[LayerDelta], ...] = (
    _column(
        "change", "norm of the change, in percent of A's", _of(lambda d: d.relative_norm), _percent
    ),
    Column("moved", _moved, "directions above noise", _of(lambda d: d.n_directions), "number"),
    _column("share", "their share of the change", _of(lambda d: d.share), _percent, 3),
    _column("stable", "stable rank of the change", _of(lambda d: d.stable_rank), drop=2),
    _column("effective", "effective rank of the change", _of(lambda d: d.effective_rank), drop=1),
    _column(
        "left",
        "largest angle between the leading output directions of A and B, in degrees",
        _turned(lambda t: t.left_angles[-1]),
        "{:.1f}".format,
        drop=5,
    ),
    _column(
        "right",
        "largest angle between the leading input directions of A and B, in degrees",
        _turned(lambda t: t.right_angles[-1]),
        "{:.1f}".format,
        drop=4,
    ),
    _column(
        "new",
        "intruder dimensions: leading output directions that A does not have",
        _turned(lambda t: t.intruder_dimensions),
        "{:.0f}".format,
    ),
    Column("result", _movement, "how the weights changed", style=""),
)
