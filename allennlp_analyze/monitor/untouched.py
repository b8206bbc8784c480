"""Runs a forward pass that leaves a network and its training exactly as they were."""

import contextlib
import random
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


@contextlib.contextmanager
def untouched(model: Any) -> Iterator[None]:
    """Puts `model` into evaluation mode inside, and everything back afterwards.

    The modes of all modules, their buffers and other attributes, and the states of the random
    number generators of Python, numpy and torch. Compiled modules run without their compilation, so
    that nothing is compiled again. A hook of the user's own is called, and may do anything.
    """
    modules = list(model.modules())
    modes = [module.training for module in modules]
    attributes = [dict(vars(module)) for module in modules]
    buffers = [dict(module._buffers) for module in modules]
    values = {
        id(one): one.detach().clone() for own in buffers for one in own.values() if _holds(one)
    }
    try:
        with _random_states(), _eager():
            for module in modules:
                module.training = False
            yield
    finally:
        for module, mode, known, own in zip(modules, modes, attributes, buffers):
            vars(module).clear()
            vars(module).update(known)
            module._buffers.clear()
            module._buffers.update(own)
            module.training = mode
            for one in own.values():
                if _holds(one):
                    _put_back(one, values[id(one)])


def _holds(buffer: Any) -> bool:
    return buffer is not None and buffer.device.type != "meta"


def _put_back(buffer: Any, value: Any) -> None:
    torch = sys.modules["torch"]
    with torch.no_grad():
        if buffer.shape != value.shape:
            buffer.set_(value)
        elif not _same(buffer, value):
            buffer.copy_(value)


def _same(one: Any, other: Any) -> bool:
    """Whether two tensors are equal, NaN included."""
    torch = sys.modules["torch"]
    if not one.is_floating_point():
        return bool(torch.equal(one, other))
    return bool(((one == other) | (one.isnan() & other.isnan())).all())


@contextlib.contextmanager
def _random_states() -> Iterator[None]:
    torch = sys.modules["torch"]
    of_python, of_numpy = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with torch.random.fork_rng(devices=list(devices)):
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)


def _eager() -> Any:
    """A context without compilation, if anything was compiled: loading the compiler takes long."""
    torch = sys.modules["torch"]
    if "torch._dynamo" not in sys.modules:
        return contextlib.nullcontext()
    stance = getattr(getattr(torch, "compiler", None), "set_stance", None)
    return contextlib.nullcontext() if stance is None else stance("force_eager")


def moved(batch: Any, device: Any) -> Any:
    """Returns a copy of a batch on `device`: of a tensor, or of what holds tensors."""
    torch = sys.modules["torch"]
    if isinstance(batch, torch.Tensor):
        return batch.detach().to(device, copy=True)
    if isinstance(batch, Mapping):
        return {key: moved(value, device) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        return type(batch)(moved(value, device) for value in batch)
    return batch


def run(model: Any, batch: Any) -> Any:
    """Returns what the model makes of a batch: a tensor, arguments, keywords, or a function."""
    if callable(batch) and not isinstance(batch, sys.modules["torch"].Tensor):
        return batch(model)
    device = next((parameter.device for parameter in model.parameters()), "cpu")
    copy = moved(batch, device)
    if isinstance(copy, dict):
        return model(**copy)
    return model(*copy) if isinstance(copy, (list, tuple)) else model(copy)
