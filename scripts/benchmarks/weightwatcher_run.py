"""Times WeightWatcher in a separate process for the speed benchmark.

The process runs in an interpreter that has weightwatcher and torch. It reads the name of a folder
of .npy files per line, analyzes a model whose Linear layers have these weights, and answers with a
line of JSON. It stays alive, so that its imports are neither timed nor repeated.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

LAST_WORDS = 2000  # bytes of the process's standard error to show when it fails


class PeerError(Exception):
    """The other interpreter has no WeightWatcher, or its analysis failed."""


class Peer:
    """The running process; `versions` of Python and of what takes part, in it."""

    def __init__(self, child: "subprocess.Popen[str]", errors: IO[bytes]) -> None:
        self._child = child
        self._errors = errors
        self.versions: dict[str, str] = self._answer()["versions"]

    def analyze(self, folder: Path) -> tuple[float, list[float]]:
        """Seconds of one `analyze(plot=False)` of the .npy files in `folder`, and the largest
        eigenvalue of each matrix. Raises `PeerError`."""
        if self._child.stdin is not None:
            print(folder, file=self._child.stdin, flush=True)
        answer = self._answer()
        return answer["seconds"], answer["largest"]

    def _answer(self) -> dict[str, Any]:
        line = self._child.stdout.readline() if self._child.stdout is not None else ""
        if not line:
            self._errors.seek(0)
            words = self._errors.read()[-LAST_WORDS:].decode(errors="replace").strip()
            raise PeerError(f"WeightWatcher's interpreter ended:\n{words}")
        return dict(json.loads(line))


@contextmanager
def start(python: str) -> Iterator[Peer]:
    """Run this file by the interpreter `python` until the block ends. Raises `PeerError`."""
    command = [python, os.path.abspath(__file__)]
    pipe = subprocess.PIPE
    with tempfile.TemporaryFile() as errors:
        try:
            child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True)
        except OSError as error:
            raise PeerError(f"{python}: {error.strerror}") from error
        with child:
            yield Peer(child, errors)


def serve() -> None:
    """Answer each line on standard input until it ends."""
    # WeightWatcher prints on standard output, at import too; that must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import numpy
    import torch
    import weightwatcher

    modules = (weightwatcher, torch, numpy)
    versions = {module.__name__: module.__version__ for module in modules}
    versions["python"] = platform.python_version()
    print(json.dumps({"versions": versions}), file=answers, flush=True)
    folder, model = "", None
    for line in sys.stdin:
        if line.strip() != folder:
            folder = line.strip()
            model = linear_model(folder)
        print(json.dumps(analyze(model)), file=answers, flush=True)


def linear_model(folder: str) -> Any:
    """A torch module with one Linear layer per .npy file, in the order of their names."""
    import numpy
    import torch

    layers = []
    for path in sorted(Path(folder).glob("*.npy")):
        weights = torch.from_numpy(numpy.load(path))
        rows, columns = weights.shape
        layer = torch.nn.Linear(columns, rows, bias=False, device="meta")
        layer.weight = torch.nn.Parameter(weights)
        layers.append(layer)
    return torch.nn.Sequential(*layers)


def analyze(model: Any) -> dict[str, Any]:
    """One analysis with WeightWatcher's defaults; only `analyze` is timed."""
    import weightwatcher

    watcher = weightwatcher.WeightWatcher(model=model)
    started = time.perf_counter()
    details = watcher.analyze(plot=False)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "largest": [float(value) for value in details["lambda_max"]]}


if __name__ == "__main__":
    serve()
