"""Modules that only wrap another do not change what its layers are, nor count twice."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze import analyze
from allennlp_analyze.compare.matching import match_layers
from allennlp_analyze.matrices.counterparts import counterparts
from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.matrices.modules import table_from_model
from allennlp_analyze.matrices.names import looked_through, plain_name
from allennlp_analyze.matrices.surroundings import with_surroundings
from allennlp_analyze.sources.in_memory import module_source
from allennlp_analyze.sources.source import Source
from tests.support.torch_sources import matrices_of, numpy_source, reasons_of

RNG = np.random.default_rng(0)
WIDTH = 8
WRAPPERS = (
    "base_layer",
    "original_module",
    "modules_to_save.default",
    "modules_to_save.my_task",
    "_orig_mod",
    "_module",
    "module",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
    "_orig_mod._checkpoint_wrapped_module",
)
# One of each: names alone tell most of them.
SHAPES: "dict[str, tuple[int, ...]]" = {
    "model.embed_tokens.weight": (40, WIDTH),
    "model.layers.0.self_attn.qkv_proj.weight": (3 * WIDTH, WIDTH),
    "model.layers.0.mlp.gate_up_proj.weight": (24, WIDTH),
    "model.layers.0.mlp.down_proj.weight": (WIDTH, 12),
    "model.layers.0.norm.weight": (WIDTH,),
    "encoder.attention.out.weight": (WIDTH, WIDTH),
    "encoder.rnn.weight_ih_l0": (16, WIDTH),
    "encoder.rnn.weight_hh_l0": (16, 4),
    "encoder.conv.weight": (6, 4, 3),
    "encoder.up_deconv.weight": (6, 4, 3),
    "encoder.up_deconv.bias": (4,),
    "encoder.bilinear.weight": (5, 6, 6),
    "encoder.pos_embeddings.weight": (20, WIDTH),
    "encoder.attention.relative_bias": (20, WIDTH),
    "moe.experts.gate_up_proj": (3, 24, WIDTH),
    "moe.experts.down_proj": (3, WIDTH, 12),
    "head.weight": (3, WIDTH),
    "head.bias": (3,),
}
CONFIG = {"num_attention_heads": 2, "hidden_size": WIDTH}


def wrapped(names: "list[str]", where: "dict[str, str]") -> "dict[str, str]":
    """Each name with the wrapper of its module, if it has one."""
    return {
        name: f"{module}.{where[module]}.{leaf}" if where.get(module) else name
        for name in names
        for module, _, leaf in [name.rpartition(".")]
    }


def source_with(names: "dict[str, str]") -> Source:
    tensors = {
        new: np.random.default_rng(i).standard_normal(SHAPES[old]).astype(np.float32)
        for i, (old, new) in enumerate(names.items())
    }
    source = numpy_source(tensors)
    return Source(**{**vars(source), "config": CONFIG})


def facts(names: "dict[str, str]") -> "list[tuple[Any, ...]]":
    source = source_with(names)
    found = with_surroundings(source, find_matrices(source, split_heads=True)[0])
    plain = {new: old for old, new in names.items()}
    about = ("outputs_first", "columns_per_input", "is_last", "is_normalized", "in_layer_norm")
    return [
        (
            *(plain[x.parameter], x.part, x.kind, x.shape, x.values().tobytes()),
            *(getattr(x.surroundings, name) for name in about),
        )
        for x in found
    ]


PLAIN = facts({name: name for name in SHAPES})
MODULES = sorted({name.rpartition(".")[0] for name in SHAPES})


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapper_around_every_layer_changes_nothing(wrapper: str) -> None:
    assert facts(wrapped(list(SHAPES), dict.fromkeys(MODULES, wrapper))) == PLAIN


@given(st.dictionaries(st.sampled_from(MODULES), st.sampled_from(WRAPPERS)))
def test_wrappers_around_any_layers_change_nothing(where: "dict[str, str]") -> None:
    assert facts(wrapped(list(SHAPES), where)) == PLAIN


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapper_further_up_changes_nothing(wrapper: str) -> None:
    names = {
        name: name.replace("layers.0.", f"layers.0.{wrapper}.").replace(
            "encoder.", f"encoder.{wrapper}."
        )
        for name in SHAPES
    }
    assert facts(names) == PLAIN


def test_names_without_their_wrappers() -> None:
    assert looked_through("a._orig_mod.b.modules_to_save.x.c") == "a.b.c"
    assert looked_through("base_layer") == ""
    assert plain_name("a.base_layer.weight") == "a.weight"
    assert plain_name("module.weight") == "weight"
    assert plain_name("module") == "module"
    assert plain_name("a.modules_to_save") == "a.modules_to_save"


@given(st.text("a.module", max_size=12))
def test_any_name_has_a_plain_one(name: str) -> None:
    assert plain_name(plain_name(name)).count(".") <= name.count(".")


def test_the_trained_module_of_peft_counts_and_the_replaced_one_does_not() -> None:
    path = "base_model.model.embed_tokens"
    table = RNG.standard_normal((40, WIDTH))
    tensors = {
        f"{path}.original_module.weight": table,
        f"{path}.modules_to_save.default.weight": table + 1,
        f"{path}.modules_to_save.other.weight": table - 1,
        "head.original_module.weight": table,
    }
    source = numpy_source(tensors)
    reason = f"replaced by {path}.modules_to_save.default.weight, which was trained"
    assert reasons_of(source) == {f"{path}.original_module.weight": reason}
    found = matrices_of(source)
    assert list(found) == [
        f"{path}.modules_to_save.default",
        f"{path}.modules_to_save.other",
        "head.original_module",
    ]


def test_layers_are_compared_with_those_of_the_plain_model() -> None:
    tensors = {"a.q.weight": (6, 4), "a.k.weight": (6, 4), "b.q.weight": (6, 4)}
    arrays = {name: RNG.standard_normal(shape) for name, shape in tensors.items()}
    names = ["a.base_layer.q.weight", "a.k._orig_mod.weight", "module.b.q.weight"]
    order = list(reversed(list(zip(arrays, names))))
    one = analyze(arrays)
    other = analyze({new: arrays[old] for old, new in order})
    pairs = match_layers(one.layers, other.layers)
    assert [(i, j) for i, j, _ in pairs] == [(0, 2), (1, 1), (2, 0)]
    assert {how for _, _, how in pairs} == {"name without prefix"}
    found = counterparts([x.name for x in other.layers], [x.name for x in one.layers])
    assert found == {
        "a.base_layer.q": "a.q",
        "a.k": "a.k",  # that of torch.compile is no part of a name
        "module.b.q": "b.q",
    }


def every_wrapper() -> "dict[str, Any]":
    torch = pytest.importorskip("torch")
    nn = torch.nn

    def model() -> Any:
        torch.manual_seed(0)
        return nn.ModuleDict({"table": nn.Embedding(40, 6), "out": nn.Linear(6, 9, bias=False)})

    found = {
        "DataParallel": nn.DataParallel(model()),
        "AveragedModel": torch.optim.swa_utils.AveragedModel(model()),
        "plain": model(),
    }
    if hasattr(torch, "compile"):
        found["compiled"] = torch.compile(model())
        found["both"] = nn.DataParallel(torch.compile(model()))
        inner = model()
        inner["table"] = torch.compile(inner["table"])
        found["inside"] = inner
    try:
        from torch.distributed.algorithms._checkpoint import checkpoint_wrapper as checkpoints
    except ImportError:
        return found
    if not hasattr(checkpoints, "_CHECKPOINT_WRAPPED_MODULE"):
        return found  # before torch 1.13, the name was another
    found["checkpoint"] = checkpoints.checkpoint_wrapper(model())
    inner = model()
    inner["table"] = checkpoints.checkpoint_wrapper(inner["table"])
    found["checkpoint inside"] = inner
    return found


@pytest.mark.filterwarnings("ignore")
def test_a_wrapped_model_is_the_same_as_file_state_dict_and_module(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for name, model in every_wrapper().items():
        torch.save(model.state_dict(), tmp_path / "model.pt")
        reports = [analyze(model), analyze(tmp_path / "model.pt"), analyze(model.state_dict())]
        rows = [
            {x.name: (x.kind, x.verdict, x.singular_values.tobytes()) for x in report.layers}
            for report in reports
        ]
        assert rows[0] == rows[1] == rows[2], name
        assert [x.kind for x in reports[0].layers] == ["embedding", "linear"], name
        assert {x.kind_source for x in reports[0].layers} == {"module"}, name
        if name != "inside":
            assert list(rows[0]) == ["table", "out"], name


@pytest.mark.filterwarnings("ignore")
def test_what_a_wrapped_module_trains_is_known() -> None:
    torch = pytest.importorskip("torch")
    checkpoints = pytest.importorskip("torch.distributed.algorithms._checkpoint.checkpoint_wrapper")
    if not hasattr(checkpoints, "_CHECKPOINT_WRAPPED_MODULE"):
        pytest.skip("before torch 1.13, the wrapped module had another name")
    inner = torch.nn.Linear(4, 3)
    inner.register_parameter("soft_mask", torch.nn.Parameter(torch.ones(5, 4)))
    model = torch.nn.ModuleDict({"a": checkpoints.checkpoint_wrapper(inner)})
    source, module = module_source(model)
    found, _ = find_matrices(source, table_from_model(module))
    assert [x.parameter for x in found] == ["a.weight", "a.soft_mask"]


def test_every_pair_of_wrappers() -> None:
    for one, other in itertools.product(WRAPPERS, WRAPPERS):
        found = matrices_of(numpy_source({f"x.embed_tokens.{one}.{other}.weight": np.ones((9, 4))}))
        assert [x.kind for x in found.values()] == ["embedding"]
