"""Measure the memory of the command: write one large matrix, analyze it, and monitor the process.

The script measures the anonymous memory (RssAnon), because the system can drop pages of the mapped
weights file. Linux only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from allennlp_analyze.text.progress import progress_bar

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLING_SECONDS = 0.02
BLOCK_ROWS = 4096
MIB = 2**20
# The promised limit: this, plus two M x M matrices in float64 for each layer being measured.
PROMISED_MIB = 300
# What the interpreter of --weightwatcher-python runs on the same file.
PEER = """
import sys, safetensors.torch, torch, weightwatcher
(weight,) = safetensors.torch.load_file(sys.argv[1]).values()
layer = torch.nn.Linear(*weight.shape[::-1], bias=False)
layer.weight.data = weight
details = weightwatcher.WeightWatcher(model=torch.nn.Sequential(layer)).analyze()
sys.exit(len(details) != 1)
"""


@dataclass(frozen=True)
class Peak:
    """Largest memory of a process in MiB, and the seconds that it ran."""

    anonymous_mib: float
    seconds: float


def write_safetensors(path: Path, rows: int, columns: int) -> None:
    """One float32 matrix `weight` of normally distributed values, written a block at a time."""
    size = rows * columns * 4
    entry = {"dtype": "F32", "shape": [rows, columns], "data_offsets": [0, size]}
    header = json.dumps({"embedding.weight": entry}).encode()
    generator = np.random.default_rng(0)
    with path.open("wb") as file, progress_bar("row", rows, quiet=False) as bar:
        file.write(len(header).to_bytes(8, "little") + header)
        for start in range(0, rows, BLOCK_ROWS):
            count = min(BLOCK_ROWS, rows - start)
            file.write(generator.standard_normal((count, columns), dtype=np.float32).tobytes())
            bar.advance(count)


def anonymous_mib(pid: int) -> float:
    """Anonymous memory of a process now; 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(found[0]) * 1024 / MIB if found else 0.0


def watch(command: Sequence[str]) -> Peak:
    """Run `command` to its end. Raises `subprocess.CalledProcessError` when it fails."""
    started, most = time.perf_counter(), 0.0
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        most = max(most, anonymous_mib(process.pid))
        time.sleep(SAMPLING_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Peak(most, time.perf_counter() - started)


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.peak_memory",
        description=__doc__,
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=1024)
    parser.add_argument(
        "--weightwatcher-python", metavar="PYTHON", help="measure WeightWatcher, too, which it has"
    )
    args = parser.parse_args(argv)
    peer = None
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.safetensors"
        write_safetensors(path, args.rows, args.columns)
        command = [sys.executable, "-m", "allennlp_analyze", str(path), "--output-dir", directory]
        peak = watch(command)
        if args.weightwatcher_python:
            peer = watch([args.weightwatcher_python, "-c", PEER, str(path)])
        megabytes = path.stat().st_size / 1e6
    smaller = min(args.rows, args.columns)
    promised = PROMISED_MIB + 2 * 8 * smaller**2 / MIB
    print(
        f"{args.rows} x {args.columns} float32, {megabytes:.0f} MB on disk: {peak.seconds:.0f} s,"
        f" at most {peak.anonymous_mib:.0f} MiB of anonymous memory (promised: {promised:.0f})"
    )
    if peer is not None:
        print(f"weightwatcher: {peer.seconds:.0f} s, at most {peer.anonymous_mib:.0f} MiB")
    return 0 if peak.anonymous_mib <= promised else 1


if __name__ == "__main__":
    sys.exit(main())
