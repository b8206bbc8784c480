"""Makes the anchors of layers: identifiers that follow from the names, so that links last."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from allennlp_analyze.reports.html.shown import Shown
from allennlp_analyze.results.experts import Entry, ExpertGroup
from allennlp_analyze.results.layer import LayerResult

# All but what neither HTML nor a URL's fragment changes; it becomes ~ and hexadecimal.
_CHANGED = re.compile(rb"[^A-Za-z0-9._/:-]")
LAYER, GROUP = "layer-", "experts-"


@dataclass(frozen=True)
class Anchors:
    """The anchors of a report: those of `layers`, by index, and of groups of experts, by name.

    That of a layer which is not on the page is "".
    """

    layers: tuple[str, ...]
    groups: Mapping[str, str]

    def of(self, entry: Entry) -> str:
        """Returns the anchor of a row of the table."""
        return self.groups[entry.name] if isinstance(entry, ExpertGroup) else self.layers[entry]


def anchors_of(layers: Sequence[LayerResult], shown: Shown) -> Anchors:
    """Returns the anchors of the report on `layers`, of which a page has those `shown`."""
    groups = [group.name for group in shown.groups]
    every = anchors(LAYER, (layer.name for layer in layers))
    return Anchors(
        tuple(anchor if place in shown.numbers else "" for place, anchor in enumerate(every)),
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
    return _CHANGED.sub(lambda found: b"~%02X" % ord(found[0]), encoded).decode("ascii")
