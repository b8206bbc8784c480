"""Small archives for the tests of the zoo, and the command on them."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import torch

from allennlp_analyze.cli.main import main
from allennlp_analyze.reports.loader import load_report
from tests.support.commands import ROOT
from tests.support.scripts import run_main
from tests.support.waiting import PATIENCE

COMMAND = [sys.executable, "-m", "allennlp_analyze", "zoo"]


def write_archive(
    path: Path, seed: int, layers: int = 2, shape: tuple[int, int] = (60, 40), level: int = 6
) -> Path:
    """An archive of `layers` random matrices; `level` is gzip's."""
    generator = torch.Generator().manual_seed(seed)
    state = {
        f"layer_{index}.{name}": value
        for index in range(layers)
        for name, value in (
            ("weight", torch.randn(*shape, generator=generator)),
            ("bias", torch.zeros(shape[0])),
        )
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        torch.save(state, folder / "weights.th")
        (folder / "config.json").write_text(json.dumps({"model": {"type": "random"}}))
        with tarfile.open(path, "w:gz", compresslevel=level) as tar:
            for name in ("config.json", "weights.th"):
                tar.add(folder / name, name)
    return path


class ZooCommand:
    """`allennlp-analyze zoo` in a process and a directory for temporary files of its own."""

    def __init__(self, temporary: Path, *arguments: Any) -> None:
        temporary.mkdir(exist_ok=True)
        self.temporary = temporary
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(temporary), "OPENBLAS_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def end(self) -> "subprocess.CompletedProcess[str]":
        output, errors = self.process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(
            self.process.args, self.process.returncode, output, errors
        )

    def signal_group(self, number: int) -> None:
        """As Ctrl-C in a terminal: every process of the command gets it."""
        os.killpg(self.process.pid, number)

    def left_over(self) -> list[Path]:
        """What is still in its directory for temporary files."""
        return list(self.temporary.rglob("*"))

    def group_is_alive(self) -> bool:
        try:
            os.killpg(self.process.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def run_zoo_command(temporary: Path, *arguments: Any) -> "subprocess.CompletedProcess[str]":
    return ZooCommand(temporary, *arguments).end()


def outcomes(zoo: Path) -> dict[str, dict[str, Any]]:
    """The models of zoo.json by name."""
    contents = json.loads((zoo / "zoo.json").read_text(encoding="utf-8"))
    return {model["name"]: model for model in contents["models"]}


def finished(zoo: Path) -> list[Path]:
    """The outcomes of models that are done or failed."""
    return sorted(zoo.glob("models/*/outcome.json"))


def zoo_here(*arguments: object) -> "subprocess.CompletedProcess[str]":
    """The command in this process, which starts one that analyzes unless it is told of more."""
    one = () if "--workers" in arguments else ("--workers", "1")
    return run_main(main, "zoo", *arguments, *one)


def state(zoo: Path) -> dict[str, int]:
    """When each report was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in zoo.glob("models/*/report.json")}


def reports(zoo: Path) -> dict[str, Any]:
    """The layers of each model, by name."""
    return {
        name: load_report(zoo / model["directory"]).layers
        for name, model in outcomes(zoo).items()
        if model["status"] == "done"
    }


def same(ours: Any, theirs: Any) -> bool:
    """Whether layers are the same to the last bit."""
    values = ((mine.singular_values, other.singular_values) for mine, other in zip(ours, theirs))
    return ours == theirs and all((mine == other).all() for mine, other in values)


INTERRUPT, TERMINATE, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGKILL
