"""Rank-collapse experiments of every kind: small real matrices, analyzed by the library."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Callable, Optional

import numpy as np

from allennlp_analyze import analyze
from allennlp_analyze.results.layer import LayerResult
from scripts.rank_collapse import results, tikhonov

# As the network's, but small: fc1 has Q = 8, fc2 Q = 2.
SHAPES = {"fc1": (24, 192), "fc2": (12, 24)}
ABOUT = (("network", "two small matrices"), ("decay", "the penalty alone: <exp(-decay)> & more"))


def analyzed(name: str, matrix: np.ndarray) -> LayerResult:
    (layer,) = analyze({f"{name}.weight": matrix}, kinds=None).layers
    return layer


def matrices(decay: float, epoch: int, seed: int = 0) -> "dict[str, np.ndarray]":
    """Glorot-normal matrices of which training keeps three directions, that grow, and the penalty
    shrinks the others to exp(-decay) of themselves, as far as float32 goes."""
    found = {}
    for number, (name, shape) in enumerate(SHAPES.items()):
        rng = np.random.default_rng([seed, number])
        start = rng.standard_normal(shape) * np.sqrt(2 / sum(shape))
        u, s, vt = np.linalg.svd(start, full_matrices=False)
        s *= np.exp(-decay * np.linspace(0.4, 1.0, len(s)))
        if epoch:
            s[:3] = [5.0, 3.0, 2.0]
        found[name] = ((u * s) @ vt).astype(np.float32)
    return found


def state(epoch: int, accuracy: float, weights: Mapping[str, np.ndarray]) -> Any:
    layers = tuple(analyzed(name, matrix) for name, matrix in weights.items())
    return results.EpochState(epoch, None if epoch == 0 else 2.0 / epoch, accuracy, layers)


def network(
    l2: float, decay: float, epochs: int = 4, accuracy: float = 0.97, diverged: bool = False
) -> Any:
    states = [
        state(epoch, 0.1 if epoch == 0 else accuracy, matrices(decay * epoch / epochs, epoch))
        for epoch in range(epochs + 1)
    ]
    return results.TrainedNetwork(l2, decay, tuple(states), diverged)


def zeros_network(l2: float) -> Any:
    """All weights of the hidden layers end as exactly 0."""
    first = state(0, 0.1, matrices(0, 0))
    last = state(1, 0.1, {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()})
    return results.TrainedNetwork(l2, 200.0, (first, last))


def demonstration(decay: float = 30.0, l2: float = 1e-2) -> Any:
    weights = matrices(decay, 1)["fc1"]
    return tikhonov.demonstrate(weights, analyzed("fc1", weights), l2)


def experiment(networks: Sequence[Any], tikhonov_of: Optional[Any] = None) -> Any:
    return results.Experiment("digits", ABOUT, tuple(networks), tikhonov_of)


def sweep() -> Any:
    """As the real one: healthy, healthy, near collapse, collapsed."""
    networks = [
        network(0.0, 0.0),
        network(1e-4, 0.6, accuracy=0.975),
        network(1e-3, 3.25, accuracy=0.96),
        network(1e-2, 30.0, accuracy=0.9),
    ]
    return experiment(networks, demonstration())


EXPERIMENTS: "dict[str, Callable[[], Any]]" = {
    "sweep": sweep,
    "no network": lambda: experiment([]),
    "only without L2": lambda: experiment([network(0.0, 0.0)]),
    "one network": lambda: experiment([network(1e-3, 4.0)], demonstration()),
    "only as initialized": lambda: experiment([untrained()]),
    "no collapse": lambda: experiment([network(0.0, 0.0), network(1e-5, 0.1)]),
    "collapse everywhere": lambda: experiment([network(x, 30.0) for x in (0.0, 0.02, 0.3)]),
    "diverged": lambda: experiment(
        [network(0.0, 0.0), network(1.0, 0.1, epochs=2, accuracy=0.1, diverged=True)]
    ),
    "diverged at once": lambda: experiment([network(0.0, 0.0), untrained(10.0, diverged=True)]),
    "every network diverged": lambda: experiment(
        [network(0.0, 0.1, 1, diverged=True), untrained(10.0, diverged=True)]
    ),
    "all zeros": lambda: experiment([network(0.0, 0.0), zeros_network(0.5)]),
    "nine networks": lambda: experiment(
        [network(x, 1e3 * x) for x in (0.0, *np.geomspace(1e-6, 3e-2, 8))]
    ),
}


@cache
def case(name: str) -> Any:
    """The experiment of this name, made once in a process, and not before a test needs it."""
    return EXPERIMENTS[name]()


def untrained(l2: float = 1e-3, diverged: bool = False) -> Any:
    return results.TrainedNetwork(l2, 4.0, (state(0, 0.1, matrices(0, 0)),), diverged)
