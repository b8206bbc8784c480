"""Finds the model's named tensors in the contents of a checkpoint, which may wrap them.

Every tensor of the contents gets a name, or stands beside the model with a reason.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Optional

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats.checkpoint_keys import MODEL_KEYS, is_copy, why_not_model
from allennlp_analyze.sources.formats.contents import Holders
from allennlp_analyze.sources.formats.keyed import keys_of, under_key
from allennlp_analyze.sources.formats.pickled_modules import (
    GROUPS,
    is_module,
    members,
    unwrapped,
)
from allennlp_analyze.sources.pickles.arrays import tensor_of
from allennlp_analyze.sources.pickles.description import Inert, StandIn, TensorRef, parts_of
from allennlp_analyze.sources.tensor import LeftOut
from allennlp_analyze.sources.views import MAX_NAME, MAX_TENSORS
from allennlp_analyze.text.lines import excerpt

MAX_DEPTH = 100
MAX_STEPS = 10_000_000
MAX_NAMES = 64 * 2**20  # characters of all names together
# More tensors of one group beside the model are counted, not listed.
MAX_LISTED = 1_000
_EXTRA_STATE = "_extra_state"
_PACKED = "._packed_params._packed_params"
# What torch's wrappers of a whole model put before every name, one after the other.
_PREFIXES = ("module.", "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_COUNTER = "n_averaged"  # of torch.optim.swa_utils.AveragedModel, beside the model
_BESIDE = "beside the model's state dict, not in it"
_ATTRIBUTE = "an attribute of its module, not in the state dict"
_TEMPORARY = "buffer: not in the state dict"


@dataclass
class Found:
    """The tensors of the model by name, in order, and what is beside it."""

    tensors: dict[str, TensorRef] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)


def find_state_dict(described: object, key: Optional[str] = None) -> Found:
    """Returns the tensors of the model and what is not of it; empty for one without parameters.

    A key picks one state dict of several. Raises `CheckpointError` if `described` has no state
    dict, or none under that key.
    """
    holders = Holders(described)
    if key is not None:
        described = under_key(described, key, holders)
    collector = _Collector(holders)
    ref = tensor_of(described)
    if ref is not None:
        collector.add("tensor" if key is None else key.rpartition(".")[2] or key, ref)
        return collector.found
    if isinstance(described, Mapping) and not described:
        return collector.found
    if not holders.holds(described):
        if not isinstance(described, Mapping):
            raise CheckpointError(
                f"contains a {_kind(described)}, not a state dict of named tensors"
            )
        keys = ", ".join(excerpt(x, 40) for x in list(described)[:8] if isinstance(x, str))
        raise CheckpointError(f"contains no model tensors; its keys are: {keys or 'not strings'}")
    reason = collector.why_not_model("", described) if key is None else None
    if reason is not None:
        raise CheckpointError(f"contains no model tensors: all are {reason}")
    collector.checkpoint(described, "", 0)
    found = collector.finished()
    if not found.tensors:
        keys = ", ".join(keys_of(described, holders)[:8])
        raise CheckpointError(f"contains no model tensors; its keys are: {keys}")
    return found


def named_tensors(described: object) -> Found:
    """Returns all tensors of a module's state dict, which wraps nothing."""
    collector = _Collector(Holders(described))
    collector.model(described, "", 0)
    return collector.finished()


