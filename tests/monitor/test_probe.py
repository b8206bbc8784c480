"""The probe: what a batch shows, and that training is bit-for-bit the same with it."""

import copy
import random
import warnings
from typing import Any

import numpy as np
import pytest

from allennlp_analyze import RankMonitor
from allennlp_analyze.errors import UsageError
from allennlp_analyze.metrics.norms import effective_rank
from tests.support.torch_trainings import network, one_thread

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = pytest.mark.newest_python


class Everything(nn.Module):
    """All that a forward pass may change: dropout, batch statistics, spectral norm, counters."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv1d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm1d(8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.spectral = nn.utils.spectral_norm(nn.Linear(8, 12))
        self.drop = nn.Dropout(0.3)
        self.lstm = nn.LSTM(12, 10, batch_first=True, dropout=0.2, num_layers=2)
        self.attention = nn.MultiheadAttention(10, 2, dropout=0.1, batch_first=True)
        self.head = nn.Linear(10, 4)
        self.register_buffer("calls", torch.zeros(()))
        self.calls: Any
        self.last: Any = None

    def forward(self, x: Any) -> Any:
        self.calls += 1
        self.last = x
        random.random(), np.random.rand()
        x = torch.relu(self.norm(self.conv(x.transpose(1, 2)))).transpose(1, 2)
        x = self.lstm(self.drop(torch.tanh(self.spectral(x))))[0]
        x = x + torch.rand(()) * self.attention(x, x, x)[0]
        return self.head(x.mean(1))


def trained(probe: Any) -> tuple[Any, Any, list[Any]]:
    """The model, its optimizer, and random numbers drawn at the end."""
    model = Everything()
    model.drop.eval()  # a module whose mode is not that of the model
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    monitor = RankMonitor(model, optimizer=optimizer, probe=probe) if probe is not None else None
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    with one_thread():
        for step in range(12):
            inputs = torch.randn(16, 7, 3)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), torch.randint(4, (16,))).backward()
            if monitor is not None and step % 3 == 0:
                check = monitor.step(step)  # between backward and step: gradients are there
                assert check.probe is not None and check.probe.layers
            optimizer.step()
    drawn = [torch.rand(3).tolist(), random.random(), np.random.rand()]
    return model, optimizer, [*drawn, model.last]


def test_training_is_the_same_to_the_last_bit() -> None:
    probe = torch.randn(9, 7, 3)
    kept = probe.clone()
    plain, plain_optimizer, drawn = trained(None)
    model, optimizer, drawn_with = trained(probe)
    assert torch.equal(probe, kept)
    assert drawn[:3] == drawn_with[:3] and torch.equal(drawn[3], drawn_with[3])
    expected = plain.state_dict()
    assert expected["calls"] == 12 and expected.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name]), name
    for one, other in zip(model.parameters(), plain.parameters()):
        assert torch.equal(one.grad, other.grad)
        for key, value in optimizer.state[one].items():
            assert torch.equal(value, plain_optimizer.state[other][key])
    modes = [module.training for module in model.modules()]
    assert modes == [module.training for module in plain.modules()] and False in modes
    assert not any(module._forward_hooks for module in model.modules())


def probed(model: Any, batch: Any, **choices: Any) -> Any:
    found = RankMonitor(model, probe=batch, **choices).step(0).probe
    assert found is not None
    return found


def test_the_effective_rank_is_that_of_the_centered_outputs() -> None:
    model = network()
    inputs = torch.randn(200, 40)
    found = {layer.layer: layer for layer in probed(model, inputs).layers}
    outputs = model[0](inputs).detach().double().numpy()
    values = np.linalg.svd(outputs - outputs.mean(0), compute_uv=False)
    assert found["0"].effective_rank == pytest.approx(effective_rank(values), rel=1e-4)
    assert (found["0"].units, found["0"].most_rank) == (24, 24)
    # A collapsed representation: every sample gives nearly the same.
    constant = torch.randn(1, 40) + torch.outer(torch.randn(200), torch.randn(40)) * 1e-3
    assert probed(model, constant).layers[0].effective_rank == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("function", [False, True])
@pytest.mark.parametrize("convolution", [False, True])
def test_dead_and_saturated_units(function: bool, convolution: bool) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first = nn.Conv2d(3, 20, 3) if convolution else nn.Linear(6, 20)
            self.relu = nn.ReLU(inplace=True)
            self.second = nn.Conv2d(20, 9, 1) if convolution else nn.Linear(20, 9)
            self.sigmoid = nn.Sigmoid()

        def forward(self, x: Any) -> Any:
            x = self.first(x)
            x = self.second(torch.relu(x) if function else self.relu(x))
            return torch.sigmoid(x) if function else self.sigmoid(x)

    model = Model()
    with torch.no_grad():
        model.first.bias[:7] = -1e3
        model.second.bias[2:5] = 50.0
    batch = torch.randn(30, 3, 8, 8) if convolution else torch.randn(200, 6)
    first, second = probed(model, batch).layers
    assert (first.layer, first.dead_units, first.saturated_units) == ("first", 7, None)
    assert (second.layer, second.dead_units, second.saturated_units) == ("second", None, 3)


def test_many_dead_units_are_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 3))
    with torch.no_grad():
        model[0].bias[:12] = -1e3
    monitor = RankMonitor(model, probe=torch.randn(50, 6))
    for epoch in range(2):
        check = monitor.step(epoch)
    assert check.summary["rank_monitor/probe/dead_units"] == 12.0
    assert [x.getMessage() for x in caplog.records] == [
        "0: 12 of 20 units are dead: the relu behind them gives 0 for the whole probe"
    ]


def test_the_entropy_of_attention() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.block = nn.MultiheadAttention(12, 3, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.block(x, x, x, average_attn_weights=False)[0]

    model, batch = Model(), torch.randn(5, 8, 12)
    weights = model.block(batch, batch, batch, average_attn_weights=False)[1].detach().double()
    by_head = (-(weights * weights.log()).sum(-1) / np.log(8)).mean((0, 2))
    (found,) = probed(model, batch).attention
    assert found.entropy == pytest.approx(float(by_head.mean()), rel=1e-5)
    assert found.lowest_head == pytest.approx(float(by_head.min()), rel=1e-5)
    assert any(name.startswith("block.in_proj_weight") for name in found.explained_by)
    with torch.no_grad():
        model.block.in_proj_weight[:24] *= 100  # query and key
    assert probed(model, batch).attention[0].entropy < 0.2


@pytest.mark.parametrize("listed", [True, False])
def test_experts_that_no_token_reaches(listed: bool) -> None:
    class Fused(nn.Module):
        num_experts = 4

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 8, 8))

        def forward(self, x: Any, chosen: Any) -> Any:
            return torch.einsum("nd,nde->ne", x, self.weight[chosen])

    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.gate = nn.Linear(8, 4)
            own: Any = nn.ModuleList(nn.Linear(8, 8) for _ in range(4)) if listed else Fused()
            self.experts = own

        def forward(self, x: Any) -> Any:
            chosen = self.gate(x).argmax(-1)
            if not listed:
                return self.experts(x, chosen)
            out = torch.zeros_like(x)
            for index, expert in enumerate(self.experts):
                out[chosen == index] = expert(x[chosen == index])
            return out

    model = Mixture()
    with torch.no_grad():
        model.gate.bias[2] = -1e4
    (found,) = probed(model, torch.randn(100, 8)).experts
    assert (found.module, found.count, found.dead) == ("experts", 4, (2,))
    assert found.explained_by == ("gate",)


def test_parameters_without_gradient_or_forgotten_by_the_optimizer() -> None:
    model = nn.ModuleDict({"used": nn.Linear(6, 5), "unused": nn.Linear(6, 5)})
    model["frozen"] = nn.Linear(6, 5).requires_grad_(False)
    optimizer = torch.optim.SGD([model["used"].weight, *model["unused"].parameters()], lr=0.1)

    def batch(model: Any) -> Any:
        return model["used"](torch.ones(4, 6))

    found = probed(model, batch, optimizer=optimizer)
    assert found.without_gradient == ("unused.weight", "unused.bias")
    assert found.not_optimized == ("used.bias",)
    assert probed(model, batch).not_optimized is None
    # A gradient of zero is none.
    model["used"].weight.grad = torch.zeros(5, 6)
    assert "used.weight" in probed(model, batch).without_gradient


@pytest.mark.parametrize("wrap", ["compile", "dataparallel"])
def test_wrapped_models(wrap: str) -> None:
    model = network()
    wrapped = torch.compile(model) if wrap == "compile" else nn.DataParallel(model)
    assert [x.layer for x in probed(wrapped, torch.randn(30, 40)).layers] == ["0", "2"]


def test_batches_of_every_form_and_what_is_none(caplog: pytest.LogCaptureFixture) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4)

        def forward(self, x: Any, y: Any = 0) -> Any:
            return {"logits": self.a(x) + y}

    x = torch.randn(5, 4)
    for batch in (x, (x, x), [x], {"x": x, "y": 1}, lambda model: model(x)):
        assert len(probed(Named(), batch).layers) == 1
    for wrong in (3, "text"):
        with pytest.raises(UsageError, match="^probe: a (int|str) is no batch; pass a tensor"):
            RankMonitor(network(), probe=wrong)
    model = network()
    monitor = RankMonitor(model, probe=torch.randn(3, 7))
    before = copy.deepcopy(model.state_dict())
    for _ in range(2):
        check = monitor.step()
        assert check.probe is None and len(check.readings) == 2
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    (record,) = caplog.records
    assert record.getMessage().startswith("the probe failed (RuntimeError: ")
