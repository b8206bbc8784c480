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

    `anchor` is "" for what is not on the page. `lost` is the percentage of lost directions, None
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

    `in_table` counts those that are only in the table, where a filter by verdict finds them, and
    `elsewhere` those that are only in report.json. `verdict` is what the layers share, "" if they
    share none.
    """

    severity: str
    title: str
    meaning: str
    remedy: str
    shown: tuple[Item, ...]
    opened: tuple[Item, ...]
    in_table: int
    elsewhere: int
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
    in_table = 0
    if finding.verdict:
        in_table = sum(anchors.layers[_place(found)] != "" for found in finding.found[MOST:])
    return Note(
        severity=finding.severity,
        title=printable(finding.title),
        meaning=printable(finding.meaning),
        remedy=finding.remedy,
        shown=tuple(items[:SHOWN]),
        opened=tuple(items[SHOWN:]),
        in_table=in_table,
        elsewhere=len(finding.found) + len(finding.others) - len(items) - in_table,
        has_evidence=finding.has_evidence,
        verdict=finding.verdict.value if finding.verdict else "",
    )


def _item(found: Found, anchors: Anchors, finding: Finding) -> Item:
    layer, entry = found.layer, found.entry
    name, sentence = layer.name, sentence_of(layer)
    anchor = anchors.layers[_place(found)]
    if isinstance(entry, ExpertGroup):
        number = entry.numbers[entry.places.index(_place(found))]
        name = entry.name
        sentence = f"{about_experts(entry)}. Expert {number}: {sentence}"
        anchor = anchor or anchors.groups.get(name, "")  # the expert itself may not be on the page
    return Item(
        anchor,
        short_text(name),
        printable(name),
        printable(sentence),
        facts_of(layer) if finding.has_evidence else (),
        layer.lost_percent if finding.verdict else None,
    )


def _place(found: Found) -> int:
    """Returns the index of the layer in the report."""
    if not isinstance(found.entry, ExpertGroup):
        return found.entry
    (place,) = (
        place for place, x in zip(found.entry.places, found.entry.layers) if x is found.layer
    )
    return place
