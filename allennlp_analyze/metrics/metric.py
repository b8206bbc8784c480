"""What the catalogue says of a number: how it is computed, named, explained, written and shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

import numpy as np

from allennlp_analyze.results.layer import LayerResult, PowerLaw

# What a value is: a number; a whole number that every layer has; one that may be missing; text.
FLOAT, WHOLE, COUNT, TEXT = "float", "whole", "count", "text"

# Units, as docs/metrics.md spells them.
WEIGHTS = "Units: weights."
EIGENVALUES = "Units: weights²."
LOGARITHM = "log of weights²."
A_COUNT = "A count."
NO_UNIT = "No units."


@dataclass(frozen=True)
class SpectrumFacts:
    """What scalar metrics are computed from.

    `singular_values` (M,) float64, descending; `rank` is the hard rank under the `numpy` tolerance;
    `power_law` is None where nothing was fitted.
    """

    singular_values: np.ndarray
    N: int
    M: int
    rank: int
    power_law: Optional[PowerLaw]

    @property
    def alpha(self) -> Optional[float]:
        """The exponent of the power law."""
        return None if self.power_law is None else self.power_law.alpha


@dataclass(frozen=True)
class TerminalColumn:
    """A column of the terminal's table of layers: its title in ASCII, and Python's format.

    A narrow terminal drops columns with a `rank_to_drop` > 0, from 1 on. In the table of `compare`
    the column is there twice, with a rank of its own, `compared`; None leaves it out.
    """

    title: str
    format: str = ".3g"
    rank_to_drop: int = 0
    compared: Optional[int] = None


@dataclass(frozen=True)
class PageColumn:
    """A column of the page's table of layers, written with so many significant `digits`.

    Screens of phones have room for those that are `narrow`. `compared` ones are in the table of
    `compare`, too, once for each of the models.
    """

    title: str
    digits: int = 3
    narrow: bool = True
    percent: bool = False
    compared: bool = False


@dataclass(frozen=True)
class Metric:
    """One number (or text) of a layer, wherever it is computed, written, shown or explained.

    `key` is its place in an entry of `layers` in report.json, and in a `LayerResult`; a dot leads
    into an object. Scalars that follow from the spectrum have `compute`, which returns None where
    they are not defined; they are in `LayerResult.metrics`.

    Written: `kind` is FLOAT, WHOLE, COUNT or TEXT; `nullable` says that it may be null although it
    is not computed here; `schema` are more keywords of JSON Schema. `columns` are its names in
    layers.csv and data frames: without any, the key with an underscore for the dot. Where it is not
    `in_report` it is only shown.

    Explained: `description` says in one sentence of ASCII what it is, for schemas and the titles of
    columns. `label`, `formula` and `meaning` are the page's words. docs/metrics.md has them under
    `section`, with its `unit`, and in Markdown `details`, where it is `undefined`, its `source`,
    what `agrees` with it, and when to `distrust` it.

    Shown: as a `term` of the page, and in the columns of the terminal and the page. `compared` ones
    are set side by side by `compare`, and have a difference for layers of different sizes where
    they are `size_free`.
    """

    key: str
    description: str
    kind: str = FLOAT
    compute: Optional[Callable[[SpectrumFacts], Optional[float]]] = None
    nullable: bool = False
    schema: Mapping[str, Any] = field(default_factory=dict)
    columns: Optional[tuple[str, ...]] = None
    in_report: bool = True
    label: str = ""
    formula: str = ""
    meaning: str = ""
    section: str = ""
    unit: str = NO_UNIT
    details: str = ""
    undefined: str = ""
    source: str = ""
    agrees: str = ""
    distrust: str = ""
    term: bool = False
    terminal: Optional[TerminalColumn] = None
    page: Optional[PageColumn] = None
    compared: bool = False
    size_free: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Its columns in layers.csv; the first is its name in compare.json."""
        return (self.key.replace(".", "_"),) if self.columns is None else self.columns

    def read(self, layer: LayerResult) -> Any:
        """The value of `layer`; None where it, or what it is a part of, is not defined."""
        if self.compute is not None:
            return layer.metrics.get(self.key)
        found: Any = layer
        for part in self.key.split("."):
            if found is None:
                return None
            found = found[part] if isinstance(found, Mapping) else getattr(found, part)
        return found
