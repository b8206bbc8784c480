"""Compares a report with published numbers: the agreement of each row, and one verdict."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from allennlp_analyze.metrics.power_law import MIN_EIGENVALUES
from allennlp_analyze.reference.pairing import Pair, pair_rows
from allennlp_analyze.reference.table import Reference
from allennlp_analyze.results.layer import LayerResult, ModelReport
from allennlp_analyze.results.reference import (
    AGREEMENTS,
    NUMBERS,
    NumberAgreement,
    ReferenceComparison,
    ReferenceNumbers,
    ReferenceRow,
    ReferenceTolerance,
    relative_difference,
)

# The study of 2018 rounded its singular values to float32 and fitted in float32. Six digits of its
# singular values and of alpha are reliable (1e-5). D is a difference of float32 numbers up to 1,
# for which 1e-6 is eight roundings. A smallest singular value near 0 is noise on both sides; ours
# is within 1e-7 of the largest. A figure or a rounded table shows two digits (1e-2).
TOLERANCE = ReferenceTolerance(relative=1e-5, D=1e-6, min_singular_value=1e-7, close=1e-2)
_SAID = {"min_singular_value": "the smallest singular value"}


def beside_reference(report: ModelReport, reference: Reference) -> ModelReport:
    """Returns `report` with the comparison with `reference` added."""
    return replace(report, reference=compare_with_reference(report.layers, reference))


def compare_with_reference(
    layers: Sequence[LayerResult], reference: Reference
) -> ReferenceComparison:
    """Compare `layers` with the rows of `reference`, paired by `pair_rows`.

    The verdict is "not_comparable" if no number can be compared, or if less than half of the rows
    have a layer here and only by shape, which may be chance. Otherwise it is "differs" if any row
    differs, "incomplete" if any row has no layer, "close" if any row is close, and "reproduced" in
    all other cases. Linear layers without a row in the reference do not count. Numbers known on one
    side only do not count either, with one exception: a published fit of at least 10 singular
    values differs if there is no fit here.
    """
    rows = _rows(pair_rows(reference.rows, layers, _likeness))
    verdict = _verdict(rows)
    return ReferenceComparison(
        name=reference.name,
        title=reference.title,
        archive=reference.archive,
        verdict=verdict,
        sentence=_sentence(verdict, rows, reference.name),
        tolerance=TOLERANCE,
        rows=rows,
    )


def _likeness(published: ReferenceNumbers, layer: LayerResult) -> int:
    """Returns 2 for a row that agrees, 1 for one that is close, otherwise 0."""
    agreement = _least(_agreements(published, _numbers(layer), layer.max_singular_value))
    return {"agrees": 2, "close": 1}.get(agreement, 0)


def _rows(pairs: Sequence[Pair]) -> tuple[ReferenceRow, ...]:
    rows: list[ReferenceRow] = []
    n_published = 0
    for published, layer in pairs:
        ours = None if layer is None else _numbers(layer)
        n_published += published is not None
        number = None if published is None else n_published
        agreement, numbers = "extra" if published is None else "missing", None
        if published is not None and layer is not None and ours is not None:
            numbers = _agreements(published, ours, layer.max_singular_value)
            agreement = _least(numbers)
        rows.append(ReferenceRow(number, published, ours, agreement, numbers))
    return tuple(rows)


def _numbers(layer: LayerResult) -> ReferenceNumbers:
    fit = layer.power_law
    return ReferenceNumbers(
        name=layer.name,
        module_index=layer.module_index,
        M=layer.M,
        N=layer.N,
        alpha=None if fit is None else fit.alpha,
        D=None if fit is None else fit.D,
        min_singular_value=layer.min_singular_value,
    )


def _agreements(
    published: ReferenceNumbers, ours: ReferenceNumbers, sigma_max: float
) -> NumberAgreement:
    """Compare the numbers of one row; different shapes leave nothing else to compare.

    `sigma_max` is the largest singular value of our layer.
    """
    M, N = _equal(published.M, ours.M), _equal(published.N, ours.N)
    if "differs" in (M, N):
        return NumberAgreement(M, N, "not_compared", "not_compared", "not_compared")
    return NumberAgreement(
        M=M,
        N=N,
        alpha=_near(published.alpha, ours.alpha, 0.0, _is_small(ours)),
        D=_near(published.D, ours.D, TOLERANCE.D, _is_small(ours)),
        min_singular_value=_near(
            published.min_singular_value,
            ours.min_singular_value,
            TOLERANCE.min_singular_value * sigma_max,
        ),
    )


def _equal(published: Optional[int], ours: Optional[int]) -> str:
    if published is None:
        return "not_compared"
    return "agrees" if published == ours else "differs"


def _near(
    published: Optional[float], ours: Optional[float], absolute: float, may_lack: bool = False
) -> str:
    """Compare two numbers; an absolute difference up to `absolute` always agrees."""
    if published is None or (ours is None and may_lack):
        return "not_compared"
    if ours is None:
        return "differs"
    relative = relative_difference(published, ours)
    if relative <= TOLERANCE.relative or abs(published - ours) <= absolute:
        return "agrees"
    return "close" if relative <= TOLERANCE.close else "differs"


def _is_small(ours: ReferenceNumbers) -> bool:
    """Whether the layer has too few singular values for our fit; the study fitted any number."""
    return ours.M is not None and ours.M < MIN_EIGENVALUES


def _least(numbers: NumberAgreement) -> str:
    """Returns the agreement of a whole row; equal shapes alone do not count as agreement."""
    found = {getattr(numbers, number) for number in NUMBERS}
    measured = {getattr(numbers, number) for number in NUMBERS if number not in ("M", "N")}
    if "differs" in found:
        return "differs"
    if measured <= {"not_compared"}:
        return "not_compared"
    return max(measured - {"not_compared"}, key=AGREEMENTS.index)


def _verdict(rows: Sequence[ReferenceRow]) -> str:
    published = [row for row in rows if row.published is not None]
    matched = [row for row in published if row.matched]
    found = {row.agreement for row in published}
    compared = [row for row in matched if row.agreement != "not_compared"]
    by_name = any(row.published is not None and row.published.name is not None for row in matched)
    if not compared or (2 * len(matched) < len(published) and not by_name):
        return "not_comparable"
    for agreement, verdict in (("differs", "differs"), ("missing", "incomplete")):
        if agreement in found:
            return verdict
    return "close" if "close" in found else "reproduced"


def _sentence(verdict: str, rows: Sequence[ReferenceRow], name: str) -> str:
    published = [row for row in rows if row.published is not None]
    if verdict == "not_comparable":
        return f"Not comparable: {_why_not(published, name)}."
    counts = f"{_counts(published, name)}{_missing(published)}"
    return f"{verdict.capitalize()}: {counts}; {_worst(published)}{_not_fitted(published)}."


def _counts(published: Sequence[ReferenceRow], name: str) -> str:
    """Returns such as "15 of 16 rows of ner-2018 agree and 1 differs"."""
    within = f"within {100 * TOLERANCE.close:g}%"
    verbs = {
        "agrees": ("agrees", "agree"),
        "close": (f"is {within}", f"are {within}"),
        "differs": ("differs", "differ"),
        "missing": ("has no layer here", "have no layer here"),
        "not_compared": ("has nothing to compare", "have nothing to compare"),
    }
    parts: list[str] = []
    for agreement, (singular, plural) in verbs.items():
        count = sum(row.agreement == agreement for row in published)
        if count == len(published):
            rows = f"the only row of {name}" if count == 1 else f"all {count} rows of {name}"
            return f"{rows} {singular if count == 1 else plural}"
        if count:
            of = "" if parts else f" of {len(published)} rows of {name}"
            parts.append(f"{count}{of} {singular if count == 1 else plural}")
    return " and ".join([", ".join(parts[:-1]), parts[-1]])


def _missing(published: Sequence[ReferenceRow]) -> str:
    missing = [row for row in published if row.agreement == "missing"]
    first = "the first: " if len(missing) > 1 else ""
    return f" ({first}{missing[0].label})" if missing else ""


def _why_not(published: Sequence[ReferenceRow], name: str) -> str:
    without = [row for row in published if not row.matched]
    if 2 * len(without) <= len(published):
        return f"{name} and this model have no number in common"
    first = without[0]
    beside = "" if first.ours is None else " (the layer in its place has another shape)"
    lack = f"{len(without)} of {len(published)} rows of {name} have"
    if len(without) == len(published):
        lack = f"none of the rows of {name} has"
        return f"{lack} a layer of its name or shape here; the first is {first.label}{beside}"
    return f"{lack} no layer of their name or shape here; the first is {first.label}{beside}"


def _worst(published: Sequence[ReferenceRow]) -> str:
    """Describe the number that agrees least."""
    found = [
        (AGREEMENTS.index(getattr(row.numbers, number)), _deviation(row, number), row, number)
        for row in published
        if row.numbers is not None
        for number in NUMBERS
        if getattr(row.numbers, number) != "not_compared"
    ]
    _, deviation, row, number = max(found, key=lambda one: one[:2])
    if deviation == 0:
        return "every number compared is the same to the last digit"
    if number in ("M", "N"):
        return (
            f"the worst is the shape of {row.label}: {_size(row.published)} published,"
            f" {_size(row.ours)} here"
        )
    return (
        f"the worst is {_SAID.get(number, number)} of {row.label}:"
        f" {_said(row.published, number)} published, {_said(row.ours, number)} here"
    )


def _deviation(row: ReferenceRow, number: str) -> float:
    """Relative deviation; 2, the maximum, if there is no number here."""
    published, ours = getattr(row.published, number), getattr(row.ours, number)
    return 2.0 if ours is None else relative_difference(published, ours)


def _said(side: Optional[ReferenceNumbers], number: str) -> str:
    value = getattr(side, number)
    return "none" if value is None else f"{value:.7g}"


def _size(side: Optional[ReferenceNumbers]) -> str:
    return "" if side is None else side.size


def _not_fitted(published: Sequence[ReferenceRow]) -> str:
    """Describe the rows whose fits are not compared, because they have too few eigenvalues."""
    rows = [
        row
        for row in published
        if row.published is not None
        and row.ours is not None
        and _is_small(row.ours)
        and row.ours.alpha is None
        and (row.published.alpha, row.published.D) != (None, None)
    ]
    if not rows:
        return ""
    of = "1 row" if len(rows) == 1 else f"{len(rows)} rows"
    return f"; alpha and D of {of} not compared (no fit for M < {MIN_EIGENVALUES})"
