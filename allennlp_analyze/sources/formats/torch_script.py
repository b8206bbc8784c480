"""Reads the modules of a TorchScript archive; its code is searched for names, never compiled."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats.pickled_modules import UNDECLARED, as_module
from allennlp_analyze.sources.pickles.description import (
    CONTAINERS,
    StandIn,
    TensorRef,
    Unknown,
    parts_of,
)

CODE = "code/"
CONSTANTS = "constants"
MAX_CODE_BYTES = 64 * 2**20
_CLASS = re.compile(
    r"^class (\w+)\(\w*\):\n(?:  __parameters__ = \[(.*)\]\n)?(?:  __buffers__ = \[(.*)\]\n)?",
    re.MULTILINE,
)
_NAME = re.compile(r'"([^"\\]+)"')


@dataclass(frozen=True)
class _Declared:
    parameters: frozenset[str]
    buffers: frozenset[str]


def script_root(described: object) -> StandIn:
    """Returns the module of a TorchScript archive. Raises `CheckpointError` if there is none."""
    if not isinstance(described, StandIn) or not isinstance(described.state, dict):
        raise CheckpointError("is a TorchScript archive without a module")
    return described


def script_module(root: StandIn, constants: object, code: Iterable[tuple[str, str]]) -> StandIn:
    """Returns the `root` of a TorchScript archive in the form of a pickled module.

    `constants` is its other described pickle, `code` has the paths and texts of its files below
    `CODE`.
    """
    declared = {name: names for path, text in code for name, names in _classes(path, text)}
    # A frozen module has no parameters left: all weights are constants of its code. Those of other
    # modules stand beside the state dict.
    frozen = bool(declared) and not any(names.parameters for names in declared.values())
    for module in _script_objects(root):
        names = declared.get(module.name)
        as_module(
            module,
            names.parameters if names else (),
            names.buffers if names else (),
            undeclared=names is None,
        )
    found = constants if isinstance(constants, tuple) else ()
    tensors: dict[object, object] = {
        f"{CONSTANTS}.{index}": value
        for index, value in enumerate(found)
        if isinstance(value, TensorRef)
    }
    attributes = root.attributes()
    undeclared = attributes.get(UNDECLARED)
    if frozen and isinstance(undeclared, dict):
        root.state = {**attributes, UNDECLARED: {**undeclared, **tensors}}
    else:
        root.state = {**attributes, **tensors}
    return root


def _classes(path: str, text: str) -> Iterable[tuple[str, _Declared]]:
    """Yields the full names of the classes of a file of code, and what they declare."""
    module = path[: -len(".py")].replace("/", ".")
    for found in _CLASS.finditer(text):
        parameters, buffers = (frozenset(_NAME.findall(found[x] or "")) for x in (2, 3))
        yield f"{module}.{found[1]}", _Declared(parameters, buffers)


def _script_objects(root: StandIn) -> list[StandIn]:
    """Returns all objects of the archive's own classes, each once."""
    seen = {id(root)}
    pending: list[object] = [root]
    found: list[StandIn] = []
    while pending:
        value = pending.pop()
        if isinstance(value, StandIn) and isinstance(value.state, dict):
            if isinstance(value.made_by, Unknown) and value.made_by.module.startswith("__torch__"):
                found.append(value)
        for _, part in parts_of(value):
            if isinstance(part, CONTAINERS) and id(part) not in seen:
                seen.add(id(part))
                pending.append(part)
    return found


def is_script(records: Mapping[str, object], prefix: str) -> bool:
    """Whether the records of a zip file are those of a TorchScript archive."""
    code = f"{prefix}{CODE}"
    return f"{prefix}{CONSTANTS}.pkl" in records or any(name.startswith(code) for name in records)
