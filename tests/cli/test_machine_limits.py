"""A full disk, little memory and odd reports end in one line, wherever they show."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from allennlp_analyze.cli.exits import guarded
from allennlp_analyze.cli.main import main
from tests.support.mutated_reports import write_mutation
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.newest_python
unix_only = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
LONG = "x" * 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("limits")
    generator = torch.Generator().manual_seed(0)
    state = {f"l{i}.weight": torch.randn(30, 20, generator=generator) for i in range(4)}
    torch.save(state, folder / "good.th")
    (folder / "zoo.yaml").write_text("models:\n - archive: good.th\n")
    command = [str(folder / "good.th"), "--no-plots", "--quiet"]
    assert main([*command, "--output-dir", str(folder / "report")]) == 0
    return folder


def shell(line: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    command = line.replace("COMMAND", f"{sys.executable} -m allennlp_analyze")
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=PATIENCE
    )


def assert_one_line(done: "subprocess.CompletedProcess[str]") -> None:
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert "unexpected" not in done.stderr


COMMANDS = {
    "analyze": "good.th --no-plots --force --output-dir out",
    "compare": "compare report report",
    "render": "render report",
    "zoo": "zoo zoo.yaml --force --output-dir of-zoo",
}


@unix_only
@pytest.mark.parametrize("name", ["analyze", "compare", "zoo"])
def test_standard_output_on_a_full_disk(name: str, folder: Path) -> None:
    done = shell(f"COMMAND {COMMANDS[name]} > /dev/full", folder)
    assert_one_line(done)
    assert "No space left" in done.stderr


@unix_only
def test_closed_standard_streams(folder: Path) -> None:
    done = shell(f"COMMAND {COMMANDS['analyze']} >&-", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert shell("COMMAND missing.th >&- 2>&-", folder).returncode == 2


def test_standard_error_on_a_full_disk_leaves_the_exit_code(folder: Path) -> None:
    assert shell("COMMAND missing.th 2> /dev/full", folder).returncode == 2
    assert shell("COMMAND render missing > /dev/full 2> /dev/full", folder).returncode == 1


@unix_only
@pytest.mark.parametrize("name", ["compare", "render", "zoo"])
def test_files_on_a_full_disk(name: str, folder: Path) -> None:
    # A limit on the size of files fails as a full disk does, while writing.
    output = " --output-dir compared --force" if name == "compare" else ""
    done = shell(f"ulimit -f 1; COMMAND {COMMANDS[name]}{output}", folder)
    assert_one_line(done)
    assert "cannot be written (File too large)" in done.stderr
    assert done.stderr.split(": ")[1].startswith(("out/", "compared/", "report/", "of-zoo/"))


@pytest.mark.parametrize(
    "line",
    [
        f"good.th --output-dir {LONG}",
        f"compare report report --output-dir {LONG}",
        f"zoo zoo.yaml --output-dir {LONG}",
        f"render {LONG}",
        f"good.th --reference {LONG} --output-dir new",
        f"good.th --base {LONG} --output-dir new",
        f"good.th --weights-file {LONG} --output-dir new",
    ],
)
def test_names_that_are_too_long(
    line: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert main(line.split()) in (1, 2)
    shown = capsys.readouterr().err
    assert shown.startswith("error: ") and shown.count("\n") == 1
    assert "unexpected" not in shown


def test_a_shard_with_a_long_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "s" * 5000}}))
    assert main([str(index), "--output-dir", str(tmp_path / "out")]) == 1
    shown = capsys.readouterr().err
    assert "not a file in the same directory" in shown
    assert len(shown) < 1000


@unix_only
@pytest.mark.parametrize("limit", [150_000, 390_000])
def test_little_memory(folder: Path, limit: int) -> None:
    done = shell(f"ulimit -v {limit}; COMMAND good.th --output-dir poor --no-plots", folder)
    assert_one_line(done)
    assert "not enough memory" in done.stderr


@pytest.mark.parametrize("error", [MemoryError(), RecursionError("deep"), OSError(5, "I/O", "f")])
def test_what_the_machine_lacks_is_no_bug(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise error

    assert guarded(fail, "model.th") == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: model.th: ") and "report this" not in shown


def test_a_bug_is_still_reported_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise KeyError("x")

    assert guarded(fail, "model.th") == 1
    assert "please report this" in capsys.readouterr().err


@pytest.mark.no_cover
@pytest.mark.parametrize("seeds", [range(60), range(60, 120)])
@pytest.mark.filterwarnings("ignore")
def test_changed_reports_are_rendered_or_refused(
    seeds: range, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in seeds:
        write_mutation(folder / "report", tmp_path, seed)
        code = main(["render", str(tmp_path)])
        shown = capsys.readouterr().err
        assert code in (0, 1), seed
        assert "unexpected" not in shown, (seed, shown)
        if code:
            assert shown.startswith("error: ") and shown.count("\n") == 1, (seed, shown)


@pytest.mark.no_cover
def test_changed_reports_are_compared_or_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(1000, 1040):
        write_mutation(folder / "report", tmp_path, seed)
        main(["compare", str(folder / "report"), str(tmp_path)])
        shown = capsys.readouterr().err
        assert "unexpected" not in shown, (seed, shown)


@pytest.mark.parametrize("xmin", ["1e-320", "NaN", "1e999", "-1e300"])
@pytest.mark.filterwarnings("ignore")
def test_numbers_that_no_analysis_writes(
    xmin: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "report", tmp_path / "report")
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    for layer in report["layers"]:
        layer["power_law"]["xmin"] = "XMIN"
    text = json.dumps(report).replace('"XMIN"', xmin)
    (tmp_path / "report" / "report.json").write_text(text)
    assert main(["render", str(tmp_path / "report")]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: ") and shown.count("\n") == 1 and "unexpected" not in shown


def test_an_array_whose_header_is_cut(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "report", tmp_path / "report")
    path = tmp_path / "report" / "singular_values.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays)
    path.write_bytes(path.read_bytes().replace(b"(20,), }", b"(20,,{[("))
    assert main(["render", os.fspath(tmp_path / "report")]) == 1
    assert "unexpected" not in capsys.readouterr().err
