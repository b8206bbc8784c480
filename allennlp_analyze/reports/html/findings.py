"""Explains a report's findings in plain words, with a remedy for each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from allennlp_analyze.results.layer import FEW_WARNING, TIED_WARNING, LayerResult, ModelReport
from allennlp_analyze.results.verdict import JUDGED_KINDS, NEAR_SHARE, Verdict
from allennlp_analyze.text.counts import count, fraction

SERIOUS, CAUTION, REMARK = "serious", "caution", "remark"
ALPHA_RANGE = (2.0, 6.0)
ADAPTERS_NAMED = 20


@dataclass(frozen=True)
class Finding:
    """One finding; `layers` are indices into the report's layers."""

    severity: str
    title: str
    meaning: str
    remedy: str = ""
    layers: tuple[int, ...] = field(default=())


def findings(report: ModelReport) -> tuple[Finding, ...]:
    """Returns all findings of `report`, the serious ones first."""
    found = [
        *_invalid(report),
        *_collapsed(report.layers),
        *_near_collapse(report.layers),
        *_dead_units(report.layers),
        *_adapters(report),
        *_harmless(report.layers),
        *(Finding(CAUTION, "Noted while reading", warning) for warning in report.warnings),
        *_exponents(report.layers),
        *_warned(report.layers),
    ]
    order = (SERIOUS, CAUTION, REMARK)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def _invalid(report: ModelReport) -> Iterable[Finding]:
    invalid = [tensor for tensor in report.skipped if tensor.invalid]
    if invalid:
        first = f"{invalid[0].parameter}: {invalid[0].reason}"
        yield Finding(
            SERIOUS,
            f"{count(len(invalid), 'matrix', 'matrices')} with NaN or infinity",
            f"A network with such a matrix cannot compute anything ({first}).",
            "Go back to the last checkpoint without it; check for a learning rate that is too high,"
            " a division by zero in the loss, or an overflow in float16.",
        )


def _collapsed(layers: Sequence[LayerResult]) -> Iterable[Finding]:
    for judged in (True, False):
        found = _indices(layers, Verdict.COLLAPSED, judged)
        if not found:
            continue
        worst = max((layers[i] for i in found), key=lambda layer: layer.lost_percent)
        fact = (
            f"{worst.lost_percent:.3g}% of the directions of {worst.name} {_where_they_are(worst)}"
        )
        yield Finding(
            SERIOUS if judged else CAUTION,
            f"Lost rank: {fact}",
            f"{_have(found, 'lost')} rank. Information in the lost directions does not pass"
            f" through the layer, and no later layer can restore it. {_causes(worst)}"
            + ("" if judged else " Such layers have no part in the verdict on the model."),
            "Lower weight decay and other penalties on the weights, or stop earlier; the command"
            " allennlp-analyze compare shows at which checkpoint it happened. A layer with low rank"
            " by design, or a pruned one, is fine.",
            tuple(found),
        )


def _causes(layer: LayerResult) -> str:
    return f"{layer.name}: {layer.reason}." if layer.reason else ""


def _dead_units(layers: Sequence[LayerResult]) -> Iterable[Finding]:
    found = [i for i, layer in enumerate(layers) if layer.verdict is Verdict.DEAD_UNITS]
    if found:
        worst = max((layers[i] for i in found), key=lambda layer: layer.lost_percent)
        yield Finding(
            CAUTION,
            f"Dead or copied units: {count(len(found), 'layer')}",
            f"Some units have no weights, or the same as others, so the layer is narrower than it"
            f" looks. {_causes(worst)}",
            "They can be removed without a change. In training, lower the learning rate or the"
            " weight decay, or use an activation that does not die.",
            tuple(found),
        )


def _harmless(layers: Sequence[LayerResult]) -> Iterable[Finding]:
    found = [
        i
        for i, layer in enumerate(layers)
        if layer.evidence and any(finding.is_harmless for finding in layer.evidence.findings)
    ]
    if found:
        yield Finding(
            REMARK,
            f"Harmless findings: {count(len(found), 'layer')}",
            f"Directions that the network does not see, or that only look small:"
            f" {_causes(layers[found[0]])}",
            "",
            tuple(found),
        )


