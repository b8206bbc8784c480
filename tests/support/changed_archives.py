"""The fixture, or another archive, with its weights changed: collapsed, renamed, damaged."""

import copy
import io
import tarfile
from pathlib import Path
from typing import Any, Callable

import torch

State = dict[str, Any]
LINEAR = "tag_projection_layer._module.weight"
LINEAR_NAME = "tag_projection_layer._module"


def rewritten(source: Path, target: Path, change: Callable[[State], Any]) -> Path:
    """The archive `source` with the state dict that `change` makes of its own."""
    with tarfile.open(source) as old, tarfile.open(target, "w:gz") as new:
        for member in old:
            file = old.extractfile(member)
            content = file.read() if file else b""
            if member.name == "weights.th":
                state = torch.load(io.BytesIO(content), map_location="cpu")
                changed = change(dict(state)) or state
                buffer = io.BytesIO()
                torch.save(changed, buffer)
                content = buffer.getvalue()
            member = copy.copy(member)
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    return target


def flattened(name: str, keep: int) -> Callable[[State], State]:
    """The parameter `name` with only its `keep` largest directions left."""

    def change(state: State) -> State:
        left, values, right = torch.linalg.svd(state[name].double(), full_matrices=False)
        values[keep:] = 0
        state[name] = (left @ torch.diag(values) @ right).float()
        return state

    return change


def with_nan(state: State) -> State:
    state[LINEAR] = state[LINEAR].clone()
    state[LINEAR][3, 5] = float("nan")
    return state


def renamed(state: State) -> State:
    """As between releases: the words that tell the kinds are still there."""
    return {k.replace("_elmo", "_bilm").replace("_module", "_core"): v for k, v in state.items()}


def scrambled(state: State) -> State:
    return {f"m{i}": value for i, value in enumerate(state.values())}


def wrapped(state: State) -> State:
    return {f"model.module.{name}": value for name, value in state.items()}
