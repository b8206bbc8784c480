"""Measure one model on a Dask cluster: the speed of two workers, and the memory of one of 1 GiB.

    python -m scripts.benchmarks.cluster [--matrices N] [--size M] [--repeats N] [--no-memory]

The model (written here) has N square float32 matrices. The workers have one thread each; runs with
one and with two take turns, and medians count. `measuring` is the wall time between the first and
the last matrix, as the report says it; `command` is that of the whole command. The numbers must be
those of a run without a cluster, or the script fails. Then one worker that may use 1 GiB analyzes a
layer of 14336 x 4096, and the most memory that it had is printed (Linux only).
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Optional

import numpy as np
from safetensors.numpy import save_file

from scripts.benchmarks.peak_memory import MIB, anonymous_mib, write_safetensors
from scripts.tools.generated import ROOT

# The goal: two workers reach at least this fraction of twice the speed of one.
EFFICIENCY = 0.85
LAYER = (14336, 4096)
LIMIT_MIB = 1024
SAMPLING_SECONDS = 0.02
WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class Seconds:
    """The wall time of the matrices, and of the whole command."""

    measuring: float
    command: float


def begin(*arguments: str) -> "subprocess.Popen[bytes]":
    """Begin a process of Dask that sees this checkout."""
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments, "--no-dashboard"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@contextlib.contextmanager
def cluster(folder: Path, workers: int, *options: str) -> Iterator[str]:
    """The address of a scheduler with so many workers of one thread each."""
    place = folder / "scheduler.json"
    place.unlink(missing_ok=True)
    own = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(place))
    processes = [begin("scheduler", *own)]
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not place.is_file() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)  # the file is written in one piece, but not at once
        address = str(json.loads(place.read_text(encoding="utf-8"))["address"])
        local = ("--local-directory", str(folder), "--nthreads", "1", *options)
        processes += [begin("worker", address, *local) for _ in range(workers)]
        wait_for(address, workers)
        yield address
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def wait_for(address: str, workers: int) -> None:
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=WAIT_SECONDS)


def analyze(model: Path, output: Path, address: Optional[str]) -> Seconds:
    """Run the command. Raises `subprocess.CalledProcessError`."""
    command = [sys.executable, "-m", "allennlp_analyze", str(model), "--output-dir", str(output)]
    command += ["--force", "--quiet", "--no-plots", *(["--dask", address] if address else [])]
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    timing = json.loads((output / "report.json").read_text(encoding="utf-8"))["timing"]
    return Seconds(timing["spectra"] + timing["fits"], seconds)


def speed(folder: Path, matrices: int, size: int, repeats: int) -> bool:
    """Print the seconds with one and with two workers; whether the goal is reached."""
    model = folder / "model.safetensors"
    rng = np.random.default_rng(0)
    save_file(
        {f"l{i}.weight": rng.standard_normal((size, size), np.float32) for i in range(matrices)},
        model,
    )
    analyze(model, folder / "local", None)
    expected = (folder / "local" / "singular_values.npz").read_bytes()
    found: dict[int, list[Seconds]] = {1: [], 2: []}
    print(f"{matrices} matrices of {size} x {size}\nworkers  measuring  command")
    for _ in range(repeats):
        for workers, runs in found.items():
            with cluster(folder, workers) as address:
                runs.append(analyze(model, folder / "there", address))
            if (folder / "there" / "singular_values.npz").read_bytes() != expected:
                raise SystemExit("the numbers are not those of a run without a cluster")
            print(f"{workers:7} {runs[-1].measuring:9.1f}s {runs[-1].command:7.1f}s", flush=True)
    one, two = (median(x.measuring for x in found[workers]) for workers in (1, 2))
    efficiency = one / (2 * two)
    reached = "reached" if efficiency >= EFFICIENCY else "missed"
    print(f"two workers do {efficiency:.0%} of twice one ({EFFICIENCY:.0%}: {reached}); same bits")
    return efficiency >= EFFICIENCY


def descendants(root: int) -> Iterator[int]:
    """Every process that `root` has begun, directly or not."""
    for children in Path("/proc").glob(f"{root}/task/*/children"):
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                yield int(child)
                yield from descendants(int(child))


def resident_mib(process: int) -> float:
    """All memory of a process, with the pages of mapped files."""
    with contextlib.suppress(OSError, IndexError):
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / MIB
    return 0.0


def memory(folder: Path) -> bool:
    """Print the most memory of a worker that may use LIMIT_MIB; whether it was enough."""
    model, output = folder / "layer.safetensors", folder / "layer"
    write_safetensors(model, *LAYER)
    with cluster(folder, 1, "--memory-limit", f"{LIMIT_MIB}MiB") as address:
        command = [sys.executable, "-m", "allennlp_analyze", str(model), "--output-dir"]
        with subprocess.Popen(
            [*command, str(output), "--force", "--quiet", "--dask", address],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        ) as process:
            most, anonymous = 0.0, 0.0
            own = {process.pid, *descendants(process.pid)}
            while process.poll() is None:
                others = set(descendants(os.getpid())) - own
                most = max([most, *map(resident_mib, others)])
                anonymous = max([anonymous, *map(anonymous_mib, others)])
                time.sleep(SAMPLING_SECONDS)
    report = json.loads((output / "report.json").read_text(encoding="utf-8"))
    is_measured = len(report["layers"]) == 1
    print(
        f"{LAYER[0]} x {LAYER[1]} on a worker of {LIMIT_MIB} MiB:"
        f" {'measured' if is_measured else 'left out'}, {most:.0f} MiB resident at most,"
        f" {anonymous:.0f} MiB of it anonymous"
    )
    return is_measured


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.cluster", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--matrices", type=int, default=24)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-memory", action="store_true", help="measure the speed only")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        reached = speed(Path(folder), args.matrices, args.size, args.repeats)
        enough = args.no_memory or memory(Path(folder))
    return 0 if reached and enough else 1


if __name__ == "__main__":
    sys.exit(main())
