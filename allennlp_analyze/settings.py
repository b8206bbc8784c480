"""The settings of an analysis, checked before any work."""

from dataclasses import dataclass
from typing import Optional

from allennlp_analyze.options.choices import check_fields, default


@dataclass(frozen=True)
class Settings:
    """What to analyze, how, and with how much of the machine.

    `loose_tolerance` is absolute, in the units of the weights; `gamma` is in the units of the
    eigenvalues of W^T W (None: the Marchenko-Pastur bulk edge). `kinds` None means all kinds,
    `jobs` None all cores. A matrix whose smaller dimension exceeds `max_dim` is skipped.
    `eigensolver` is a name of `linalg.eigensolvers`, or "auto" until the matrices are known. Raises
    `OptionError` for an invalid value.
    """

    kinds: Optional[tuple[str, ...]] = default("kinds")
    layers: Optional[str] = default("layers")
    split_gates: bool = default("split_gates")
    split_heads: bool = default("split_heads")
    loose_tolerance: float = default("loose_tolerance")
    gamma: Optional[float] = default("gamma")
    compare_distributions: bool = default("compare_distributions")
    uncertainty: bool = default("uncertainty")
    max_dim: int = default("max_dim")
    jobs: Optional[int] = default("jobs")
    cuda_device: int = default("cuda_device")
    eigensolver: str = default("eigensolver")

    def __post_init__(self) -> None:
        check_fields(self)
