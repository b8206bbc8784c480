"""What a batch shows of a network: the results of a probe as frozen dataclasses."""

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class ProbedLayer:
    """The outputs of one layer for the batch.

    `layer` is its name, that of the weight matrix that computes them. `effective_rank` is that of
    the outputs (samples x units, centered), of at most `most_rank`. `dead_units` never have another
    output than 0 behind the activation `activation`, out of `units`; `saturated_units` are at an
    end of the range of a sigmoid or tanh for every sample. An undefined number is None.
    """

    layer: str
    units: int
    effective_rank: Optional[float]
    most_rank: int
    activation: Optional[str] = None
    dead_units: Optional[int] = None
    saturated_units: Optional[int] = None


@dataclass(frozen=True)
class ProbedAttention:
    """The attention of one module: the mean entropy of its weights, over the largest possible.

    `lowest_head` is that of the head with the least, None if heads are averaged by the module.
    `explained_by` are the weight layers that compute the weights.
    """

    module: str
    entropy: float
    lowest_head: Optional[float]
    explained_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProbedExperts:
    """The experts of one module: which of `count` no token of the batch reaches.

    `explained_by` is the router's weight layer.
    """

    module: str
    count: int
    dead: tuple[int, ...]
    explained_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProbeResult:
    """What one forward pass showed, and how training treats the parameters.

    `without_gradient` are trained parameters that had no gradient, or one of zero, since the last
    step; None if no parameter had one at this moment (the loop has set them to None).
    `not_optimized` are trained parameters that no optimizer has; None if no optimizer is known.
    """

    layers: tuple[ProbedLayer, ...] = ()
    attention: tuple[ProbedAttention, ...] = ()
    experts: tuple[ProbedExperts, ...] = ()
    without_gradient: Optional[tuple[str, ...]] = None
    not_optimized: Optional[tuple[str, ...]] = None
    seconds: float = 0.0

    @property
    def summary(self) -> dict[str, Optional[float]]:
        """Returns the worst values and counts, by name."""
        shares = [
            layer.effective_rank / layer.most_rank
            for layer in self.layers
            if layer.effective_rank is not None and layer.most_rank > 0
        ]
        return {
            "probe/min_output_rank_share": min(shares, default=None),
            "probe/dead_units": _total(layer.dead_units for layer in self.layers),
            "probe/saturated_units": _total(layer.saturated_units for layer in self.layers),
            "probe/min_attention_entropy": min((x.entropy for x in self.attention), default=None),
            "probe/dead_experts": _total(len(x.dead) for x in self.experts),
            "probe/without_gradient": _length(self.without_gradient),
            "probe/not_optimized": _length(self.not_optimized),
        }

    @property
    def layer_values(self) -> dict[str, Optional[float]]:
        """Returns the numbers of each layer, by name."""
        found: dict[str, Optional[float]] = {}
        for layer in self.layers:
            found[f"{layer.layer}/output_effective_rank"] = layer.effective_rank
            for name in ("dead_units", "saturated_units"):
                value = getattr(layer, name)
                found[f"{layer.layer}/{name}"] = None if value is None else float(value)
        for attention in self.attention:
            found[f"{attention.module}/attention_entropy"] = attention.entropy
        return found


def _total(values: "object") -> Optional[float]:
    known = [value for value in values if value is not None]  # type: ignore[attr-defined]
    return float(sum(known)) if known else None


def _length(names: Optional[tuple[str, ...]]) -> Optional[float]:
    return None if names is None else float(len(names))
