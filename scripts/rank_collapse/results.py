"""The results of the rank-collapse experiment as frozen dataclasses."""

from dataclasses import dataclass
from typing import Optional

from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.verdict import Verdict

# The fully connected layers that the penalty acts on.
HIDDEN = ("fc1", "fc2")


@dataclass(frozen=True)
class EpochState:
    """The network after `epoch` epochs (0: as initialized). `layers` are those of HIDDEN."""

    epoch: int
    train_loss: Optional[float]
    test_accuracy: float
    layers: tuple[LayerResult, ...]

    def layer(self, name: str) -> Optional[LayerResult]:
        """Returns the hidden layer `name`, or None if it was not analyzed."""
        return next((layer for layer in self.layers if layer.name == name), None)


@dataclass(frozen=True)
class TrainedNetwork:
    """One run of the sweep: the penalty l2 * sum w^2, in Keras's convention, and every epoch.

    The penalty alone would shrink a weight to exp(-decay) during the training, with decay = 2 * l2
    * lr * steps / (1 - momentum). `diverged` says that the loss or a weight became NaN or infinite,
    which ended the run; `epochs` are those before.
    """

    l2: float
    decay: float
    epochs: tuple[EpochState, ...]
    diverged: bool = False

    @property
    def final(self) -> EpochState:
        return self.epochs[-1]

    @property
    def collapsed(self) -> bool:
        """Whether a hidden layer has collapsed at the end, by the rule of the verdict."""
        return any(layer.verdict is Verdict.COLLAPSED for layer in self.final.layers)


@dataclass(frozen=True)
class TikhonovStep:
    """The ridge inverse (X + gamma I)^-1 W^T (M x N), X = W^T W, W being a trained layer (N x M).

    `condition` is the condition number of X + gamma I. `distance` is how far the ridge inverse is
    from the Moore-Penrose inverse of W, the spectral norm of the difference relative to that of the
    Moore-Penrose inverse; `kept_distance` is the same when the lost directions are left out of W
    first. `norm` is the spectral norm of the ridge inverse relative to that of the Moore-Penrose
    inverse. None where float64 cannot invert.
    """

    gamma: float
    condition: Optional[float]
    distance: Optional[float]
    kept_distance: Optional[float] = None
    norm: Optional[float] = None


@dataclass(frozen=True)
class TikhonovDemonstration:
    """The steps for one layer, from the largest gamma to 0.

    `rank` is the hard rank that the Moore-Penrose inverse keeps: directions with singular values
    above `cutoff`.
    """

    network_l2: float
    layer: LayerResult
    cutoff: float
    rank: int
    steps: tuple[TikhonovStep, ...]

    @property
    def lost(self) -> int:
        """Number of directions that the Moore-Penrose inverse excludes."""
        return self.layer.M - self.rank

    @property
    def weakest_kept(self) -> Optional[float]:
        """The smallest singular value above the cutoff: the Moore-Penrose inverse has the spectral
        norm 1 / weakest_kept."""
        return float(self.layer.singular_values[self.rank - 1]) if self.rank else None

    @property
    def strongest_lost(self) -> Optional[float]:
        """The largest singular value at or below the cutoff."""
        return float(self.layer.singular_values[self.rank]) if self.lost else None

    @property
    def is_singular(self) -> bool:
        """Whether float64 cannot invert X itself."""
        return self.steps[-1].condition is None


@dataclass(frozen=True)
class Experiment:
    """The data of the figures and the page. `about` are (name, value) pairs on the run."""

    data: str
    about: tuple[tuple[str, str], ...]
    networks: tuple[TrainedNetwork, ...]
    tikhonov: Optional[TikhonovDemonstration]
