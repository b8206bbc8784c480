"""The monitor in real trainings: what it says, and what it goes on with."""

import copy
import json
import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from allennlp_analyze import RankMonitor
from allennlp_analyze.monitor.results import Check
from tests.support.commands import ROOT
from tests.support.torch_trainings import (
    EPOCHS,
    HEALTHY,
    LOGGER,
    TOO_STRONG,
    epochs,
    network,
    sgd,
    teacher,
)

torch = pytest.importorskip("torch")
nn = torch.nn


def watched(model: Any, weight_decay: float, number: int = EPOCHS, **choices: Any) -> list[Check]:
    """The checks of a training: before it, and after each of `number` epochs."""
    optimizer = sgd(model, weight_decay)
    monitor = RankMonitor(model, optimizer=optimizer, **choices)
    return [monitor.step(0), *(monitor.step(epoch) for epoch in epochs(model, optimizer, number))]


def collapses(checks: list[Check]) -> list[Any]:
    return [collapse for check in checks for collapse in check.collapses]


def test_a_healthy_training_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    checks = watched(network(), HEALTHY, stop=True)
    assert not caplog.records and not collapses(checks)
    assert not any(check.stop for check in checks)
    assert [check.epoch for check in checks] == list(range(EPOCHS + 1))
    assert {x.verdict for check in checks for x in check.readings} == {"full_rank"}


def test_an_over_regularized_one_is_warned_of_once_a_layer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    checks = watched(network(), TOO_STRONG)
    found = collapses(checks)
    assert [record.getMessage() for record in caplog.records] == [x.sentence for x in found]
    assert {record.name for record in caplog.records} == {LOGGER}
    collapsed = [x for x in found if x.reading.verdict == "collapsed"]
    assert sorted(x.reading.layer for x in collapsed) == ["0", "2"]
    for x in collapsed:
        assert x.weight_decay == TOO_STRONG
        assert x.sentence.endswith("; weight decay 0.3 is likely too strong")
        assert f"of directions lost since epoch {x.since:g};" in x.sentence
        # At that check, and at none after it before the warning, the layer was well.
        verdicts = [
            reading.verdict
            for check in checks
            for reading in check.readings
            if reading.layer == x.reading.layer
        ]
        begun = verdicts.index("collapsed")
        assert x.since == max(n for n in range(begun) if verdicts[n] == "full_rank")
        assert x.reading is checks[begun].readings[["0", "2"].index(x.reading.layer)]
    near = [x for x in found if x.reading.verdict == "near_collapse"]
    # Both sink at the rate of the weight decay before that.
    sinking = [x for x in found if x.reading.verdict == "full_rank"]
    assert sorted(x.reading.layer for x in sinking) == ["0", "2"]
    assert all("and go on sinking; weight decay 0.3" in x.sentence for x in sinking)
    assert len(near) <= 2 and len(found) == len(near) + 4
    assert not any(check.stop for check in checks)


def test_stop_is_asked_for_from_the_collapse_on() -> None:
    checks = watched(network(), TOO_STRONG, stop=True)
    collapsed = [any(x.verdict == "collapsed" for x in check.readings) for check in checks]
    first = collapsed.index(True)
    assert 0 < first < EPOCHS
    assert [check.stop for check in checks] == [n >= first for n in range(len(checks))]


def test_what_was_collapsed_before_is_said_once_and_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = network()
    with torch.no_grad():
        model[0].weight[5:] = 0.0
    monitor = RankMonitor(model, stop=True)
    checks = [monitor.step(epoch) for epoch in range(3)]
    assert len(caplog.records) == 1 and len(checks[0].collapses) == 1
    assert "0: was already collapsed at the first check: 79% of directions lost" in caplog.text
    assert checks[0].collapses[0].since is None
    assert not any(check.stop for check in checks)


def test_without_epochs_checks_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    model = network()
    monitor = RankMonitor(model)
    assert monitor.step().epoch is monitor.step().epoch is None
    with torch.no_grad():
        model[2].weight.zero_()
    (collapse,) = monitor.step().collapses
    assert collapse.since == 2.0 and collapse.weight_decay is None
    assert (
        "2: 24 of 24 directions, all weights are zero since check 2; regularization" in caplog.text
    )


def test_the_penalty_of_the_loss_is_named(caplog: pytest.LogCaptureFixture) -> None:
    model = network()
    named = {"0.weight": 1e-3, "2.weight": 0.0}
    monitor = RankMonitor(model, optimizer=sgd(model, 0.0), penalty=named.get)
    monitor.step(0)
    with torch.no_grad():
        model[0].weight.zero_()
        model[2].weight.zero_()
    monitor.step(1)
    assert [x.getMessage().partition("; ")[2] for x in caplog.records] == [
        "L2 penalty 0.001 is likely too strong",
        "no weight decay or penalty acts on it; is the learning rate too high?",
    ]


