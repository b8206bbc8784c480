"""The comparison of a model with published numbers, row by row, as frozen dataclasses."""

from dataclasses import dataclass
from typing import Optional, Union

# The agreements of one number, then of one row.
AGREEMENTS = ("agrees", "close", "differs", "not_compared")
ROW_AGREEMENTS = (*AGREEMENTS, "missing", "extra")
REFERENCE_VERDICTS = ("reproduced", "close", "incomplete", "differs", "not_comparable")
NUMBERS = ("M", "N", "alpha", "D", "min_singular_value")


@dataclass(frozen=True)
class ReferenceNumbers:
    """The numbers of one matrix on one side; unknown numbers are None.

    `name` is that of the layer (or of its parameter, if the reference gives that), `module_index`
    its position in `model.modules()`. M <= N; `min_singular_value` is in the units of the weights.
    """

    name: Optional[str] = None
    module_index: Optional[int] = None
    M: Optional[int] = None
    N: Optional[int] = None
    alpha: Optional[float] = None
    D: Optional[float] = None
    min_singular_value: Optional[float] = None

    @property
    def size(self) -> str:
        """M x N, with ? for an unknown dimension."""
        return " x ".join("?" if size is None else str(size) for size in (self.M, self.N))


@dataclass(frozen=True)
class NumberAgreement:
    """One of `AGREEMENTS` for each number of a row."""

    M: str
    N: str
    alpha: str
    D: str
    min_singular_value: str


@dataclass(frozen=True)
class ReferenceTolerance:
    """The limits of the agreements. M and N agree if they are equal.

    Other numbers agree if they differ by at most `relative` of the larger one. D also agrees within
    `D`, and min_singular_value within `min_singular_value` times the largest singular value.
    Numbers that do not agree are close if they differ by at most `close` of the larger one.
    """

    relative: float
    D: float
    min_singular_value: float
    close: float


@dataclass(frozen=True)
class ReferenceRow:
    """A published row and our layer for it; one of them is None if it has no partner.

    `number` counts the published rows from 1. `agreement` is one of `ROW_AGREEMENTS`: that of the
    number that agrees least, "missing" if there is no such layer here, or "extra" if the reference
    has no such row. `numbers` is None for the last two.
    """

    number: Optional[int]
    published: Optional[ReferenceNumbers]
    ours: Optional[ReferenceNumbers]
    agreement: str
    numbers: Optional[NumberAgreement]

    @property
    def same_shape(self) -> bool:
        """Whether both sides exist, with equal M and N as far as the reference gives them."""
        if self.published is None or self.ours is None:
            return False
        return self.published.M in (None, self.ours.M) and self.published.N in (None, self.ours.N)

    @property
    def matched(self) -> bool:
        """Whether both sides are the same layer, by name or else by shape."""
        if self.published is None or self.ours is None:
            return False
        return self.same_shape or self.published.name is not None

    @property
    def label(self) -> str:
        """A label for the row: the layer's name, the module's index, or the row's number."""
        here = "" if self.ours is None else self.ours.name or ""
        if self.published is None:
            return here
        if self.published.name is not None:
            return here or self.published.name
        return f"{self.place} ({here})" if here else self.place

    @property
    def place(self) -> str:
        """The module index of a published row without a name, or else its number."""
        index = None if self.published is None else self.published.module_index
        return f"row {self.number}" if index is None else f"module {index}"

    def difference(self, number: str) -> Optional[float]:
        """Our number minus the published one; None unless both are known and the shapes agree."""
        pair = self._pair(number)
        return None if pair is None else pair[1] - pair[0]

    def relative_difference(self, number: str) -> Optional[float]:
        """The size of `difference` over the larger of the two, in [0, 2]; 0 for equal numbers."""
        pair = self._pair(number)
        return None if pair is None else relative_difference(*pair)

    def _pair(self, number: str) -> Optional[tuple[float, float]]:
        if not self.same_shape:
            return None
        published, ours = getattr(self.published, number), getattr(self.ours, number)
        return None if published is None or ours is None else (published, ours)


@dataclass(frozen=True)
class ReferenceComparison:
    """The comparison of a model with a reference.

    `name` is what the user gave, `title` describes it, and `archive` is the file to
    which the published numbers belong (None if unknown). `verdict` is one of `REFERENCE_VERDICTS`,
    and `sentence` explains it. `rows` are in the order of the reference.
    """

    name: str
    title: str
    archive: Optional[str]
    verdict: str
    sentence: str
    tolerance: ReferenceTolerance
    rows: tuple[ReferenceRow, ...]

    @property
    def n_published(self) -> int:
        return sum(row.published is not None for row in self.rows)

    @property
    def n_matched(self) -> int:
        return sum(row.matched for row in self.rows)

    def n_rows(self, agreement: str) -> int:
        """The number of rows with this agreement, one of `ROW_AGREEMENTS`."""
        return sum(row.agreement == agreement for row in self.rows)

    def largest_difference(self, number: str) -> Optional[float]:
        """The largest `relative_difference` of one of `NUMBERS`, or None if none is known."""
        found = (row.relative_difference(number) for row in self.rows)
        return max((value for value in found if value is not None), default=None)


def relative_difference(one: Union[int, float], other: Union[int, float]) -> float:
    """|one - other| / max(|one|, |other|), in [0, 2]; 0 for equal numbers. Both are finite."""
    if one == other:
        return 0.0
    larger = max(abs(one), abs(other))
    return abs(one / larger - other / larger)  # their difference itself may overflow
