"""Makes the names of models distinct, and turns them into directory names."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence

from allennlp_analyze.zoo.manifest.entries import ZooEntry

MAX_SLUG = 100
SEPARATOR = "__"

# Digits of SHA-256 that distinguish similar names; all digits are used if these are not enough.
_DIGITS, _ALL_DIGITS = 12, 64
_PART = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9_-])?")
_LIKE_A_DIGEST = re.compile(rf"-(?:[0-9a-f]{{{_DIGITS}}}|[0-9a-f]{{{_ALL_DIGITS}}})\Z")
# Names of devices in Windows, with any text after the first dot.
_DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{port}{n}" for port in ("com", "lpt") for n in range(10)
}


def distinct(
    candidates: Sequence[Sequence[str]], taken: Collection[str] = frozenset()
) -> tuple[str, ...]:
    """Choose one name from each sequence, all different and none of `taken`.

    Each gets its first candidate that no other sequence has. If there is none, a number is added to
    the last candidate.
    """
    levels = [0] * len(candidates)
    while True:
        names = [options[level] for options, level in zip(candidates, levels)]
        wanted = Counter(names)
        clashes = [i for i, name in enumerate(names) if wanted[name] > 1 or name in taken]
        moved = [i for i in clashes if levels[i] + 1 < len(candidates[i])]
        if not moved:
            return _numbered(names, set(clashes), taken)
        for i in moved:
            levels[i] += 1


def _numbered(
    names: Sequence[str], clashes: Collection[int], taken: Collection[str]
) -> tuple[str, ...]:
    used = {*taken, *(name for i, name in enumerate(names) if i not in clashes)}
    counts: Counter[str] = Counter()
    found = []
    for i, name in enumerate(names):
        chosen = name
        while i in clashes and chosen in used:
            counts[name] += 1
            chosen = f"{name} ({counts[name] + 1})"
        used.add(chosen)
        found.append(chosen)
    return tuple(found)


def slugs(entries: Sequence[ZooEntry]) -> tuple[str, ...]:
    """Returns a directory name for each entry; the names of the entries must differ.

    A directory name has at most `MAX_SLUG` ASCII characters that every file system allows. It
    differs from the others in more than case, is not hidden, and is not a device of Windows. A
    lower-case name of letters, digits, dots, dashes and underscores is kept, with `SEPARATOR` for a
    slash; any other ends in a digest of the name. So the directory of a name does not depend on
    other models.
    """
    found = [_slug(entry.name, _DIGITS) for entry in entries]
    wanted = Counter(found)
    return tuple(
        slug if wanted[slug] == 1 else _slug(entry.name, _ALL_DIGITS)
        for slug, entry in zip(found, entries)
    )


def _slug(name: str, digits: int) -> str:
    parts = name.split("/")
    plain = SEPARATOR.join(parts)
    if (
        len(plain) <= MAX_SLUG
        and all(_PART.fullmatch(part) and SEPARATOR not in part for part in parts)
        and not _LIKE_A_DIGEST.search(plain)
        and not _is_device(plain)
    ):
        return plain
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
    return f"{_stem(plain)[: MAX_SLUG - 1 - digits]}-{digest}"


def _stem(text: str) -> str:
    """Returns the usable part of `text`: never empty, hidden, or the name of a device."""
    letters = unicodedata.normalize("NFKD", text[:MAX_SLUG]).encode("ascii", "ignore").decode()
    stem = re.sub(r"[^A-Za-z0-9._]+", "-", letters).strip("-._") or "model"
    return f"model-{stem}" if _is_device(stem) else stem


def _is_device(text: str) -> bool:
    return text.split(".")[0].lower() in _DEVICES
