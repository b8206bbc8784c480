"""The entropy of attention weights, and which experts a batch reaches."""

import math
import sys
from collections.abc import Iterator
from typing import Any, Optional

# Rows of attention weights sum to 1, up to rounding in half precision.
_SUM_ERROR = 0.02
_SMALLEST = 1e-30


def entropy_of(output: Any) -> Optional[tuple[float, Optional[float]]]:
    """Returns the mean entropy of attention weights, and that of the head with the least.

    `output` is what an attention module gives; None if no weights are in it. The entropy of a row
    is divided by that of equal weights on all that it may attend to, so that it is from 0 to 1.
    Rows that may attend to one position only are left out.
    """
    weights = next((one for one in _items(output) if _is_attention(one)), None)
    if weights is None:
        return None
    torch = sys.modules["torch"]
    rows = weights.detach().double()
    allowed = (rows > 0).sum(-1)
    entropy = -(rows * torch.log(rows.clamp_min(_SMALLEST))).sum(-1)
    counted = allowed > 1
    if not bool(counted.any()):
        return None
    shares = torch.where(counted, entropy / torch.log(allowed.clamp_min(2).double()), 0.0)
    mean = float(shares.sum() / counted.sum())
    if rows.dim() != 4:  # the module has averaged its heads
        return mean, None
    heads = shares.sum((0, 2)) / counted.sum((0, 2)).clamp_min(1)
    lowest = float(heads.min())
    return (mean, lowest) if math.isfinite(mean) else None


def _items(output: Any) -> Iterator[Any]:
    torch = sys.modules["torch"]
    if isinstance(output, (tuple, list)):
        yield from (one for one in output[1:] if isinstance(one, torch.Tensor))


def _is_attention(tensor: Any) -> bool:
    if tensor.dim() not in (3, 4) or not tensor.is_floating_point() or tensor.numel() == 0:
        return False
    values = tensor.detach().double()
    sums = values.sum(-1)
    return bool((values >= 0).all()) and bool(((sums - 1).abs() < _SUM_ERROR).all())


def expert_use(path: str, module: Any, found: dict[str, tuple[int, set[int]]]) -> list[Any]:
    """Add hooks that record the experts that are used, by the path of what holds them.

    Experts are the modules of a list of that name, or fused in one module that is told the indices.
    """
    name = path.rpartition(".")[2]
    if name != "experts":
        return []
    children = list(module.children())
    count = getattr(module, "num_experts", None)
    if not isinstance(count, int):
        count = len(children)
        if count < 2 or len({type(child) for child in children}) > 1:
            return []
        found[path] = (count, set())
        return [
            child.register_forward_pre_hook(_called(index, found[path][1]), with_kwargs=True)
            for index, child in enumerate(children)
        ]
    found[path] = (count, set())
    return [module.register_forward_pre_hook(_told(count, found[path][1]), with_kwargs=True)]


def _called(index: int, used: set[int]) -> Any:
    def hook(module: Any, args: Any, kwargs: Any) -> None:
        torch = sys.modules["torch"]
        inputs = [x for x in (*args, *kwargs.values()) if isinstance(x, torch.Tensor)]
        if not inputs or inputs[0].numel():
            used.add(index)

    return hook


def _told(count: int, used: set[int]) -> Any:
    def hook(module: Any, args: Any, kwargs: Any) -> None:
        torch = sys.modules["torch"]
        for value in (*args, *kwargs.values()):
            if isinstance(value, torch.Tensor) and value.dtype in (torch.int32, torch.int64):
                used.update(int(one) for one in value.unique().tolist() if 0 <= one < count)
                return
        used.update(range(count))  # not told: none is known to be unused

    return hook
