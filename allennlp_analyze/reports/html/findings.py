"""Explains a report's findings in plain words, worst first, with a remedy for each."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Callable, Optional

from allennlp_analyze.metrics.exponent import (
    HIGH_ALPHA,
    LOW_ALPHA,
    MOST_D,
    is_above,
    is_below,
    is_conclusive,
)
from allennlp_analyze.metrics.power_law import FEW_EIGENVALUES
from allennlp_analyze.reports.html.reasons import Facts
from allennlp_analyze.reports.terms import text
from allennlp_analyze.results.adapter import AdapterResult
from allennlp_analyze.results.experts import Entry, ExpertGroup, table_entries
from allennlp_analyze.results.layer import FEW_WARNING, TIED_WARNING, LayerResult, ModelReport
from allennlp_analyze.results.verdict import JUDGED_KINDS, NEAR_SHARE, Verdict, worst_first
from allennlp_analyze.results.worst import worst_first_key
from allennlp_analyze.text.counts import count, fraction

SERIOUS, CAUTION, REMARK = "serious", "caution", "remark"


@dataclass(frozen=True)
class Found:
    """A layer in a finding, or a projection of experts with the worst expert that is meant."""

    entry: Entry
    layer: LayerResult


@dataclass(frozen=True)
class Other:
    """What a finding is about if it is not a layer: a tensor or an adapter."""

    name: str
    sentence: str
    facts: Facts = ()


@dataclass(frozen=True)
class Finding:
    """One finding; `found` or `others` are what it is about, the worst first.

    With `has_evidence`, a page gives the numbers and the reason of each layer, or else its name.
    `verdict` is that of all its layers, if they have one in common.
    """

    severity: str
    title: str
    meaning: str
    remedy: str = ""
    found: tuple[Found, ...] = ()
    others: tuple[Other, ...] = ()
    has_evidence: bool = True
    verdict: Optional[Verdict] = None


# What is found in a layer with the verdict: title, meaning and remedy.
_TEXTS = {
    Verdict.COLLAPSED: (
        "Lost rank",
        "Information in the lost directions does not pass through the layer, and no later layer can"
        " restore it.",
        "Lower weight decay and other penalties on the weights, or stop earlier; the command"
        " allennlp-analyze compare shows at which checkpoint it happened. A layer with low rank by"
        " design, or a pruned one, is fine.",
    ),
    Verdict.NEAR_COLLAPSE: (
        "Close to losing rank",
        f"The smallest singular value is less than {fraction(NEAR_SHARE)} of that of a random"
        " matrix of the same size, at the level of the layer's bulk: a direction is nearly lost.",
        "Monitor it over the next checkpoints; lower weight decay if it keeps falling.",
    ),
    Verdict.DEAD_UNITS: (
        "Dead or copied units",
        "Some units have no weights, or the same as others, so the layer is narrower than it"
        " looks.",
        "They can be removed without a change. In training, lower the learning rate or the weight"
        " decay, or use an activation that does not die.",
    ),
    Verdict.HIDDEN: (
        "Hidden",
        "The smallest directions are as small as what rounding or quantization leaves of a lost"
        " one, so these weights cannot tell whether they are lost.",
        "Analyze the weights as they were trained, before they were rounded or quantized.",
    ),
}
_ADAPTERS = {
    Verdict.CONCENTRATED: "Nearly all of the change is in one direction, whatever rank the adapter"
    " could have.",
    Verdict.UNTRAINED: "The change is zero: the model is the same with and without the adapter.",
    Verdict.FULL_RANK: "Several directions of the adapter are in use.",
}


def findings(report: ModelReport) -> tuple[Finding, ...]:
    """Returns all findings of `report`, the serious ones first."""
    entries = table_entries(report.layers)
    found = [
        *_invalid(report),
        *_judged(report.layers, entries),
        *_no_verdict(report),
        *_adapters(report.adapters),
        *(Finding(CAUTION, "Noted while reading", warning) for warning in report.warnings),
        *_harmless(report.layers, entries),
        *_exponents(report.layers, entries),
        *_warned(report.layers, entries),
    ]
    order = (SERIOUS, CAUTION, REMARK)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def _invalid(report: ModelReport) -> Iterator[Finding]:
    invalid = [tensor for tensor in report.skipped if tensor.invalid]
    if invalid:
        yield Finding(
            SERIOUS,
            f"{count(len(invalid), 'matrix', 'matrices')} with NaN or infinity",
            "A network with such a matrix cannot compute anything.",
            "Go back to the last checkpoint without it; check for a learning rate that is too high,"
            " a division by zero in the loss, or an overflow in float16.",
            others=tuple(Other(tensor.parameter, f"{tensor.reason}.") for tensor in invalid),
        )


def _judged(layers: Sequence[LayerResult], entries: Sequence[Entry]) -> Iterator[Finding]:
    """Yields a finding for each verdict that needs attention, on layers in the verdict first."""
    for is_judged in (True, False):
        for verdict in worst_first(_TEXTS):
            matches = partial(_has, verdict=verdict, is_judged=is_judged)
            found = _found(layers, entries, matches)
            if not found:
                continue
            title, meaning, remedy = _TEXTS[verdict]
            number = sum(map(matches, layers))
            title = f"{title}: {count(number, 'layer')}"
            if verdict is Verdict.COLLAPSED:
                most = max(x.layer.lost_percent for x in found)
                whose = "of its directions" if number == 1 else "of the directions"
                title += f", {'' if number == 1 else 'up to '}{most:.3g}% {whose}"
            if not is_judged:
                meaning += " Such layers have no part in the verdict on the model."
            is_serious = is_judged and verdict is Verdict.COLLAPSED
            yield Finding(
                SERIOUS if is_serious else CAUTION,
                title,
                meaning,
                remedy,
                found,
                verdict=verdict,
            )


def _has(layer: LayerResult, verdict: Verdict, is_judged: bool) -> bool:
    return layer.verdict is verdict and (layer.kind in JUDGED_KINDS) == is_judged


def _no_verdict(report: ModelReport) -> Iterator[Finding]:
    if report.summary.verdict is Verdict.NOT_ASSESSED and (report.layers or report.skipped):
        yield Finding(
            CAUTION,
            "No verdict on the model",
            "Too few of the weights could be judged. The tensors that were left out are listed"
            " below, each with the reason.",
        )


def _adapters(adapters: Sequence[AdapterResult]) -> Iterator[Finding]:
    for verdict in worst_first(_ADAPTERS):
        found = [adapter for adapter in adapters if adapter.verdict is verdict]
        if found:
            yield Finding(
                REMARK if verdict is Verdict.FULL_RANK else CAUTION,
                f"{count(len(found), 'adapter')}: {verdict.words}",
                _ADAPTERS[verdict],
                others=tuple(_adapter(adapter) for adapter in found),
            )


def _adapter(adapter: AdapterResult) -> Other:
    facts = [
        ("norm", text(adapter.delta_norm, 3)),
        ("scale", f"{adapter.scale:.3g} ({adapter.scale_source})"),
        ("directions in use", f"{adapter.used_directions} of {adapter.r}"),
        ("stable rank", text(adapter.stable_rank, 3)),
    ]
    if adapter.base is not None:
        facts.append(("norm over that of the weights", text(adapter.base.relative_norm, 3)))
        intruders = adapter.base.intruder_dimensions
        if intruders is not None:
            facts.append(("intruder dimensions", f"{intruders} of {adapter.base.n_top}"))
    return Other(adapter.name, f"{adapter.reason}.", tuple(facts))


def _harmless(layers: Sequence[LayerResult], entries: Sequence[Entry]) -> Iterator[Finding]:
    def is_harmless(layer: LayerResult) -> bool:
        evidence = layer.evidence
        return evidence is not None and any(finding.is_harmless for finding in evidence.findings)

    found = _found(layers, entries, is_harmless)
    if found:
        yield Finding(
            REMARK,
            f"Harmless findings: {count(sum(map(is_harmless, layers)), 'layer')}",
            "Directions that the network does not see, or that only look small.",
            found=found,
        )


def _exponents(layers: Sequence[LayerResult], entries: Sequence[Entry]) -> Iterator[Finding]:
    """Yields what alpha says where D and the tail allow it, and where they do not."""
    fitted = sum(layer.power_law is not None for layer in layers)
    trusted = sum(map(is_conclusive, layers))
    if any(map(is_above, layers)):
        yield _remark(
            layers,
            entries,
            is_above,
            f"α above {HIGH_ALPHA:g}",
            "Their spectra resemble those of random matrices: these layers have learned little"
            " structure, or were hardly trained.",
            "More training or more data may help; frozen and very small layers can look like this.",
        )
    if any(map(is_below, layers)):
        yield _remark(
            layers,
            entries,
            is_below,
            f"α below {LOW_ALPHA:g}",
            "Very heavy tails: a few directions dominate the layer, which can mean that it has"
            " memorized data, or that some rows or columns are far larger than the rest.",
            "Check the largest singular values of the layer.",
        )
    if fitted > trusted:
        yield Finding(
            REMARK,
            f"α says little about {fitted - trusted} of {count(fitted, 'layer')}",
            f"Their tails have fewer than {FEW_EIGENVALUES} eigenvalues, or a D above {MOST_D:g}:"
            " hardly a power law. The smallest singular value and the rank do not depend on α.",
        )


def _remark(
    layers: Sequence[LayerResult],
    entries: Sequence[Entry],
    matches: Callable[[LayerResult], bool],
    title: str,
    meaning: str,
    remedy: str = "",
) -> Finding:
    return Finding(
        REMARK,
        f"{title}: {count(sum(map(matches, layers)), 'layer')}",
        meaning,
        remedy,
        _found(layers, entries, matches),
        has_evidence=False,
    )


def _warned(layers: Sequence[LayerResult], entries: Sequence[Entry]) -> Iterator[Finding]:
    def is_tied(layer: LayerResult) -> bool:
        return any(warning.startswith(TIED_WARNING) for warning in layer.warnings)

    def is_warned(layer: LayerResult) -> bool:
        # The page says itself where alpha is uncertain.
        return any(not x.startswith((FEW_WARNING, TIED_WARNING)) for x in layer.warnings)

    if any(map(is_tied, layers)):
        tied = "Several parameters share one matrix, which was analyzed once."
        yield _remark(layers, entries, is_tied, "Tied weights", tied)
    if any(map(is_warned, layers)):
        listed = "They are listed with each layer in the table."
        yield _remark(layers, entries, is_warned, "Warnings", listed)


def _found(
    layers: Sequence[LayerResult],
    entries: Iterable[Entry],
    matches: Callable[[LayerResult], bool],
) -> tuple[Found, ...]:
    """Returns the entries that match, the worst first; experts match with any of theirs."""
    found = []
    for entry in entries:
        members = entry.layers if isinstance(entry, ExpertGroup) else (layers[entry],)
        layer = next(filter(matches, members), None)
        if layer is not None:
            found.append(Found(entry, layer))
    return tuple(sorted(found, key=lambda x: worst_first_key(x.layer)))
