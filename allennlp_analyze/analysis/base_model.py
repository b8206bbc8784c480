"""Judges a model relative to the one that its training started from."""

from collections.abc import Sequence
from dataclasses import replace

from allennlp_analyze.analysis.measure import analyze
from allennlp_analyze.linalg.gram import GramSolver
from allennlp_analyze.matrices.counterparts import counterparts
from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.matrices.surroundings import with_surroundings
from allennlp_analyze.metrics.judging import DECAYED_SHARE
from allennlp_analyze.results.evidence import Cause, Evidence, Finding
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.source import Source
from allennlp_analyze.text.counts import count
from allennlp_analyze.text.lists import enumerated


def relative_to_base(
    matrices: Sequence[WeightMatrix],
    layers: Sequence[LayerResult],
    base: Source,
    settings: Settings,
    solver: GramSolver,
) -> tuple[tuple[LayerResult, ...], tuple[str, ...]]:
    """Returns `layers`, judged relative to `base`, and warnings.

    `matrices` are those that were analyzed; the layers are among them. A layer has a counterpart of
    the same name (but for leading modules) and shape, or a warning says that it has none.
    """
    by_name = {layer.name: layer for layer in layers}
    starts = _of_base(by_name, base, settings, solver)
    around = {matrix.name: matrix.surroundings for matrix in matrices}
    judged = tuple(
        _relative(layer, starts[layer.name], around[layer.name].is_normalized)
        if layer.name in starts
        else layer
        for layer in layers
    )
    without = [layer.name for layer in layers if layer.name not in starts]
    if not without:
        return judged, ()
    named = enumerated(without, 1)
    return judged, (
        f"{count(len(without), 'layer')} without a counterpart in the base model: {named}",
    )


def _of_base(
    layers: "dict[str, LayerResult]", base: Source, settings: Settings, solver: GramSolver
) -> dict[str, LayerResult]:
    """Returns the layers of the base model by the names of their counterparts."""
    found, _ = find_matrices(
        base, None, split_gates=settings.split_gates, split_heads=settings.split_heads
    )
    by_name = {matrix.name: matrix for matrix in with_surroundings(base, found)}
    pairs = {
        other: name
        for name, other in counterparts(layers, by_name).items()
        if by_name[other].shape == layers[name].shape
    }
    wanted = [by_name[other] for other in pairs]
    plain = replace(settings, compare_distributions=False, uncertainty=False)
    return {pairs[start.name]: start for start in analyze(wanted, plain, solver).layers}


def _relative(layer: LayerResult, start: LayerResult, is_normalized: bool) -> LayerResult:
    """Returns `layer` with the verdict on what it lost since `start`."""
    evidence, before = layer.evidence, start.evidence
    if evidence is None or before is None:
        return layer
    ratio = None
    if evidence.start_ratio is not None and before.start_ratio:
        ratio = evidence.start_ratio / before.start_ratio
    evidence = replace(evidence, base_lost=before.lost_directions, base_ratio=ratio)
    verdict = layer.verdict
    already = min(evidence.lost_directions, before.lost_directions)
    if already:
        evidence = _less(evidence, already, layer.M)
        if evidence.lost_directions == 0 and verdict is not Verdict.NOT_ASSESSED:
            verdict = Verdict.FULL_RANK
    elif verdict is Verdict.NEAR_COLLAPSE and not verdict.is_worse_than(start.verdict):
        verdict = Verdict.FULL_RANK
        evidence = replace(evidence, reason=_joined(evidence.reason, "as in the base model"))
    if ratio is not None and ratio < DECAYED_SHARE and evidence.lost_directions < layer.M:
        return _decayed(layer, evidence, is_normalized)
    return replace(layer, verdict=verdict, evidence=evidence)


def _less(evidence: Evidence, already: int, m: int) -> Evidence:
    left = evidence.lost_directions - already
    text = f"the base model has lost {already} of {m} directions already"
    return replace(
        evidence,
        lost_directions=left,
        harmless_directions=evidence.harmless_directions + already,
        reason=_joined(evidence.reason, text),
    )


def _decayed(layer: LayerResult, evidence: Evidence, is_normalized: bool) -> LayerResult:
    """The weights are far below those of the base model, whatever the usual ones are."""
    since = f"{evidence.base_ratio:.2g} of the base model"
    if is_normalized:
        cause, lost, verdict = Cause.SMALL_BUT_NORMALIZED, 0, layer.verdict
    else:
        cause, lost, verdict = Cause.DECAYED, layer.M, Verdict.COLLAPSED
    finding = Finding(cause, lost, cause.is_harmless, is_lost=lost > 0, note=since)
    words = f"{cause.words} ({since})" + ("; harmless" if cause.is_harmless else "")
    return replace(
        layer,
        verdict=verdict,
        evidence=replace(
            evidence,
            lost_directions=lost or evidence.lost_directions,
            findings=(*evidence.findings, finding) if is_normalized else (finding,),
            reason=_joined(evidence.reason, words) if is_normalized else words,
        ),
    )


def _joined(*texts: str) -> str:
    return "; ".join(text for text in texts if text)
