"""The published results of 2018 beside ours, row by row."""

import csv
import math
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Optional

from allennlp_analyze.errors import SourceError, UsageError
from allennlp_analyze.results import LayerResult, ModelReport

REFERENCES = ("ner-2018", "parser-2018", "srl-2018", "coref-2018")

_TABLE = "allennlp_2018.csv"
_WIDTH = 100
_MODELS = dict(zip(REFERENCES, ("ner", "cp", "srl", "coref")))
# Where the tables are in an installed package, and in a checkout.
_PLACES = (
    Path(__file__).resolve().parent / "published",
    Path(__file__).resolve().parent.parent / "fixtures" / "published",
)


@dataclass(frozen=True)
class PublishedLayer:
    """One Linear layer as the study of 2018 printed it.

    `module_index` counts `model.modules()`. alpha and D are None where the study printed nan
    (M = 1).
    """

    module_index: int
    M: int
    N: int
    alpha: Optional[float]
    D: Optional[float]
    min_singular_value: float


@dataclass(frozen=True)
class ReferenceRow:
    """A published layer and the layer of ours in its place; None on the side that has none."""

    published: Optional[PublishedLayer]
    ours: Optional[LayerResult]

    @property
    def same_shape(self) -> bool:
        """Whether both sides are there, with equal M and N."""
        if self.published is None or self.ours is None:
            return False
        return (self.published.M, self.published.N) == (self.ours.M, self.ours.N)

    @property
    def alpha_difference(self) -> Optional[float]:
        """alpha, ours less published; None unless both are known and the shapes are the same."""
        if self.published is None or self.ours is None or self.ours.power_law is None:
            return None
        return self._difference(self.published.alpha, self.ours.power_law.alpha)

    @property
    def D_difference(self) -> Optional[float]:
        """D, ours less published; None unless both are known and the shapes are the same."""
        if self.published is None or self.ours is None or self.ours.power_law is None:
            return None
        return self._difference(self.published.D, self.ours.power_law.D)

    @property
    def min_singular_value_difference(self) -> Optional[float]:
        """Smallest singular value, ours less published; None unless the shapes are the same."""
        if self.published is None or self.ours is None:
            return None
        return self._difference(self.published.min_singular_value, self.ours.min_singular_value)

    def _difference(self, published: Optional[float], ours: float) -> Optional[float]:
        return ours - published if self.same_shape and published is not None else None


@dataclass(frozen=True)
class ReferenceComparison:
    """The Linear layers of one model, published and ours, in order.

    `name` is one of `REFERENCES`, `published_archive` the file that the study read, `archive` ours.
    """

    name: str
    published_archive: str
    archive: str
    rows: tuple[ReferenceRow, ...]

    @property
    def n_published(self) -> int:
        return sum(row.published is not None for row in self.rows)

    @property
    def n_same_shape(self) -> int:
        return sum(row.same_shape for row in self.rows)

    @property
    def unmatched(self) -> tuple[ReferenceRow, ...]:
        """Rows with one side missing or with different shapes."""
        return tuple(row for row in self.rows if not row.same_shape)


def published_layers(name: str) -> tuple[str, tuple[PublishedLayer, ...]]:
    """The archive that the study read for reference `name`, and what it printed, in its order.

    Raises `UsageError` for a name that is not in `REFERENCES`, `SourceError` when the installation
    lacks the table.
    """
    if name not in _MODELS:
        raise UsageError(
            f"--reference: nothing published is called {name!r};"
            f" choose from {', '.join(REFERENCES)}"
        )
    with _table_path().open(newline="", encoding="utf-8") as file:
        records = [record for record in csv.DictReader(file) if record["model"] == _MODELS[name]]
    return records[0]["archive"], tuple(_published_layer(record) for record in records)


def compare_with_reference(report: ModelReport, name: str) -> ReferenceComparison:
    """Set the Linear layers of `report` beside the published ones of reference `name`.

    Both are in the order of `model.modules()`, so layers are paired in order by their (M, N);
    where that leaves layers over on both sides, these are paired too, as rows that differ. Raises
    as `published_layers` does.
    """
    archive, published = published_layers(name)
    ours = tuple(layer for layer in report.layers if layer.kind == "linear")
    return ReferenceComparison(name, archive, report.source.archive, _align(published, ours))


