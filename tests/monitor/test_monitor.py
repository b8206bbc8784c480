"""The monitor in real trainings: what it says, what it measures, and what it leaves alone."""

import copy
import json
import math
import random
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allennlp_analyze import RankMonitor, analyze
from allennlp_analyze.linalg.machine import seconds
from allennlp_analyze.monitor.results import Check
from allennlp_analyze.results.layer import LayerResult
from tests.support.commands import ROOT
from tests.support.torch_trainings import EPOCHS, HEALTHY, TOO_STRONG, epochs, network, sgd, teacher

torch = pytest.importorskip("torch")
nn = torch.nn
LOGGER = "allennlp_analyze.monitor"


def watched(model: Any, weight_decay: float, **choices: Any) -> list[Check]:
    """The checks of a training: before it, and after each epoch."""
    optimizer = sgd(model, weight_decay)
    monitor = RankMonitor(model, optimizer=optimizer, **choices)
    return [monitor.step(0), *(monitor.step(epoch) for epoch in epochs(model, optimizer))]


def collapses(checks: list[Check]) -> list[Any]:
    return [collapse for check in checks for collapse in check.collapses]


def assert_agrees(check: Check, layers: "tuple[LayerResult, ...]") -> None:
    """A check has what a report has."""
    assert [x.layer for x in check.readings] == [x.name for x in layers]
    for reading, layer in zip(check.readings, layers):
        assert (reading.kind, reading.M, reading.verdict, reading.lost) == (
            layer.kind,
            layer.M,
            layer.verdict,
            layer.lost_directions,
        )
        scale = layer.max_singular_value
        assert abs(reading.min_singular_value - layer.min_singular_value) <= 1e-12 * scale
        assert reading.stable_rank == pytest.approx(layer.stable_rank, rel=1e-12)
        if layer.power_law is None:
            assert reading.alpha is None
        else:
            assert reading.alpha == pytest.approx(layer.power_law.alpha, rel=1e-9)


def test_a_healthy_training_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    checks = watched(network(), HEALTHY, stop=True)
    assert not caplog.records and not collapses(checks)
    assert not any(check.stop for check in checks)
    assert [check.epoch for check in checks] == list(range(EPOCHS + 1))
    assert {x.verdict for check in checks for x in check.readings} == {"full_rank"}


def test_an_over_regularised_one_is_warned_of_once_a_layer(
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
    assert len(near) <= 2 and len(found) == len(near) + 2
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
    assert "2: 100% of directions lost since check 2; regularization" in caplog.text


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


def test_a_spike_that_grew_is_not_laid_to_regularisation(caplog: pytest.LogCaptureFixture) -> None:
    """The verdict knows no scale; the monitor knows where the smallest singular values began."""
    model = network()
    monitor = RankMonitor(model, layers="^0$", optimizer=sgd(model, 1e-2))
    before = monitor.step(0).readings[0]
    with torch.no_grad():
        weight = model[0].weight
        weight += 1e3 * torch.outer(torch.randn(len(weight)), torch.randn(len(weight.T)))
    (collapse,) = monitor.step(1).collapses
    assert collapse.reading.min_singular_value > 0.5 * before.min_singular_value
    assert "its smallest singular value did not fall, others grew" in caplog.text
    assert "too strong" not in caplog.text


def every_layer() -> Any:
    torch.manual_seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions of torch deprecate this form
        normed = nn.utils.weight_norm(nn.Linear(12, 18))
    model = nn.ModuleDict(
        {
            "table": nn.Embedding(300, 12),
            "head": nn.Linear(12, 300, bias=False),
            "lstm": nn.LSTM(12, 90, bidirectional=True),
            "conv": nn.Conv1d(12, 20, 3),
            "normed": normed,
            "attention": nn.MultiheadAttention(12, 2),
            "bilinear": nn.Bilinear(6, 7, 3),
            "norm": nn.BatchNorm1d(12),
            "large": nn.Linear(700, 900),
        }
    )
    model["head"].weight = model["table"].weight
    return model


def test_numbers_are_those_of_the_report_on_the_saved_weights(tmp_path: Path) -> None:
    model = every_layer()
    check = RankMonitor(model).step()
    torch.save(model.state_dict(), tmp_path / "model.pt")
    assert_agrees(check, analyze(model).layers)
    assert_agrees(check, analyze(model.state_dict()).layers)
    assert_agrees(check, analyze(tmp_path / "model.pt").layers)
    some = RankMonitor(model, kinds="linear,convolution", layers="n").step()
    assert_agrees(some, analyze(model, kinds="linear,convolution", layers="n").layers)
    assert 0 < len(some.readings) < len(check.readings)


@pytest.mark.parametrize("kind", ["float64", "bfloat16", "float16"])
def test_numbers_of_other_types(kind: str) -> None:
    model = network().to(getattr(torch, kind))
    assert_agrees(RankMonitor(model).step(), analyze(model).layers)


def test_the_same_after_a_training_in_autocast() -> None:
    model = network()
    optimizer = sgd(model, HEALTHY)
    monitor = RankMonitor(model, optimizer=optimizer)
    for epoch in epochs(model, optimizer, enabled=True, dtype=torch.bfloat16):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            check = monitor.step(epoch)
    assert_agrees(check, analyze(model).layers)
    assert not check.collapses


def test_training_in_bfloat16_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    checks = watched(network().to(torch.bfloat16), HEALTHY)
    assert not collapses(checks) and not caplog.records


def test_square_layers_in_training_are_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(40, 40), nn.Tanh(), nn.Linear(40, 40))
    for copied in (model, copy.deepcopy(model).to(torch.bfloat16)):
        checks = watched(copied, HEALTHY)
        assert {x.verdict for check in checks for x in check.readings} == {"not_assessed"}
    assert not caplog.records


