"""Build the release twice, compare the bytes, and run the demo in fresh environments.

    python -m scripts.tools.release_check [--keep DIRECTORY]

Sources are the last commit. The files go to dist/. It takes minutes: one environment has AllenNLP.
"""

import argparse
import csv
import hashlib
import math
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

from scripts.tools.generated import ROOT

DEMO = "fixtures/ner-small.tar.gz"
BUILD = "from setuptools import build_meta as b; print(b.build_{}({!r}))"
# These read the parts of the repository that are not in the wheel.
TESTS = (
    "tests/architecture/test_packaging.py",
    "tests/docs/test_documents.py",
    "tests/reports/test_csv.py",
)
TOLERANCE = 1e-6  # of numbers, between the versions of numpy and scipy of the two worlds


class Failure(Exception):
    """Why this is no release, in one line."""


def run(command: Sequence[object], cwd: Path, **environment: str) -> str:
    """The standard output of `command`. Raises `Failure` with the end of its errors."""
    words = [str(word) for word in command]
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        words, cwd=cwd, env={**clean, **environment}, capture_output=True, text=True
    )
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise Failure(f"{' '.join(words)} failed with exit code {done.returncode}:\n{last}")
    return done.stdout


def unpacked(folder: Path) -> Path:
    """The sources of the last commit in a new folder."""
    folder.mkdir(parents=True)
    archive = folder.with_suffix(".tar")
    # Wheels record the permissions of files; by default group has those of the owner here.
    run(["git", "-c", "tar.umask=0022", "archive", "-o", archive, "HEAD"], ROOT)
    return unpack(archive, folder)


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack what git or this script has made."""
    with tarfile.open(archive) as members:
        members.extractall(folder)
    return folder


def build(sources: Path, what: str, into: Path, epoch: str) -> Path:
    """The "sdist" or "wheel" of `sources`, made by the setuptools of this environment."""
    into.mkdir(exist_ok=True)
    code = BUILD.format(what, str(into))
    printed = run([sys.executable, "-c", code], sources, SOURCE_DATE_EPOCH=epoch)
    return into / printed.splitlines()[-1]


def built(work: Path) -> tuple[Path, Path]:
    """The sdist and the wheel, after both were built twice. Raises `Failure` where they differ."""
    epoch = run(["git", "log", "-1", "--format=%ct"], ROOT).strip()
    # Different places, different times of the files.
    first, second = unpacked(work / "one"), unpacked(work / "elsewhere" / "two")
    for path in second.rglob("*"):
        os.utime(path, (int(epoch) + 5, int(epoch) + 5))
    files = []
    for what in ("sdist", "wheel"):
        pair = [build(x, what, work / f"{what}-{x.name}", epoch) for x in (first, second)]
        same(*pair)
        files.append(pair[0])
    sdist, wheel = files
    [inside] = unpack(sdist, work / "sdist-unpacked").iterdir()
    same(wheel, build(inside, "wheel", work / "wheel-of-sdist", epoch))
    run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS], inside)
    return sdist, wheel


def same(one: Path, other: Path) -> None:
    if one.name != other.name or one.read_bytes() != other.read_bytes():
        raise Failure(f"{one} and {other} are not the same bytes")


def environment(which: str, folder: Path, wheel: Path, constraints: Optional[str]) -> Path:
    """A new environment of `which` Python with nothing but the wheel; its folder of commands."""
    python = run([ROOT / "scripts" / "tools" / "find_python.sh", which], ROOT).strip()
    started = time.perf_counter()
    run([python, "-m", "venv", folder], ROOT)
    limits: list[object] = []
    building = {}
    if constraints is not None:
        limits = ["--constraint", ROOT / constraints]
        building = {"PIP_BUILD_CONSTRAINT": str(ROOT / constraints)}
        # Packages of AllenNLP's time import pkg_resources, which new setuptools lack.
        pinned = ["pip", "setuptools", "wheel"]
        run([folder / "bin" / "python", "-m", "pip", "install", "-q", *limits, *pinned], ROOT)
    install = [folder / "bin" / "python", "-m", "pip", "install", "-q", *limits, wheel]
    run(install, ROOT, **building)
    seconds = time.perf_counter() - started
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    print(f"{which}: installed in {seconds:.0f} s, {size:.0f} MB with pip", flush=True)
    return folder / "bin"


def demo(commands: Sequence[Sequence[object]], home: Path) -> list[dict[str, str]]:
    """The rows of layers.csv after the demo, run by each of `commands`, far from the checkout."""
    home.mkdir(exist_ok=True)
    tables = []
    for number, command in enumerate(commands):
        out = home / f"report-{number}"
        words = [*command, ROOT / DEMO, "--output-dir", out, "--force"]
        printed = run(words, home, HOME=str(home), COLUMNS="100")
        if not printed.lstrip().startswith("Healthy: all 30 judged layers keep full rank"):
            raise Failure(f"{' '.join(map(str, words))} printed:\n{printed[:500]}")
        with (out / "layers.csv").open(newline="", encoding="utf-8") as file:
            tables.append(list(csv.DictReader(file)))
    if any(table != tables[0] for table in tables):
        raise Failure("the commands of one environment do not give the same numbers")
    return tables[0]


def agree(one: Sequence[Mapping[str, str]], other: Sequence[Mapping[str, str]]) -> None:
    """Raises `Failure` where two tables of layers differ."""
    if [list(row) for row in one] != [list(row) for row in other]:
        raise Failure("the two worlds do not have the same layers and columns")
    for row, again in zip(one, other):
        for column, cell in row.items():
            if cell != again[column] and not _close(cell, again[column]):
                raise Failure(f"{row['name']}: {column} is {cell} and {again[column]}")


def _close(one: str, other: str) -> bool:
    try:
        return math.isclose(float(one), float(other), rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    except ValueError:
        return False


def check(work: Path) -> None:
    """All of it. Raises `Failure`."""
    sdist, wheel = built(work)
    (ROOT / "dist").mkdir(exist_ok=True)
    for path in (sdist, wheel):
        shutil.copy(path, ROOT / "dist")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"dist/{path.name}: {path.stat().st_size} bytes, sha256 {digest}", flush=True)
    new = environment("standalone", work / "new", wheel, None)
    commands = [[new / "allennlp-analyze"], [new / "python", "-m", "allennlp_analyze"]]
    modern = demo(commands, work / "a")
    old = environment("3.10", work / "old", wheel, "constraints.txt")
    home = work / "b"
    run([old / "allennlp-analyze", "--install-plugin"], work, HOME=str(home))
    classic = demo([[old / "allennlp", "analyze"], [old / "allennlp-analyze"]], home)
    agree(modern, classic)
    print(f"The demo gives the same {len(classic)} layers in both worlds.")


def main(argv: Optional[list[str]] = None) -> int:
    """Check the release; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.tools.release_check", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--keep", type=Path, metavar="DIRECTORY", help="work here, and keep it")
    keep = parser.parse_args(argv).keep
    os.umask(0o022)
    if run(["git", "status", "--porcelain"], ROOT):
        print("warning: changes that are not committed are no part of the release", file=sys.stderr)
    try:
        if keep is not None:
            keep.mkdir(parents=True)
            check(keep.resolve())
        else:
            with tempfile.TemporaryDirectory() as folder:
                check(Path(folder))
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