def format_comparison(comparison: ReferenceComparison) -> str:
    """The comparison as text of at most 100 columns; long names lose their beginning."""
    lines = [
        f"{comparison.name}: published ({comparison.published_archive}, 2018) and this archive",
        f"{comparison.n_same_shape} of {comparison.n_published} published layers have the same M"
        " and N here",
    ]
    matched = [row for row in comparison.rows if row.same_shape]
    if matched:
        lines += ["", *_HEADER, *(_format_row(row) for row in matched)]
        lines += ["", _format_largest(comparison)]
    if comparison.unmatched:
        lines += ["", "Not comparable:", *(_format_unmatched(row) for row in comparison.unmatched)]
    return "\n".join(lines)


def _table_path() -> Path:
    for place in _PLACES:
        if (place / _TABLE).is_file():
            return place / _TABLE
    raise SourceError(f"{_TABLE}: not in this installation; install allennlp_analyze again")


def _published_layer(record: dict[str, str]) -> PublishedLayer:
    return PublishedLayer(
        module_index=int(record["module_index"]),
        M=int(record["M"]),
        N=int(record["N"]),
        alpha=_number(record["alpha"]),
        D=_number(record["D"]),
        min_singular_value=float(record["min_singular_value"]),
    )


def _number(text: str) -> Optional[float]:
    value = float(text)
    return value if math.isfinite(value) else None


def _align(
    published: tuple[PublishedLayer, ...], ours: tuple[LayerResult, ...]
) -> tuple[ReferenceRow, ...]:
    """Pair the layers so that the shapes of the pairs agree in long runs, keeping both orders."""
    shapes = [[(layer.M, layer.N) for layer in side] for side in (published, ours)]
    matcher = SequenceMatcher(None, shapes[0], shapes[1], autojunk=False)
    rows: list[ReferenceRow] = []
    for _, start, stop, our_start, our_stop in matcher.get_opcodes():
        for offset in range(max(stop - start, our_stop - our_start)):
            left = published[start + offset] if start + offset < stop else None
            right = ours[our_start + offset] if our_start + offset < our_stop else None
            rows.append(ReferenceRow(left, right))
    return tuple(rows)


_HEADER = (
    f"{'':15}{'alpha':^27}  {'D':^27}  {'min singular value':^27}".rstrip(),
    f"{'mod':>3}{'M':>5}{'N':>6} "
    + "  ".join(f"{'published':>9}{'ours':>9}{'diff':>9}" for _ in range(3)),
)


def _format_row(row: ReferenceRow) -> str:
    published, ours = row.published, row.ours
    assert published is not None  # the caller passes rows of the same shape only
    assert ours is not None
    fit = ours.power_law
    groups = (
        (published.alpha, fit.alpha if fit else None, row.alpha_difference),
        (published.D, fit.D if fit else None, row.D_difference),
        (
            published.min_singular_value,
            ours.min_singular_value,
            row.min_singular_value_difference,
        ),
    )
    cells = (f"{_cell(a)}{_cell(b)}{_cell(difference, '+.1e')}" for a, b, difference in groups)
    return f"{published.module_index:>3}{published.M:>5}{published.N:>6} " + "  ".join(cells)


def _cell(value: Optional[float], style: str = ".5g") -> str:
    return f"{'-' if value is None else format(value, style):>9}"


def _format_largest(comparison: ReferenceComparison) -> str:
    kinds = {
        "alpha": [row.alpha_difference for row in comparison.rows],
        "D": [row.D_difference for row in comparison.rows],
        "min singular value": [row.min_singular_value_difference for row in comparison.rows],
    }
    largest = (
        f"{kind} {max((abs(d) for d in differences if d is not None), default=0.0):.1e}"
        for kind, differences in kinds.items()
    )
    return f"Largest difference: {', '.join(largest)}"


def _format_unmatched(row: ReferenceRow) -> str:
    published, ours = row.published, row.ours
    start = (
        f"  module {published.module_index:>3}, {published.M} x {published.N}; "
        if published
        else "  "
    )
    if ours is None:
        return f"{start}here no layer"
    end = f" {ours.M} x {ours.N}" + ("" if published else ": not among the published layers")
    start += "here "
    return f"{start}{_end_of(ours.name, _WIDTH - len(start) - len(end))}{end}"


def _end_of(name: str, width: int) -> str:
    """The last `width` characters of a name: module paths differ at their ends."""
    return name if len(name) <= width else f"...{name[3 - width :]}"
