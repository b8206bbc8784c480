"""Watches the outputs of layers and of the activation functions behind them."""

import sys
from dataclasses import dataclass
from typing import Any, Callable, Optional

import numpy as np

# The most samples of a layer whose outputs are kept of a call, and that count in the end.
MAX_ROWS = 256
# A sigmoid or tanh is saturated where its slope is below this share of the largest.
FLAT_SHARE = 0.01
_RELU = frozenset(("relu", "relu_", "relu6", "threshold"))
_SIGMOID = frozenset(("sigmoid", "sigmoid_"))
_TANH = frozenset(("tanh", "tanh_"))


@dataclass
class Activation:
    """The activation behind a layer: for each unit, whether it is dead or saturated everywhere."""

    name: str
    dead: Optional[np.ndarray] = None
    saturated: Optional[np.ndarray] = None


class Seen:
    """The outputs of layers by path, as arrays (samples, units), and the activations behind."""

    def __init__(self) -> None:
        self.outputs: dict[str, list[np.ndarray]] = {}
        self.activations: dict[str, Activation] = {}
        # The layers in the order of their last call: (path, units, dimension of the units).
        self._last: list[tuple[str, int, int]] = []

    def hook(self, path: str, kind: str) -> Callable[[Any, Any, Any], None]:
        """Returns a forward hook for the module `path` that owns a weight of `kind`."""

        def hook(module: Any, inputs: Any, output: Any) -> None:
            tensor = _first_tensor(output)
            if tensor is None or tensor.dim() < 2 or not tensor.is_floating_point():
                return
            dimension = 1 if kind == "convolution" and tensor.dim() > 2 else tensor.dim() - 1
            rows = _rows(tensor, dimension)
            rows = rows[evenly(len(rows)).tolist()]
            self.outputs.setdefault(path, []).append(_array(rows))
            self._last = [one for one in self._last if one[0] != path]
            self._last.append((path, int(tensor.shape[dimension]), dimension))

        return hook

    def activated(self, name: str, output: Any) -> None:
        """Record the output of an activation, of the last layer with as many units."""
        fitting = (
            (path, dimension)
            for path, units, dimension in reversed(self._last)
            if dimension < output.dim() and output.shape[dimension] == units
        )
        path, dimension = next(fitting, ("", -1))
        if dimension < 0:
            return
        rows = _rows(output, dimension)
        dead = saturated = None
        if name in _RELU:
            dead = _array((rows == 0).all(dim=0))
        else:
            slope = rows * (1 - rows) * 4 if name in _SIGMOID else 1 - rows**2
            saturated = _array((slope < FLAT_SHARE).all(dim=0))
        before = self.activations.get(path)
        if before is not None and before.name == name:  # a layer that is called several times
            dead = None if dead is None or before.dead is None else dead & before.dead
            if saturated is not None and before.saturated is not None:
                saturated = saturated & before.saturated
        self.activations[path] = Activation(name, dead, saturated)


def Activations(seen: Seen) -> Any:
    """Returns a context in which `seen` is told of every ReLU, sigmoid and tanh.

    Functions are caught as well as modules, which call them.
    """
    from torch.overrides import TorchFunctionMode

    class Mode(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            output = function(*args, **(kwargs or {}))
            name = getattr(function, "__name__", "")
            if name in _RELU | _SIGMOID | _TANH and _first_tensor(output) is output:
                if output.dim() >= 2 and output.is_floating_point():
                    seen.activated(name, output.detach())
            return output

    return Mode()


def _first_tensor(output: Any) -> Any:
    torch = sys.modules["torch"]
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    return output if isinstance(output, torch.Tensor) else None


def _rows(tensor: Any, dimension: int) -> Any:
    """Returns the outputs as (samples, units)."""
    moved = tensor.detach().movedim(dimension, -1)
    return moved.reshape(-1, moved.shape[-1])


def evenly(length: int) -> np.ndarray:
    """Returns the indices of at most MAX_ROWS of `length` rows, evenly spaced."""
    return np.unique(np.linspace(0, length - 1, min(length, MAX_ROWS)).astype(int))


def _array(tensor: Any) -> np.ndarray:
    torch = sys.modules["torch"]
    values = tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
    found: np.ndarray = values.cpu().numpy().copy()
    return found
