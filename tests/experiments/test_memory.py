"""The command takes little memory, however large the file: weights are mapped, never copied."""

import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch

from allennlp_analyze.analysis.planning import plan_archive
from allennlp_analyze.analysis.request import Reading
from allennlp_analyze.cli.uptime import process_seconds
from allennlp_analyze.linalg.speed import Speed
from allennlp_analyze.settings import Settings
from scripts.benchmarks.peak_memory import watch, write_safetensors
from scripts.benchmarks.remote import Server
from tests.support.commands import ROOT
from tests.support.scripts import run_script

pytestmark = pytest.mark.newest_python
# As many bytes with fewer columns take as much memory, and less arithmetic. The command takes 45 to
# 65 MiB, 100 with figures, whatever the file: with a copy it would take more than 0.8 of its size.
ROWS, COLUMNS = 300_000, 128
FILE_MIB = ROWS * COLUMNS * 4 / 2**20

linux_only = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="/proc is Linux's: memory cannot be watched"
)


FORMS = {
    "zip": lambda: {"embedding.weight": torch.randn(ROWS, COLUMNS)},
    "deflated": lambda: {"embedding.weight": torch.randn(ROWS, COLUMNS)},
    "weight normalization": lambda: {
        "layer.weight_v": torch.randn(ROWS, COLUMNS),
        "layer.weight_g": torch.randn(ROWS, 1),
    },
    "transposed convolution": lambda: {
        "up.deconv.weight": torch.randn(ROWS, COLUMNS // 4, 2, 2),
        "up.deconv.bias": torch.randn(COLUMNS // 4),
    },
}


def write(path: Path, form: str) -> Path:
    torch.save(FORMS[form](), path)
    if form == "deflated":
        stored = path.rename(path.with_suffix(".stored"))
        with (
            zipfile.ZipFile(stored) as source,
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=0) as target,
        ):
            for record in source.infolist():
                target.writestr(record.filename, source.read(record))
    return path


@linux_only
@pytest.mark.parametrize("form", FORMS)
def test_a_large_tensor_is_never_copied_whole(form: str, tmp_path: Path) -> None:
    path = write(tmp_path / "model.th", form)
    plots = ("--plots",) if form == "zip" else ()
    command = [sys.executable, "-m", "allennlp_analyze", str(path), "--quiet", *plots]
    peak = watch([*command, "--output-dir", str(tmp_path / "out")])
    assert 20 < peak.anonymous_mib < 0.8 * FILE_MIB


@linux_only
def test_a_large_tensor_by_url_is_not_held_in_memory(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", ROWS, COLUMNS)
    server = Server(tmp_path / "model.safetensors")
    url = f"http://127.0.0.1:{server.server_address[1]}/model.safetensors"
    command = [sys.executable, "-m", "allennlp_analyze", url, "--quiet"]
    peak = watch([*command, "--output-dir", str(tmp_path / "out")])
    server.shutdown()
    assert server.sent >= FILE_MIB * 2**20
    assert 20 < peak.anonymous_mib < 0.8 * FILE_MIB
    planned = plan_archive(
        Reading(str(tmp_path / "model.safetensors")), Settings(), speed=Speed()
    ).memory
    assert peak.anonymous_mib <= planned / 2**20


@linux_only
def test_the_script_counts_what_is_fetched() -> None:
    done = run_script("scripts.benchmarks.remote", "--mb", 2, "--width", 96)
    rows = [line.split("  ") for line in done.stdout.splitlines()[2:]]
    found = {row[0].strip(): [x.strip() for x in row[1:] if x.strip()] for row in rows}
    assert list(found) == ["one layer", "one kind", "all"]
    for needed, fetched, *_ in found.values():
        assert float(needed) <= float(fetched) <= float(needed) + 0.1


@linux_only
def test_the_script_watches_a_safetensors_file() -> None:
    options = ("--rows", "140000", "--columns", "256")
    command = [sys.executable, "-m", "scripts.benchmarks.peak_memory", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = re.search(r"at most (\d+) MiB of anonymous memory \(promised: 301\)", done.stdout)
    assert found is not None
    assert 20 < int(found.group(1)) < 0.8 * FILE_MIB


@linux_only
def test_a_process_that_holds_memory_is_seen_to() -> None:
    holds = "import time; held = bytearray(200 * 2**20); held[::4096] = b'x' * len(held[::4096])"
    peak = watch([sys.executable, "-c", f"{holds}; time.sleep(2)"])
    assert 200 < peak.anonymous_mib < 260


def test_the_time_since_the_process_began() -> None:
    code = (
        "import time; time.sleep(0.5); from allennlp_analyze.cli.uptime import process_seconds as p"
    )
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(p())"], cwd=ROOT, capture_output=True, check=True
    )
    passed = time.perf_counter() - started
    assert 0.5 <= float(done.stdout) <= passed + 0.02
    before = process_seconds()
    assert before > 0
    assert process_seconds() >= before
