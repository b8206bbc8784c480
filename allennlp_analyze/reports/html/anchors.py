"""Makes the anchors of layers: identifiers that follow from the names, so that links last."""

import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from allennlp_analyze.results.experts import Entry, ExpertGroup, expert_groups
from allennlp_analyze.results.layer import LayerResult

# Characters that neither HTML nor a URL's fragment changes; the others become ~ and hexadecimal.
_KEPT = frozenset((string.ascii_letters + string.digits + "._-/:").encode("ascii"))
LAYER, GROUP = "layer-", "experts-"


@dataclass(frozen=True)
class Anchors:
    """The anchors of a report: those of `layers`, by index, and of groups of experts, by name."""

    layers: tuple[str, ...]
    groups: Mapping[str, str]

    def of(self, entry: Entry) -> str:
        """Returns the anchor of a row of the table."""
        return self.groups[entry.name] if isinstance(entry, ExpertGroup) else self.layers[entry]


def anchors_of(layers: Sequence[LayerResult]) -> Anchors:
    """Returns the anchors of the report on `layers`."""
    groups = [group.name for group in expert_groups(layers)]
    return Anchors(
        tuple(anchors(LAYER, (layer.name for layer in layers))),
        dict(zip(groups, anchors(GROUP, groups))),
    )


def anchors(start: str, names: Iterable[str]) -> list[str]:
    """Returns an identifier for each name: `start` (LAYER or GROUP) and the name, escaped.

    Two different names never share one. A name that is there again gets the number of the time.
    """
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        again = f"~~{seen[name]}" if seen[name] > 1 else ""
        found.append(f"{start}{_escaped(name)}{again}")
    return found


def _escaped(name: str) -> str:
    # Names from pickles may contain lone surrogates.
    encoded = name.encode("utf-8", "surrogatepass")
    return "".join(chr(byte) if byte in _KEPT else f"~{byte:02X}" for byte in encoded)
