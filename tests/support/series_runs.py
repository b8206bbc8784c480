"""Checkpoints of real trainings, and of matrices whose state is known."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tests.support.commands import ROOT

LAYERS = ("head", "body")


def checkpoint(path: Path, lost: int = 0, seed: int = 0, size: float = 1.0) -> Path:
    """Two random matrices; the last `lost` directions of `body` are scaled by 1e-6."""
    rng = np.random.default_rng(seed)
    body = rng.standard_normal((60, 40))
    left, values, right = np.linalg.svd(body, full_matrices=False)
    values[len(values) - lost :] *= 1e-6
    weights = {
        "head.weight": size * rng.standard_normal((50, 30)),
        "body.weight": size * (left * values) @ right,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    save_file({name: value.astype(np.float64) for name, value in weights.items()}, temporary)
    os.replace(temporary, path)
    return path


def started(*arguments: Any) -> "subprocess.Popen[str]":
    """`allennlp-analyze series` in a process that Ctrl-C ends."""
    return subprocess.Popen(
        [sys.executable, "-m", "allennlp_analyze", "series", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
