"""Prints a zoo: a row per model, what was found, the totals, and the claims on request."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Optional, TextIO

from allennlp_analyze.reports.console import VERDICT_STYLES
from allennlp_analyze.results.verdict import MIN_Q, Verdict, worst, worst_first
from allennlp_analyze.text.columns import Column
from allennlp_analyze.text.counts import count
from allennlp_analyze.text.lists import titled_lines
from allennlp_analyze.text.names import printable, shorten
from allennlp_analyze.text.terminal import WIDTH, make_console, print_wrapped, print_written
from allennlp_analyze.text.terminal_table import print_table
from allennlp_analyze.zoo.reports.causes import cause_line
from allennlp_analyze.zoo.reports.runs import not_counted, run_line
from allennlp_analyze.zoo.reports.sentences import verdict_sentence
from allennlp_analyze.zoo.results import (
    CLAIM_VERDICTS,
    FAILED,
    Claim,
    ZooModel,
    ZooReport,
    ZooTotals,
)

if TYPE_CHECKING:
    from rich.console import Console

MAX_ROWS = 40
MAX_NAMED = 10
# The file with all models.
TABLE = "zoo-models.csv"
ZOO = "zoo.json"
GROUP_WIDTH = 18
# Cells for the reason of a failure, on a narrow and on a wide terminal.
REASON_WIDTHS = (12, 30)
# If there are many models, these are shown first; the rest have full rank or are not assessed.
TROUBLES = (
    FAILED,
    *(verdict for verdict in worst_first(Verdict) if verdict.is_worse_than(Verdict.FULL_RANK)),
)
HOLDS, DOES_NOT_HOLD, NOT_RUN = CLAIM_VERDICTS
CLAIM_STYLES = {HOLDS: "green", DOES_NOT_HOLD: "bold red", NOT_RUN: "dim"}
LEGEND = (
    f"sigma_min: smallest singular value of the linear layers with Q > {MIN_Q}; lost: largest share"
    " of directions that a layer which multiplies activations has lost; alpha: median over all"
    " layers with a power law."
)


def print_zoo(report: ZooReport, written: Sequence[str], stream: TextIO) -> None:
    """Print the zoo to `stream`: in colour on a terminal, otherwise in lines of 100 columns.

    Models that failed or lost rank come first; if there are many, not all are shown. `written`
    lists the files that were written. Names from the manifest are printed without markup.
    Raises `ValueError` for a report without a summary.
    """
    console = make_console(stream)
    totals = report.require_summary().totals
    shown = _shown(report.models)
    if shown:
        names = [model.name for model in shown]
        print_table(console, _columns(console), shown, names, "model")
        console.print()
        print_wrapped(console, LEGEND)
    for line in _notes(report, len(report.models) - len(shown)):
        print_wrapped(console, line)
    sentence = _sentence(totals, not_counted(report.runs))
    print_wrapped(console, sentence, _totals_style(totals))
    if report.shows_claims and report.claims:
        _print_claims(console, report.claims)
    print_written(console, written)


def _shown(models: Sequence[ZooModel]) -> list[ZooModel]:
    """Returns the rows, the worst first; of many models only the worst ones."""
    return sorted(models, key=_place)[:MAX_ROWS]


def _place(model: ZooModel) -> int:
    """Returns the sort position of a model; after all counted ones come those counted by others."""
    if model.is_repeated:
        return len(TROUBLES) + 1
    verdict = _verdict(model)
    return TROUBLES.index(verdict) if verdict in TROUBLES else len(TROUBLES)


def _verdict(model: ZooModel) -> str:
    """Returns the model's verdict, or that it failed."""
    summary = model.outcome.summary
    return FAILED if summary is None else summary.verdict


def _columns(console: "Console") -> tuple[Column[ZooModel], ...]:
    reason_width = REASON_WIDTHS[console.width >= WIDTH]

    def name(text: str, width: int) -> str:
        return shorten(printable(text, console.encoding), width)

    def verdict(model: ZooModel) -> str:
        if model.outcome.status == FAILED:
            return f"{FAILED}: {name(model.outcome.reason or '', reason_width)}"
        if model.checkpoint_of is not None:
            return f"{_verdict(model)} (checkpoint)"
        return _verdict(model) + (" (duplicate)" if model.duplicate_of is not None else "")

    return (
        Column("group", lambda model: name(model.group, GROUP_WIDTH), style="", rank_to_drop=2),
        Column("layers", lambda model: _number(model, "n_layers", ""), rank_to_drop=1),
        Column("sigma_min", lambda model: _number(model, "min_singular_value", ".3g")),
        Column("lost", _lost),
        Column("alpha", lambda model: _number(model, "median_alpha", ".3g")),
        Column("verdict", verdict, style="", colour=_style),
    )


