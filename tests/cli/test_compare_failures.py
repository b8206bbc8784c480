"""The command `compare` where it is refused, and what it writes and leaves alone."""

import json
import shutil
from functools import partial
from pathlib import Path

import jsonschema
import pytest
import torch

from allennlp_analyze.cli.main import main
from allennlp_analyze.compare.reports.json import comparison_schema
from tests.support.changed_archives import State, rewritten
from tests.support.commands import ROOT, SMALL, run_module
from tests.support.scripts import run_main

pytestmark = pytest.mark.newest_python
run = partial(run_module, "allennlp_analyze", "compare")


def test_files_are_written_only_where_asked_and_not_over_others(
    variants: "dict[str, Path]", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a" / "b"
    operands = [str(SMALL), str(variants["tuned"]), "--layers", "tag"]
    arguments = ["compare", *operands, "--output-dir", str(out)]
    assert main(arguments) == 0
    assert str(out / "compare.json") in "".join(capsys.readouterr().out.split("\n"))
    first = (out / "compare.json").read_text()
    jsonschema.Draft202012Validator(comparison_schema()).validate(json.loads(first))
    assert main(arguments) == 1
    assert "a comparison already exists; use --force to replace it" in capsys.readouterr().err
    assert main([*arguments, "--force", "--json", "--allow-rank-loss", "3"]) == 0
    assert capsys.readouterr().out == (out / "compare.json").read_text() != first


def test_nothing_is_written_by_itself(variants: "dict[str, Path]", tmp_path: Path) -> None:
    operands = (str(SMALL), str(variants["tuned"]), "--layers", "tag|_l0")
    done = run(*operands, cwd=tmp_path, COLUMNS="100")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout and max(map(len, done.stdout.splitlines())) <= 100
    assert list(tmp_path.iterdir()) == []


def damaged_report(small_report: Path, tmp_path: Path) -> Path:
    out = tmp_path / "damaged"
    shutil.copytree(small_report, out)
    contents = json.loads((out / "report.json").read_text())
    del contents["layers"][3]["hard_rank"]
    (out / "report.json").write_text(json.dumps(contents))
    return out


def test_a_damaged_report_is_one_line_before_anything_is_analyzed(
    small_report: Path, tmp_path: Path
) -> None:
    out = damaged_report(small_report, tmp_path)
    done = run_main(main, "compare", "missing.tar.gz", out)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: missing.tar.gz: no such file or directory\n"
    done = run("--debug", str(SMALL), str(out), cwd=tmp_path)
    assert done.returncode == 1
    assert "report.json: is damaged" in done.stderr.splitlines()[-1]
    assert "analyze_archive" not in done.stderr


def test_a_report_of_another_schema_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.json").write_text('{"schema_version": 99}')
    assert main(["compare", str(SMALL), str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "has schema version 99" in said


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        ([SMALL], 2, "expected a second model to compare with"),
        ([SMALL, "ftp://example.org/x"], 2, "ftp"),
        ([SMALL, "missing"], 2, "missing: no such file or directory"),
        ([SMALL, SMALL, "--kinds", "lineal"], 2, "'lineal'"),
        ([SMALL, SMALL, "--layers", "("], 2, "not a regular expression"),
        ([SMALL, SMALL, "--layers", "nothing has this name"], 1, "select none"),
        ([SMALL, ROOT / "setup.py"], 1, "setup.py"),
        ([SMALL, "other.json"], 1, "other.json: a report must be named report.json"),
        ([SMALL, SMALL, "--output-dir", SMALL], 1, "is not a directory"),
        ([SMALL, SMALL, "--max-unpacked-size", "2K"], 1, "unpacks to more than 2K;"),
        ([SMALL, SMALL, "--jobs", "0"], 2, "--jobs: '0'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    arguments: "list[object]",
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "other.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    done = run_main(main, "compare", *arguments)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ") and message in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]


@pytest.mark.parametrize("value", ["-1", "101", "nan", "inf", "much"])
def test_an_allowance_is_a_percentage(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(SMALL), str(SMALL), f"--allow-rank-loss={value}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --allow-rank-loss: ") and value in line


def test_help_names_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compare", "--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "With --fail-on-collapse the exit code is 3" in shown and "143 terminated" in shown
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "compare` compares two or more models" in " ".join(capsys.readouterr().out.split())


def test_many_failures_are_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def halved(state: State) -> State:
        return {k: torch.zeros_like(v) if v.dim() > 1 else v for k, v in state.items()}

    dead = rewritten(SMALL, tmp_path / "dead.tar.gz", halved)
    assert main(["compare", str(SMALL), str(dead), "--fail-on-collapse", "--quiet"]) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11 and lines[-1].endswith(" more layers")


def test_copying_an_output_directory_needs_its_values_too(
    small_report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "copy").mkdir()
    shutil.copy(small_report / "report.json", tmp_path / "copy")
    assert main(["compare", str(small_report), str(tmp_path / "copy")]) == 1
    assert "singular_values.npz: cannot be read" in capsys.readouterr().err
