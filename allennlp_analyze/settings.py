"""What the user may choose, with every default written once and checked before any work."""

import math
import re
from dataclasses import dataclass
from typing import Optional

from allennlp_analyze.errors import UsageError

KINDS = (
    "linear",
    "embedding",
    "recurrent",
    "attention",
    "bilinear",
    "convolution",
    "other",
)
PLOT_FORMATS = ("png", "svg", "pdf")
# The published tables that --reference knows by name.
REFERENCES = ("ner-2018", "parser-2018", "srl-2018", "coref-2018")
# How an archive is read: seconds that a server may be silent, bytes that an archive may unpack to.
TIMEOUT = 30.0
MAX_UNPACKED_SIZE = 20 * 2**30


@dataclass(frozen=True)
class Settings:
    """What is analyzed, how, and with how much of the machine.

    `loose_tolerance` is absolute, in the units of the weights; `gamma` is in the units of the
    eigenvalues of W^T W (None: the Marchenko-Pastur bulk edge). `kinds` None means every kind,
    `jobs` None every core. A matrix whose smaller dimension exceeds `max_dim` is left out.
    Raises `UsageError` when a value makes no sense.
    """

    kinds: Optional[tuple[str, ...]] = None
    layers: Optional[str] = None
    split_gates: bool = False
    loose_tolerance: float = 1e-3
    gamma: Optional[float] = None
    compare_distributions: bool = False
    max_dim: int = 16384
    jobs: Optional[int] = None
    cuda_device: int = -1

    def __post_init__(self) -> None:
        for kind in self.kinds or ():
            if kind not in KINDS:
                raise UsageError(
                    f"--kinds: no kind is called {kind!r}; choose from {', '.join(KINDS)}"
                )
        if self.kinds is not None and not self.kinds:
            raise UsageError(f"--kinds: name at least one of {', '.join(KINDS)}")
        if self.layers is not None:
            try:
                re.compile(self.layers)
            except re.error as error:
                raise UsageError(
                    f"--layers: {self.layers!r} is not a regular expression ({error});"
                    " '.*' stands for any characters"
                ) from None
        if not (math.isfinite(self.loose_tolerance) and self.loose_tolerance >= 0):
            raise UsageError(f"--loose-tolerance: {self.loose_tolerance} is not a number >= 0")
        if self.gamma is not None and not (math.isfinite(self.gamma) and self.gamma >= 0):
            raise UsageError(f"--gamma: {self.gamma} is not a number >= 0")
        if self.max_dim < 1:
            raise UsageError(f"--max-dim: {self.max_dim} is not a number >= 1")
        if self.jobs is not None and self.jobs < 1:
            raise UsageError(f"--jobs: {self.jobs} is not a number >= 1")
