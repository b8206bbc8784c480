"""Matches the layers of two models by name, or else by order and shape."""

from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from difflib import SequenceMatcher
from typing import Optional

from allennlp_analyze.compare.results import MATCHED_BY
from allennlp_analyze.matrices.names import plain_name
from allennlp_analyze.results.layer import LayerResult

BY_NAME, BY_SUFFIX, BY_ORDER = MATCHED_BY
# The indices of a pair of layers, and how they were matched.
Match = tuple[int, int, str]
Key = tuple[str, Optional[str]]


def match_layers(
    baseline: Sequence[LayerResult],
    candidate: Sequence[LayerResult],
    elsewhere: Collection[str] = (),
) -> list[Match]:
    """Returns pairs of indices into `baseline` and `candidate`, in the order of `baseline`.

    Layers are matched by parameter and part first. Next come names that differ only by a prefix
    ("module." + name), if prefix and shape are unambiguous; wrappers within a name do not count
    then. The rest is matched by order: layers of equal kind and shape first, then of equal shape.
    Parameters in `elsewhere`, which one of the models has but skipped, are matched by name only.
    """
    matches = _by_name(baseline, candidate)
    left = _rest(baseline, {one for one, _, _ in matches}, elsewhere)
    right = _rest(candidate, {other for _, other, _ in matches}, elsewhere)
    for find in (_by_suffix, _by_kind_and_shape, _by_shape):
        found = find([baseline[i] for i in left], [candidate[j] for j in right])
        matches += [(left[one], right[other], how) for one, other, how in found]
        left = [left[one] for one in _without(len(left), {one for one, _, _ in found})]
        right = [right[other] for other in _without(len(right), {other for _, other, _ in found})]
    return sorted(matches)


def _key(layer: LayerResult) -> Key:
    return layer.parameter, layer.part


def _plain_key(layer: LayerResult) -> Key:
    return plain_name(layer.parameter), layer.part


def _rest(layers: Sequence[LayerResult], taken: set[int], elsewhere: Collection[str]) -> list[int]:
    return [i for i in _without(len(layers), taken) if layers[i].parameter not in elsewhere]


def _without(length: int, taken: set[int]) -> list[int]:
    return [index for index in range(length) if index not in taken]


def _by_name(left: Sequence[LayerResult], right: Sequence[LayerResult]) -> list[Match]:
    places = {_key(layer): index for index, layer in reversed(list(enumerate(right)))}
    pairs = ((index, places.pop(_key(layer), None)) for index, layer in enumerate(left))
    return [(one, other, BY_NAME) for one, other in pairs if other is not None]


def _by_suffix(left: Sequence[LayerResult], right: Sequence[LayerResult]) -> list[Match]:
    """Match names that end in the other after a dot, unless a layer has several such partners."""
    found = _ending_in(left, right)
    found += [(one, other) for other, one in _ending_in(right, left)]
    found = [x for x in dict.fromkeys(found) if left[x[0]].shape == right[x[1]].shape]
    ones, others = Counter(one for one, _ in found), Counter(other for _, other in found)
    return [
        (one, other, BY_SUFFIX) for one, other in found if ones[one] == 1 and others[other] == 1
    ]


def _ending_in(short: Sequence[LayerResult], long: Sequence[LayerResult]) -> list[tuple[int, int]]:
    """Returns pairs in which the second parameter is the first after the shortest prefix.

    Names count without wrappers.
    """
    places = {_plain_key(layer): index for index, layer in enumerate(short)}
    found = []
    for index, layer in enumerate(long):
        words = plain_name(layer.parameter).split(".")
        for start in range(len(words)):
            place = places.get((".".join(words[start:]), layer.part))
            if place is not None:
                found.append((place, index))
                break
    return found


def _by_kind_and_shape(left: Sequence[LayerResult], right: Sequence[LayerResult]) -> list[Match]:
    return _in_order([(x.kind, x.shape) for x in left], [(x.kind, x.shape) for x in right])


def _by_shape(left: Sequence[LayerResult], right: Sequence[LayerResult]) -> list[Match]:
    """Match by shape only: the kind is inferred from the name, so it may change with it."""
    return _in_order([x.shape for x in left], [x.shape for x in right])


def _in_order(left: Sequence[Hashable], right: Sequence[Hashable]) -> list[Match]:
    """Match runs of equal elements, keeping both orders."""
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    return [
        (block.a + offset, block.b + offset, BY_ORDER)
        for block in matcher.get_matching_blocks()
        for offset in range(block.size)
    ]