def test_a_spike_that_grew_is_no_loss(caplog: pytest.LogCaptureFixture) -> None:
    """The bulk is where every usual start puts it."""
    model = network()
    monitor = RankMonitor(model, layers="^0$", optimizer=sgd(model, 1e-2))
    before = monitor.step(0).readings[0]
    with torch.no_grad():
        weight = model[0].weight
        weight += 1e3 * torch.outer(torch.randn(len(weight)), torch.randn(len(weight.T)))
    check = monitor.step(1)
    assert not check.collapses and not caplog.records
    (after,) = check.readings
    assert after.min_singular_value > 0.5 * before.min_singular_value
    assert after.stable_rank is not None and after.stable_rank < 1.01


@pytest.mark.newest_python
def test_training_in_bfloat16_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    checks = watched(network().to(torch.bfloat16), HEALTHY, 10)
    assert not collapses(checks) and not caplog.records


def test_square_layers_in_training_are_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(40, 40), nn.Tanh(), nn.Linear(40, 40))
    for copied in (model, copy.deepcopy(model).to(torch.bfloat16)):
        checks = watched(copied, HEALTHY, 3)
        assert {x.verdict for check in checks for x in check.readings} == {"full_rank"}
    assert not caplog.records


def test_the_weight_decay_is_found_through_wrappers() -> None:
    model = nn.DataParallel(network())
    monitor = RankMonitor(model, optimizer=[sgd(model, 0.125), sgd(model, 0.25)])
    monitor.step(0)
    with torch.no_grad():
        model.module[0].weight.zero_()
    (collapse,) = monitor.step(1).collapses
    assert collapse.weight_decay == 0.25


def test_a_monitor_goes_on_with_what_a_checkpoint_kept(caplog: pytest.LogCaptureFixture) -> None:
    model = network()
    first = RankMonitor(model, stop=True)
    first.step(4)
    with torch.no_grad():
        model[0].weight.zero_()
    first.step(5)
    state = first.state_dict()
    assert json.loads(json.dumps(state)) == state
    second = RankMonitor(model, stop=True)
    second.load_state_dict(state)
    caplog.clear()
    # A training that was asked to end goes on because somebody wants it to.
    first.load_state_dict(state)
    assert not first.step(6).stop and not second.step(6).stop and not caplog.records
    with torch.no_grad():
        model[2].weight.zero_()
    check = second.step(7)
    assert check.stop and check.collapses[0].since == 6.0


def test_what_else_was_said_is_kept_too(caplog: pytest.LogCaptureFixture) -> None:
    model = network()
    model.add_module("large", nn.Linear(5000, 5000))

    def failing(name: str) -> float:
        raise LookupError(name)

    choices: dict[str, Any] = {"max_seconds": 1.0, "penalty": failing}
    first = RankMonitor(model, **choices)
    first.step(0)
    with torch.no_grad():
        model[0].weight[2, 3] = math.nan
        model[2].weight.zero_()
    first.step(1)
    lines = [record.getMessage() for record in caplog.records]
    for part in (
        "large: not monitored",
        "0: contains NaN",
        "2: 24 of 24 directions, all weights are zero",
        "penalty failed",
    ):
        assert sum(part in line for line in lines) == 1, part
    caplog.clear()
    state = first.state_dict()
    assert json.loads(json.dumps(state)) == state
    second = RankMonitor(model, **choices)
    second.load_state_dict(state)
    assert second.step(2).invalid == ("0",)
    assert second.state_dict()["said"] == state["said"] and not caplog.records


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_model_on_a_gpu_trained_in_mixed_precision(caplog: pytest.LogCaptureFixture) -> None:
    model = network().to("cuda")
    optimizer = sgd(model, HEALTHY)
    scaler = torch.cuda.amp.GradScaler()
    inputs, targets = (x.to("cuda") for x in teacher())
    monitors = [RankMonitor(model, cuda_device=device) for device in (-1, 0)]
    for _ in range(50):
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=torch.float16):
            loss = nn.functional.mse_loss(model(inputs), targets)
            checks = [monitor.step() for monitor in monitors]
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    for check in checks:
        assert not check.collapses
    for on_cpu, on_gpu in zip(*(check.readings for check in checks)):
        assert on_gpu.min_singular_value == pytest.approx(on_cpu.min_singular_value, rel=1e-7)
    assert not caplog.records


def test_importing_it_imports_no_torch() -> None:
    code = "import sys; from allennlp_analyze import RankMonitor; sys.exit('torch' in sys.modules)"
    root = ROOT
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0


def test_the_numbers_for_loggers_are_computed_once() -> None:
    class Readings(tuple):  # type: ignore[type-arg]
        looked = 0

        def __iter__(self) -> Any:
            type(self).looked += 1
            return super().__iter__()

    check = RankMonitor(nn.Linear(12, 9), per_layer=True).step()
    check = replace(check, readings=Readings(check.readings))
    first = check.metrics
    looked = Readings.looked
    kept = dict(first)
    first.clear()  # a logger may do as it likes with its own
    assert check.metrics == kept and kept and Readings.looked == looked > 0
