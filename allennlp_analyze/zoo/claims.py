"""Judges the claims of the 2018 study by the fully connected matrices of analyzed models."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Optional, Protocol

from allennlp_analyze.metrics.power_law import FEW_EIGENVALUES
from allennlp_analyze.reference import published
from allennlp_analyze.results.verdict import MIN_Q
from allennlp_analyze.zoo.results import CLAIM_VERDICTS, Claim, ZooModel

# The largest Kolmogorov-Smirnov distance of a fit that counts. With M >= 50 the study's are at most
# 0.078; Gaussian matrices of its shapes, whose spectra have no heavy tail, are nearly all at 0.1 to
# 0.15 (see tests/zoo/test_claims.py). With fewer eigenvalues the distance is large by chance.
MAX_D = 0.1
NEARLY_ALL = 0.95
ALPHA_RANGE = (2.0, 4.0)
# "80%", to the nearest tenth.
MOST = 0.75
# The limit at which the study's figure zooms in. Its six values near zero are at most 7.1e-4, and
# the next is 0.08.
NEAR_ZERO = 0.01

HOLDS, FAILS, NOT_RUN = CLAIM_VERDICTS
ALLENNLP, IMAGENET = "AllenNLP", "ImageNet"


class Matrix(Protocol):
    """The numbers of a fully connected matrix W (N x M, N >= M) for the claims; None if unknown."""

    @property
    def N(self) -> int: ...

    @property
    def M(self) -> int: ...

    @property
    def alpha(self) -> Optional[float]: ...

    @property
    def D(self) -> Optional[float]: ...

    @property
    def min_singular_value(self) -> Optional[float]: ...


@dataclass(frozen=True)
class CollapseRun:
    """A run of the rank-collapse experiment: its L2 penalty, and whether a layer collapsed."""

    l2: float
    collapsed: bool


@dataclass
class Extent:
    """Counts matrices of one aspect ratio, and those near zero.

    `largest_near` and `smallest_clear` are the smallest singular values next to the limit.
    """

    n: int = 0
    n_near: int = 0
    largest_near: Optional[float] = None
    smallest_clear: Optional[float] = None

    def add(self, value: float) -> None:
        """Add one matrix with the smallest singular value `value`."""
        self.n += 1
        if value < NEAR_ZERO:
            self.n_near += 1
            self.largest_near = max(value, self.largest_near or 0.0)
        else:
            self.smallest_clear = min(value, self.smallest_clear or value)


class Tally:
    """Counts over `matrices` in one pass.

    `n_large` have M >= 50, enough to recognize a power law; `n_fitting` of them have a fit with D
    <= `MAX_D`. Of `n_alpha` alphas, `n_in_range` are in `ALPHA_RANGE`. `tall` counts Q > MIN_Q and
    `square` counts Q = 1, both for M > 1 and a known smallest singular value.
    """

    def __init__(self, matrices: Iterable[Matrix]) -> None:
        self.n_large = self.n_fitting = self.n_alpha = self.n_in_range = 0
        self.tall, self.square = Extent(), Extent()
        for matrix in matrices:
            self._add_fit(matrix)
            self._add_extent(matrix)

    def _add_fit(self, matrix: Matrix) -> None:
        if matrix.M >= FEW_EIGENVALUES:
            self.n_large += 1
            self.n_fitting += matrix.D is not None and matrix.D <= MAX_D
        if matrix.alpha is not None:
            self.n_alpha += 1
            self.n_in_range += ALPHA_RANGE[0] <= matrix.alpha <= ALPHA_RANGE[1]

    def _add_extent(self, matrix: Matrix) -> None:
        if matrix.min_singular_value is None or matrix.M == 1:
            return
        if matrix.N / matrix.M > MIN_Q:
            self.tall.add(matrix.min_singular_value)
        elif matrix.N == matrix.M:
            self.square.add(matrix.min_singular_value)


def linear_layers(models: Iterable[ZooModel]) -> Iterator[Matrix]:
    """Yields the fully connected layers of `models`."""
    for model in models:
        for layer in model.outcome.layers:
            if layer.kind == "linear":
                yield layer


def zoo_claims(models: Sequence[ZooModel], data: Optional[str] = "zoo.csv") -> tuple[Claim, ...]:
    """Judge the claims that apply to any models; `models` are those that count.

    - Nearly all fully connected layers fit a power law: of the matrices with M >= 50 at least 95%
      have a fit with D <= 0.1.
    - 80% of alphas lie in 2 to 4: at least 75% of them do.
    - No fully connected matrix with Q > MIN_Q is near rank collapse: none has a smallest singular
      value below 0.01 (absolute, as the study had it).
    - The smallest singular value is clear of zero only for Q > 1: every square matrix has it below
      0.01.

    Each is judged on our models only, and is "not run" if no matrix is relevant. The published
    numbers are counted in the same way from the tables of the package. `data` names the file with
    our numbers. Raises `SourceError` if the installation lacks the tables.
    """
    theirs = {ALLENNLP: _allennlp(), IMAGENET: _imagenet()}
    ours = Tally(linear_layers(models))
    claims = (_fits(theirs, ours), _alphas(theirs, ours), _kept(theirs, ours))
    return _finished((*claims, _square(theirs, ours)), data)


def allennlp_claims(
    models: Sequence[ZooModel], data: Optional[str] = None, why_not: Optional[str] = None
) -> tuple[Claim, ...]:
    """Judge the claims on AllenNLP's models, which are those of `zoo_claims`.

    With `why_not`, a reason not to judge, every claim is "not run".
    """
    theirs = {ALLENNLP: _allennlp()}
    ours = Tally(linear_layers(models))
    fits, alphas = _fits(theirs, ours), _alphas(theirs, ours)
    claims = (
        replace(fits, published=fits.published + _as_counted("n_fitting", "n_large")),
        replace(alphas, published=alphas.published + _as_counted("n_in_range", "n_alpha")),
        _kept(theirs, ours, f"{ALLENNLP} FC"),
        _square(theirs, ours),
    )
    return _finished(claims, data, why_not)


def imagenet_claims(
    models: Sequence[ZooModel], data: Optional[str] = None, why_not: Optional[str] = None
) -> tuple[Claim, ...]:
    """Judge the claims on torchvision's models, as `allennlp_claims`, except for the third.

    Here it says that 6 of the 24 matrices with Q > MIN_Q are near zero. It is judged only for 24
    matrices, and holds if 6 have a smallest singular value below 0.01.
    """
    theirs = {IMAGENET: _imagenet()}
    ours = Tally(linear_layers(models))
    claims = (_fits(theirs, ours), _alphas(theirs, ours), _near_zero(theirs[IMAGENET], ours))
    return _finished((*claims, _square(theirs, ours)), data, why_not)


def collapse_claim(
    runs: Sequence[CollapseRun], data: Optional[str] = None, why_not: Optional[str] = None
) -> Claim:
    """Over-regularizing induces rank collapse.

    It holds if every run with the largest L2 penalty collapsed and none with the smallest did. It
    is "not run" with fewer than two penalties, or for the reason `why_not`.
    """
    claim = Claim(
        "Over-regularizing induces rank collapse", "stated, without numbers", "", NOT_RUN, data=data
    )
    penalties = sorted({run.l2 for run in runs})
    if why_not is not None or len(penalties) < 2:
        return replace(claim, note=why_not or "fewer than two penalties to compare")
    least, most = (
        [run.collapsed for run in runs if run.l2 == l2] for l2 in (penalties[0], penalties[-1])
    )
    return replace(
        claim,
        ours=f"collapsed: {sum(least)} of {len(least)} with L2 = {penalties[0]:g},"
        f" {sum(most)} of {len(most)} with L2 = {penalties[-1]:g}",
        verdict=_verdict(all(most) and not any(least)),
        note="Holds when every run with the largest penalty collapsed and none with the smallest.",
    )


def _allennlp() -> Tally:
    return Tally(published.allennlp_matrices())


def _imagenet() -> Tally:
    return Tally(published.imagenet_matrices())


def _as_counted(part: str, whole: str) -> str:
    """Returns a share in the study's histogram, and over distinct matrices."""
    rows = published.allennlp_matrices()
    histogram, distinct = (
        _share(getattr(counts, part), getattr(counts, whole))
        for counts in (Tally(published.as_counted(rows)), Tally(published.distinct(rows)))
    )
    return f"; in its histogram, one model twice, {histogram}; of distinct matrices {distinct}"


