"""Decides the verdict on a layer from what its singular values say and from the causes found."""

from collections.abc import Sequence
from dataclasses import replace

from allennlp_analyze.analysis.causes import find_causes
from allennlp_analyze.linalg.lowest import Known
from allennlp_analyze.linalg.spectrum import Spectrum
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.metrics.judging import Judged, judge, noise_floor
from allennlp_analyze.results.evidence import Cause, Evidence, Finding
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.text.lists import enumerated

UNITS = frozenset(
    (Cause.DEAD_OUTPUTS, Cause.DEAD_INPUTS, Cause.COPIED_OUTPUTS, Cause.COPIED_INPUTS)
)
# Dead and copied units are the verdict as long as they are fewer than this share of the directions.
MOST_UNITS = 0.25
NAMED_UNITS = 12


def verdict_on(matrix: WeightMatrix, found: Spectrum) -> tuple[Verdict, Evidence]:
    """Returns the verdict on `matrix` with the spectrum `found`, and what it rests on.

    A single row or column has no lost direction unless it is zero, so it is not assessed. Reads the
    entries again if directions are lost or weak. Raises `TensorError`.
    """
    n, m = max(matrix.shape), min(matrix.shape)
    values = found.singular_values
    floor = None if matrix.noise is None else noise_floor(matrix.noise(), n, m)
    squares = matrix.surroundings.squares
    judged = judge(values, found.entry_std, n, m, found.tolerance.zero, floor or 0.0, squares)
    if m == 1:
        lost = int((values <= found.tolerance.zero).sum())
        return Verdict.NOT_ASSESSED, Evidence(
            lost, start_ratio=judged.start_ratio, noise_floor=floor
        )
    known = None if found.gram is None else Known(found.gram, found.scale, float(values[-1]))
    findings = find_causes(matrix, judged, known, found.faint)
    verdict, evidence = decided(judged, findings, m)
    return verdict, replace(evidence, noise_floor=floor)


def decided(judged: Judged, findings: Sequence[Finding], m: int) -> tuple[Verdict, Evidence]:
    """Returns the verdict on a layer with m directions."""
    lost = [finding for finding in findings if finding.is_lost]
    harmful = sum(finding.count for finding in lost if not finding.is_harmless)
    # A direction that may be lost may be nearly lost, too.
    faded = sum(x.count for x in findings if x.is_harmless and not x.is_lost)
    in_units = sum(finding.count for finding in lost if finding.cause in UNITS)
    if harmful == 0:
        verdict = Verdict.FULL_RANK
        if judged.near > faded:
            verdict = Verdict.NEAR_COLLAPSE
        elif judged.is_hidden:
            verdict = Verdict.HIDDEN
    elif in_units == harmful and harmful < MOST_UNITS * m:
        verdict = Verdict.DEAD_UNITS
    else:
        verdict = Verdict.COLLAPSED
    evidence = Evidence(
        lost_directions=harmful,
        harmless_directions=sum(finding.count for finding in lost) - harmful,
        hidden_directions=judged.hidden,
        limit=judged.limit,
        null_ratio=judged.null_ratio,
        start_ratio=judged.start_ratio,
        findings=tuple(findings),
        reason="; ".join(in_words(finding, m) for finding in findings),
    )
    return verdict, evidence


def in_words(finding: Finding, m: int) -> str:
    """One finding on a layer with m directions in words."""
    units = ""
    if finding.units:
        named = [str(unit) for unit in finding.units]
        units = " " + enumerated(named, NAMED_UNITS)
    text = f"{finding.cause.words}{units}"
    if finding.count:
        is_weak = not finding.is_lost and finding.cause is not Cause.BELOW_PRECISION
        weak = "weak: " if is_weak else ""
        text = f"{weak}{finding.count} of {m} directions, {text}"
    elif finding.units:
        text = f"{text}, no direction lost"
    if finding.note:
        text = f"{text} ({finding.note})"
    return f"{text}; harmless" if finding.is_harmless else text
