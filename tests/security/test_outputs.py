"""The output directory is removed while a run writes there; the umask of who runs it counts."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from allennlp_analyze.cli.main import main
from tests.support.commands import ROOT
from tests.support.scripts import run_main

pytestmark = [
    pytest.mark.newest_python,
    pytest.mark.skipif(os.name == "nt", reason="permissions and open files are those of POSIX"),
]
# Removes the directory at a chosen change of it; `made` counts the changes over all processes.
HOOK = """
import os, shutil, sys
made = os.open(os.environ["MADE"], os.O_RDWR | os.O_APPEND | os.O_CREAT)
at, root = int(os.environ["REMOVED_AT"]), os.environ["REMOVED"]
removing = False
def hook(event, arguments):
    global removing
    if removing or event not in ("open", "os.rename", "os.remove", "os.mkdir"):
        return
    if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & 3):
        return
    path = arguments[0]
    if isinstance(path, int) or not os.path.abspath(os.fsdecode(path)).startswith(root + "/"):
        return
    os.write(made, b"x")
    if os.fstat(made).st_size == at:
        removing = True
        shutil.rmtree(root, ignore_errors=True)
        removing = False
sys.addaudithook(hook)
"""


def model(path: Path) -> Path:
    rng = np.random.default_rng(0)
    save_file({f"l{i}.weight": rng.standard_normal((40, 20)) for i in range(4)}, path)
    return path


def run(work: Path, at: int, out: Path, *arguments: object) -> "tuple[int, str, int]":
    """The exit code, what was said, and the number of changes."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    (work / "sitecustomize.py").write_text(HOOK)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(work), str(ROOT))),
        "MADE": str(work / "made"),
        "REMOVED_AT": str(at),
        "REMOVED": str(out),
    }
    command = [sys.executable, "-m", "allennlp_analyze", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stderr, (work / "made").stat().st_size


@pytest.mark.parametrize("kind", ["run", "zoo"])
def test_an_output_directory_that_is_removed_midway(kind: str, tmp_path: Path) -> None:
    path, out = model(tmp_path / "m.safetensors"), tmp_path / "out"
    arguments: tuple[object, ...] = (path, "--output-dir", out, "--quiet", "--no-plots")
    if kind == "zoo":
        (tmp_path / "zoo.csv").write_text("path\nm.safetensors\n")
        arguments = ("zoo", tmp_path / "zoo.csv", "--output-dir", out, "--quiet", "--workers", "1")
    code, said, total = run(tmp_path / "work", 0, out, *arguments)
    assert code == 0, said
    # A zoo in the middle; a run among the changes of its reports too.
    for at in (total // 2, total - 1)[: 1 if kind == "zoo" else 2]:
        shutil.rmtree(out, ignore_errors=True)
        code, said, _ = run(tmp_path / "work", at, out, *arguments)
        assert code in (0, 1) and "Traceback" not in said and "report this" not in said, (at, said)
        if code == 1 and kind == "run":
            assert said.startswith("error: ") and said.count("\n") == 1, (at, said)
    # And the next run is as any other.
    arguments = (*arguments, "--force" if kind == "run" else "--resume")
    done = run_main(main, *arguments)
    assert done.returncode == 0, done.stderr


def test_reports_follow_the_umask(tmp_path: Path) -> None:
    mask = 0o027
    path, out = model(tmp_path / "m.safetensors"), tmp_path / "out"
    command = f'umask {mask:03o}; "$0" -m allennlp_analyze "$1" --output-dir "$2" --quiet'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, str(path), str(out)], cwd=ROOT, capture_output=True
    )
    assert done.returncode == 0
    for found in (out, *out.rglob("*")):
        whole = 0o777 if found.is_dir() else 0o666
        assert stat.S_IMODE(found.stat().st_mode) == whole & ~mask, found
