"""Finds the layers of one model under the names that they have in another."""

from collections.abc import Collection, Iterable, Mapping
from typing import Optional

from allennlp_analyze.matrices.names import looked_through

# What PEFT puts before the names of the model that it wraps, and kohya's scripts before theirs.
_OF_PEFT = "base_model.model."
_OF_KOHYA = ("lora_unet_", "lora_te_", "lora_te1_", "lora_te2_", "lora_transformer_")


def counterparts(names: Iterable[str], others: Iterable[str]) -> dict[str, str]:
    """Returns the name among `others` of each of `names` that has one.

    It is the same name, or else the only one that is longer or shorter by leading modules
    ("encoder.layer.0.query" and "bert.encoder.layer.0.query"). Wrappers in a name do not count.
    """
    known = list(others)
    plain = {looked_through(other): other for other in reversed(known)}
    by_last: dict[str, list[str]] = {}
    for other in plain:
        by_last.setdefault(_last(other), []).append(other)
    exact = set(known)
    flat = {other.replace(".", "_"): other for other in known}
    found = {}
    for name in names:
        match = name if name in exact else None
        if match is None:
            seen = looked_through(name.removeprefix(_OF_PEFT))
            match = plain.get(_by_ending(seen, by_last, plain) or "")
        match = match or _of_kohya(name, flat)
        if match is not None:
            found[name] = match
    return found


def _by_ending(
    name: str, by_last: Mapping[str, list[str]], exact: Collection[str]
) -> Optional[str]:
    if name in exact:
        return name
    same = by_last.get(_last(name), ())
    longer = [other for other in same if other.endswith(f".{name}")]
    if longer:
        return longer[0] if len(longer) == 1 else None
    return max((other for other in same if name.endswith(f".{other}")), key=len, default=None)


def _of_kohya(name: str, flat: Mapping[str, str]) -> Optional[str]:
    for prefix in _OF_KOHYA:
        if name.startswith(prefix) and name[len(prefix) :] in flat:
            return flat[name[len(prefix) :]]
    return None


def _last(name: str) -> str:
    return name.rpartition(".")[2]
