"""What the monitor measures: the numbers of a report on the saved weights, of any model."""

import copy
import json
import math
import random
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allennlp_analyze import RankMonitor, analyze
from allennlp_analyze.linalg.gram import gram_spectrum
from allennlp_analyze.linalg.machine import seconds
from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.monitor.budget import Budget
from allennlp_analyze.monitor.measuring import Measured, Timed, measure_in_time
from allennlp_analyze.monitor.updates import Update
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.in_memory import module_source
from tests.support.torch_trainings import HEALTHY, TOO_STRONG, assert_agrees, epochs, network, sgd

torch = pytest.importorskip("torch")
nn = torch.nn


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


@pytest.mark.newest_python
def test_the_same_after_a_training_in_autocast() -> None:
    model = network()
    optimizer = sgd(model, HEALTHY)
    monitor = RankMonitor(model, optimizer=optimizer)
    for epoch in epochs(model, optimizer, 10, enabled=True, dtype=torch.bfloat16):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            check = monitor.step(epoch)
    assert_agrees(check, analyze(model).layers)
    assert not check.collapses


def test_what_only_wraps_a_model_is_taken_off() -> None:
    model = network()
    expected = analyze(model).layers
    wrapped = [nn.DataParallel(model)]
    if hasattr(torch, "compile"):
        wrapped.append(torch.compile(model))
    for one in wrapped:
        assert_agrees(RankMonitor(one).step(), expected)


def test_metrics_are_finite_numbers_by_layer_and_measure() -> None:
    model = network()
    check = RankMonitor(model, per_layer=True).step(1)
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


def test_the_size_of_an_update_is_part_of_the_budget() -> None:
    """The time of a layer includes it, so that too slow ones are put off."""
    layers = nn.ModuleDict({name: nn.Linear(30, 20) for name in "abcdefgh"})
    found = {x.name: x for x in find_matrices(module_source(layers)[0])[0]}
    budget, pause = Budget(1.0), 0.3

    def slowly(matrix: WeightMatrix) -> Update:
        time.sleep(pause)
        return Update(0.5)

    def done() -> "dict[str, Timed[Measured]]":
        began = time.perf_counter()
        return measure_in_time(found, Settings(), gram_spectrum, budget, began, 0, slowly)

    first = done()
    assert all(x.seconds >= pause and x.found.update.size == 0.5 for x in first.values())
    assert 1 <= len(done()) <= 1.0 / pause + 1 and budget.waiting


def test_a_weight_with_nan_is_no_update_to_compare_with() -> None:
    model = nn.Linear(12, 9)
    monitor = RankMonitor(model, updates=True)
    monitor.step()
    before = model.weight.detach().clone()
    with torch.no_grad():
        model.weight[0, 0] = torch.nan
        assert monitor.step().readings == ()
        model.weight.copy_(1.25 * before)
    (reading,) = monitor.step().readings
    assert reading.update == pytest.approx(0.25 / 1.25, rel=1e-5)
