"""Groups the experts of a mixture: one group for each projection, with its worst and dead ones."""

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Optional, Union

from allennlp_analyze.results.evidence import Cause
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.results.worst import worst_first_key

# Causes that leave an expert without any weights to speak of.
_DEAD = frozenset((Cause.ZERO, Cause.DECAYED))
# The last two are llama.cpp's.
_EXPERTS = frozenset(("expert", "experts", "exps", "chexps"))
# Fused tensors of experts may stand right in a module with such a name.
_MIXTURES = _EXPERTS | {"moe"}
_NUMBERED = re.compile(r"(.*?)(\d+)")
_FUSED = re.compile(r"(\d+)(?:, (.+))?")
_GATE_AND_UP = ("gate_up_proj", "gate_up")


@dataclass(frozen=True)
class ExpertGroup:
    """The same projection of all experts of one mixture.

    `name` is that of the layers with "*" for the expert. `numbers` are those of the experts,
    `places` the indices of their `layers` in the report; all three have the worst expert first.
    """

    name: str
    numbers: tuple[int, ...]
    places: tuple[int, ...]
    layers: tuple[LayerResult, ...]

    @property
    def worst(self) -> LayerResult:
        """The layer of the worst expert."""
        return self.layers[0]

    @property
    def verdict(self) -> Verdict:
        """The verdict on the worst expert."""
        return self.worst.verdict

    @property
    def dead(self) -> tuple[int, ...]:
        """The numbers of the experts whose weights are all zero, or have decayed away."""
        return self._numbers(_is_dead)

    @property
    def collapsed(self) -> tuple[int, ...]:
        """The numbers of the other experts that have collapsed."""
        return self._numbers(lambda x: x.verdict is Verdict.COLLAPSED and not _is_dead(x))

    @property
    def weak(self) -> tuple[int, ...]:
        """The numbers of the experts that are not at full rank, but have not collapsed."""
        return self._numbers(
            lambda x: (
                x.verdict.is_worse_than(Verdict.FULL_RANK) and x.verdict is not Verdict.COLLAPSED
            )
        )

    def median(self, read: Callable[[LayerResult], Optional[float]]) -> Optional[float]:
        """The median over the experts of what `read` returns, without None; None without any."""
        values = [value for layer in self.layers if (value := read(layer)) is not None]
        return statistics.median(values) if values else None

    def _numbers(self, is_wanted: Callable[[LayerResult], bool]) -> tuple[int, ...]:
        found = (n for n, layer in zip(self.numbers, self.layers) if is_wanted(layer))
        return tuple(sorted(found))


# A row of a table: the index of a layer in the report, or a group of layers.
Entry = Union[int, ExpertGroup]


def table_entries(layers: Sequence[LayerResult]) -> list[Entry]:
    """Returns the rows of a table of `layers`, with a group in the place of its first layer."""
    members: dict[str, list[tuple[int, int]]] = {}
    of_layer: list[Optional[str]] = []
    for place, layer in enumerate(layers):
        found = expert_of(layer)
        of_layer.append(found[0] if found else None)
        if found:
            members.setdefault(found[0], []).append((place, found[1]))
    entries: list[Entry] = []
    for place, name in enumerate(of_layer):
        if name is None or len(members[name]) < 2:
            entries.append(place)
        elif members[name][0][0] == place:
            entries.append(_group(name, members[name], layers))
    return entries


def expert_groups(layers: Sequence[LayerResult]) -> tuple[ExpertGroup, ...]:
    """Returns the groups of two or more experts, in the order of their first layers."""
    return tuple(x for x in table_entries(layers) if isinstance(x, ExpertGroup))


def has_groups(layers: Sequence[LayerResult]) -> bool:
    """Whether `layers` have a group of experts; takes a moment if the first ones do."""
    seen: set[str] = set()
    for layer in layers:
        found = expert_of(layer)
        if found is not None:
            if found[0] in seen:
                return True
            seen.add(found[0])
    return False


def expert_of(layer: LayerResult) -> Optional[tuple[str, int]]:
    """Returns the name of the group of `layer` and the number of its expert; None for another.

    An expert is a layer of its own ("experts.3.gate_proj"), or a part of a fused tensor
    ("experts.gate_up_proj[3, gate]"); both are in the group "experts.*.gate_proj".
    """
    part = f"[{layer.part}]"
    fused = layer.part is not None and layer.name.endswith(part)
    if fused and (found := _FUSED.fullmatch(layer.part or "")):
        module, _, leaf = layer.name[: -len(part)].rpartition(".")
        around = module.split(".")[-2:]  # of DBRX, "experts.mlp"
        if not around[-1][-1:].isdigit() and _words(".".join(around)) & _MIXTURES:
            return f"{module}.*.{_projection(leaf, found[2])}", int(found[1])
    base, label = (layer.name[: -len(part)], layer.part) if fused else (layer.name, None)
    components = base.split(".")
    for place, component in enumerate(components):
        found = _NUMBERED.fullmatch(component)
        if found is None:
            continue
        before = components[place - 1] if place and not found[1] else found[1]
        if _words(before) & _EXPERTS:
            last = [_projection(components[-1], label)] if place < len(components) - 1 else []
            rest = [*components[place + 1 : -1], *last]
            return ".".join([*components[:place], f"{found[1]}*", *rest]), int(found[2])
    return None


def _projection(leaf: str, label: Optional[str]) -> str:
    """The name of a projection: gate of gate_up_proj has the name that it has on its own."""
    if label is None:
        return leaf
    if leaf in _GATE_AND_UP and label in ("gate", "up"):
        return f"{label}_proj"
    return f"{leaf}[{label}]"


def _words(component: str) -> set[str]:
    return set(re.findall("[a-z]+", component.lower()))


def _group(
    name: str, members: Sequence[tuple[int, int]], layers: Sequence[LayerResult]
) -> ExpertGroup:
    worst_first = sorted(members, key=lambda member: worst_first_key(layers[member[0]]))
    return ExpertGroup(
        name,
        tuple(number for _, number in worst_first),
        tuple(place for place, _ in worst_first),
        tuple(layers[place] for place, _ in worst_first),
    )


def _is_dead(layer: LayerResult) -> bool:
    found = layer.evidence.findings if layer.evidence else ()
    return any(finding.cause in _DEAD and finding.is_lost for finding in found)
