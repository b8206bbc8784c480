"""Picks one state dict of a file by its key, which may be a path with dots."""

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats.contents import Holders
from allennlp_analyze.sources.pickles.arrays import tensor_of
from allennlp_analyze.text.lines import excerpt

_SHOWN = 12
_MAX_PARTS = 20


def under_key(root: object, key: str, holders: Holders) -> object:
    """Returns what stands under `key`, "a" or "a.b". Raises `CheckpointError` if nothing does."""
    found = [root]
    rest = [key]
    # Keys may have dots, too: every beginning of the path that is a key is followed.
    for _ in range(_MAX_PARTS):
        following = [
            (value, left)
            for node, path in zip(found, rest)
            for name, value in holders.parts(node)
            for left in _remainder(path, name)
        ]
        whole = next((value for value, left in following if not left), None)
        if whole is not None:
            return whole
        found, rest = [x for x, _ in following[:_SHOWN]], [x for _, x in following[:_SHOWN]]
    listed = ", ".join(keys_of(root, holders)[:_SHOWN]) or "none"
    raise CheckpointError(f"has no tensors under the key {excerpt(key, 60)!r}; its keys: {listed}")


def _remainder(path: str, name: str) -> tuple[str, ...]:
    """What is left of `path` behind `name`, if it begins with it."""
    if path == name:
        return ("",)
    return (path[len(name) + 1 :],) if name and path.startswith(name + ".") else ()


def keys_of(root: object, holders: Holders) -> list[str]:
    """Returns the keys that hold tensors, and those one level deeper."""
    found: list[str] = []
    for name, value in holders.parts(root):
        if len(found) >= _SHOWN:
            break
        if tensor_of(value) is not None:
            continue
        found.append(excerpt(name, 40))
        for inner, part in holders.parts(value):
            if tensor_of(part) is None and len(found) < _SHOWN and isinstance(part, dict):
                found.append(f"{excerpt(name, 40)}.{excerpt(inner, 40)}")
    return found or [excerpt(name, 40) for name, _ in list(holders.parts(root))[:_SHOWN]]