def _fits(theirs: Mapping[str, Tally], ours: Tally) -> Claim:
    return _judged(
        "Nearly all fully connected layers fit a power law",
        {name: _share(counts.n_fitting, counts.n_large) for name, counts in theirs.items()},
        _share(ours.n_fitting, ours.n_large),
        lacking="" if ours.n_large else f"no fully connected matrix has M >= {FEW_EIGENVALUES}",
        holds=_at_least(NEARLY_ALL, ours.n_fitting, ours.n_large),
        criterion=f"at least {NEARLY_ALL:.0%} of the matrices with M >= {FEW_EIGENVALUES} have a"
        f" fit with D <= {MAX_D:g} (few random matrices do)",
    )


def _alphas(theirs: Mapping[str, Tally], ours: Tally) -> Claim:
    low, high = ALPHA_RANGE
    return _judged(
        f"80% of the alphas of fully connected layers lie in {low:g} to {high:g}",
        {name: _share(counts.n_in_range, counts.n_alpha) for name, counts in theirs.items()},
        _share(ours.n_in_range, ours.n_alpha),
        lacking="" if ours.n_alpha else "no fully connected matrix has a fit",
        holds=_at_least(MOST, ours.n_in_range, ours.n_alpha),
        criterion=f"at least {MOST:.0%} do, which is 80% to the nearest tenth",
    )


