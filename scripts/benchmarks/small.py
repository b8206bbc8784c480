"""Measure many small matrices: what each stage costs beside LAPACK, the memory, and the files.

Writes a mixture of experts, analyzes it with the command, and then again in this process, one
matrix at a time, with the time of each stage taken.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Optional

import numpy as np

from allennlp_analyze.analysis import measure, pipeline, writing
from allennlp_analyze.analysis.journal import Journal
from allennlp_analyze.analysis.request import Reading, Writing
from allennlp_analyze.linalg import gram
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources import opening
from scripts.benchmarks.peak_memory import MIB, watch
from scripts.benchmarks.profiling import Stages, seconds_of

EXPERTS, PROJECTIONS = 256, ("gate_proj", "up_proj", "down_proj")
LAPACK = "BLAS and LAPACK"
# Where each stage is looked up when it is called. A stage counts without those before it: "spectra"
# is what spectra take beside LAPACK.
STAGES: Stages = {
    LAPACK: [(gram, "add_gram"), (gram, "symmetric_eigenvalues"), (np.linalg, "svd")],
    "SHA-256 of the file": [(opening, "sha256_of")],
    "spectra": [(measure, "_spectrum")],
    "power laws": [(measure, "fit_power_law")],
    "bulks": [(measure, "marchenko_pastur")],
    "metrics": [(measure, "compute_metrics")],
    "verdicts": [(measure, "verdict_on")],
    "results": [(measure, "describe")],
    "journal": [(Journal, "add")],
    "summary": [(pipeline, "summarize")],
    "layers.csv": [(writing, "write_csv")],
    "singular_values.npz": [(writing, "write_npz")],
    "report.html": [(writing, "write_html")],
    "report.json": [(writing, "write_json"), (writing, "write_timing")],
}


def write_model(path: Path, number: int, rows: int, columns: int) -> None:
    """Write `number` matrices of Gaussian entries in float32, named as those of experts are."""
    size, header = 4 * rows * columns, {}
    for index in range(number):
        layer, place = divmod(index, EXPERTS * len(PROJECTIONS))
        expert, projection = divmod(place, len(PROJECTIONS))
        name = f"model.layers.{layer}.mlp.experts.{expert}.{PROJECTIONS[projection]}.weight"
        offsets = [index * size, (index + 1) * size]
        header[name] = {"dtype": "F32", "shape": [rows, columns], "data_offsets": offsets}
    text = json.dumps(header).encode("ascii")
    generator = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _ in range(number):
            file.write((generator.standard_normal((rows, columns), np.float32) / 50).tobytes())


def stages_of(model: Path, directory: Path) -> dict[str, float]:
    """CPU seconds of each stage of the analysis of `model`, one matrix at a time."""
    reading, written = Reading(str(model)), Writing(directory, force=True)
    work = partial(pipeline.run, reading, written, Settings(jobs=1))
    # Another thread waits for the next result, and adds it to the journal.
    return seconds_of(STAGES, work, time.thread_time, time.process_time)


def lines(number: int, seconds: dict[str, float]) -> Iterator[str]:
    """Yields a line for each stage, in milliseconds for each matrix."""
    total, lapack = sum(seconds.values()), seconds[LAPACK]
    yield f"one at a time, {total:.1f} CPU s      ms each  x LAPACK"
    for stage, one in (*seconds.items(), ("all", total)):
        yield f"{stage:<32} {1000 * one / number:>8.3f} {one / lapack:>9.2f}"


def command_lines(number: int, model: Path, directory: Path, lapack: float) -> Iterator[str]:
    """Runs the command on `model`; yields its time, its memory and the sizes of its files.

    `lapack` is the number of seconds that BLAS and LAPACK take on one core.
    """
    command = [sys.executable, "-m", "allennlp_analyze", str(model), "--output-dir", str(directory)]
    peak = watch([*command, "--force"])
    cores = os.cpu_count() or 1
    timing: dict[str, Any] = json.loads((directory / "report.json").read_text())["timing"]
    parts = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in timing.items() if seconds > 0)
    yield (
        f"command: {peak.seconds:.1f} s, {1000 * peak.seconds / number:.2f} ms for each matrix;"
        f" BLAS and LAPACK on {cores} cores: {lapack / cores:.1f} s"
    )
    yield f"stages: {parts}"
    yield f"at most {peak.anonymous_mib:.0f} MiB of anonymous memory"
    for path in sorted(directory.iterdir()):
        size = path.stat().st_size
        yield f"{path.name}: {size / MIB:.1f} MiB, {size / number:.0f} bytes for each matrix"


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.benchmarks.small", description=__doc__)
    parser.add_argument("number", type=int, help="how many matrices")
    parser.add_argument("rows", type=int, help="of each matrix")
    parser.add_argument("columns", type=int, help="of each matrix")
    parser.add_argument("--sample", type=int, help="take the times of the stages with so many only")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        sample = min(args.sample or args.number, args.number)
        directory, model = Path(temporary) / "reports", Path(temporary) / "model.safetensors"
        write_model(model, sample, args.rows, args.columns)
        seconds = stages_of(model, directory)
        print(f"{args.number} matrices of {args.rows} x {args.columns}")
        print("\n".join(lines(sample, seconds)), flush=True)
        if sample < args.number:
            write_model(model, args.number, args.rows, args.columns)
        lapack = seconds[LAPACK] / sample * args.number
        print("\n".join(command_lines(args.number, model, directory, lapack)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
