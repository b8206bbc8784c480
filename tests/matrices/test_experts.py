"""Experts are the same Linear layers in a module and in its file."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from allennlp_analyze.matrices.experts import expert_blocks
from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.matrices.modules import table_from_model
from allennlp_analyze.sources.in_memory import module_source
from tests.support.torch_sources import numpy_source

H, FFN, EXPERTS = 24, 40, 3


def mixture(model_type: str) -> Any:
    """A block with the parameters of transformers 5, whose experts are fused."""
    nn = pytest.importorskip("torch").nn
    torch = pytest.importorskip("torch")

    class Experts(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.gate_up_proj = nn.Parameter(torch.randn(EXPERTS, 2 * FFN, H))
            self.down_proj = nn.Parameter(torch.randn(EXPERTS, H, FFN))

    class TopKRouter(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(EXPERTS, H))

    block = nn.Module()
    block.gate, block.experts = TopKRouter(), Experts()
    model = nn.Module()
    model.layers = nn.ModuleList([nn.Module()])
    model.layers[0].mlp = block
    model.config = SimpleNamespace(to_dict=lambda: {"model_type": model_type})
    return model


def listed(model: Any, block: str, names: "tuple[str, str, str]") -> "dict[str, np.ndarray]":
    """The tensors that transformers 5 writes for `mixture`."""
    experts = model.layers[0].mlp.experts
    gate_up, down = experts.gate_up_proj.detach().numpy(), experts.down_proj.detach().numpy()
    gate_name, up_name, down_name = names
    tensors = {f"layers.0.{block}.gate.weight": model.layers[0].mlp.gate.weight.detach().numpy()}
    for i in range(EXPERTS):
        prefix = f"layers.0.{block}.experts.{i}."
        tensors[f"{prefix}{gate_name}.weight"] = gate_up[i, :FFN]
        tensors[f"{prefix}{up_name}.weight"] = gate_up[i, FFN:]
        tensors[f"{prefix}{down_name}.weight"] = down[i]
    return tensors


@pytest.mark.parametrize(
    ("model_type", "block", "names"),
    [
        ("mixtral", "block_sparse_moe", ("w1", "w3", "w2")),
        ("qwen3_moe", "mlp", ("gate_proj", "up_proj", "down_proj")),
    ],
)
def test_a_module_has_the_layers_of_its_file(
    model_type: str, block: str, names: "tuple[str, str, str]"
) -> None:
    model = mixture(model_type)
    source, module = module_source(model)
    in_module = {m.name: m for m in find_matrices(source, table_from_model(module))[0]}
    in_file = {m.name: m for m in find_matrices(numpy_source(listed(model, block, names)))[0]}
    assert set(in_module) == set(in_file)
    for name, ours in in_module.items():
        assert (ours.kind, ours.shape) == ("linear", in_file[name].shape)
        np.testing.assert_array_equal(ours.values(), in_file[name].values())


def test_a_module_of_unknown_type_keeps_its_own_names() -> None:
    source, module = module_source(mixture("mine"))
    names = [m.name for m in find_matrices(source, table_from_model(module))[0]]
    assert names[1:4] == [
        f"layers.0.mlp.experts.gate_up_proj[0{x}]" for x in ("", ", gate", ", up")
    ]


@pytest.mark.parametrize(
    ("shape", "down", "model_type"),
    [
        ((H, 2 * FFN), (FFN, H), None),  # in turn, or in halves?
        ((H, H), (H // 2, H), None),  # no side has gate and up
        ((H, 2 * FFN), None, "gpt_oss"),
    ],
)
def test_gate_and_up_that_may_be_in_two_places_stay_together(
    shape: Any, down: Any, model_type: Any
) -> None:
    assert expert_blocks(shape, down, {"model_type": model_type} if model_type else {}) == ()


def test_biases_say_that_gate_and_up_take_turns() -> None:
    gate, up = expert_blocks((H, 2 * FFN), (FFN, H), {}, has_biases=True)
    assert (gate.places[:3].tolist(), up.places[:3].tolist()) == ([0, 2, 4], [1, 3, 5])
