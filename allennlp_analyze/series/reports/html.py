"""Writes series.html: a training over time on one page that needs no network."""

from pathlib import Path
from typing import Any, Optional, Union

from allennlp_analyze.reports.html.table import short_text, sort_keys
from allennlp_analyze.reports.html.templating import render_template
from allennlp_analyze.series.reports.page import series_columns, series_page_of
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
)
DIGITS = 5


def write_series_html(report: SeriesReport, path: Union[str, Path]) -> Path:
    """Write series.html and return its path. Raises `OutputError`."""
    write_text(path, series_html(report))
    return Path(path)


def series_html(report: SeriesReport) -> str:
    """Returns the page as escaped text; it links only to the pages of the checkpoints."""
    axis, at = report.axis
    columns = series_columns(report)
    data = {
        "axis": axis,
        "at": list(at),
        "labels": [printable(x.label) for x in report.checkpoints],
        "drawn": DRAWN,
        "overview": [report.tracks.index(track) for track in report.telling],
        "layers": [{**_layer(x), "sort": sort_keys(columns, x)} for x in report.tracks],
    }
    page = series_page_of(report, report.tracks)
    return render_template("series.html", SCRIPTS, data, page=page)


def _layer(track: Track) -> dict[str, Any]:
    return {
        "name": short_text(track.layer),
        "reason": printable(track.last.reason),
        "verdicts": [x.verdict.words if x else None for x in track.states],
        "values": [
            [_rounded(getattr(x, name)) if x else None for x in track.states] for name, *_ in DRAWN
        ],
    }


def _rounded(value: Optional[float]) -> Optional[float]:
    return None if value is None else float(f"{value:.{DIGITS}g}")
