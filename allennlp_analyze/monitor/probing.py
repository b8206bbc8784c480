"""Passes a batch through a network in training, and looks at what its layers give out."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

import numpy as np

from allennlp_analyze.errors import UsageError
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.matrices.names import split_name
from allennlp_analyze.metrics.norms import effective_rank
from allennlp_analyze.monitor.activations import Activations, Seen, evenly
from allennlp_analyze.monitor.attention import entropy_of, expert_use
from allennlp_analyze.monitor.parameters import Parameters
from allennlp_analyze.monitor.probe_results import (
    ProbedAttention,
    ProbedExperts,
    ProbedLayer,
    ProbeResult,
)
from allennlp_analyze.monitor.untouched import run, untouched
from allennlp_analyze.text.lists import enumerated
from allennlp_analyze.text.words import words_of

# From this share of dead units on a layer is warned of.
MANY_DEAD = 0.5
_OF_WEIGHTS = frozenset("q k query key qkv c_attn attn in proj wqkv qk".split())
_ROUTERS = frozenset("gate router wg".split())


def check_probe(probe: Any) -> None:
    """Raises `UsageError` for what is no batch, and where torch is too old to look inside."""
    torch = sys.modules["torch"]
    if not hasattr(torch, "compile"):
        raise UsageError(f"probe: needs torch 2.0 or newer, not {torch.__version__}")
    if not (isinstance(probe, (torch.Tensor, Mapping, list, tuple)) or callable(probe)):
        raise UsageError(
            f"probe: a {type(probe).__name__} is no batch; pass a tensor, a tuple of arguments, a"
            " mapping of keywords, or a function of the model"
        )


def probe_model(
    model: Any,
    batch: Any,
    matrices: Sequence[WeightMatrix],
    parameters: Parameters,
    has_optimizer: bool,
) -> ProbeResult:
    """Returns what one forward pass of `batch` shows; the training is as if it had not been.

    `model` has no wrappers; `matrices` are those that name its layers. Raises whatever the model
    raises.
    """
    torch = sys.modules["torch"]
    started = time.perf_counter()
    owners = _owners(matrices)
    seen = Seen()
    handles: list[Any] = []
    attention: dict[str, tuple[float, Optional[float]]] = {}
    experts: dict[str, tuple[int, set[int]]] = {}
    with untouched(model):
        try:
            for path, module in model.named_modules():
                if path in owners:
                    kind = owners[path].kind
                    handles.append(module.register_forward_hook(seen.hook(path, kind)))
                if type(module).__name__.endswith("Attention"):
                    handles.append(module.register_forward_hook(_entropy_hook(path, attention)))
                handles.extend(expert_use(path, module, experts))
            with torch.enable_grad(), Activations(seen):
                outputs = run(model, batch)
            reached = _reached(outputs)
        finally:
            for handle in handles:
                handle.remove()
    del outputs
    return ProbeResult(
        layers=tuple(_layer(owners[path].name, path, seen) for path in seen.outputs),
        attention=tuple(
            ProbedAttention(path, mean, lowest, _beneath(path, owners, _OF_WEIGHTS))
            for path, (mean, lowest) in attention.items()
        ),
        experts=tuple(
            ProbedExperts(
                path,
                count,
                tuple(sorted(set(range(count)) - used)),
                _beneath(path.rpartition(".")[0], owners, _ROUTERS),
            )
            for path, (count, used) in experts.items()
        ),
        without_gradient=_without_gradient(parameters, reached),
        not_optimized=_not_optimized(parameters) if has_optimizer else None,
        seconds=time.perf_counter() - started,
    )


def findings(found: ProbeResult) -> Iterator[tuple[str, str]]:
    """Yields what deserves a warning: what it is about, and the line."""
    for layer in found.layers:
        if layer.dead_units and layer.dead_units >= MANY_DEAD * layer.units:
            yield (
                f"dead units {layer.layer}",
                f"{layer.layer}: {layer.dead_units} of {layer.units} units are dead: the"
                f" {layer.activation} behind them gives 0 for the whole probe",
            )
    for experts in found.experts:
        if experts.dead and len(experts.dead) < experts.count:
            because = f"; see {enumerated(experts.explained_by, 3)}" if experts.explained_by else ""
            yield (
                f"dead experts {experts.module}",
                f"{experts.module}: no token of the probe reaches {len(experts.dead)} of"
                f" {experts.count} experts{because}",
            )
    for names, what in (
        (found.not_optimized, "trained, but in no optimizer"),
        (found.without_gradient, "trained, but without a gradient"),
    ):
        if names:
            yield what, f"{enumerated(names, 3)}: {what}"


def _owners(matrices: Sequence[WeightMatrix]) -> dict[str, WeightMatrix]:
    """Returns the first matrix of each module, by the path of the module."""
    found: dict[str, WeightMatrix] = {}
    for matrix in matrices:
        for parameter in (matrix.parameter, *matrix.tied):
            found.setdefault(split_name(parameter)[0], matrix)
    return found


def _layer(name: str, path: str, seen: Seen) -> ProbedLayer:
    rows = np.concatenate(seen.outputs[path])
    units = rows.shape[1]
    some = rows[evenly(len(rows))].astype(np.float64)
    centered = some - some.mean(axis=0) if len(some) else some
    rank: Optional[float] = None
    if len(some) > 1 and np.isfinite(centered).all() and centered.any():
        values = np.linalg.svd(centered / np.abs(centered).max(), compute_uv=False)
        rank = effective_rank(values)
    after = seen.activations.get(path)
    return ProbedLayer(
        layer=name,
        units=units,
        effective_rank=rank,
        most_rank=max(min(len(some) - 1, units), 0),
        activation=None if after is None else after.name,
        dead_units=None if after is None or after.dead is None else int(after.dead.sum()),
        saturated_units=(
            None if after is None or after.saturated is None else int(after.saturated.sum())
        ),
    )


def _entropy_hook(path: str, found: dict[str, tuple[float, Optional[float]]]) -> Any:
    def hook(module: Any, inputs: Any, output: Any) -> None:
        entropy = entropy_of(output)
        if entropy is not None:
            found[path] = entropy

    return hook


def _beneath(
    path: str, owners: Mapping[str, WeightMatrix], words: frozenset[str]
) -> tuple[str, ...]:
    """Returns the weight layers in the module `path` whose names have one of `words`."""
    return tuple(
        matrix.name
        for own, matrix in owners.items()
        if (own == path or own.startswith(f"{path}." if path else ""))
        and words.intersection(words_of(matrix.parameter[len(path) :]))
    )


def _reached(outputs: Any) -> Optional[set[int]]:
    """Returns the `id`s of the parameters on which the outputs depend; None if unknown."""
    pending = [tensor.grad_fn for tensor in _tensors(outputs) if tensor.grad_fn is not None]
    if not pending:
        return None
    found: set[int] = set()
    known = set(pending)
    while pending:
        node = pending.pop()
        variable = getattr(node, "variable", None)
        if variable is not None:
            found.add(id(variable))
        for following, _ in node.next_functions:
            if following is not None and following not in known:
                known.add(following)
                pending.append(following)
    return found


def _tensors(value: Any, depth: int = 4) -> Iterator[Any]:
    torch = sys.modules["torch"]
    if isinstance(value, torch.Tensor):
        yield value
    elif depth and isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item, depth - 1)
    elif depth and isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item, depth - 1)


def _without_gradient(
    parameters: Parameters, reached: Optional[set[int]]
) -> Optional[tuple[str, ...]]:
    """Returns the trained parameters that no output depends on, or whose gradient is zero."""
    if reached is None:
        return None
    return tuple(
        name
        for name, one in _trained(parameters).items()
        if id(one) not in reached or (one.grad is not None and not bool(one.grad.any()))
    )


def _not_optimized(parameters: Parameters) -> tuple[str, ...]:
    return tuple(
        name for name, one in _trained(parameters).items() if id(one) not in parameters.acting
    )


def _trained(parameters: Parameters) -> dict[str, Any]:
    frozen = parameters.frozen()
    return {name: one for name, one in parameters.by_name.items() if name not in frozen}
