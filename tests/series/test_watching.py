"""`series --watch` in a process of its own beside a training that writes checkpoints."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.support.series_runs import checkpoint, started
from tests.support.waiting import PATIENCE, wait_until

pytestmark = [
    pytest.mark.newest_python,
    pytest.mark.skipif(os.name == "nt", reason="signals of POSIX"),
]


def wait_for(path: Path, checkpoints: int) -> None:
    def are_there() -> bool:
        return path.is_file() and len(json.loads(path.read_text())["checkpoints"]) == checkpoints

    wait_until(are_there)


def test_it_waits_and_says_at_once_what_went_wrong(tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir()
    arguments = ("--watch", "--interval", "0.2", "--workers", "1", "--output-dir", out)
    process = started(run, *arguments, "--fail-on", "collapsed")
    try:
        checkpoint(run / "step-1.safetensors")
        wait_for(out / "series.json", 1)
        checkpoint(run / "step-2.safetensors")
        wait_for(out / "series.json", 2)
        checkpoint(run / "step-3.safetensors", lost=9)
        said, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 3
    assert errors.startswith("failed: body: collapsed since step-3.safetensors")
    assert said.count("Written:") == 3 and "Worse than full rank now (1):" in said


def test_a_checkpoint_is_not_read_while_it_is_written(tmp_path: Path) -> None:
    """It grows for longer than the watch waits for a change; half of it would be damaged.

    Between two parts passes a fortieth of that, which leaves a busy machine its time.
    """
    run, out = tmp_path / "run", tmp_path / "out"
    whole = checkpoint(tmp_path / "whole.safetensors").read_bytes()
    run.mkdir()
    process = started(run, "--watch", "--interval", "2", "--workers", "1", "--output-dir", out)

    def write() -> None:
        with open(run / "step-1.safetensors", "wb", buffering=0) as file:
            for start in range(0, len(whole), len(whole) // 50):
                file.write(whole[start : start + len(whole) // 50])
                time.sleep(0.05)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert process.stdout is not None
        shown = "".join(iter(lambda: process.stdout.readline(), f"         {out}/series.html\n"))
        writer.join()
        os.killpg(process.pid, signal.SIGINT)
        said, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 0
    assert json.loads((out / "series.json").read_text())["checkpoints"][0]["verdict"] == "full_rank"
    assert (errors, said) == ("", "") and shown.count("Written:") == 1
