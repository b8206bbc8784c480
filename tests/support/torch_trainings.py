"""Small trainings that take a second: a healthy one, and one whose weight decay is too strong."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

HEALTHY, TOO_STRONG = 0.0, 0.3
EPOCHS = 20


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


def epochs(model: Any, optimizer: Any, **autocast: Any) -> Iterator[int]:
    """Train; yields the number of each epoch when it is over."""
    inputs, targets = teacher()
    inputs, targets = (x.to(next(model.parameters()).dtype) for x in (inputs, targets))
    for epoch in range(1, EPOCHS + 1):
        with one_thread():
            for _ in range(40):
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
