"""A finished model of a zoo is kept only while all that it was made from is the same."""

import json
import os
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from safetensors.numpy import save_file

from allennlp_analyze.cli.main import main
from tests.support.scripts import run_main

pytestmark = pytest.mark.newest_python

SHARD = "model-00001-of-00001.safetensors"
# Changes that are made together, and for each the models whose results are then out of date.
Change = tuple[Callable[[Path], object], set[str]]
TOGETHER: tuple[dict[str, Change], ...] = (
    {
        "weights file": (lambda d: weights(d / "other.safetensors", 7), {"outside"}),
        "reference": (lambda d: (d / "ref.csv").write_text("name,alpha\na,2.9\n"), {"compared"}),
        "shard": (lambda d: weights(d / "model" / SHARD, 7), {"directory"}),
        "shard behind an index": (lambda d: weights(d / "s" / SHARD, 7), {"index"}),
        "size and time kept": (lambda d: kept_times(d / "alone.safetensors", 7), {"alone"}),
        "link": (lambda d: relinked(d / "link", d / "v2"), {"link"}),
    },
    {
        "vocabulary": (
            lambda d: (d / "model" / "vocabulary" / "tokens.txt").write_text("x\n"),
            {"directory"},
        ),
        "configuration beside": (
            lambda d: (d / "config.json").write_text("{}"),
            {"alone", "compared"},
        ),
    },
    {
        "a report": (lambda d: truncated(reports(d, "alone") / "layers.csv"), {"alone"}),
        "no page": (lambda d: (reports(d, "index") / "report.html").unlink(), {"index"}),
    },
    {},
)


def weights(path, size):
    path.parent.mkdir(exist_ok=True)
    save_file({"a.weight": (size * np.random.default_rng(0).standard_normal((30, 9)))}, path)


def kept_times(path, size):
    before = path.stat()
    weights(path, size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def relinked(link, target):
    link.unlink()
    link.symlink_to(target.name)


def reports(root, model):
    return root / "out" / "models" / model


def truncated(path):
    path.write_bytes(path.read_bytes()[:40])


def made(root):
    """Write one model of each kind of files that a result depends on, and a manifest of them."""
    for name in ("other", "alone", "named"):
        weights(root / f"{name}.safetensors", 1)
    for name in ("v1", "v2"):
        weights(root / name / "model.safetensors", 1)
    (root / "link").symlink_to("v1")
    (root / "ref.csv").write_text("name,alpha\na,2.5\n")
    for folder in ("model", "s"):
        weights(root / folder / SHARD, 1)
        index = root / folder / "model.safetensors.index.json"
        index.write_text(json.dumps({"weight_map": {"a.weight": SHARD}}))
    (root / "model" / "vocabulary").mkdir()
    (root / "model" / "vocabulary" / "tokens.txt").write_text("x\n" * 29)
    entries = [
        {"name": "alone", "path": "alone.safetensors"},
        {"name": "compared", "path": "named.safetensors", "options": {"reference": "ref.csv"}},
        {"name": "directory", "path": "model"},
        {"name": "index", "path": "s/model.safetensors.index.json"},
        {"name": "link", "path": "link"},
        {"name": "outside", "path": "v1", "options": {"weights_file": "other.safetensors"}},
    ]
    (root / "zoo.yaml").write_text(json.dumps({"models": entries}))


def times(root):
    """When each report was written."""
    found = (root / "out").glob("models/*/report.json")
    return {path.parent.name: path.stat().st_mtime_ns for path in found}


def test_whatever_a_result_was_made_from_is_compared(tmp_path):
    made(tmp_path)
    output = ("--output-dir", tmp_path / "out", "--workers", "1", "--quiet")
    arguments = ("zoo", tmp_path / "zoo.yaml", *output)
    done = run_main(main, *arguments)
    assert done.returncode == 0, done.stderr
    for changes in TOGETHER:
        before = times(tmp_path)
        for make, _ in changes.values():
            make(tmp_path)
        again = run_main(main, *arguments, "--resume")
        assert again.returncode == 0, again.stderr
        now = times(tmp_path)
        anew = {name for name in now if now[name] != before[name]}
        assert anew == {name for _, names in changes.values() for name in names}, list(changes)
