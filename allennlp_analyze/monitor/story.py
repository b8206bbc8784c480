"""Tells a run as the page of a series: what its monitor wrote, each layer over time."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from allennlp_analyze._versions import tool_info
from allennlp_analyze.metrics.judging import DECAYED_SHARE
from allennlp_analyze.monitor.run_history import LayerPoint, RunCheck, RunHistory, read_run_history
from allennlp_analyze.results.verdict import JUDGED_KINDS, Verdict, worst
from allennlp_analyze.series.reports.html import write_series_html
from allennlp_analyze.series.results import SeriesCheckpoint, SeriesReport, State, Track
from allennlp_analyze.storage.files import PathLike
from allennlp_analyze.text.counts import count
from allennlp_analyze.text.names import printable


def write_run_page(history: PathLike, page: PathLike) -> Path:
    """Write the page of the run whose monitor wrote the file `history`; returns its path.

    Raises `SourceError` if the history cannot be read, `OutputError` if the page cannot be written.
    """
    name = Path(history).name
    return write_series_html(run_as_series(read_run_history(history), name), Path(page), name)


def run_as_series(history: RunHistory, title: str) -> SeriesReport:
    """Returns a run as a series, in which each check is a checkpoint."""
    points: dict[str, dict[int, LayerPoint]] = {}
    reasons: dict[str, dict[int, str]] = {}
    checks = _judged_by_start(history.checks)
    for index, check in enumerate(checks):
        for point in check.layers:
            points.setdefault(point.layer, {})[index] = point
        for warned in check.warnings:
            words = warned.sentence.removeprefix(f"{printable(warned.layer)}: ")
            reasons.setdefault(warned.layer, {})[index] = words
    n = len(checks)
    return SeriesReport(
        tool=tool_info(),
        title=title,
        settings={},
        checkpoints=tuple(_checkpoint(i, check) for i, check in enumerate(checks)),
        tracks=tuple(
            _track(name, found, reasons.get(name, {}), n) for name, found in points.items()
        ),
        seconds=sum(check.seconds for check in checks),
    )


def _judged_by_start(checks: Sequence[RunCheck]) -> tuple[RunCheck, ...]:
    """Returns the checks with the layers collapsed that the monitor said have decayed.

    The verdict knows the weights alone, the monitor also what they were at the start.
    """
    told: set[str] = set()
    found = []
    for check in checks:
        told.update(x.layer for x in check.warnings if x.verdict is Verdict.COLLAPSED)
        layers = tuple(
            replace(x, verdict=Verdict.COLLAPSED) if x.layer in told and _has_decayed(x) else x
            for x in check.layers
        )
        found.append(replace(check, layers=layers))
    return tuple(found)


def _has_decayed(point: LayerPoint) -> bool:
    return point.rms_ratio is not None and point.rms_ratio < DECAYED_SHARE


def _checkpoint(index: int, check: RunCheck) -> SeriesCheckpoint:
    label = f"check {index + 1}"
    if check.step is not None:
        label = f"step {check.step}"
    elif check.epoch is not None:
        label = f"epoch {check.epoch:g}"
    judged = [x.verdict for x in check.layers if x.kind in JUDGED_KINDS]
    verdict = Verdict.INVALID if check.invalid else worst(judged)
    epoch = check.epoch
    return SeriesCheckpoint(
        label=label,
        archive="",
        epoch=int(epoch) if epoch is not None and epoch.is_integer() else None,
        step=check.step,
        directory="",
        verdict=verdict,
        sentence=_sentence(check, judged, verdict),
        seconds=check.seconds,
    )


def _sentence(check: RunCheck, judged: Sequence[Verdict], verdict: Verdict) -> str:
    """What a check found, in words: its warnings, or how many layers have the worst verdict."""
    if check.invalid:
        return f"{count(len(check.invalid), 'layer')} with NaN or infinity: {check.invalid[0]}."
    if check.warnings:
        return "; ".join(warned.sentence for warned in check.warnings) + "."
    words = f"{count(judged.count(verdict), 'layer')} of {len(judged)}: {verdict.words}"
    return f"{words}; {len(check.put_off)} put off." if check.put_off else f"{words}."


def _track(name: str, found: "dict[int, LayerPoint]", said: "dict[int, str]", n: int) -> Track:
    last = found[max(found)]
    states = []
    reason, warned = "", None
    for index in range(n):
        reason = said.get(index, reason)
        point = found.get(index)
        states.append(None if point is None else _state(point, reason))
        if point is not None and index in said and warned is None and not _is_bad(point):
            warned = index, said[index]
    return Track(name, last.kind, last.M, None, tuple(states), warned)


def _is_bad(point: LayerPoint) -> bool:
    return point.verdict.is_worse_than(Verdict.FULL_RANK)


def _state(point: LayerPoint, reason: str) -> State:
    return State(
        verdict=point.verdict,
        lost_directions=point.lost,
        harmless_directions=0,
        min_singular_value=point.min_singular_value,
        null_ratio=point.null_ratio,
        stable_rank=point.stable_rank,
        effective_rank=point.effective_rank,
        alpha=point.alpha,
        spectral_norm=point.spectral_norm,
        rms=point.rms,
        rms_ratio=point.rms_ratio,
        reason=reason if _is_bad(point) else "",
        update=point.update,
        update_stable_rank=point.update_stable_rank,
        learning_rate=point.learning_rate,
        weight_decay=point.weight_decay,
    )
