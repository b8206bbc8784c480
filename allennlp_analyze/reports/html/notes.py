"""Turns findings into what the page says: each with its layers, their evidence and their links."""

from dataclasses import dataclass
from typing import Optional

from allennlp_analyze.reports.experts import about_experts
from allennlp_analyze.reports.html.anchors import Anchors
from allennlp_analyze.reports.html.findings import Finding, Found, findings
from allennlp_analyze.reports.html.reasons import Facts, facts_of, sentence_of
from allennlp_analyze.reports.html.table import short_text
from allennlp_analyze.results.experts import ExpertGroup
from allennlp_analyze.results.layer import ModelReport
from allennlp_analyze.text.names import printable

# Layers that a finding has at first, and all that it opens to; the table has the others.
SHOWN, MOST = 5, 60


@dataclass(frozen=True)
class Item:
    """A layer, adapter or tensor in a finding, with its evidence.

    `anchor` is "" for what is not in the table. `lost` is the percentage of lost directions, None
    for what has none.
    """

    anchor: str
    name: str
    full_name: str
    sentence: str
    facts: Facts
    lost: Optional[float]


@dataclass(frozen=True)
class Note:
    """A finding with its items: those to show, and those to open.

    `more` counts those that are only in the table, or in report.json. `verdict` is what the layers
    share, "" if they share none.
    """

    severity: str
    title: str
    meaning: str
    remedy: str
    shown: tuple[Item, ...]
    opened: tuple[Item, ...]
    more: int
    has_evidence: bool
    verdict: str


def notes(report: ModelReport, anchors: Anchors) -> tuple[Note, ...]:
    """Returns the findings of `report`, with printable texts, the worst first."""
    return tuple(_note(finding, anchors) for finding in findings(report))


def _note(finding: Finding, anchors: Anchors) -> Note:
    items = [_item(found, anchors, finding) for found in finding.found[:MOST]]
    for other in finding.others[:MOST]:
        name = printable(other.name)
        items.append(Item("", name, name, printable(other.sentence), other.facts, None))
    return Note(
        severity=finding.severity,
        title=printable(finding.title),
        meaning=printable(finding.meaning),
        remedy=finding.remedy,
        shown=tuple(items[:SHOWN]),
        opened=tuple(items[SHOWN:]),
        more=len(finding.found) + len(finding.others) - len(items),
        has_evidence=finding.has_evidence,
        verdict=finding.verdict.value if finding.verdict else "",
    )


def _item(found: Found, anchors: Anchors, finding: Finding) -> Item:
    layer, entry = found.layer, found.entry
    name, sentence = layer.name, sentence_of(layer)
    if isinstance(entry, ExpertGroup):
        (place,) = (i for i, x in enumerate(entry.layers) if x is layer)
        name = entry.name
        sentence = f"{about_experts(entry)}. Expert {entry.numbers[place]}: {sentence}"
        entry = entry.places[place]
    return Item(
        anchors.of(entry),
        short_text(name),
        printable(name),
        printable(sentence),
        facts_of(layer) if finding.has_evidence else (),
        layer.lost_percent if finding.verdict else None,
    )
