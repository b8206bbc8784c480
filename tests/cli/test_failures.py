"""Bad input, bad options, faults and interrupts: one line, and the exit code says which."""

import hashlib
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from allennlp_analyze.cli.main import main
from tests.support.commands import ROOT, SMALL, read_report, run_module
from tests.support.matrices import gaussian
from tests.support.scripts import run_main
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.newest_python
LONG = "a" * 5000
run = partial(run_module, "allennlp_analyze")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.tar.gz"], 2, "missing.tar.gz"),
        (["ftp://example.org/x.tar.gz"], 2, "ftp"),
        ([str(SMALL), "--kinds", "lineal"], 2, "'lineal'"),
        ([str(SMALL), "--layers", "("], 2, "not a regular expression"),
        ([str(SMALL), "--layers", "nothing has this name"], 1, "select none"),
        ([str(SMALL), "--weights-file", "worst.th"], 1, "worst.th"),
        ([str(SMALL), "--layers", "_l0$", "--max-dim", "20"], 1, "128 x 88 is too large: M = 88"),
        ([str(SMALL), "--jobs", "0"], 2, "--jobs: '0'"),
        ([str(SMALL), "--output-dir", str(SMALL)], 1, "not a directory"),
        ([str(ROOT / "README.md")], 1, "README.md"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    tmp_path: Path,
    arguments: "list[str]",
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_main(main, *arguments, "--quiet")
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "--no-such"]])
def test_usage_errors_exit_2_and_are_one_line(
    arguments: "list[str]", capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith("error: ") and shown.err.count("\n") == 1
    assert shown.err.endswith(" see `allennlp-analyze --help`\n")


@pytest.mark.parametrize("arguments", [["zoo", "models"], ["compare", "a", "b"]])
@pytest.mark.parametrize("given", [["-o", "out"], ["-oout"], ["-o", "out{1}"]])
def test_a_short_option_for_the_directory_is_told_the_long_one(
    arguments: "list[str]", given: "list[str]", capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, *given])
    assert ended.value.code == 2
    said = f"error: unrecognized arguments: {' '.join(given)}; did you mean --output-dir?"
    assert capsys.readouterr().err == f"{said} see `allennlp-analyze {arguments[0]} --help`\n"


def test_overrides_that_look_like_a_directory_name_the_option_for_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([str(SMALL), "-o", "out"]) == 2
    assert capsys.readouterr().err == (
        "error: --overrides: 'out' is not JSON, such as {\"model\": {...}}; the directory for the"
        " reports is --output-dir\n"
    )


def test_unwritable_output_is_found_out_before_the_archive_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("missing.tar.gz", "--output-dir", str(tmp_path / "file" / "out"))
    assert done.returncode == 1
    assert "not a directory" in done.stderr


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ([], ["report.json", "layers.csv", "singular_values.npz", "report.html", ".lock"]),
        ([], ["journal.jsonl"]),
        (["compare", str(SMALL)], ["compare.json", "compare.html"]),
        (["zoo"], ["zoo.json", "zoo.csv", "zoo-models.csv", "index.html", ".lock"]),
    ],
    ids=["reports", "journal", "compare", "zoo"],
)
def test_a_directory_in_place_of_a_file_is_found_out_before_the_archive_is_read(
    command: "list[str]", names: "list[str]", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "damaged.tar.gz"
    model.write_text("not an archive")
    argument = str(tmp_path) if command == ["zoo"] else str(model)
    for name in names:
        place = tmp_path / name.lstrip(".") / name
        place.mkdir(parents=True)
        assert main([*command, argument, "--output-dir", str(place.parent), "--force"]) == 1
        said = f"error: {place}: is a directory, not a file; choose another --output-dir\n"
        assert tuple(capsys.readouterr()) == ("", said)
        assert list(place.parent.iterdir()) == [place] and not list(place.iterdir())


@pytest.mark.parametrize("command", [[], ["zoo"]], ids=["one model", "zoo"])
def test_a_file_in_place_of_the_figures_is_found_out_before_the_archive_is_read(
    command: "list[str]", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "damaged.tar.gz").write_text("not an archive")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "plots").write_text("mine")
    argument = str(tmp_path) if command else str(tmp_path / "damaged.tar.gz")
    assert main([*command, argument, "--output-dir", str(tmp_path / "out"), "--plots"]) == 1
    assert f"{tmp_path / 'out' / 'plots'}: is a file, not a directory" in capsys.readouterr().err
    assert (tmp_path / "out" / "plots").read_text() == "mine"


def test_a_failing_plot_loses_no_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("allennlp_analyze.analysis.writing.write_plots", full)
    assert main([str(SMALL), "--output-dir", str(tmp_path), "--plots"]) == 1
    assert "No space left" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "journal.jsonl",
        "layers.csv",
        "report.html",
        "report.json",
        "singular_values.npz",
    ]
    read_report(tmp_path)


