"""Pairs the rows of a reference with layers by name, or else by order and shape."""

from array import array
from collections import deque
from collections.abc import Sequence
from itertools import zip_longest
from typing import Callable, Optional

from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.results.reference import ReferenceNumbers

# A published row and a layer; one of them is None if it has no partner.
Pair = tuple[Optional[ReferenceNumbers], Optional[LayerResult]]
Likeness = Callable[[ReferenceNumbers, LayerResult], int]


def pair_rows(
    published: Sequence[ReferenceNumbers], layers: Sequence[LayerResult], likeness: Likeness
) -> list[Pair]:
    """Returns every published row, in order, with its layer, and the linear layers without a row.

    A row with a name is paired with the layer of that name, or of the parameter of that name. The
    other rows are paired with linear layers of the same M and N, both sides in order: as many as
    possible, and among equal numbers of pairs those with the largest total `likeness` (a small
    number >= 0). Rows and layers left in the same place are then paired too.
    """
    named = _by_name(published, layers)
    taken = {id(layer) for layer in named.values()}
    free = [layer for layer in layers if layer.kind == "linear" and id(layer) not in taken]
    in_order = deque(_aligned([row for row in published if row.name is None], free, likeness))
    pairs: list[Pair] = []
    for index, row in enumerate(published):
        if row.name is not None:
            pairs.append((row, named.get(index)))
            continue
        while in_order[0][0] is None:
            pairs.append(in_order.popleft())
        pairs.append(in_order.popleft())
    return [*pairs, *in_order]


def _by_name(
    published: Sequence[ReferenceNumbers], layers: Sequence[LayerResult]
) -> dict[int, LayerResult]:
    """Returns the layers of the named rows by the index of the row; no layer appears twice."""
    # Later entries win: a whole tensor over its parts, a layer's name over a parameter's.
    by_name = {layer.parameter: layer for layer in layers if layer.part is not None}
    by_name.update({layer.parameter: layer for layer in layers if layer.part is None})
    by_name.update({layer.name: layer for layer in layers})
    found: dict[int, LayerResult] = {}
    taken: set[int] = set()
    for index, row in enumerate(published):
        layer = None if row.name is None else by_name.get(row.name)
        if layer is not None and id(layer) not in taken:
            taken.add(id(layer))
            found[index] = layer
    return found


def _aligned(
    published: Sequence[ReferenceNumbers], layers: Sequence[LayerResult], likeness: Likeness
) -> list[Pair]:
    """Pairs the longest common subsequence of the shapes, then the rest between them in order."""
    worth = _worth(published, layers, likeness)
    best = _best_from(worth, len(layers))
    pairs: list[Pair] = []
    rows: list[ReferenceNumbers] = []
    others: list[LayerResult] = []
    i = j = 0
    while i < len(published) or j < len(layers):
        both = i < len(published) and j < len(layers)
        if both and worth[i][j] and best[i][j] == worth[i][j] + best[i + 1][j + 1]:
            pairs += [*zip_longest(rows, others), (published[i], layers[j])]
            rows, others = [], []
            i, j = i + 1, j + 1
        elif i < len(published) and best[i][j] == best[i + 1][j]:
            rows.append(published[i])
            i += 1
        else:
            others.append(layers[j])
            j += 1
    return [*pairs, *zip_longest(rows, others)]


def _worth(
    published: Sequence[ReferenceNumbers], layers: Sequence[LayerResult], likeness: Likeness
) -> list[Sequence[int]]:
    """Returns the worth of pairing row i with layer j, 0 if the shapes differ.

    One more pair always outweighs any sum of likenesses.
    """
    alike = [
        [likeness(row, layer) if (row.M, row.N) == (layer.M, layer.N) else -1 for layer in layers]
        for row in published
    ]
    unit = 1 + min(len(published), len(layers)) * max((max(r, default=0) for r in alike), default=0)
    return [array("q", (unit + a if a >= 0 else 0 for a in row)) for row in alike]


def _best_from(worth: Sequence[Sequence[int]], n_layers: int) -> list[Sequence[int]]:
    """Returns best[i][j]: the largest total worth of rows from i on and layers from j on."""
    best: list[Sequence[int]] = [array("q", bytes(8 * (n_layers + 1)))]
    for of_row in reversed(worth):
        below = best[-1]
        here = array("q", below)
        for j in range(n_layers - 1, -1, -1):
            paired = of_row[j] + below[j + 1] if of_row[j] else 0
            here[j] = max(paired, below[j], here[j + 1])
        best.append(here)
    return best[::-1]