class _Collector:
    """Walks over the contents of one file, within limits."""

    def __init__(self, holders: Holders) -> None:
        self._holders = holders
        self.found = Found()
        self._seen: set[int] = set()
        self._objects: set[int] = set()
        self._attributes: list[tuple[str, object]] = []
        self._taken: Counter[str] = Counter()
        self._steps = 0
        self._characters = 0

    def finished(self) -> Found:
        """Returns what was found, after the attributes of modules, which may refer to anything."""
        walked: set[int] = set()
        for name, value in self._attributes:
            self.leave(name, value, _ATTRIBUTE, walked)
        return self.found

    # Names

    def add(self, name: str, ref: TensorRef) -> None:
        """Add a tensor of the model."""
        name = self._free(name)
        self._seen.add(id(ref))
        self.found.tensors[name] = ref
        if len(self.found.tensors) > MAX_TENSORS:
            raise CheckpointError(f"contains more than {MAX_TENSORS} tensors")

    def _free(self, name: str) -> str:
        """Returns `name`, or with a number behind it if it is taken."""
        self._count(name)
        if name not in self.found.tensors:
            return name
        while True:
            self._taken[name] += 1
            other = f"{name} ({self._taken[name] + 1})"
            if other not in self.found.tensors:
                return other

    def _count(self, name: str) -> None:
        """Raise `CheckpointError` if the names become too long."""
        self._characters += len(name)
        if len(name) > MAX_NAME:
            raise CheckpointError(f"has a tensor name of more than {MAX_NAME} characters")
        if self._characters > MAX_NAMES:
            raise CheckpointError(f"has tensor names of more than {MAX_NAMES >> 20} MiB together")

    def _step(self, number: int, depth: int) -> None:
        """Count `number` entries that are looked at."""
        self._steps += number + 1
        if self._steps > MAX_STEPS:
            raise CheckpointError(f"contains more than {MAX_STEPS} entries")
        if depth > MAX_DEPTH:
            raise CheckpointError(f"is nested more than {MAX_DEPTH} levels deep")

    # The model

    def checkpoint(self, node: object, prefix: str, depth: int) -> None:
        """Collect a checkpoint: a state dict, or what wraps one or several."""
        node = unwrapped(node)
        inner = depth > 1 or not isinstance(node, Mapping)
        if tensor_of(node) is not None or is_module(node) or (prefix and inner):
            self.model(node, prefix, depth)
            return
        entries = _without_prefixes(self._entries(node, prefix, depth))
        parts = [(name, x) for name, x in entries if tensor_of(x) is None]
        other = {name: reason for name, x in parts if (reason := self.why_not_model(name, x))}
        models = [(name, x) for name, x in parts if name not in other]
        copies = self._copies(models)
        models = [(name, x) for name, x in models if name not in copies]
        refs = [ref for _, x in entries if (ref := tensor_of(x)) is not None]
        has_matrices = any(len(ref.shape) > 1 for ref in refs)
        single = len(models) == 1 and models[0][0] in MODEL_KEYS and not has_matrices
        if single and refs:
            # The model's own names must not be those of what stands beside it.
            inside = {name for name, _ in parts_of(unwrapped(models[0][1]))}
            single = not any(name in inside and tensor_of(x) is not None for name, x in entries)
        for name, value in entries:
            path = _joined(prefix, name)
            if name in other:
                self.leave(path, value, other[name])
            elif name in copies:
                self.leave(path, value, _copied(name))
            elif single and tensor_of(value) is not None:
                self.leave(path, value, why_not_model(name, False, False) or _BESIDE)
            elif single and not prefix:
                self.checkpoint(value, "", depth + 1)
            else:
                self.checkpoint(value, path, depth + 1)

    def _entries(self, node: object, path: str, depth: int) -> list[tuple[str, object]]:
        """Returns what in `node` is or holds tensors."""
        found = []
        count = 0
        for name, value in parts_of(node):
            count += 1
            if self._holders.holds(value):
                found.append((name, value))
            elif name.endswith(_EXTRA_STATE) and value is not None:
                kind = value.name if isinstance(value, (StandIn, Inert)) else type(value).__name__
                kind = excerpt(kind.rpartition(".")[2], 60)
                reason = f"a module's extra state ({kind}), not a tensor"
                self._list(LeftOut(_joined(path, name), (), reason))
        self._step(count, depth)
        return found

    def why_not_model(self, name: str, value: object) -> Optional[str]:
        """Returns the reason if `value`, under the key `name`, is not of the model."""
        is_optimizer = isinstance(value, Mapping) and {"state", "param_groups"} <= value.keys()
        return why_not_model(name, is_optimizer, self._has_matrices(value))

    def _copies(self, models: list[tuple[str, object]]) -> set[str]:
        """Returns the names of those that hold averages of another's tensors."""
        found: set[str] = set()
        candidates = [name for name, _ in models if is_copy(name)]
        if not candidates or len(candidates) == len(models):
            return found
        shapes = {name: Counter(self._matrix_shapes(value)) for name, value in models}
        for name in candidates:
            others = (shapes[x] for x in shapes if x not in candidates)
            if shapes[name] and any(not shapes[name] - other for other in others):
                found.add(name)
        return found

    def _has_matrices(self, node: object) -> bool:
        return next(self._matrix_shapes(node), None) is not None

    def _matrix_shapes(self, node: object) -> Iterator[tuple[int, ...]]:
        for _, ref in self._tensors("", node, set()):
            if len(ref.shape) > 1:
                yield ref.shape

    def model(self, node: object, path: str, depth: int) -> None:
        """Collect everything that `node` holds as tensors of the model."""
        ref = tensor_of(node)
        if ref is not None:
            self.add(path, ref)
        elif is_module(node):
            self.module(node, path, depth)
        elif isinstance(node, StandIn) and id(node) in self._objects:
            pass  # objects refer to each other in circles
        elif isinstance(node, tuple) and f".{path}".endswith(_PACKED):
            self._packed(node, f".{path}"[1 : -len(_PACKED)], depth)
        else:
            self._objects.add(id(node))
            for name, value in self._entries(node, path, depth):
                self.model(value, _joined(path, name), depth + 1)

    def _packed(self, node: tuple[object, ...], path: str, depth: int) -> None:
        """Collect the weight and the bias of a layer of torch's dynamic quantization."""
        for index, value in enumerate(node[:MAX_DEPTH]):
            leaf = ("weight", "bias")[index] if index < 2 else str(index)
            ref = tensor_of(value)
            if ref is not None:
                self.add(_joined(path, leaf), replace(ref, kind="linear"))
            elif self._holders.holds(value):
                self.model(value, _joined(path, leaf), depth + 1)

    def module(self, module: object, path: str, depth: int) -> None:
        """Collect the parameters and buffers of a pickled module, in the order of state_dict()."""
        self._step(0, depth)
        for member in members(module):
            self._step(1, depth)
            name = _joined(path, member.name)
            ref = tensor_of(member.value)
            if not self._holders.holds(member.value):
                continue
            if member.is_attribute:
                self._count(name)
                self._attributes.append((name, member.value))
            elif member.is_temporary:
                self.leave(name, member.value, _TEMPORARY)
            elif ref is not None:
                self.add(name, replace(ref, kind=member.kind, is_buffer=member.is_buffer))
                self._seen.add(id(ref))
            else:
                self.model(member.value, name, depth + 1)

    # Beside the model

    def leave(
        self, path: str, node: object, reason: str, walked: Optional[set[int]] = None
    ) -> None:
        """List the tensors under `node` as left out, except those that the model has, too."""
        listed: list[LeftOut] = []
        number = 0
        for name, ref in self._tensors(path, node, set() if walked is None else walked):
            if id(ref) not in self._seen:
                number += 1
                if number <= MAX_LISTED:
                    listed.append(LeftOut(name, ref.shape, reason))
        if number > MAX_LISTED:
            listed = [LeftOut(path, (), f"{reason} ({number} tensors)")]
        for one in listed:
            self._list(one)

    def _list(self, left_out: LeftOut) -> None:
        self._count(left_out.name)
        self.found.left_out.append(left_out)

    def _tensors(
        self, path: str, node: object, walked: set[int]
    ) -> Iterator[tuple[str, TensorRef]]:
        """Yields every tensor under `node` once, with its path."""
        # Names are joined one at a time: many may have the same long beginning.
        pending: list[tuple[str, str, object]] = [(path, "", node)]
        while pending:
            before, last, value = pending.pop()
            if id(value) in walked:
                continue
            walked.add(id(value))
            # A module's tensors are named as in its state dict.
            name = before if last in GROUPS else _joined(before, last)[-MAX_NAME:]
            ref = tensor_of(value)
            if ref is not None:
                yield name, ref
                continue
            count, inner = 0, []
            for key, part in parts_of(value):
                count += 1
                if self._holders.holds(part):
                    inner.append((name, key, part))
            # All that were looked at: a long list may be in many objects.
            self._step(count, 0)
            pending += reversed(inner)


def _without_prefixes(entries: list[tuple[str, object]]) -> list[tuple[str, object]]:
    """Remove the prefixes that torch.nn.DataParallel and other wrappers add to every name."""
    names = [name for name, x in entries if tensor_of(x) is not None]
    prefix = ""
    longest = max(names, key=len, default="")
    while found := next((x for x in _PREFIXES if longest.startswith(prefix + x)), None):
        prefix += found
        if not all(name.startswith(prefix) or name == _COUNTER for name in names):
            prefix = prefix[: -len(found)]
            break
    size = len(prefix)
    return [
        (name[size:] if tensor_of(x) is not None and name.startswith(prefix) else name, x)
        for name, x in entries
    ]


def _joined(path: str, name: str) -> str:
    name = name[: MAX_NAME + 1]
    return f"{path}.{name}" if path and name else path or name


def _copied(key: str) -> str:
    return f"a second copy of the model: pick it with the key {excerpt(key, 60)}"


def _kind(described: object) -> str:
    if isinstance(described, StandIn):
        return excerpt(described.name, 80)
    return type(described).__name__ if described is not None else "nothing"
