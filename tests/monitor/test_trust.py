"""What the monitor must see, and what it must not be alarmed by, in real trainings."""

import math
from collections.abc import Iterator
from typing import Any

import pytest

from allennlp_analyze import RankMonitor
from allennlp_analyze.monitor.results import Check
from tests.support.torch_trainings import network, one_thread

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = pytest.mark.newest_python
CLASSES = 10


def batches(number: int, seed: int = 0) -> Iterator[tuple[Any, Any]]:
    """Inputs, and the class that a linear teacher gives each."""
    generator = torch.Generator().manual_seed(seed)
    teacher = torch.randn(32, CLASSES, generator=generator)
    for _ in range(number):
        inputs = torch.randn(64, 32, generator=generator)
        yield inputs, (inputs @ teacher).argmax(1)


def trained(
    model: Any, optimizer: Any, monitor: RankMonitor, steps: int, every: int
) -> list[Check]:
    """Train by cross-entropy; returns the checks, the first before the training."""
    checks = [monitor.step(0)]
    with one_thread():
        for step, (inputs, classes) in enumerate(batches(steps), 1):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), classes).backward()
            optimizer.step()
            if step % every == 0:
                checks.append(monitor.step(step))
    return checks


def warned(checks: list[Check]) -> list[str]:
    return [one.reading.layer for check in checks for one in check.collapses]


def classifier() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, CLASSES)
    )


def cut(weight: Any, rank: int) -> None:
    with torch.no_grad():
        u, s, vt = torch.linalg.svd(weight, full_matrices=False)
        s[rank:] = 0
        weight.copy_(u * s @ vt)


def test_a_network_that_decays_as_a_whole_is_warned_of_and_stopped() -> None:
    model = classifier()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.5)
    checks = trained(model, optimizer, RankMonitor(model, optimizer=optimizer, stop=True), 500, 20)
    assert set(warned(checks)) == {"0", "2", "4"} and checks[-1].stop
    assert not checks[0].collapses and not checks[0].stop


@pytest.mark.parametrize("normalized", [False, True])
def test_decay_is_seen_relative_to_the_start_unless_a_normalization_takes_the_scale(
    normalized: bool,
) -> None:
    """The start is far above the usual ones, so that 0.1% of it would be a usual one."""
    model = nn.Sequential(
        nn.Linear(32, 64, bias=False), nn.BatchNorm1d(64) if normalized else nn.ReLU()
    )
    with torch.no_grad():
        model[0].weight.mul_(1000)
    monitor = RankMonitor(model, stop=True)
    checks = [monitor.step(0)]
    for epoch in range(1, 81):
        with torch.no_grad():
            model[0].weight.mul_(0.9)
        checks.append(monitor.step(epoch))
    (last,) = checks[-1].readings
    assert last.verdict == "full_rank"
    assert last.rms_ratio == pytest.approx(0.9**80, rel=1e-4)
    if normalized:
        assert not warned(checks) and not checks[-1].stop
        return
    sinking, found = [one for check in checks for one in check.collapses]
    assert sinking.reading is checks[22].readings[0]  # 0.9 ** 22 is 0.098
    assert "sunk to 10% of what they were, by 10% each epoch" in sinking.sentence
    assert checks[-1].stop and found.state == "collapsed"
    assert "its weights have decayed to 0.096% of their start since epoch 65" in found.sentence


class Residual(nn.Module):
    """Residual branches whose outputs start at zero: by their weights, or by a factor (ReZero)."""

    def __init__(self, rezero: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.up = nn.ModuleList(nn.Linear(32, 64, bias=False) for _ in range(3))
        self.down = nn.ModuleList(nn.Linear(64, 32, bias=False) for _ in range(3))
        self.scale = nn.Parameter(torch.full((3,), 0.0 if rezero else 1.0))
        self.head = nn.Linear(32, CLASSES)
        if not rezero:
            for layer in (*self.down, self.head):
                nn.init.zeros_(layer.weight)

    def forward(self, x: Any) -> Any:
        for up, down, scale in zip(self.up, self.down, self.scale):
            inner = nn.functional.relu(up(nn.functional.layer_norm(x, x.shape[-1:])))
            x = x + scale * down(inner)
        return self.head(x)


@pytest.mark.parametrize("rezero", [False, True])
@pytest.mark.parametrize("adam", [False, True])
def test_what_starts_at_zero_is_not_warned_of_and_is_watched_afterwards(
    rezero: bool, adam: bool
) -> None:
    model = Residual(rezero)
    optimizer: Any = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    if adam:
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    monitor = RankMonitor(model, optimizer=optimizer, stop=True)
    checks = trained(model, optimizer, monitor, 300, 25)
    assert not warned(checks) and not checks[-1].stop
    for layer in model.down:
        cut(layer.weight, 3)
    assert warned([monitor.step(301)]) == ["down.0", "down.1", "down.2"]


class Adapted(nn.Module):
    """A frozen linear layer with a LoRA beside it: B starts at zero."""

    def __init__(self, base: Any, rank: int = 8) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x: Any) -> Any:
        return self.base(x) + 2 * self.lora_B(self.lora_A(x))


