"""The texts of a report's page: cards, table, settings and terms."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from allennlp_analyze.metrics.catalogue import CATALOGUE
from allennlp_analyze.metrics.metric import Metric, PageColumn
from allennlp_analyze.reports.html.anchors import Anchors
from allennlp_analyze.reports.html.cards import Card, cards_of
from allennlp_analyze.reports.html.experts import about_rows, number_text, rows_of
from allennlp_analyze.reports.html.findings import REMARK
from allennlp_analyze.reports.html.notes import Note, notes
from allennlp_analyze.reports.html.shown import Shown
from allennlp_analyze.reports.html.table import Row
from allennlp_analyze.reports.terms import INTERVAL, NOTHING, Term, interval, terms_of, text
from allennlp_analyze.results.layer import LayerResult, ModelReport, ToolInfo
from allennlp_analyze.results.verdict import LAYER_VERDICTS, worst_first
from allennlp_analyze.text.columns import Column
from allennlp_analyze.text.counts import count
from allennlp_analyze.text.links import url_path
from allennlp_analyze.text.names import printable

SKIPPED_SHOWN = 1000
WORST_FIRST = worst_first(LAYER_VERDICTS)


@dataclass(frozen=True)
class LeftOut:
    name: str
    shape: str
    reason: str


@dataclass(frozen=True)
class Page:
    """All texts of the page except the numbers of single layers."""

    title: str
    verdict: str
    verdict_word: str
    sentence: str
    cards: tuple[Card, ...]
    findings: tuple[Note, ...]
    nothing_found: bool
    columns: tuple[Column[LayerResult], ...]
    rows: tuple[Row, ...]
    n_layers: int
    about_rows: str
    kinds: tuple[tuple[str, int], ...]
    verdicts: tuple[tuple[str, str, int], ...]
    skipped: tuple[LeftOut, ...]
    skipped_sentence: str
    how: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    terms: tuple[Term, ...]


def title_of_column(metric: Metric) -> str:
    """Returns a description of the metric for the title of a column."""
    return metric.description[:1].lower() + metric.description[1:].rstrip(".")


def _number_column(metric: Metric, column: PageColumn) -> Column[LayerResult]:
    def show(layer: LayerResult) -> str:
        if metric.key == INTERVAL:
            return interval(layer)
        return number_text(column, metric.read(layer))

    style = "number" if column.narrow else "number less"
    return Column(column.title, show, title_of_column(metric), metric.read, style)


def columns_of(layers: Sequence[LayerResult]) -> tuple[Column[LayerResult], ...]:
    """Returns the columns of the table of these layers."""
    return (
        Column("layer", lambda x: printable(x.name), "name", style=""),
        Column("kind", lambda x: x.kind, "what the layer does", style="less"),
        Column(
            "N × M",
            lambda x: f"{x.N} × {x.M}",
            "the larger and the smaller dimension",
            lambda x: x.N * x.M,
            "number less",
        ),
        *(
            _number_column(m, m.page)
            for m in CATALOGUE
            if m.page is not None and m.is_shown(layers)
        ),
        Column(
            "verdict",
            lambda x: x.verdict.words,
            "has the layer lost rank?",
            lambda x: WORST_FIRST.index(x.verdict),
            "verdict",
        ),
    )


def page_of(report: ModelReport, shown: Shown, anchors: Anchors) -> Page:
    """Returns the texts of the page; names and texts from the archive are made printable."""
    summary = report.summary
    kinds = Counter(report.layers[place].kind for place in shown.numbers)
    verdicts = Counter(report.layers[place].verdict for place in shown.numbers)
    columns = columns_of(report.layers)
    found = notes(report, anchors)
    return Page(
        title=printable(title_of(report)),
        verdict=summary.verdict.value,
        verdict_word=summary.verdict.model_words.capitalize(),
        sentence=without_word(summary.sentence),
        cards=cards_of(report),
        findings=found,
        nothing_found=all(note.severity == REMARK for note in found),
        columns=columns,
        rows=tuple(rows_of(report.layers, shown, columns, anchors)),
        n_layers=len(report.layers),
        about_rows=about_rows(shown),
        kinds=tuple(sorted(kinds.items())),
        verdicts=tuple((v.value, v.words, verdicts[v]) for v in WORST_FIRST if verdicts[v]),
        skipped=tuple(
            LeftOut(
                printable(tensor.parameter),
                " × ".join(map(str, tensor.shape)) or "scalar",
                printable(tensor.reason),
            )
            for tensor in report.skipped[:SKIPPED_SHOWN]
        ),
        skipped_sentence=_skipped_sentence(report),
        how=_how(report),
        terms=terms_of(report.layers),
    )


def without_word(sentence: str) -> str:
    """Returns the sentence without its first word, which is shown as a mark instead."""
    return printable(sentence).split(": ", 1)[-1]


def title_of(report: ModelReport) -> str:
    """Returns the last part of the archive's path or URL."""
    archive = report.source.archive.rstrip("/")
    return PurePath(url_path(archive) if "://" in archive else archive).name or archive


