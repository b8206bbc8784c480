"""Defines an entry of the catalogue: how a number is computed, named, explained and shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Callable, Optional

import numpy as np

from allennlp_analyze.results.attribute import read_key
from allennlp_analyze.results.layer import LayerResult, PowerLaw

# Kinds of values: a number; a whole number that every layer has; one that may be missing; text.
FLOAT, WHOLE, COUNT, TEXT = "float", "whole", "count", "text"

# Units as spelled in docs/reference/metrics.md.
WEIGHTS = "Units: weights."
EIGENVALUES = "Units: weights²."
LOGARITHM = "log of weights²."
A_COUNT = "A count."
NO_UNIT = "No units."


@dataclass(frozen=True)
class SpectrumFacts:
    """The input of scalar metrics.

    `singular_values` (M,) are float64 and descending; `rank` is the hard rank under the `numpy`
    tolerance; `power_law` is None without a fit.
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

    A narrow terminal drops columns with a `rank_to_drop` > 0, starting at 1. The table of `compare`
    has the column twice, with its own rank `compared`; None omits it.
    """

    title: str
    format: str = ".3g"
    rank_to_drop: int = 0
    compared: Optional[int] = None


@dataclass(frozen=True)
class PageColumn:
    """A column of the page's table of layers, with this number of significant `digits`.

    `narrow` columns are shown on phones, too. `compared` columns are also in the table of
    `compare`, once for each model.
    """

    title: str
    digits: int = 3
    narrow: bool = True
    percent: bool = False
    compared: bool = False


@dataclass(frozen=True)
class Metric:
    """One number (or text) of a layer: how it is computed, written, shown and explained.

    `key` is its place in an entry of `layers` in report.json, and in a `LayerResult`; a dot leads
    into an object. Scalars of the spectrum have `compute`, which returns None if they are
    undefined; they are in `LayerResult.metrics`.

    Written: `kind` is FLOAT, WHOLE, COUNT or TEXT; `nullable` says that it may be null although it
    is not computed here; `schema` has further keywords of JSON Schema. `columns` are its names in
    layers.csv and data frames; by default the key with an underscore for the dot. An attribute of
    layers has the same name, or one of `attributes`. If it is not `in_report`, it is only shown.

    Explained: `description` is one ASCII sentence for schemas and column titles. `label`, `formula`
    and `meaning` are the texts of the page. docs/reference/metrics.md has them under `section`,
    with its `unit` and, in Markdown, `details`, the case in which it is `undefined`, its `source`,
    what `agrees` with it, and when to `distrust` it.

    Shown: as a `term` of the page, and in columns of the terminal and the page. `compare` compares
    the `compared` ones; `size_free` ones have a difference for layers of different sizes, too.
    Those computed only `on_request` are shown only where a layer has them.
    """

    key: str
    description: str
    kind: str = FLOAT
    compute: Optional[Callable[[SpectrumFacts], Optional[float]]] = None
    nullable: bool = False
    schema: Mapping[str, Any] = field(default_factory=dict)
    columns: Optional[tuple[str, ...]] = None
    attributes: tuple[str, ...] = ()
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
    on_request: bool = False

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns in layers.csv; the first is the name in compare.json."""
        return (self.key.replace(".", "_"),) if self.columns is None else self.columns

    def is_shown(self, layers: Sequence[LayerResult]) -> bool:
        """Returns whether the tables and terms of these layers have the metric."""
        return not self.on_request or any(self.read(layer) is not None for layer in layers)

    def read(self, layer: LayerResult) -> Any:
        """Returns the value of `layer`, or None if it or its object is undefined."""
        if self.compute is not None:
            return layer.metrics.get(self.key)
        return read_key(layer, self.key)