def test_what_only_wraps_a_model_is_taken_off() -> None:
    model = network()
    expected = analyze(model).layers
    wrapped = [nn.DataParallel(model)]
    if hasattr(torch, "compile"):
        wrapped.append(torch.compile(model))
    for one in wrapped:
        assert_agrees(RankMonitor(one).step(), expected)


def test_the_weight_decay_is_found_through_wrappers() -> None:
    model = nn.DataParallel(network())
    monitor = RankMonitor(model, optimizer=[sgd(model, 0.125), sgd(model, 0.25)])
    monitor.step(0)
    with torch.no_grad():
        model.module[0].weight.zero_()
    (collapse,) = monitor.step(1).collapses
    assert collapse.weight_decay == 0.25


def test_metrics_are_finite_numbers_by_layer_and_measure() -> None:
    model = network()
    check = RankMonitor(model).step(1)
    metrics = check.metrics
    layer = analyze(model).layer("2")
    assert metrics["rank_monitor/2/min_singular_value"] == layer.min_singular_value
    assert metrics["rank_monitor/2/rank_loss_percent"] == 0.0
    assert layer.power_law is not None
    assert metrics["rank_monitor/2/alpha"] == layer.power_law.alpha
    assert 0 < metrics["rank_monitor/seconds"] == check.seconds
    assert all(type(value) is float and math.isfinite(value) for value in metrics.values())
    json.dumps(metrics, allow_nan=False)


def test_a_layer_that_there_is_no_time_for_comes_first_next_time() -> None:
    """The large one alone takes all the time that there is, and some has passed by its turn."""
    shape = (400, 300)
    model = nn.ModuleDict({"large": nn.Linear(*shape), "small": nn.Linear(10, 20)})
    monitor = RankMonitor(model, max_seconds=seconds(shape))
    first, second = monitor.step(), monitor.step()
    assert [x.layer for x in first.readings] == ["small"] and first.put_off == ("large",)
    assert "large" in {x.layer for x in second.readings} and "large" not in second.put_off


def test_nothing_of_the_training_is_touched() -> None:
    model = every_layer().train()
    sum(p.square().sum() for p in model.parameters()).backward()
    before = copy.deepcopy(model.state_dict())
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    random_states = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    threads = torch.get_num_threads()
    RankMonitor(model).step()
    assert model.training and torch.get_num_threads() == threads
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter.grad, gradients[name]) and parameter.requires_grad
    assert torch.equal(random_states[0], torch.get_rng_state())
    assert np.array_equal(random_states[1], np.random.get_state()[1])
    assert random_states[2] == random.getstate()


def test_training_with_and_without_is_the_same_to_the_last_bit() -> None:
    trained = []
    for watch in (False, True):
        model = network()
        optimizer = sgd(model, TOO_STRONG)
        monitor = RankMonitor(model, optimizer=optimizer)
        for epoch in epochs(model, optimizer):
            if watch:
                monitor.step(epoch)
        trained.append(model.state_dict())
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])


def test_the_model_may_change_while_it_trains() -> None:
    model = network()
    monitor = RankMonitor(model)
    monitor.step(0)
    model[0] = nn.Linear(40, 30)
    model[2] = nn.Linear(30, 40, device="meta")
    model.add_module("new", nn.Linear(40, 7))
    check = monitor.step(1)
    assert [x.layer for x in check.readings] == ["0", "new"]
    assert_agrees(check, analyze(model).layers)


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
    model.add_module("large", nn.Linear(2000, 2000))

    def failing(name: str) -> float:
        raise LookupError(name)

    choices: dict[str, Any] = {"max_seconds": 0.05, "penalty": failing}
    first = RankMonitor(model, **choices)
    first.step(0)
    with torch.no_grad():
        model[0].weight[2, 3] = math.nan
        model[2].weight.zero_()
    first.step(1)
    lines = [record.getMessage() for record in caplog.records]
    for part in ("large: not monitored", "0: holds NaN", "2: 100% of directions", "penalty failed"):
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
