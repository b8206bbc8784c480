"""Chooses one of several weights files of a model, and says which others are not read."""

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Optional

from allennlp_analyze.errors import Advice, SourceError
from allennlp_analyze.sources.directories.contents import Listing
from allennlp_analyze.sources.directories.trainers import is_trainers_name
from allennlp_analyze.sources.formats.gguf.splits import first_part
from allennlp_analyze.sources.formats.registry import FORMATS, WEIGHTS_ENDINGS, by_ending
from allennlp_analyze.sources.formats.sharded import INDEX_ENDING, PREFERRED_INDEXES, are_shards
from allennlp_analyze.text.lines import excerpt
from allennlp_analyze.text.lists import enumerated
from allennlp_analyze.text.redaction import redacted_url

PREFERRED_WEIGHTS = (
    "weights.th",
    "best.th",
    "model.safetensors",
    "pytorch_model.bin",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.bin",
    "adapter_model.safetensors",
    "adapter_model.bin",
)
_USUAL, _INDEX = "the first of the usual names", "an index of shards"
_MAX_NAMED = 5
_LISTED = 20
# Parts of a name that say how the same weights are stored, the first being the most faithful.
_VARIANTS = ("", "fp32", "float32", "ema", "non_ema", "bf16", "bfloat16", "fp16", "float16", "half")
# Earlier states of a training, which AllenNLP keeps beside the best one.
_EARLIER = re.compile(r"model_state_.*\.th")


def choose(
    listing: Listing, wanted: Optional[str], directory: Optional[Path] = None
) -> tuple[str, tuple[str, ...]]:
    """Returns the weights file or index to read, and a warning if others are left out.

    `wanted` is the user's choice. Without one, this is the first of `PREFERRED_WEIGHTS`, an index
    of shards, the only file, or the most faithful one if all are the same model by their names:
    not halved, then in the order safetensors, others, torch. Raises `SourceError`, without the name
    of the directory, if nothing can be chosen.
    """
    if wanted is not None:
        return _wanted(listing, wanted), ()
    chosen, why = _chosen(listing)
    others = [name for name in (*listing.weights, *listing.indexes) if name != chosen]
    if chosen in listing.indexes or are_shards([chosen]):
        others = [name for name in others if not are_shards([name])]
    others += [name for name, _ in listing.unread]
    left = [x for x in others if not _EARLIER.fullmatch(x) and not _same(directory, x, chosen)]
    if not left:
        return chosen, ()
    named = enumerated(left, _MAX_NAMED)
    return chosen, (
        f"contains several weights files: {chosen} is read ({why}), not {named}; name another as"
        " the weights file to read it",
    )


def _wanted(listing: Listing, wanted: str) -> str:
    unread = [name for name, _ in listing.unread]
    if wanted in (*listing.weights, *listing.indexes, *unread):
        return wanted
    listed = enumerated(_short((*listing.weights, *listing.indexes)), _LISTED) or "none"
    raise SourceError(
        f"no weights file {redacted_url(wanted)!r} on disk or inside;"
        f" the archive contains: {listed}"
    )


def _chosen(listing: Listing) -> tuple[str, str]:
    """Returns the weights file or index, and the rule by which it is chosen."""
    weights, indexes = listing.weights, listing.indexes
    for names, known in ((PREFERRED_WEIGHTS, weights), (PREFERRED_INDEXES, indexes)):
        preferred = [name for name in names if name in known]
        if preferred:
            return preferred[0], _USUAL if names is PREFERRED_WEIGHTS else _INDEX
    if len(indexes) == 1:
        return indexes[0], _INDEX
    if weights and first_part(weights):
        return first_part(weights), "the first part of a split file"
    if len(weights) > 1 and are_shards(weights):
        raise SourceError(
            f"contains {len(weights)} shards ({excerpt(weights[0])}, ...) but no index"
            f" (a file whose name ends in {INDEX_ENDING})"
        )
    if len(weights) == 1:
        return weights[0], "the only one that is known"
    if len({_stem(name) for name in weights}) == 1:
        return min(weights, key=_rank), "the most precise form of one model"
    if not weights and listing.unread:
        name, reason = listing.unread[0]
        raise SourceError(f"contains no weights file that is read: {excerpt(name)} {reason}")
    if not weights:
        raise SourceError(
            "contains no weights file (weights.th, model.safetensors or another file of a model)"
        )
    raise _several(weights)


def _several(weights: Sequence[str]) -> SourceError:
    return SourceError(
        f"contains several weights files ({enumerated(_short(weights), _LISTED)})",
        Advice("weights_file", "choose one with {}"),
    )


def _short(names: Sequence[str]) -> list[str]:
    return [excerpt(name) for name in names]


def _split(name: str) -> tuple[str, str]:
    """Returns the stem of a file name and its variant, "" for none."""
    lower = name.lower()
    ending = max((x for x in WEIGHTS_ENDINGS if lower.endswith(x)), key=len, default="")
    stem = lower[: len(lower) - len(ending)]
    for variant in _VARIANTS[1:]:
        for mark in (".", "-", "_"):
            if stem.endswith(f"{mark}{variant}"):
                return stem[: -len(variant) - 1], variant
    return stem, ""


def _stem(name: str) -> str:
    return _split(name)[0]


def _rank(name: str) -> tuple[int, int, str]:
    """Returns the place of a file among those of the same model."""
    known = by_ending(name)
    place = FORMATS.index(known) if known in FORMATS else len(FORMATS)
    return _VARIANTS.index(_split(name)[1]), place, name


def are_variants(names: Collection[str]) -> bool:
    """Whether all these weights files are one model by their names, in different precision."""
    return len({_stem(name) for name in names}) == 1


def _same(directory: Optional[Path], name: str, chosen: str) -> bool:
    """Whether two names are links to one file."""
    try:
        return directory is not None and os.path.samefile(directory / name, directory / chosen)
    except OSError:
        return False


def choose_member(members: Sequence[str], wanted: Optional[str]) -> tuple[str, tuple[str, ...]]:
    """Like `choose`, for the members of an archive, which are judged by their names only."""
    states = [name for name in members if wanted is not None or not is_trainers_name(name)]
    if wanted is None and len(states) > 1 and are_shards(states):
        raise _several(states)  # no index of an archive is read
    return choose(Listing(weights=tuple(states)), wanted)
