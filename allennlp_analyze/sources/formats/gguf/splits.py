"""Knows the names of the parts of a GGUF file that llama.cpp has split."""

import re
from collections.abc import Collection
from pathlib import Path

MAX_PARTS = 1000
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def parts_of(path: Path) -> tuple[Path, ...]:
    """Returns the paths of all parts of the split file that `path` is a part of, by its name.

    Returns () for another file; parts may be missing.
    """
    found = _PART.fullmatch(path.name)
    count = int(found["count"]) if found else 1
    if found is None or not 1 < count <= MAX_PARTS:
        return ()
    return tuple(
        path.with_name(f"{found['stem']}-{number:05d}-of-{count:05d}.gguf")
        for number in range(1, count + 1)
    )


def number_of(path: Path) -> int:
    """Returns the number, from 1, of the part that `path` is called; 0 for another file."""
    found = _PART.fullmatch(path.name)
    return int(found["number"]) if found else 0


def is_later_part(name: str, names: Collection[str]) -> bool:
    """Whether `name` is another part than the first of a split file that is in `names`."""
    parts = parts_of(Path(name))
    return bool(parts) and parts[0].name != name and parts[0].name in names


def first_part(names: Collection[str]) -> str:
    """Returns the first part if `names` are the parts of one split file, "" if they are not."""
    parts = [part.name for part in parts_of(Path(next(iter(names), "")))]
    return parts[0] if parts and set(names) == set(parts) else ""
