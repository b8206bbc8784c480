"""The parameters of a model in training: which are trained, what acts on them, which are finite."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from allennlp_analyze.matrices.modules import saved_as
from allennlp_analyze.monitor.advice import Acting, acting
from allennlp_analyze.sources.in_memory import is_spread

_NOTHING = Acting(None, None)


@dataclass(frozen=True)
class Parameters:
    """The parameters of a module by state-dict name; tied ones appear under each name."""

    by_name: Mapping[str, Any]
    acting: Mapping[int, Acting]

    def acting_on(self, name: str) -> Acting:
        """Returns the learning rate and the weight decay of a parameter, as far as known."""
        return self.acting.get(id(self.by_name.get(name)), _NOTHING)

    def frozen(self) -> frozenset[str]:
        """Returns the names of those that are not trained.

        If none is trained, `requires_grad` says nothing about the training: copies that average
        the weights need no gradients either.
        """
        trained = {name for name, one in self.by_name.items() if one.requires_grad}
        return frozenset(self.by_name.keys() - trained if trained else ())


def parameters_of(model: Any, optimizers: Iterable[Any] = ()) -> Parameters:
    """Returns the parameters of a module, with what `optimizers` do to them."""
    return Parameters(parameters_by_name(model), acting(optimizers))


def parameters_by_name(model: Any) -> Mapping[str, Any]:
    """Returns the parameters of a module by state-dict name; tied ones appear under each name."""
    return {
        saved_as(f"{path}.{name}" if path else name): parameter
        for path, module in model.named_modules(remove_duplicate=False)
        for name, parameter in module.named_parameters(recurse=False)
    }


def not_finite(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the names of those that contain NaN or infinity.

    Of a parameter that is spread over processes, this one's part is looked at.
    """
    torch = sys.modules["torch"]
    sums: dict[str, Any] = {}
    for name, parameter in parameters.items():
        total = _sum(parameter)
        if total is not None:
            sums[name] = total
    doubtful: list[str] = []
    for device in {total.device for total in sums.values()}:
        names = [name for name, total in sums.items() if total.device == device]
        finite = torch.isfinite(torch.stack([sums[name] for name in names])).tolist()
        doubtful += [name for name, is_finite in zip(names, finite) if not is_finite]
    return tuple(
        name
        for name in sums
        if name in doubtful and not bool(torch.isfinite(_local(parameters[name])).all())
    )


def _sum(parameter: Any) -> Optional[Any]:
    """Returns a number that is finite only if all values are; None for what has no values."""
    torch = sys.modules["torch"]
    try:
        values = _local(parameter)
        if not values.is_floating_point() or values.device.type == "meta":
            return None
        return torch.sum(values, dtype=torch.float32)
    except Exception:  # lazy modules, tensor subclasses of quantization
        return None


def _local(parameter: Any) -> Any:
    values = parameter.detach()
    return values.to_local() if is_spread(values) else values
