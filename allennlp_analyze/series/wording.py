"""Words what a series found: its sentence, and a line for each layer that went wrong."""

from collections.abc import Iterator

from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.series.results import SeriesReport, Track
from allennlp_analyze.text.counts import count


def series_sentence(report: SeriesReport) -> str:
    """Returns the verdict on the training in a sentence or two."""
    last, failed = report.last, len(report.failed)
    lost = f" {count(failed, 'checkpoint')} could not be analyzed." if failed else ""
    if last is None or last.verdict is None:
        return f"No checkpoint could be analyzed.{lost}"
    begun = [track.since for track in report.went_wrong if track.since is not None]
    text = f"At {last.label}, the last of {count(len(report.checkpoints), 'checkpoint')}: "
    text += last.sentence
    if begun and max(begun) > 0:
        first = report.checkpoints[min(x for x in begun if x > 0)].label
        text += f" It began at {first}."
    elif begun:
        text += " It was so from the first checkpoint on."
    if report.recovered:
        text += f" {count(len(report.recovered), 'layer')} recovered on the way."
    return text + lost


def lines_of_trouble(report: SeriesReport) -> Iterator[str]:
    """Yields a line for each layer that counts and is worse than full rank, the worst first."""
    for track in report.went_wrong:
        yield f"{track.layer}: {trouble(track, report)}"


def lines_of_recovery(report: SeriesReport) -> Iterator[str]:
    """Yields a line for each layer that was worse than full rank, and is not any more."""
    for track in report.recovered:
        index = track.recovered
        assert index is not None
        bad = track.states[index]
        assert bad is not None
        at = report.checkpoints[index].label
        yield f"{track.layer}: {bad.verdict.words} up to {at}, {track.last.verdict.words} since"


def trouble(track: Track, report: SeriesReport) -> str:
    """Returns what is wrong with a layer now, since when, and how it got there."""
    state, since = track.last, track.since
    assert since is not None
    words = state.verdict.words
    if since:
        words += f" since {report.checkpoints[since].label}{_before(track, report)}"
    else:
        words += " from the first checkpoint on"
    reason = f": {state.reason}" if state.reason else ""
    early = track.warned is not None and track.warned[0] < since
    return f"{words}{reason}{f'; {warning(track, report)}' if early else ''}"


def warning(track: Track, report: SeriesReport) -> str:
    """Returns what a monitor said of a layer while its verdict was still good."""
    assert track.warned is not None
    at, words = track.warned
    return f"warned at {report.checkpoints[at].label}: {words}"


def _before(track: Track, report: SeriesReport) -> str:
    """Returns since when the layer was worse than full rank without being as bad as now."""
    assert track.since is not None
    begun, mildest = None, track.last.verdict
    for index in range(track.since - 1, -1, -1):
        state = track.states[index]
        if state is None or not state.verdict.is_judgement:
            continue
        if not state.verdict.is_worse_than(Verdict.FULL_RANK):
            break
        begun, mildest = index, state.verdict
    if begun is None:
        return ""
    return f" ({mildest.words} since {report.checkpoints[begun].label})"
