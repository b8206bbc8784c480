"""Small trainings that take a second: a healthy one, and one whose weight decay is too strong."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from allennlp_analyze.monitor.results import Check
from allennlp_analyze.results.layer import LayerResult
from tests.support.waiting import PATIENCE

torch = pytest.importorskip("torch")
nn = torch.nn
HEALTHY, TOO_STRONG = 0.0, 0.3
STEPS, EPOCHS = 40, 20


def teacher() -> tuple[Any, Any]:
    """Inputs, and targets of rank 4: most directions of a layer of 24 are not needed."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(256, 40, generator=generator)
    return inputs, inputs[:, :4] @ torch.randn(4, 40, generator=generator)


def network() -> Any:
    torch.manual_seed(2018)
    return nn.Sequential(nn.Linear(40, 24), nn.Tanh(), nn.Linear(24, 40))


def sgd(model: Any, weight_decay: float) -> Any:
    return torch.optim.SGD(model.parameters(), lr=0.05, weight_decay=weight_decay)


class ForTrainer(nn.Module):
    """As transformers' models: takes the labels, gives the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, x: Any, labels: Any) -> Any:
        outputs = self.net(x)
        return {"loss": nn.functional.mse_loss(outputs, labels), "logits": outputs}


def lightning_module(lightning: Any, weight_decay: float) -> Any:
    """The network as a module of Lightning, with its loss and optimizer."""

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def training_step(self, batch: Any, index: int) -> Any:
            return nn.functional.mse_loss(self.net(batch["x"]), batch["labels"])

        def configure_optimizers(self) -> Any:
            return sgd(self, weight_decay)

    return Module()


def epochs(model: Any, optimizer: Any, number: int = EPOCHS, **autocast: Any) -> Iterator[int]:
    """Train for `number` epochs; yields the number of each when it is over."""
    inputs, targets = teacher()
    inputs, targets = (x.to(next(model.parameters()).dtype) for x in (inputs, targets))
    for epoch in range(1, number + 1):
        with one_thread():
            for _ in range(STEPS):
                optimizer.zero_grad()
                with torch.autocast("cpu", **{"enabled": False, **autocast}):
                    loss = nn.functional.mse_loss(model(inputs).float(), targets.float())
                loss.backward()
                optimizer.step()
        yield epoch


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Meanwhile torch has one: more than there are free cores make small matrices take long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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


def joined(rank: int, world: int, folder: str) -> None:
    """Join the other processes, by a file: a port that is free now may be taken by then."""
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=PATIENCE),
    )


LOGGER = "allennlp_analyze.monitor"


def examples() -> list[dict[str, Any]]:
    """So many that an epoch of batches of 32 is `STEPS` steps."""
    inputs, targets = teacher()
    pairs = zip(inputs.repeat(5, 1), targets.repeat(5, 1))
    return [{"x": x, "labels": y} for x, y in pairs]


def assert_last_numbers(found: dict[str, Any], layers: "tuple[LayerResult, ...]") -> None:
    for layer in layers:
        key = f"rank_monitor/{layer.name}/min_singular_value"
        assert float(found[key]) == pytest.approx(layer.min_singular_value, rel=1e-9)


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGER]
