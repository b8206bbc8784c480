"""Writes series.html: a training over time on one page that needs no network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

from allennlp_analyze.reports.html.table import short_text, sort_keys
from allennlp_analyze.reports.html.templating import render_template
from allennlp_analyze.series.reports.json import SERIES
from allennlp_analyze.series.reports.page import series_page_of
from allennlp_analyze.series.results import SeriesReport, Track
from allennlp_analyze.storage.files import write_text
from allennlp_analyze.text.names import printable

SCRIPTS = ("parts.js", "chart.js", "series.js")
# The numbers of a layer that are drawn over time: name, title, symbol, and whether they are
# usually drawn on a logarithmic axis.
DRAWN = (
    ("null_ratio", "Smallest singular value over that of noise", "σ_min / noise", True),
    ("lost_directions", "Lost directions", "directions", False),
    ("rms_ratio", "Size of the weights over the start", "rms / rms at first", True),
    ("spectral_norm", "Spectral norm", "σ_max", True),
    ("stable_rank", "Stable rank", "‖W‖²_F / σ_max²", False),
    ("effective_rank", "Effective rank", "exp(entropy)", False),
    ("alpha", "Power-law exponent", "α", False),
    ("update", "Update over the weights", "‖ΔW‖ / ‖W‖", True),
    ("update_stable_rank", "Stable rank of the update", "‖ΔW‖²_F / σ_max²", False),
    ("learning_rate", "Learning rate", "η", True),
    ("weight_decay", "Weight decay", "λ", True),
)
# Those that the page draws of several layers at once, if any layer has them.
OVERVIEW = ("null_ratio", "lost_directions", "rms_ratio", "alpha", "update", "learning_rate")
DIGITS = 5


def write_series_html(report: SeriesReport, path: Union[str, Path], has_all: str = SERIES) -> Path:
    """Write series.html and return its path. Raises `OutputError`.

    `has_all` is the name of the file that has what is too much for the page.
    """
    write_text(path, series_html(report, has_all))
    return Path(path)


def series_html(report: SeriesReport, has_all: str = SERIES) -> str:
    """Returns the page as escaped text; it links only to the pages of the checkpoints."""
    axis, at = report.axis
    drawn = [one for one in DRAWN if _is_known(report, one[0])]
    page = series_page_of(report, has_all)
    place = {id(track): number for number, track in enumerate(page.tracks)}
    data = {
        "axis": axis,
        "at": list(at),
        "labels": [printable(x.label) for x in report.checkpoints],
        "drawn": drawn,
        "together": [i for i, (name, *_) in enumerate(drawn) if name in OVERVIEW],
        "overview": [place[id(track)] for track in report.telling if id(track) in place],
        "layers": [{**_layer(x, drawn), "sort": sort_keys(page.columns, x)} for x in page.tracks],
    }
    return render_template("series.html", SCRIPTS, data, page=page)


def _is_known(report: SeriesReport, name: str) -> bool:
    """Whether any layer has this number at any time."""
    states = (state for track in report.tracks for state in track.states if state is not None)
    return any(getattr(state, name) is not None for state in states)


def _layer(track: Track, drawn: Sequence[tuple[str, str, str, bool]]) -> dict[str, Any]:
    return {
        "name": short_text(track.layer),
        "reason": printable(track.last.reason),
        "verdicts": [x.verdict.words if x else None for x in track.states],
        "values": [
            [_rounded(getattr(x, name)) if x else None for x in track.states] for name, *_ in drawn
        ],
    }


def _rounded(value: Optional[float]) -> Optional[float]:
    return None if value is None else float(f"{value:.{DIGITS}g}")