def _kept(theirs: Mapping[str, Tally], ours: Tally, subject: str = "fully connected") -> Claim:
    return _judged(
        f"No {subject} matrix with Q > {MIN_Q} is near rank collapse",
        {name: _near(counts.tall) for name, counts in theirs.items()},
        _near(ours.tall),
        lacking="" if ours.tall.n else f"no fully connected matrix has Q > {MIN_Q}",
        holds=ours.tall.n_near == 0,
        criterion=f"none has a smallest singular value below {NEAR_ZERO:g}",
    )


def _near_zero(theirs: Tally, ours: Tally) -> Claim:
    there, near = theirs.tall.n, theirs.tall.n_near
    return _judged(
        f"{near} of the {there} {IMAGENET} FC matrices with Q > {MIN_Q} have a smallest singular"
        " value near zero",
        {IMAGENET: _near(theirs.tall)},
        _near(ours.tall),
        lacking="" if ours.tall.n == there else f"{ours.tall.n} of the {there} matrices are here",
        holds=ours.tall.n_near == near,
        criterion=f"{near} of {there} are below {NEAR_ZERO:g}",
    )


def _square(theirs: Mapping[str, Tally], ours: Tally) -> Claim:
    return _judged(
        "The smallest singular value is clear of zero only for Q > 1",
        {
            name: _near(counts.square) if counts.square.n else "not published for Q = 1"
            for name, counts in theirs.items()
        },
        _near(ours.square),
        lacking="" if ours.square.n else "no fully connected matrix has Q = 1",
        holds=ours.square.n_near == ours.square.n,
        criterion=f"every matrix with Q = 1 has it below {NEAR_ZERO:g}",
    )


def _judged(
    claim: str, theirs: Mapping[str, str], ours: str, lacking: str, holds: bool, criterion: str
) -> Claim:
    """Returns the judged claim; `lacking` is the reason for not judging, or ""."""
    said = [text if len(theirs) == 1 else f"{name} {text}" for name, text in theirs.items()]
    return Claim(
        claim=claim,
        published="; ".join(said),
        ours=ours,
        verdict=NOT_RUN if lacking else _verdict(holds),
        note=lacking or f"Holds when {criterion}.",
    )


def _at_least(share: float, part: int, whole: int) -> bool:
    # 57 / 60 equals 0.95 to the last bit, but 0.95 * whole may round above the count.
    return whole > 0 and part / whole >= share


def _verdict(holds: bool) -> str:
    return HOLDS if holds else FAILS


def _finished(
    claims: Iterable[Claim], data: Optional[str], why_not: Optional[str] = None
) -> tuple[Claim, ...]:
    with_data = (replace(claim, data=data) for claim in claims)
    if why_not is None:
        return tuple(with_data)
    return tuple(replace(claim, verdict=NOT_RUN, note=why_not) for claim in with_data)


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.3g}%)" if whole else ""


def _near(extent: Extent) -> str:
    """Returns such as "6 of 24 below 0.01 (up to 0.00071), the others from 0.0802"."""
    if not extent.n:
        return ""
    text = f"{extent.n_near} of {extent.n} below {NEAR_ZERO:g}"
    if extent.largest_near is not None:
        text += f" (up to {extent.largest_near:.2g})"
    if extent.smallest_clear is not None:
        others = "the others from" if extent.n_near else "the smallest"
        text += f", {others} {extent.smallest_clear:.3g}"
    return text
