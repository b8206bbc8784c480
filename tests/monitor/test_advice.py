"""What warnings say, and which weight decay of real optimizers they name."""

import dataclasses
import re
from typing import Any, Optional

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze import analyze
from allennlp_analyze.monitor.advice import acting, sentence
from allennlp_analyze.monitor.history import Trouble, When
from allennlp_analyze.monitor.parameters import parameters_by_name
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.verdict import Verdict
from tests.support.matrices import nearly_lost, with_singular_values

SINCE = When("epoch", 3.0)


def layer(lost: int, m: int = 50, smallest: float = 1e-9) -> LayerResult:
    values = np.append(np.ones(m - lost), np.full(lost, smallest))
    name = "encoder.linear.weight"
    return analyze({name: with_singular_values(0, 3 * m, m, values)}).layer("encoder.linear")


def said(
    trouble: Trouble, weight_decay: Optional[float] = None, penalty: Optional[float] = None
) -> str:
    return sentence(layer(6), trouble, weight_decay, penalty)


def test_the_sentence_names_loss_epoch_and_weight_decay() -> None:
    assert said(Trouble(Verdict.COLLAPSED, SINCE, at_first=False), 1e-2) == (
        "encoder.linear: 12% of directions lost since epoch 3;"
        " weight decay 0.01 is likely too strong"
    )
    half = Trouble(Verdict.COLLAPSED, When("check", 2), at_first=False)
    assert "since check 2;" in said(half)


def test_the_cause_is_what_is_known_to_act_on_the_layer() -> None:
    begins = Trouble(Verdict.COLLAPSED, SINCE, at_first=False)

    def cause(weight_decay: Optional[float], penalty: Optional[float]) -> str:
        return said(begins, weight_decay, penalty).partition("; ")[2]

    assert cause(None, 1e-3) == "L2 penalty 0.001 is likely too strong"
    assert cause(0.0, 1e-3) == "L2 penalty 0.001 is likely too strong"
    assert cause(0.1, 1e-3) == "weight decay 0.1 and L2 penalty 0.001 are likely too strong"
    for unknown in (cause(None, None), cause(None, 0.0)):
        assert unknown.startswith("regularization")
    assert cause(0.0, None).startswith("its weight decay is 0;")
    assert cause(0.0, 0.0).startswith("no weight decay or penalty acts on it;")


def test_near_collapse_is_measured_by_noise_of_this_size() -> None:
    near = analyze({"encoder.linear.weight": nearly_lost(0, 150, 50)}).layer("encoder.linear")
    assert near.verdict == Verdict.NEAR_COLLAPSE and near.lower_edge is not None
    share = 100 * near.min_singular_value / near.lower_edge
    text = sentence(near, Trouble(Verdict.NEAR_COLLAPSE, SINCE, at_first=False), 0.01, None)
    assert text.startswith(
        f"encoder.linear: smallest singular value is now {share:.2g}% of that of random"
        " noise of this size, healthy at epoch 3; weight decay 0.01"
    )


def test_what_was_so_from_the_start_is_said_in_other_words() -> None:
    for state in (Verdict.NEAR_COLLAPSE, Verdict.COLLAPSED):
        text = said(Trouble(state, None, at_first=True), 0.01)
        assert "was already" in text and "at the first check" in text
        assert "too strong" not in text and "since" not in text
    later = said(Trouble(Verdict.COLLAPSED, None, at_first=False), 0.01)
    assert "12% of directions lost, near collapse at the first check; weight decay" in later


@given(st.integers(2, 20000), st.data())
def test_a_share_is_never_said_to_be_nothing_or_all(m: int, data: st.DataObject) -> None:
    lost = data.draw(st.integers(1, m - 1))
    one = dataclasses.replace(
        layer(6),
        shape=(2 * m, m),
        singular_values=np.append(np.ones(m - lost), np.zeros(lost)),
        evidence=None,
    )
    text = sentence(one, Trouble(Verdict.COLLAPSED, SINCE, at_first=False), None, None)
    (percent,) = re.findall(r"([\d.e-]+)% of directions", text)
    assert 0 < float(percent) < 100
    assert float(percent) == pytest.approx(100 * lost / m, rel=0.06)


torch = pytest.importorskip("torch")
nn = torch.nn


def decays_of(optimizers: list[Any]) -> dict[int, Optional[float]]:
    return {of: found.weight_decay for of, found in acting(optimizers).items()}


def small_model() -> Any:
    model = nn.ModuleDict({"a": nn.Embedding(9, 5), "b": nn.Linear(5, 9), "c": nn.LSTM(5, 4)})
    model["b"].weight = model["a"].weight
    return model


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam"])
def test_the_weight_decay_is_that_of_the_group_which_holds_the_parameter(name: str) -> None:
    model = small_model()
    groups = [
        {"params": list(model["a"].parameters()), "weight_decay": 0.25},
        {"params": list(model["c"].parameters()), "weight_decay": 0.0},
    ]
    decays = decays_of([getattr(torch.optim, name)(groups, lr=0.1, weight_decay=0.5)])
    parameters = parameters_by_name(model)
    assert set(parameters) == set(model.state_dict())
    assert decays[id(parameters["a.weight"])] == decays[id(parameters["b.weight"])] == 0.25
    assert decays[id(parameters["c.weight_ih_l0"])] == 0.0
    assert id(parameters["b.bias"]) not in decays


def test_several_optimizers_and_those_without_weight_decay() -> None:
    model = small_model()
    strong = torch.optim.SGD(model["a"].parameters(), lr=0.1, weight_decay=0.5)
    weak = torch.optim.SGD(model["a"].parameters(), lr=0.1, weight_decay=0.1)
    none = torch.optim.Rprop(model["c"].parameters())
    decays = decays_of([weak, strong, none])
    assert decays.pop(id(model["a"].weight)) == 0.5
    assert set(decays.values()) == {None}
    weight = acting([weak, strong, none])[id(model["a"].weight)]
    assert weight == (0.1, 0.5)


def test_multi_optimizer_of_allennlp() -> None:
    optimizers = pytest.importorskip("allennlp.training.optimizers")
    from allennlp.common import Lazy

    model = small_model()

    def sgd(weight_decay: float) -> Any:
        extras = {"lr": 0.1, "weight_decay": weight_decay}
        return Lazy(optimizers.SgdOptimizer, constructor_extras=extras)

    several = optimizers.MultiOptimizer(
        model_parameters=list(model.named_parameters()),
        optimizers={"default": sgd(0.1), "lstm": sgd(0.3)},
        parameter_groups=[([r"^c\."], {"optimizer_name": "lstm"})],
    )
    decays = decays_of([several])
    assert decays[id(model["a"].weight)] == 0.1
    assert decays[id(model["c"].weight_hh_l0)] == 0.3