def fact_labels(terms: Sequence[Term]) -> list[str]:
    """Returns the labels of `facts`, in their order."""
    return ["full name", "parameter", "kind", "stored as", *(term.label for term in terms)]


def facts(layer: LayerResult, terms: Sequence[Term]) -> list[str]:
    """Returns all facts about one layer as text."""
    kind = f"{layer.kind} ({layer.kind_source})"
    if layer.module_class:
        kind += f", {layer.module_class}"
    values = [text(term.value(layer)) for term in terms]
    parameter = layer.parameter + (f" [{layer.part}]" if layer.part else "")
    return [printable(value) for value in (layer.name, parameter, kind, layer.dtype, *values)]


def _skipped_sentence(report: ModelReport) -> str:
    reasons = Counter(tensor.reason for tensor in report.skipped).most_common(6)
    shown = "; ".join(f"{number} {printable(reason)}" for reason, number in reasons)
    more = f" The first {SKIPPED_SHOWN} are listed." if len(report.skipped) > SKIPPED_SHOWN else ""
    return f"{count(len(report.skipped), 'tensor')} not analyzed: {shown}.{more}"


def how_of_several(
    what: str, facts: dict[str, str], members: str, tool: ToolInfo, settings: dict[str, object]
) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Returns the tables of how several models were analyzed: `facts`, versions and settings."""
    shared = settings_pairs(settings)  # a training that a monitor watched has none
    return (
        (what, pairs(facts)),
        ("Versions", versions(tool)),
        *(((f"Settings of all {members}", shared),) if shared else ()),
    )


def _how(report: ModelReport) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    source = report.source
    walk = "the weights alone" if source.walk == "weights" else "modules built from the archive"
    return (
        (
            "Source",
            pairs(
                {
                    "archive": source.archive,
                    "read from": source.resolved,
                    "SHA-256": source.sha256,
                    "weights": source.weights_file,
                    "model type": source.model_type,
                    "layers known from": walk,
                }
            ),
        ),
        ("Versions", versions(report.tool)),
        ("Settings", settings_pairs(report.settings)),
    )


def versions(tool: ToolInfo) -> tuple[tuple[str, str], ...]:
    """Returns the versions used in the analysis as labels and texts."""
    return pairs(
        {
            "allennlp-analyze": tool.version,
            "Python": tool.python,
            "numpy": tool.numpy,
            "powerlaw": tool.powerlaw,
            "torch": tool.torch,
            "AllenNLP": tool.allennlp,
        }
    )


def settings_pairs(settings: dict[str, object]) -> tuple[tuple[str, str], ...]:
    """Returns the settings of the analysis as labels and texts."""
    return pairs({name.replace("_", " "): value for name, value in settings.items()})


def pairs(values: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Returns labels and texts of the values that are not None."""
    return tuple((key, _setting(value)) for key, value in values.items())


def _setting(value: Any) -> str:
    if value is None or value in ("", [], ()):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return printable(", ".join(map(str, value)))
    return printable(str(value))