def _style(model: ZooModel) -> str:
    if model.is_repeated:
        return "dim"
    summary = model.outcome.summary
    return "bold red" if summary is None else VERDICT_STYLES[summary.verdict]


def _lost(model: ZooModel) -> str:
    lost = model.outcome.lost_percent
    return "-" if lost is None else f"{lost:.3g}%"


def _number(model: ZooModel, name: str, form: str) -> str:
    value: Optional[float] = getattr(model.outcome.summary, name, None)
    return "-" if value is None else f"{value:{form}}"


def _notes(report: ZooReport, hidden: int) -> Iterator[str]:
    if hidden:
        yield f"Not shown: {count(hidden, 'model')}; {TABLE} has them all."
    failed = (f"{model.name}: {model.outcome.reason}" for model in report.failed)
    yield from titled_lines("Failed", failed, MAX_NAMED, TABLE)
    found = (f"{model.name}: {verdict_sentence(model)}" for model in _found(report.models))
    yield from titled_lines("Verdicts, worst first", found, MAX_NAMED, ZOO)
    causes = map(cause_line, report.require_summary().totals.causes)
    yield from titled_lines("Causes", causes, MAX_NAMED, ZOO)
    if report.trainer_files:
        files = count(report.trainer_files, "file")
        yield f"Passed over: {files} of trainers (optimizers, random states), no models."
    yield from titled_lines("Found but not read", report.unread, MAX_NAMED, ZOO)
    runs = map(run_line, report.runs)
    yield from titled_lines("Trainings, each counted once", runs, MAX_NAMED, ZOO)
    twins = (f"{model.name} = {model.duplicate_of}" for model in report.duplicates)
    yield from titled_lines("Duplicates, counted once", twins, MAX_NAMED, TABLE)


def _found(models: Sequence[ZooModel]) -> Iterator[ZooModel]:
    """Yields the counted models that are worse than healthy, the worst first."""
    for model in sorted(models, key=_place):
        if model.is_counted and _verdict(model) in TROUBLES:
            yield model


def _print_claims(console: "Console", claims: Sequence[Claim]) -> None:
    """Print each claim with our numbers and the published ones, or why it was not run.

    The criteria are on the zoo's page.
    """
    print_wrapped(console, "Claims of the 2018 study:")
    for claim in claims:
        style = CLAIM_STYLES.get(claim.verdict, "")
        print_wrapped(console, f"  {claim.verdict}: {claim.claim}", style)
        ours = f"    {claim.note}" if claim.verdict == NOT_RUN else f"    here: {claim.ours}"
        print_wrapped(console, f"{ours}; published: {claim.published}")


def _totals_style(totals: ZooTotals) -> str:
    """Returns the style of the worst verdict on a counted model, or ""."""
    found = [verdict for verdict, number in totals.models_by_verdict.items() if number]
    return VERDICT_STYLES[worst(found)] if found else ""


def _sentence(totals: ZooTotals, others: int) -> str:
    """Returns the totals in words; `others` are checkpoints for which another one stands."""
    parts = [f"{totals.n_done} analyzed"]
    parts += [f"{totals.n_failed} failed"] if totals.n_failed else []
    parts += [f"{count(totals.n_duplicates, 'duplicate')}"] if totals.n_duplicates else []
    text = f"{count(totals.n_models, 'model')}: {', '.join(parts)}."
    if others:
        text += f" {count(others, 'other checkpoint')} of the same trainings not counted."
    if not totals.n_counted:
        return text
    verdicts = totals.models_by_verdict.items()
    found = ", ".join(f"{number} {verdict}" for verdict, number in verdicts if number)
    text += f" Verdicts on the {totals.n_counted} counted: {found}."
    layers = f" {count(totals.n_layers, 'layer')}, {totals.n_linear} of them linear"
    alpha = "" if totals.median_alpha is None else f", median alpha {totals.median_alpha:.3g}"
    return f"{text}{layers}{alpha}.{_weakest(totals)}"


def _weakest(totals: ZooTotals) -> str:
    if totals.min_singular_value is None:
        return ""
    where = f"{totals.min_singular_value_layer} of {totals.min_singular_value_model}"
    return f" Smallest singular value: {totals.min_singular_value:.3g}, in {where}."
