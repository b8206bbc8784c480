"""Compare everything that two versions of this tool wrote for the same models.

    python -m scripts.tools.compare_outputs BEFORE AFTER

BEFORE and AFTER are directories with the outputs of the two versions (of single runs, zoos or
comparisons, in any folders). Every JSON value, CSV cell and NPZ array must be the same to the last
bit, except timings, tool versions and the keys of NEW, which only AFTER may have. Texts that people
read (TEXTS) may differ; each pair of texts is printed once. Exits with 1 if a value differs.
"""

import argparse
import csv
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np

# Keys that only the newer version writes.
NEW = frozenset({"entropy"})
# Values that no two runs share.
UNSTABLE = frozenset({"tool", "timing", "seconds", "resolved", "request"})
# Sentences, which may be worded differently.
TEXTS = frozenset(
    {
        "sentence",
        "reason",
        "warnings",
        "new_warnings",
        "gone_warnings",
        "power_law_note",
        "title",
        "claim",
        "note",
        "rule",
        "found",
        "published",
    }
)
SUFFIXES = (".json", ".csv", ".npz")
SHOWN = 20


@dataclass
class Tally:
    """What was compared so far, what differs, and the texts that were reworded."""

    files: int = 0
    values: int = 0
    new: int = 0
    differences: list[str] = field(default_factory=list)
    reworded: dict[str, str] = field(default_factory=dict)


def flat(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every leaf of a JSON value with the keys that lead to it."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from flat(item, (*path, str(key)))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from flat(item, (*path, str(index)))
    else:
        yield path, value


def leaves(path: Path) -> dict[tuple[str, ...], Any]:
    """Every value of one output file by its place in it."""
    if path.suffix == ".json":
        return dict(flat(json.loads(path.read_text(encoding="utf-8"))))
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            rows = enumerate(csv.DictReader(file))
            return {(str(row), key): cell for row, cells in rows for key, cell in cells.items()}
    with np.load(path, allow_pickle=False) as arrays:
        return {(key,): (array.dtype.str, array.tobytes()) for key, array in arrays.items()}


def compare_files(before: Path, after: Path, name: str, tally: Tally) -> None:
    """Add what differs between two versions of one file to `tally`."""
    old, new = leaves(before), leaves(after)
    tally.files += 1
    for place in [*old, *(place for place in new if place not in old)]:
        keys = set(place)
        if keys & UNSTABLE:
            continue
        if place not in old and keys & NEW:
            tally.new += 1
            continue
        one, other = old.get(place), new.get(place)
        tally.values += 1
        if one == other and (place in old) == (place in new):
            continue
        if keys & TEXTS and all(value is None or isinstance(value, str) for value in (one, other)):
            tally.reworded[pattern(one)] = pattern(other)
        else:
            tally.differences.append(f"{name}: {'.'.join(place)}: {one!r:.60} -> {other!r:.60}")


def pattern(text: Optional[str]) -> str:
    """`text` without its numbers, so that each wording is shown once."""
    return "(nothing)" if text is None else re.sub(r"\d[\d.e+-]*", "#", text)


def compare_directories(before: Path, after: Path) -> Tally:
    """Compare all outputs below two directories."""
    tally = Tally()
    sides = [
        {p.relative_to(root).as_posix(): p for p in root.rglob("*") if p.suffix in SUFFIXES}
        for root in (before, after)
    ]
    for name in sorted({*sides[0], *sides[1]}):
        if name in sides[0] and name in sides[1]:
            compare_files(sides[0][name], sides[1][name], name, tally)
        else:
            tally.differences.append(f"{name}: only {'before' if name in sides[0] else 'after'}")
    return tally


def main(argv: Optional[list[str]] = None) -> int:
    """Print what differs; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.tools.compare_outputs", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("before", metavar="BEFORE", type=Path)
    parser.add_argument("after", metavar="AFTER", type=Path)
    options = parser.parse_args(argv)
    for directory in (options.before, options.after):
        if not directory.is_dir():
            print(f"error: {directory}: not a directory", file=sys.stderr)
            return 2
    tally = compare_directories(options.before, options.after)
    print(f"{tally.files} files, {tally.values} values compared, {tally.new} new values")
    for old, new in sorted(tally.reworded.items()):
        print(f"reworded: {old}\n      to: {new}")
    for line in tally.differences[:SHOWN]:
        print(f"differs: {line}")
    print(f"{len(tally.differences)} differences, {len(tally.reworded)} texts reworded")
    return 1 if tally.differences else 0


if __name__ == "__main__":
    sys.exit(main())