def adapted() -> Any:
    model = classifier().requires_grad_(False)
    model[0], model[2] = Adapted(model[0]), Adapted(model[2])
    return model


def test_an_adapter_is_not_warned_of_while_it_fills() -> None:
    model = adapted()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    monitor = RankMonitor(model, optimizer=optimizer, stop=True)
    checks = trained(model, optimizer, monitor, 200, 10)
    assert not warned(checks) and not checks[-1].stop
    cut(model[2].lora_B.weight, 2)
    assert warned([monitor.step(201)]) == ["2.lora_B"]


def test_a_layer_that_recovers_is_warned_of_again() -> None:
    model = network()
    healthy = model[0].weight.detach().clone()
    monitor = RankMonitor(model)
    monitor.step(0)
    found = []
    for epoch in range(1, 7):
        with torch.no_grad():
            model[0].weight.copy_(healthy)
            model[0].weight.mul_(1e-9 if epoch % 2 else 1.0)
        found.append(monitor.step(epoch))
    assert [warned([check]) for check in found] == [["0"], [], ["0"], [], ["0"], []]
    assert [one.since for check in found for one in check.collapses] == [0.0, 2.0, 4.0]


def test_the_constant_over_classes_is_no_reason_to_stop() -> None:
    model = classifier()
    monitor = RankMonitor(model, stop=True)
    monitor.step(0)
    with torch.no_grad():
        model[4].weight.sub_(model[4].weight.mean(0))
    check = monitor.step(1)
    assert not check.stop and not check.collapses
    # Another direction of the same layer is one.
    with torch.no_grad():
        model[4].weight[3] = model[4].weight[5] = 0.0
    assert monitor.step(2).collapses


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["0.weight", "2.bias"])
def test_nan_and_infinity_stop_the_training(
    name: str, value: float, caplog: pytest.LogCaptureFixture
) -> None:
    model = network()
    monitors = [RankMonitor(model, stop=stop) for stop in (True, False)]
    assert not any(monitor.step(0).stop for monitor in monitors)
    with torch.no_grad():
        model.get_parameter(name).flatten()[3] = value
    checks = [monitor.step(1) for monitor in monitors]
    assert [check.stop for check in checks] == [True, False]
    assert {check.invalid for check in checks} == {(name.removesuffix(".weight"),)}
    assert checks[0].summary["rank_monitor/invalid_layers"] == 1.0
    assert len(caplog.records) == 2


def test_large_values_are_not_infinite() -> None:
    model = network()
    with torch.no_grad():
        model[0].bias.fill_(3e38)  # their sum is beyond float32
    assert not RankMonitor(model).step().invalid


def test_what_is_frozen_is_measured_once_and_never_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = classifier()
    model[0].requires_grad_(False)
    monitor = RankMonitor(model, stop=True)
    first = monitor.step(0)
    assert [(x.layer, x.is_frozen) for x in first.readings] == [
        ("0", True),
        ("2", False),
        ("4", False),
    ]
    with torch.no_grad():
        model[0].weight.zero_()
    for epoch in (1, 2):
        check = monitor.step(epoch)
        assert [x.layer for x in check.readings] == ["2", "4"] and not check.put_off
    assert not caplog.records and not check.stop
    # What is thawed is watched from then on.
    with torch.no_grad():
        model[0].weight.normal_()
    model[0].requires_grad_(True)
    monitor.step(3)
    with torch.no_grad():
        model[0].weight.zero_()
    assert warned([monitor.step(4)]) == ["0"]


def test_a_model_of_which_nothing_is_trained_is_watched() -> None:
    """A copy that averages the weights."""
    model = classifier().requires_grad_(False)
    monitor = RankMonitor(model)
    assert len(monitor.step(0).readings) == len(monitor.step(1).readings) == 3


def test_what_was_collapsed_at_the_first_look_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(24, 40, bias=False) for _ in range(6)))
    for layer in model:
        cut(layer.weight, 3)
    monitor = RankMonitor(model, stop=True)
    first, second = monitor.step(0), monitor.step(1)
    assert len(first.collapses) == 6 and all(one.at_first for one in first.collapses)
    assert not second.collapses and not second.stop
    assert [record.getMessage() for record in caplog.records] == [
        "6 layers were already collapsed at their first check and will not be warned of again:"
        " 0, 1, 2 and 3 more"
    ]
