"""The texts of a series' page: sentence, findings, checkpoints and layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from allennlp_analyze.reports.html.model import PAGE as MODEL_PAGE
from allennlp_analyze.reports.html.page import how_of_several
from allennlp_analyze.reports.html.table import VERDICT, Row, table_row
from allennlp_analyze.reports.terms import NOTHING, text
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.series.results import SeriesCheckpoint, SeriesReport, State, Track
from allennlp_analyze.series.wording import lines_of_recovery, series_sentence, trouble, warning
from allennlp_analyze.text.columns import Column
from allennlp_analyze.text.links import link_target
from allennlp_analyze.text.names import printable

# Entries of the lists on the page.
LISTED = 200
# Layers, and states of layers at a checkpoint, on the page: with more it is too large to open.
MOST_LAYERS, MOST_STATES = 2000, 50_000
DIGITS = 3
TERMS = (
    (
        "σ_min over noise",
        "σ_min / median of σ_min for independent entries",
        "How much of its weakest direction a layer has kept. Near 1 at the start of a training;"
        " far below, the direction is lost.",
    ),
    (
        "lost",
        "by the rule of the verdict",
        "Directions that the layer cannot use any more, without those that do not matter.",
    ),
    (
        "rms over start",
        "rms(W) / rms(W of the first checkpoint)",
        "How the size of all weights together has changed: weight decay shrinks it.",
    ),
    (
        "since",
        "",
        "The first checkpoint from which on the layer has been as bad as at the end, or worse.",
    ),
)


@dataclass(frozen=True)
class CheckpointRow:
    """A row of the table of checkpoints; `link` leads to its own page."""

    label: str
    link: Optional[str]
    mark: str
    word: str
    sentence: str


@dataclass(frozen=True)
class Trouble:
    """A layer that went wrong: `severity` is a class of the page."""

    layer: str
    text: str
    severity: str


@dataclass(frozen=True)
class SeriesPage:
    """All texts of the page except the numbers over time.

    `tracks` are the layers that have a row, and `n_layers`, `n_troubles`, `n_recovered` and
    `n_left_out` count what of the series is on the page and what is not. `has_all` is the name of
    the file that has all of it.
    """

    title: str
    mark: str
    sentence: str
    troubles: tuple[Trouble, ...]
    n_troubles: int
    recovered: tuple[str, ...]
    n_recovered: int
    checkpoints: tuple[CheckpointRow, ...]
    columns: tuple[Column[Track], ...]
    tracks: tuple[Track, ...]
    rows: tuple[Row, ...]
    n_layers: int
    left_out: tuple[str, ...]
    n_left_out: int
    has_all: str
    how: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    terms: tuple[tuple[str, str, str], ...] = TERMS


def series_page_of(report: SeriesReport, has_all: str) -> SeriesPage:
    """Returns the texts of the page; those from files are made printable."""
    last = report.last
    shown, tracks = series_columns(report), tracks_on_page(report)
    troubled = (*report.went_wrong, *report.warned)
    return SeriesPage(
        title=printable(report.title) or "(no name)",
        mark=(last.verdict if last and last.verdict else Verdict.NOT_ASSESSED).value,
        sentence=printable(series_sentence(report)),
        troubles=tuple(_trouble(track, report) for track in troubled[:LISTED]),
        n_troubles=len(troubled),
        recovered=tuple(map(printable, list(lines_of_recovery(report))[:LISTED])),
        n_recovered=len(report.recovered),
        checkpoints=tuple(map(_checkpoint, report.checkpoints)),
        columns=shown,
        tracks=tracks,
        rows=tuple(_row(track, shown) for track in tracks),
        n_layers=len(report.tracks),
        left_out=tuple(map(printable, report.left_out[:LISTED])),
        n_left_out=len(report.left_out),
        has_all=printable(has_all),
        how=_how(report),
    )


def tracks_on_page(report: SeriesReport) -> tuple[Track, ...]:
    """Returns the layers that the page has, in their order: all, or of very many the worst."""
    most = max(1, min(MOST_LAYERS, MOST_STATES // max(1, len(report.checkpoints))))
    if len(report.tracks) <= most:
        return report.tracks
    kept = {id(track) for track in report.worst_first[:most]}
    return tuple(track for track in report.tracks if id(track) in kept)


def series_columns(report: SeriesReport) -> tuple[Column[Track], ...]:
    """Returns the columns of the table of layers; the first one is the name."""

    def since(track: Track) -> str:
        return NOTHING if track.since is None else printable(report.checkpoints[track.since].label)

    return (
        Column("layer", lambda x: printable(x.layer), "its name", lambda x: x.layer, ""),
        Column("kind", lambda x: x.kind, "kind of layer", style="less"),
        Column("shape", _shape, "rows × columns", lambda x: x.M, "number less"),
        _change("σ_min / noise", "null_ratio", "smallest singular value over that of noise"),
        _change("lost", "lost_directions", "lost directions"),
        _change("stable rank", "stable_rank", "‖W‖²_F / σ_max²", "number less"),
        _change("α", "alpha", "power-law exponent", "number less"),
        _change("rms / start", "rms_ratio", "size of the weights over that at the start"),
        Column("since", since, "since when it is so", lambda x: x.since, "less"),
        Column(
            VERDICT,
            lambda x: x.last.verdict.words,
            "at the last checkpoint",
            lambda x: x.last.verdict.severity,
            VERDICT,
        ),
    )


def _change(title: str, name: str, meaning: str, style: str = "number") -> Column[Track]:
    def shown(track: Track) -> str:
        known = [x for x in track.states if x is not None]
        first, last = (_number(x, name) for x in (known[0], known[-1]))
        return (
            text(last, DIGITS) if first == last else f"{text(first, DIGITS)} → {text(last, DIGITS)}"
        )

    return Column(
        title, shown, f"{meaning}, at first and at last", lambda x: _number(x.last, name), style
    )


def _number(state: State, name: str) -> Optional[float]:
    value: Optional[float] = getattr(state, name)
    return value


def _shape(track: Track) -> str:
    return f"M = {track.M}" if track.shape is None else f"{track.shape[0]} × {track.shape[1]}"


def _row(track: Track, columns: Sequence[Column[Track]]) -> Row:
    return table_row(track.layer, columns, track, track.last.verdict.value)


def _trouble(track: Track, report: SeriesReport) -> Trouble:
    serious = track.last.verdict is Verdict.COLLAPSED
    words = printable(warning(track, report) if track.since is None else trouble(track, report))
    return Trouble(printable(track.layer), words, "serious" if serious else "caution")


def _checkpoint(checkpoint: SeriesCheckpoint) -> CheckpointRow:
    done = checkpoint.verdict is not None
    return CheckpointRow(
        printable(checkpoint.label),
        link_target(f"{checkpoint.directory}/{MODEL_PAGE}") if done else None,
        checkpoint.verdict.value if checkpoint.verdict else "failed",
        checkpoint.verdict.model_words if checkpoint.verdict else "failed",
        printable(checkpoint.sentence if done else checkpoint.reason or ""),
    )


def _how(report: SeriesReport) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    facts = {
        "checkpoints": f"{len(report.checkpoints):,}",
        "layers": f"{len(report.tracks):,}",
        "seconds": text(report.seconds, 4),
    }
    return how_of_several("Series", facts, "checkpoints", report.tool, report.settings)
