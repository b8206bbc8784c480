"""Reads the persistent ids of a pickled checkpoint: each names a storage, or an unknown class."""

from typing import Optional

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.pickles.description import StorageRef, StorageType, Unknown
from allennlp_analyze.sources.pickles.integers import integer
from allennlp_analyze.text.lines import excerpt


def class_of(pid: object) -> Optional[Unknown]:
    """Returns the class of ("module", class, file, source), as torch wrote whole modules till 1.6.

    None for anything else, and for a class that is known: it needs no source.
    """
    if isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module":
        return pid[1] if isinstance(pid[1], Unknown) else None
    return None


def storage_of(pid: object) -> StorageRef:
    """Returns the storage of a persistent id: ("storage", type, key, location, size[, view])."""
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
        kind = pid[0] if isinstance(pid, tuple) and pid and isinstance(pid[0], str) else "unknown"
        raise CheckpointError(f"contains a {excerpt(kind)!r} object; which no tensor needs")
    kind, key, block_size = pid[1], pid[2], integer(pid[4], "storage's size")
    if not isinstance(kind, StorageType) or not isinstance(key, (str, int)):
        raise CheckpointError("a storage must be described by its type and key")
    start, size = 0, block_size
    if len(pid) > 5 and pid[5] is not None:
        view = pid[5]
        if not (isinstance(view, (tuple, list)) and len(view) == 3):
            raise CheckpointError(f"storage {excerpt(key)}: its view must have three parts")
        start, size = integer(view[1], "storage view"), integer(view[2], "storage view")
    if start + size > block_size:
        raise CheckpointError(f"storage {excerpt(key)}: its view reaches outside the storage")
    return StorageRef(str(key), kind.dtype, block_size, start, size)
