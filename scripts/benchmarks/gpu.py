"""Check and time the analysis on a GPU against the processor, and write one JSON.

    python -m scripts.benchmarks.gpu OUTPUT.json [--device cuda:0] [--quick] [--seconds 270]

`scripts/benchmarks/gpu.sh` installs what is missing first. The JSON is written after every step, so
that one which is interrupted has what was measured until then. `--device cpu --quick` tries all of
it without a GPU.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Callable, Optional

from allennlp_analyze.analysis.measure import Analysis, analyze
from allennlp_analyze.errors import OutputError
from allennlp_analyze.linalg.cuda import OnDevice
from allennlp_analyze.linalg.lanes import Lane, free_memory, needed_memory
from allennlp_analyze.linalg.machine import seconds as estimated
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.blocks import Entries
from allennlp_analyze.storage.files import make_directory, write_text
from allennlp_analyze.text.lines import one_line
from scripts.benchmarks.gpu_checks import agreement, cases, checked
from scripts.benchmarks.speed_report import machine
from scripts.benchmarks.work import WORKS, Work, draw, layers_of

TIMED = ("ner", "llama-block", "moe")
SEED = 2018
# Of each contestant on the device; the first one also compiles and allocates.
ROUNDS = 3
# `--quick`: the sides are divided by so much, and so many matrices are left.
SHRUNK, FEW = 8, 6
Step = tuple[str, Callable[[], dict[str, Any]]]


def steps(device: Any, quick: bool) -> Iterator[Step]:
    """The steps by name; each returns what the JSON says of it, with `passed`."""

    def check(case: str, layers: list[WeightMatrix]) -> dict[str, Any]:
        found = checked(case, layers, device)
        return {**asdict(found), "passed": found.passed}

    for case, layers in cases(quick):
        yield f"check: {case}", lambda case=case, layers=layers: check(case, layers)
    for name in TIMED:
        work = shrunk(WORKS[name]) if quick else WORKS[name]
        yield f"time: {name}", lambda work=work: timed(work, device)


def shrunk(work: Work) -> Work:
    """A small work of the same kind."""
    small = tuple((max(n // SHRUNK, 300), max(m // SHRUNK, 260)) for n, m in work.shapes[:FEW])
    return replace(work, shapes=small)


def timed(work: Work, device: Any) -> dict[str, Any]:
    """Seconds from stored matrices to finished results, on the processor and on the device."""
    layers = layers_of(draw(work, SEED), work.dtype)
    warnings: list[str] = []
    device_runs = {
        "overlapped, in groups": OnDevice(device, warnings.append),
        "one at a time": OnDevice(device, warnings.append, at_once=1, small=0),
    }
    started = time.perf_counter()
    expected = analyze(layers, Settings())
    found: dict[str, Any] = {"processor": [time.perf_counter() - started]}
    agreements = []
    for name, solver in device_runs.items():
        found[name] = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            last: Analysis = analyze(layers, Settings(), solver)
            found[name].append(time.perf_counter() - started)
        agreements.append(agreement(name, last, expected, warnings))
    return {
        "work": work.name,
        "about": work.about,
        "matrices": len(layers),
        "stored_bytes": sum(one.stored().nbytes for one in layers),
        "seconds": found,
        "largest": one_matrix(max(layers, key=lambda one: estimated(one.shape)), device),
        "agreements": [asdict(one) for one in agreements],
        "passed": all(one.passed for one in agreements),
    }


def one_matrix(matrix: WeightMatrix, device: Any) -> dict[str, Any]:
    """Where the time of one matrix on the device goes, and the memory that it takes there."""
    import torch

    entries, lane = Entries(matrix.stored(), matrix.decode), Lane(device)
    with lane.is_current():
        lane.spectra([entries], 1.0)  # to allocate and compile
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        before = 0 if device.type != "cuda" else torch.cuda.memory_allocated(device)
        started = time.perf_counter()
        (found,) = lane.spectra([entries], 1.0)
        whole = time.perf_counter() - started
        assert found is not None
        gram = torch.from_numpy(found.matrix).to(device)
        peak = None if device.type != "cuda" else torch.cuda.max_memory_allocated(device) - before
        started = time.perf_counter()
        torch.linalg.eigvalsh(gram).cpu()
        eigenvalues = time.perf_counter() - started
    return {
        "shape": list(matrix.shape),
        "seconds": whole,
        "seconds_of_eigenvalues": eigenvalues,
        "peak_bytes": peak,
        "estimated_bytes": needed_memory([entries]),
    }


def describe(device: Any) -> dict[str, Any]:
    import torch

    facts = {"device": str(device), "torch": torch.__version__, "cuda": torch.version.cuda}
    facts["name"] = torch.cuda.get_device_name(device) if device.type == "cuda" else "processor"
    return {**facts, "free_bytes": free_memory(device)}


def device_of(name: str) -> Any:
    """Returns the torch device. Raises `ValueError` with one line if there is none."""
    try:
        import torch
    except ImportError:
        raise ValueError("no GPU: torch is not installed; nothing was measured") from None
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"--device: {name!r} is no device of torch") from None
    if device.type not in ("cuda", "cpu"):
        raise ValueError(f"--device: {name!r} is not used by the analysis; use cuda:N or cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"no GPU: torch {torch.__version__} finds no {name}; nothing was measured")
    return device


def measure(device: Any, quick: bool, limit: int, write: Callable[[dict[str, Any]], None]) -> bool:
    """Take all steps, as far as `limit` seconds go; returns whether all were taken and passed."""
    started = time.perf_counter()
    signal.signal(signal.SIGALRM, _too_late)
    found: dict[str, Any] = {
        "device": describe(device),
        "machine": machine(None),
        "quick": quick,
        "steps": [],
        "not_run": [],
    }
    for name, step in steps(device, quick):
        one = _taken(step, started + limit - time.perf_counter())
        if one is None:
            found["not_run"].append(name)
            print(f"{name}: no time left", flush=True)
        else:
            found["steps"].append({"step": name, **one})
            print(f"{name}: {'passed' if one['passed'] else 'FAILED'}", flush=True)
        passed = not found["not_run"] and all(one["passed"] for one in found["steps"])
        write({**found, "seconds": time.perf_counter() - started, "passed": passed})
    return passed


def _taken(step: Callable[[], dict[str, Any]], seconds: float) -> Optional[dict[str, Any]]:
    """Returns what the step found within so many seconds, or its error; None if it took longer."""
    if seconds <= 0:
        return None
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            return step()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except TimeoutError:
        return None
    except Exception as error:  # the other steps are worth their time
        return {"passed": False, "error": one_line(f"{type(error).__name__}: {error}", 500)}


def _too_late(signum: int, frame: object) -> None:
    raise TimeoutError


def parse(argv: Optional[list[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.gpu",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument("output", type=Path, help="the JSON to write")
    parser.add_argument("--device", default="cuda:0", help="a device of torch: cuda:N, or cpu")
    parser.add_argument("--quick", action="store_true", help="small matrices, to try the script")
    parser.add_argument("--seconds", type=int, default=270, help="stop after so many (default 270)")
    return parser.parse_args(argv)


def main(argv: Optional[list[str]] = None) -> int:
    options = parse(argv)

    def write(found: dict[str, Any]) -> None:
        write_text(options.output, json.dumps(found, indent=2, default=str) + "\n")

    try:
        device = device_of(options.device)
        make_directory(options.output.parent)
        passed = measure(device, options.quick, options.seconds, write)
    except (ValueError, OutputError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"Written: {options.output}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
