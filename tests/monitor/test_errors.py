"""What the monitor refuses, and what it says of what goes wrong while it watches."""

import contextlib
import logging
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze import RankMonitor, analyze
from allennlp_analyze.errors import UsageError
from allennlp_analyze.monitor.results import Check
from tests.support.torch_trainings import network

torch = pytest.importorskip("torch")
nn = torch.nn


def test_layers_that_hold_nan_are_named_once_and_the_others_measured(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = network()
    monitor = RankMonitor(model, stop=True)
    with torch.no_grad():
        model[0].weight[2, 3] = math.nan
    for _ in range(2):
        check = monitor.step()
        assert check.invalid == ("0",) and check.stop
        assert [x.layer for x in check.readings] == ["2"]
    assert [x.getMessage() for x in caplog.records] == ["0: contains NaN or infinity"]
    with torch.no_grad():
        model[2].weight[0, 0] = math.inf
    assert monitor.step().invalid == ("0", "2")
    assert [x.getMessage() for x in caplog.records][1:] == ["2: contains NaN or infinity"]


def test_a_layer_that_no_check_has_time_for_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = nn.ModuleDict({"large": nn.Linear(2000, 2000), "small": nn.Linear(10, 20)})
    monitor = RankMonitor(model, max_seconds=0.05)
    for _ in range(2):
        check = monitor.step()
        assert [x.layer for x in check.readings] == ["small"] and not check.put_off
    (record,) = caplog.records
    assert record.getMessage().startswith("large: not monitored: it takes about 0.")
    assert record.getMessage().endswith("raise max_seconds from 0.05 to 1")


@pytest.mark.parametrize(
    "break_it",
    [
        lambda model: model.to("meta"),
        lambda model: setattr(model, "state_dict", None),
        lambda model: model.__delitem__(slice(None)),
    ],
    ids=["on the meta device", "no state dict", "no layers"],
)
def test_what_goes_wrong_is_logged_once_and_training_goes_on(
    break_it: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model = network()
    monitor = RankMonitor(model)
    break_it(model)
    for _ in range(3):
        assert monitor.step(1) == Check(None, seconds=pytest.approx(0, abs=60))  # type: ignore[arg-type]
    (record,) = caplog.records
    assert record.getMessage().startswith("the check failed (")
    assert record.getMessage().endswith("); training continues")
    assert record.levelno == logging.WARNING


def test_one_layer_that_fails_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(torch.Tensor):
        """Gives its values up as something that is no array."""

        def numpy(self) -> Any:
            return "not\nan array"

        @classmethod
        def __torch_function__(cls, f: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return super().__torch_function__(f, types, args, kwargs or {})

    model = network()
    model[0].weight = nn.Parameter(torch.randn(24, 40).as_subclass(Odd))  # type: ignore[arg-type]
    monitor = RankMonitor(model)
    for _ in range(2):
        assert [x.layer for x in monitor.step().readings] == ["2"]
    (record,) = caplog.records
    assert record.getMessage().startswith("0: not monitored: ")
    assert "\n" not in record.getMessage()


def test_a_penalty_or_an_optimizer_that_fails_costs_its_word_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Emptied:
        param_groups: Any = None

    def failing(name: str) -> float:
        raise LookupError(f"{name}\nunknown")

    model = network()
    monitor = RankMonitor(model, optimizer=Emptied(), penalty=failing)
    monitor.step(0)
    with torch.no_grad():
        model[0].weight.zero_()
        model[2].weight.zero_()
    assert len(monitor.step(1).collapses) == 2
    lines = [x.getMessage() for x in caplog.records]
    assert len(lines) == 4 and not any("\n" in line for line in lines)
    assert "penalty failed (LookupError: 0.weight unknown); training continues" in lines
    assert sum("failed to read the weight decay" in line for line in lines) == 1
    assert sum("regularization (weight decay" in line for line in lines) == 2


def test_an_epoch_that_is_no_number_is_not_the_end(caplog: pytest.LogCaptureFixture) -> None:
    monitor = RankMonitor(network())
    assert monitor.step("first").epoch is None  # type: ignore[arg-type]
    assert monitor.step(np.int64(3)).epoch == monitor.step(torch.tensor(3)).epoch == 3.0
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "choices, said",
    [
        ({"max_seconds": 0}, "max_seconds: 0 must be a finite number > 0"),
        ({"max_seconds": math.nan}, "max_seconds: nan must be a finite number > 0"),
        ({"max_seconds": math.inf}, "max_seconds: inf must be a finite number > 0"),
        ({"max_seconds": 10**400}, "max_seconds: 10000"),
        ({"max_seconds": True}, "max_seconds: True must be a finite number > 0"),
        ({"max_seconds": "five"}, "max_seconds: 'five' must be a finite number > 0"),
        ({"layers": "("}, "layers: '(' is not a regular expression"),
        ({"layers": "none"}, "kinds and layers select none of its 2 matrices"),
        ({"kinds": "linaer"}, "kinds: unknown kind 'linaer'"),
        ({"kinds": "embedding"}, "kinds and layers select none of its 2 matrices"),
        ({"optimizer": "SGD"}, "optimizer: a str has no param_groups"),
        ({"penalty": 1e-3}, "penalty: 0.001 is not a function of a parameter's name"),
        ({"cuda_device": "first"}, "cuda_device: 'first' is not a number"),
    ],
)
def test_choices_that_make_no_sense_are_refused_at_once(choices: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        RankMonitor(network(), **choices)
    assert said in str(refused.value) and "\n" not in str(refused.value)
    assert "--" not in str(refused.value)


WELL: dict[str, Any] = {
    "since": ["epoch", 3.0],
    "warned": "well",
    "lost_at_first": 0,
    "smallest": 0.1,
}
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@given(st.data())
def test_a_state_that_is_not_its_own_is_refused_or_serves(data: st.DataObject) -> None:
    """Whatever stands where in a state, no other error is raised, and checks go on."""
    monitor = RankMonitor(network(), layers="^0$")
    layer = dict(WELL)
    state = {"checks": 4, "layers": {"0": layer}, "said": [["invalid", "0"]]}
    for part in data.draw(
        st.sampled_from([(state,), (state["layers"],), (layer,), (state, layer)])
    ):
        part[data.draw(st.sampled_from(sorted(part)))] = data.draw(PLAIN)
    with contextlib.suppress(UsageError):
        monitor.load_state_dict(state)
    assert monitor.step(5).readings


@pytest.mark.parametrize(
    "wrong",
    [
        {"checks": math.inf},
        {"checks": None},
        {"layers": 3},
        {"layers": {"0": {}}},
        {"layers": {"0": {**WELL, "since": []}}},
        {"layers": {"0": {**WELL, "lost_at_first": math.inf}}},
        {"said": [["invalid"]]},
    ],
)
def test_states_that_are_refused(wrong: dict[str, Any]) -> None:
    monitor = RankMonitor(network())
    good = monitor.state_dict()
    monitor.load_state_dict(good)
    for state in ({**good, **wrong}, {}, [], "state", None):
        with pytest.raises(UsageError, match="^state_dict: not the state of a RankMonitor$"):
            monitor.load_state_dict(state)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make",
    [lambda: {"a": torch.ones(3, 4)}, nn.ReLU, lambda: nn.Linear(3, 4, device="meta"), int],
    ids=["mapping", "no parameters", "no values", "no model"],
)
def test_a_model_of_which_nothing_can_be_watched_is_refused(make: Any) -> None:
    with pytest.raises(UsageError):
        RankMonitor(make())


def test_a_gpu_that_is_not_there_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    model = network()
    monitor = RankMonitor(model, cuda_device=97)
    smallest = [x.min_singular_value for x in monitor.step().readings]
    assert smallest == pytest.approx([x.min_singular_value for x in analyze(model).layers])
    monitor.step()
    (record,) = caplog.records
    assert record.getMessage() == "no GPU: there is no CUDA device 97; computing on the CPU"


def test_nan_in_tied_weights_is_one_layer(caplog: pytest.LogCaptureFixture) -> None:
    """Also where the layer is put off, so that only its parameters are looked at."""

    class Tied(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.emb = torch.nn.Embedding(30, 8)
            self.out = torch.nn.Linear(8, 30, bias=False)
            self.out.weight = self.emb.weight

    for seconds in (5.0, 1e-9):
        model = Tied()
        monitor = RankMonitor(model, max_seconds=seconds)
        with torch.no_grad():
            model.emb.weight[3, 2] = float("nan")
        assert monitor.step(1).invalid == ("emb",)
    said = [x.getMessage() for x in caplog.records if "NaN" in x.getMessage()]
    assert said == ["emb: contains NaN or infinity"] * 2
