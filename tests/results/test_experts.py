"""Groups of experts: the same ones for fused and listed experts, with what numpy finds in them."""

from dataclasses import replace
from typing import Callable, Optional

import numpy as np
import pytest

from allennlp_analyze import analyze
from allennlp_analyze.results.experts import expert_groups, expert_of, table_entries
from tests.support.mixtures import (
    BLOCK,
    COLLAPSED,
    DEAD,
    EXPERTS,
    PROJECTIONS,
    experts,
    fused,
    listed,
    mixture,
)
from tests.support.report_factory import gaussian, make_layer

pytestmark = pytest.mark.newest_python


@pytest.mark.parametrize("tensors", [listed, fused])
def test_fused_and_listed_experts_are_in_the_same_groups(tensors: Callable) -> None:
    report = analyze(tensors())
    groups = {group.name: group for group in report.expert_groups}
    names = {f"{BLOCK}.*.{name}" for name in PROJECTIONS}
    whole = {f"{BLOCK}.*.gate_up_proj"} if tensors is fused else set()
    assert set(groups) == names | whole
    for name in PROJECTIONS:
        group = groups[f"{BLOCK}.*.{name}"]
        assert sorted(group.numbers) == list(range(EXPERTS))
        assert [report.layers[place] for place in group.places] == list(group.layers)
        for number, layer in zip(group.numbers, group.layers):
            expected = np.linalg.svd(experts()[name][number], compute_uv=False)
            assert layer.singular_values == pytest.approx(expected, abs=1e-6)
    gate = groups[f"{BLOCK}.*.gate_proj"]
    assert (gate.dead, gate.collapsed, gate.weak) == ((DEAD,), (COLLAPSED,), ())
    assert gate.numbers[:2] == (DEAD, COLLAPSED) and gate.verdict == "collapsed"
    assert groups[f"{BLOCK}.*.up_proj"].verdict == "full_rank"
    assert groups[f"{BLOCK}.*.up_proj"].dead == ()


def test_medians_are_those_of_numpy_without_what_is_missing() -> None:
    group = next(g for g in mixture().expert_groups if g.name.endswith(".gate_proj"))
    values = experts()["gate_proj"]
    smallest = [np.linalg.svd(x, compute_uv=False)[-1] for x in values]
    assert group.median(lambda x: x.min_singular_value) == pytest.approx(
        np.median(smallest), rel=1e-6
    )
    norms = [np.linalg.norm(x) ** 2 / np.linalg.norm(x, 2) ** 2 for x in values if x.any()]
    assert group.median(lambda x: x.stable_rank) == pytest.approx(np.median(norms), rel=1e-6)
    assert group.median(lambda _: None) is None


def test_every_layer_is_in_one_entry_in_the_order_of_the_model() -> None:
    report = mixture()
    entries = table_entries(report.layers)
    places = [[x] if isinstance(x, int) else sorted(x.places) for x in entries]
    assert sorted(place for of in places for place in of) == list(range(len(report.layers)))
    assert [of[0] for of in places] == sorted(of[0] for of in places)


@pytest.mark.parametrize(
    ("name", "part", "expected"),
    [
        ("a.block_sparse_moe.experts.11.w1", None, ("a.block_sparse_moe.experts.*.w1", 11)),
        ("mlp.experts.expert_3.wi", None, ("mlp.experts.expert_*.wi", 3)),
        ("ffn.expert_2.fc1", None, ("ffn.expert_*.fc1", 2)),
        ("moe.deepspeed_experts.0.dense.1", None, ("moe.deepspeed_experts.*.dense.1", 0)),
        ("experts.4", None, ("experts.*", 4)),
        ("experts.4.gate_up_proj[gate]", "gate", ("experts.*.gate_proj", 4)),
        ("experts.4.qkv[query]", "query", ("experts.*.qkv[query]", 4)),
        ("mlp.experts.gate_up_proj[3]", "3", ("mlp.experts.*.gate_up_proj", 3)),
        ("mlp.experts.gate_up_proj[3, up]", "3, up", ("mlp.experts.*.up_proj", 3)),
        ("ffn.experts.mlp.w1[2]", "2", ("ffn.experts.mlp.*.w1", 2)),
        ("experts.4.conv[0]", "0", ("experts.*.conv[0]", 4)),
        ("block_sparse_moe.input_linear[7]", "7", ("block_sparse_moe.*.input_linear", 7)),
        ("mlp.shared_experts.gate_proj", None, None),
        ("mlp.experts.router", None, None),
        ("model.layers.0.mlp.gate", None, None),
        ("bilinear[3]", "3", None),
        ("layers.0[query]", "query", None),
        ("", None, None),
    ],
)
def test_what_is_an_expert(
    name: str, part: Optional[str], expected: "Optional[tuple[str, int]]"
) -> None:
    layer = make_layer(gaussian(6, 4), name, part=part)
    assert expert_of(layer) == expected


def test_a_single_expert_is_a_layer_like_others() -> None:
    layers = [make_layer(gaussian(6, 4, i), name) for i, name in enumerate(["experts.0.w1", "b"])]
    assert expert_groups(layers) == ()
    assert table_entries(layers) == [0, 1]
    again = [*layers, replace(layers[0], name="experts.9.w1")]
    (group,) = expert_groups(again)
    assert sorted(group.places) == [0, 2] and sorted(group.numbers) == [0, 9]
