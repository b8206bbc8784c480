"""Changes the files of a report at random, but always the same for one seed."""

import copy
import io
import json
import random
import zipfile
from pathlib import Path
from typing import Any

ODD: "list[Any]" = [
    None,
    True,
    0,
    -1,
    1e308,
    -1e-320,
    10**30,
    float("nan"),
    float("inf"),
    "",
    "x" * 5000,
    "\x00\x1b[31m\n",
    "\ud800",
    "full_rank",
    [],
    {},
    [[]],
    {"a": None},
    [1, 2, 3],
]


def _places(value: Any, path: "tuple[Any, ...]" = ()) -> "list[tuple[Any, ...]]":
    found = [path] if path else []
    if isinstance(value, dict):
        for key in value:
            found += _places(value[key], (*path, key))
    elif isinstance(value, list):
        for index in range(len(value)):
            found += _places(value[index], (*path, index))
    return found


def mutated_json(text: bytes, draw: random.Random) -> bytes:
    """Replaces, removes, repeats or renames values, or changes bytes."""
    if draw.random() < 0.15:
        return mutated_bytes(text, draw)
    report = copy.deepcopy(json.loads(text))
    for _ in range(draw.choice([1, 1, 1, 2, 5])):
        places = _places(report)
        *path, last = draw.choice(places)
        parent = report
        for step in path:
            parent = parent[step]
        kind = draw.random()
        if kind < 0.6:
            parent[last] = copy.deepcopy(draw.choice(ODD))
        elif kind < 0.8:
            del parent[last]
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(parent[last]))
        else:
            other = draw.choice(places)
            found = report
            for step in other:
                found = found[step] if not isinstance(found, (str, int, type(None))) else found
            parent[last] = copy.deepcopy(found)
    return json.dumps(report).encode("utf-8", "surrogatepass")


def mutated_bytes(content: bytes, draw: random.Random) -> bytes:
    """Changes, cuts or repeats a few bytes."""
    changed = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 8])):
        at = draw.randrange(len(changed) + 1)
        kind = draw.random()
        if kind < 0.6 and at < len(changed):
            changed[at] = draw.randrange(256)
        elif kind < 0.7:
            del changed[at:]
        elif kind < 0.85:
            del changed[at : at + draw.randrange(1, 20)]
        else:
            changed[at:at] = changed[at : at + draw.randrange(1, 20)]
        if not changed:
            changed = bytearray(b"\0")
    return bytes(changed)


def mutated_npz(content: bytes, draw: random.Random) -> bytes:
    """Changes the file, or one of the arrays in it under a correct checksum."""
    if draw.random() < 0.4:
        return mutated_bytes(content, draw)
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(target, "w") as new:
        records = old.namelist()
        chosen = draw.choice(records)
        for name in records:
            data = old.read(name)
            new.writestr(name, mutated_bytes(data[:200], draw) if name == chosen else data)
    return target.getvalue()


def write_mutation(original: Path, target: Path, seed: int) -> None:
    """Writes report.json and singular_values.npz of `original` to `target`, one of them changed."""
    draw = random.Random(seed)
    values = (original / "singular_values.npz").read_bytes()
    report = (original / "report.json").read_bytes()
    if draw.random() < 0.75:
        report = mutated_json(report, draw)
    else:
        values = mutated_npz(values, draw)
    (target / "report.json").write_bytes(report)
    (target / "singular_values.npz").write_bytes(values)
