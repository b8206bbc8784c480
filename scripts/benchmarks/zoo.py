"""Measure models per hour and memory of a zoo, with one worker on one core and two on two.

    python -m scripts.benchmarks.zoo [--corpus DIRECTORY] [--copies N] [--large N] [--reports N ...]

Two zoos: the corpus, each archive under N names, and one archive of the size of the NER model of
2018 (written here, 360 MB) under eight. Every name is downloaded, unpacked and analyzed separately.
The single worker is limited to one core, so that two workers can reach at most twice its speed. The
start-up time, measured with as many of the smallest models as there are workers, is subtracted. The
cost of the reports over N models is measured by resuming a zoo of N finished copies of one model.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from allennlp_analyze.zoo.manifest.reading import read_manifest, slugs
from scripts.benchmarks.peak_memory import anonymous_mib

ROOT = Path(__file__).resolve().parent.parent.parent
CORPUS = ROOT.parent / "shared" / "corpus"
SMALL = ROOT / "fixtures" / "ner-small.tar.gz"
WRITTEN = ("zoo.json", "zoo.csv", "index.html")
COMMAND = [sys.executable, "-m", "allennlp_analyze", "zoo"]
SAMPLING_SECONDS = 0.05
# The goal: two workers reach at least this fraction of twice the speed of one.
EFFICIENCY = 0.85


@dataclass(frozen=True)
class Measured:
    """One run of the command: wall seconds, and the most anonymous memory of all its processes."""

    seconds: float
    memory_mib: float
    models: int
    failed: int


def write_manifest(path: Path, archives: Sequence[Path], copies: int) -> None:
    """A CSV that names each archive `copies` times."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "path"))
        for copy in range(copies):
            writer.writerows((f"{copy}-{a.parent.name}-{a.name}", a) for a in archives)


def processes(root: int) -> Iterator[int]:
    """`root` and every process that it has begun, directly or not."""
    yield root
    for children in Path("/proc").glob(f"{root}/task/*/children"):
        try:
            for child in children.read_text().split():
                yield from processes(int(child))
        except OSError:
            continue


def run(manifest: Path, output: Path, workers: int, cores: int, begin: str = "--force") -> Measured:
    """Run the command on the first `cores` cores. Raises `SystemExit` where it says nothing."""
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    command = [*COMMAND, str(manifest), "--output-dir", str(output), begin, "--quiet"]
    started, most = time.perf_counter(), 0.0
    with subprocess.Popen(
        [*command, "--workers", str(workers)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    ) as process:
        while process.poll() is None:
            most = max(most, sum(map(anonymous_mib, processes(process.pid))))
            time.sleep(SAMPLING_SECONDS)
        seconds = time.perf_counter() - started
        if not (output / "zoo.json").is_file():
            said = process.stderr.read().decode() if process.stderr else ""
            raise SystemExit(f"{' '.join(command)}: {said}")
    totals = json.loads((output / "zoo.json").read_text(encoding="utf-8"))["totals"]
    return Measured(seconds, most, totals["n_models"], totals["n_failed"])


def measure(title: str, manifest: Path, small: Path, folder: Path, repeats: int) -> bool:
    """Print the rows of one zoo; whether the goal is reached. Runs take turns; medians count."""
    kinds = ((1, 1), (2, 2))
    found: dict[int, list[Measured]] = {workers: [] for workers, _ in kinds}
    for _ in range(repeats):
        for workers, cores in kinds:
            idle = run(small, folder / "start-up", workers, cores)
            busy = run(manifest, folder / "zoo", workers, cores)
            net = replace(busy, seconds=busy.seconds - idle.seconds)
            found[workers].append(net)
    rates = {}
    for workers, runs in found.items():
        middle = sorted(runs, key=lambda x: x.seconds)[len(runs) // 2]
        rates[workers] = 3600 * middle.models / middle.seconds
        print(
            f"{title:12} {workers:7} {middle.models:7} {middle.failed:7} {middle.seconds:8.1f}"
            f" {rates[workers]:12.0f} {max(x.memory_mib for x in runs):8.0f}",
            flush=True,
        )
    efficiency = rates[2] / (2 * rates[1])
    reached = "reached" if efficiency >= EFFICIENCY else "missed"
    print(f"{title}: two workers do {efficiency:.0%} of twice one ({EFFICIENCY:.0%}: {reached})")
    return efficiency >= EFFICIENCY


def reports_over(count: int, folder: Path) -> None:
    """Print what the reports over `count` models take: those of the demo, made different."""
    output = folder / f"reports-{count}"
    write_manifest(folder / "one.csv", [SMALL], 1)
    run(folder / "one.csv", output, 1, 1)
    (model,) = (output / "models").iterdir()
    manifest = folder / "many.csv"
    write_manifest(manifest, [SMALL], count)
    text = (model / "outcome.json").read_text(encoding="utf-8")
    outcome = json.loads(text)
    for index, slug in enumerate(slugs(read_manifest(str(manifest)).entries)):
        directory = output / "models" / slug
        directory.mkdir(exist_ok=True)
        for name in ("report.json", "layers.csv"):
            if not (directory / name).exists():
                os.link(model / name, directory / name)
        other = text.replace(outcome["sha256"], f"{index:064x}")
        other = other.replace(outcome["weights"], f"{index:064x}")
        (directory / "outcome.json").write_text(other, encoding="utf-8")
    found = run(manifest, output, 1, 2, "--resume")
    megabytes = {path.name: path.stat().st_size / 1e6 for path in output.iterdir()}
    sizes = ", ".join(f"{name} {megabytes[name]:.0f} MB" for name in WRITTEN)
    print(
        f"reports over {found.models} models of {len(outcome['layers'])} layers:"
        f" {found.seconds:.0f} s, {found.memory_mib:.0f} MiB; {sizes}",
        flush=True,
    )


def ner_archive(path: Path) -> Path:
    """An archive of the NER model's size, with random weights."""
    script = [sys.executable, "-m", "scripts.study.make_ner_archive", str(path)]
    subprocess.run(script, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return path


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.zoo",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="directory of archives")
    parser.add_argument("--copies", type=int, default=20, help="copies of the corpus (default: 20)")
    parser.add_argument("--large", type=int, default=8, help="NER-size archives (default: 8)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--reports", type=int, nargs="*", default=[1000], help="numbers of models (default: 1000)"
    )
    options = parser.parse_args(argv)
    if len(os.sched_getaffinity(0)) < 2:
        parser.error("this benchmark needs at least two cores")
    archives = sorted(options.corpus.rglob("*.tar.gz"), key=lambda path: path.stat().st_size)
    if not archives:
        parser.error(
            f"{options.corpus}: contains no archives; choose another directory with --corpus"
        )
    reached = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_manifest(folder / "small.csv", archives[:1], 2)
        print(f"{'zoo':12} workers  models  failed  seconds  models/hour      MiB", flush=True)
        if options.copies:
            write_manifest(folder / "corpus.csv", archives, options.copies)
            reached.append(
                measure(
                    f"corpus x {options.copies}",
                    folder / "corpus.csv",
                    folder / "small.csv",
                    folder,
                    options.repeats,
                )
            )
        if options.large:
            write_manifest(folder / "ner.csv", [ner_archive(folder / "ner.tar.gz")], options.large)
            reached.append(
                measure("ner", folder / "ner.csv", folder / "small.csv", folder, options.repeats)
            )
        for count in options.reports:
            reports_over(count, folder)
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())