def test_interrupt_is_one_line_and_exit_130(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "import allennlp_analyze.analysis.pipeline as run\n"
        "from allennlp_analyze.cli.main import main\n"
        "run.analyze = lambda *a, **k: os.kill(os.getpid(), signal.SIGINT)\n"
        f"sys.exit(main([{str(SMALL)!r}, '--output-dir', {str(tmp_path / 'out')!r}]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 130
    assert done.stderr == "error: interrupted\n"
    assert not (tmp_path / "out").exists()


def test_debug_shows_where_an_error_arose(tmp_path: Path) -> None:
    plain, debug = (run("missing.tar.gz", *more, cwd=tmp_path) for more in ([], ["--debug"]))
    assert plain.returncode == debug.returncode == 2
    assert debug.stderr.startswith("Traceback (most recent call last):")
    assert debug.stderr.endswith(plain.stderr)


def test_a_fault_of_ours_is_one_line_too_and_keeps_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a fault")

    monkeypatch.setattr("allennlp_analyze.analysis.writing.write_csv", broken)
    assert main([str(SMALL), "--output-dir", str(tmp_path), "--layers", "_l0$"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"error: {SMALL}: unexpected KeyError: 'a fault'; please report")
    monkeypatch.undo()
    assert main([str(SMALL), "--output-dir", str(tmp_path), "--layers", "_l0$", "--resume"]) == 0
    read_report(tmp_path)


@pytest.mark.parametrize(
    "option, values",
    [
        ("--max-unpacked-size", ["0", "-1", "many", "20X", "1e9", ""]),
        ("--timeout", ["0", "-1", "nan", "inf", "soon"]),
        ("--sha256", ["", "123", "g" * 64]),
    ],
)
def test_values_that_make_no_sense_are_usage_errors(
    option: str, values: "list[str]", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in values:
        try:
            code = main([str(SMALL), "--output-dir", str(tmp_path / "out"), f"{option}={value}"])
        except SystemExit as ended:
            code = ended.code
        assert code == 2, value
        said = capsys.readouterr().err.splitlines()
        assert "error: " in said[-1] and option in said[-1]
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size, code", [("2K", 1), ("2m", 0), ("2GiB", 0), ("100000000", 0)])
def test_an_archive_may_not_unpack_to_more_than_is_allowed(
    size: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(SMALL), "--output-dir", str(tmp_path / "out"), "--no-plots", "--quiet"]
    assert main([*arguments, "--max-unpacked-size", size]) == code
    assert ("unpacks to more than 2K;" in capsys.readouterr().err) == bool(code)


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        ([""], 2, "''"),
        ([" "], 2, "' '"),
        (["zoo", ""], 2, "''"),
        (["render", ""], 1, "''"),
        (["compare", str(SMALL), ""], 2, "''"),
        (["~nobody-of-this-name/x"], 2, "~nobody-of-this-name/x"),
        ([LONG, "--output-dir", "out"], 2, LONG),
        (["zoo", LONG, "--output-dir", "out"], 2, LONG),
        (["render", LONG], 1, LONG),
        ([str(SMALL), "--output-dir", "out", "--weights-file", LONG], 1, LONG),
    ],
    ids=range(10),
)
def test_a_path_that_is_refused_is_shown(
    arguments: "list[str]",
    code: int,
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "report.json").write_text("{}")  # not what "" names
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1
    assert named in output.err and "unexpected" not in output.err


def test_a_checksum_pins_the_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(SMALL), "--output-dir", str(tmp_path / "out"), "--no-plots", "--quiet"]
    digest = hashlib.sha256(SMALL.read_bytes()).hexdigest()
    assert main([*arguments, "--sha256", "0" * 64]) == 1
    assert f"has the SHA-256 digest {digest}; expected 000" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*arguments, "--sha256", digest.upper()]) == 0


def test_a_matrix_with_nan_makes_the_model_invalid_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, worse = (gaussian(seed, 40, 20).astype(np.float32) for seed in range(3))
    bad[7, 3] = bad[9, 1] = np.nan
    worse[0, 5] = -np.inf
    state = {"a.weight": good, "b.weight": bad, "c.weight": worse}
    torch.save({name: torch.from_numpy(m) for name, m in state.items()}, tmp_path / "model.pth")
    assert main([str(tmp_path / "model.pth"), "--output-dir", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "Invalid: 2 weights contain NaN or infinity (b.weight: 2 entries are not" in printed
    assert "Invalid: c.weight: 1 entry is not finite; the first is infinity at row 0" in printed
    report = read_report(tmp_path / "out")
    assert report["summary"]["verdict"] == "invalid"
    assert report["summary"]["n_invalid"] == 2
    assert [layer["name"] for layer in report["layers"]] == ["a"]
    assert report["layers"][0]["verdict"] == "full_rank"
    assert [skipped["invalid"] for skipped in report["skipped"]] == [True, True]
