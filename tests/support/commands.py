"""Runs a command as a user does, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema

from allennlp_analyze.reports.json import schema

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = ROOT / "fixtures" / "ner-small.tar.gz"
# Of a child process: more threads than free cores would make small matrices take seconds.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def run_module(
    module: str, *arguments: str, cwd: Path = ROOT, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """`python -m module arguments`, the package being that of this checkout wherever `cwd` is."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def read_report(directory: Path) -> "dict[str, Any]":
    report = json.loads((directory / "report.json").read_text())
    jsonschema.Draft202012Validator(schema()).validate(report)
    assert isinstance(report, dict)
    return report
