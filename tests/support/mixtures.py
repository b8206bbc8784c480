"""Mixtures of experts as plain arrays, with an expert that is dead and one that has collapsed."""

from dataclasses import replace

import numpy as np

from allennlp_analyze import Report, analyze
from allennlp_analyze.analysis.summary import summarize
from allennlp_analyze.results.layer import ModelReport
from tests.support.matrices import gaussian, low_rank
from tests.support.report_factory import make_report

H, FFN, EXPERTS = 24, 40, 5
DEAD, COLLAPSED = 3, 1
BLOCK = "model.layers.0.mlp.experts"
PROJECTIONS = {"gate_proj": (FFN, H), "up_proj": (FFN, H), "down_proj": (H, FFN)}


def experts(lost: bool = True) -> "dict[str, list[np.ndarray]]":
    """The weights of each expert by projection; of gate_proj, one is 0 and one has rank 2."""
    found = {
        name: [gaussian(10 * number + i, *shape) for i in range(EXPERTS)]
        for number, (name, shape) in enumerate(PROJECTIONS.items())
    }
    if lost:
        found["gate_proj"][DEAD] = np.zeros((FFN, H))
        found["gate_proj"][COLLAPSED] = low_rank(7, FFN, H, 2)
    return found


def others() -> "dict[str, np.ndarray]":
    return {
        "model.layers.0.self_attn.q_proj.weight": gaussian(100, H, H),
        "model.layers.0.mlp.gate.weight": gaussian(101, EXPERTS, H),
    }


def listed(lost: bool = True) -> "dict[str, np.ndarray]":
    """Each expert with tensors of its own, as in the files of Qwen3-MoE."""
    return {
        **others(),
        **{
            f"{BLOCK}.{number}.{name}.weight": weights[number]
            for number in range(EXPERTS)
            for name, weights in experts(lost).items()
        },
    }


def fused(lost: bool = True) -> "dict[str, np.ndarray]":
    """Gate and up of all experts in one tensor, and down in another."""
    found = experts(lost)
    both = [np.vstack(pair) for pair in zip(found["gate_proj"], found["up_proj"])]
    return {
        **others(),
        f"{BLOCK}.gate_up_proj": np.stack(both),
        f"{BLOCK}.down_proj": np.stack(found["down_proj"]),
    }


def mixture(lost: bool = True) -> Report:
    """The report on `listed`."""
    return analyze(listed(lost))


def blocks(number: int) -> ModelReport:
    """A model of so many blocks, each with the layers of `mixture` under names of its own."""
    of_one = mixture().layers
    layers = tuple(
        replace(layer, name=layer.name.replace("layers.0.", f"layers.{block}."))
        for block in range(number)
        for layer in of_one
    )
    return make_report(*layers, summary=summarize(layers, ()), skipped=())