def _adapters(report: ModelReport) -> Iterable[Finding]:
    for adapter in report.adapters[:ADAPTERS_NAMED]:
        yield Finding(
            REMARK if adapter.verdict is Verdict.FULL_RANK else CAUTION,
            f"Adapter of {adapter.name}: {adapter.verdict.words}",
            f"{adapter.reason}. Its norm is {adapter.delta_norm:.3g}, its scale {adapter.scale:.3g}"
            f" ({adapter.scale_source}).",
        )
    more = len(report.adapters) - ADAPTERS_NAMED
    if more > 0:
        yield Finding(REMARK, f"{more} more adapters", "All are listed in report.json.")


def _where_they_are(layer: LayerResult) -> str:
    largest = float(layer.singular_values[layer.M - layer.lost_directions])
    if largest == 0:
        return "are exactly zero"
    most = layer.max_singular_value
    return f"have singular values of at most {largest:.2g} (the largest of the layer is {most:.3g})"


def _near_collapse(layers: Sequence[LayerResult]) -> Iterable[Finding]:
    found = [i for i, layer in enumerate(layers) if layer.verdict is Verdict.NEAR_COLLAPSE]
    if found:
        yield Finding(
            CAUTION,
            f"Close to losing rank: {count(len(found), 'layer')}",
            f"The smallest singular value is less than {fraction(NEAR_SHARE)} of that of a random"
            " matrix of the same size, at the level of the layer's bulk: a direction is nearly"
            " lost.",
            "Monitor it over the next checkpoints; lower weight decay if it keeps falling.",
            tuple(found),
        )


def _exponents(layers: Sequence[LayerResult]) -> Iterable[Finding]:
    low, high = ALPHA_RANGE
    fitted = [i for i, layer in enumerate(layers) if layer.power_law and not _few(layer)]
    alphas = {i: fit.alpha for i in fitted if (fit := layers[i].power_law) is not None}
    above = [i for i, alpha in alphas.items() if alpha > high]
    below = [i for i, alpha in alphas.items() if alpha < low]
    if above:
        yield Finding(
            REMARK,
            f"α above {high:g}: {count(len(above), 'layer')} of {len(fitted)}",
            "Their spectra resemble those of random matrices: these layers have learned little"
            " structure, or were hardly trained.",
            "More training or more data may help; frozen and very small layers can look like this.",
            tuple(above),
        )
    if below:
        yield Finding(
            REMARK,
            f"α below {low:g}: {count(len(below), 'layer')} of {len(fitted)}",
            "Very heavy tails: a few directions dominate the layer, which can mean that it has"
            " memorized data, or that some rows or columns are far larger than the rest.",
            "Check the largest singular values of the layer, and its D: above 0.1 the tail is"
            " hardly a power law, and α means little.",
            tuple(below),
        )


def _warned(layers: Sequence[LayerResult]) -> Iterable[Finding]:
    few = [i for i, layer in enumerate(layers) if _few(layer)]
    tied = [i for i, layer in enumerate(layers) if _any(layer, TIED_WARNING)]
    others = [
        i
        for i, layer in enumerate(layers)
        if any(not warning.startswith((FEW_WARNING, TIED_WARNING)) for warning in layer.warnings)
    ]
    if few:
        yield Finding(
            REMARK,
            f"α is uncertain in {count(len(few), 'layer')}",
            "The power law is fitted to few eigenvalues there; the smallest singular value and"
            " the rank do not depend on it.",
            "",
            tuple(few),
        )
    if tied:
        yield Finding(
            REMARK,
            f"Tied weights: {count(len(tied), 'matrix', 'matrices')}",
            "Several parameters share one matrix, which was analyzed once.",
            "",
            tuple(tied),
        )
    if others:
        yield Finding(
            REMARK,
            f"Warnings on {count(len(others), 'layer')}",
            "They are listed with each layer in the table.",
            "",
            tuple(others),
        )


def _indices(layers: Sequence[LayerResult], verdict: Verdict, judged: bool) -> list[int]:
    return [
        i
        for i, layer in enumerate(layers)
        if layer.verdict is verdict and (layer.kind in JUDGED_KINDS) == judged
    ]


def _few(layer: LayerResult) -> bool:
    return _any(layer, FEW_WARNING)


def _any(layer: LayerResult, start: str) -> bool:
    return any(warning.startswith(start) for warning in layer.warnings)


def _have(found: Sequence[int], verb: str) -> str:
    return f"{count(len(found), 'layer')} {'has' if len(found) == 1 else 'have'} {verb}"
