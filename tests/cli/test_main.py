import hashlib
import http.server
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import numpy as np
import pytest
import torch

import allennlp_analyze
from allennlp_analyze.analysis.pipeline import archive_name
from allennlp_analyze.cli.main import main
from allennlp_analyze.reports.json import schema
from tests.support.commands import ROOT, SMALL, run_module
from tests.support.matrices import gaussian

run = partial(run_module, "allennlp_analyze")


def read_report(directory: Path) -> "dict[str, Any]":
    report = json.loads((directory / "report.json").read_text())
    jsonschema.validate(report, schema())
    assert isinstance(report, dict)
    return report


@pytest.fixture(scope="module")
def analyzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("small") / "out"
    assert main([str(SMALL), "--output-dir", str(directory), "--quiet"]) == 0
    return directory


def test_reports_are_written_and_agree_with_each_other(analyzed: Path) -> None:
    report = read_report(analyzed)
    layers = report["layers"]
    assert isinstance(layers, list)
    rows = (analyzed / "layers.csv").read_text().splitlines()
    assert len(rows) == len(layers) + 1
    with np.load(analyzed / "singular_values.npz") as values:
        assert sorted(values.files) == sorted(layer["name"] for layer in layers)
        for layer in layers:
            assert values[layer["name"]].shape == (layer["M"],)
            assert values[layer["name"]].min() == layer["min_singular_value"]
    assert len(list((analyzed / "plots" / "layers").iterdir())) == len(layers)
    assert {path.name for path in analyzed.iterdir()} == {
        "report.json",
        "layers.csv",
        "singular_values.npz",
        "report.html",
        "plots",
    }


def test_fixture_has_the_layers_of_the_2018_model_and_is_healthy(analyzed: Path) -> None:
    report = read_report(analyzed)
    published = json.loads(
        (ROOT / "allennlp_analyze/data/published/ner_2018_parameters.json").read_text()
    )
    layers, skipped = report["layers"], report["skipped"]
    assert isinstance(layers, list)
    assert isinstance(skipped, list)
    assert {x["parameter"] for x in layers} | {x["parameter"] for x in skipped} == set(published)
    assert sum(layer["kind"] == "linear" for layer in layers) == 16
    assert report["summary"]["verdict"] == "full_rank"  # type: ignore[index]
    assert report["source"]["walk"] == "weights"  # type: ignore[index]


def test_console_shows_each_layer_and_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(SMALL), "--output-dir", str(tmp_path / "out"), "--no-plots"]) == 0
    shown = capsys.readouterr()
    assert "Healthy: all 16 linear layers" in " ".join(shown.out.split())
    assert "report.json" in shown.out
    assert shown.err == ""
    assert max(map(len, shown.out.splitlines())) <= 100
    assert not (tmp_path / "out" / "plots").exists()


def test_table_2018_prints_six_columns_and_nothing_else(tmp_path: Path) -> None:
    done = run(str(SMALL), "--table", "2018", "--output-dir", str(tmp_path / "out"), "--no-plots")
    assert done.returncode == 0
    assert done.stderr == ""
    header, *rows = done.stdout.splitlines()
    assert header.split() == ["module_index", "M", "N", "alpha", "D", "min_singular_value"]
    assert len(rows) == 16
    report = read_report(tmp_path / "out")
    linear = [layer for layer in report["layers"] if layer["kind"] == "linear"]  # type: ignore[attr-defined]
    for row, layer in zip(rows, linear):
        index, m, n, alpha, distance, smallest = row.split()
        assert index == "-"
        assert (int(m), int(n)) == (layer["M"], layer["N"])
        assert float(smallest) == layer["min_singular_value"]
        if layer["power_law"]:
            assert float(alpha) == layer["power_law"]["alpha"]
            assert float(distance) == layer["power_law"]["D"]


def test_matrices_that_are_too_large_are_left_out_and_the_report_says_so(tmp_path: Path) -> None:
    assert main([str(SMALL), "--output-dir", str(tmp_path), "--quiet", "--max-dim", "79"]) == 0
    report = read_report(tmp_path)
    assert max(layer["M"] for layer in report["layers"]) < 80  # type: ignore[attr-defined]
    large = [s for s in report["skipped"] if "--max-dim 79" in s["reason"]]  # type: ignore[attr-defined]
    assert {min(s["shape"]) for s in large} == {80, 88}
    (warning,) = report["summary"]["warnings"]  # type: ignore[index]
    assert "left out" in warning and f"and {len(large) - 1} more" in warning


def test_numbers_do_not_depend_on_the_number_of_jobs(analyzed: Path, tmp_path: Path) -> None:
    assert main([str(SMALL), "--output-dir", str(tmp_path), "--quiet", "--jobs", "1"]) == 0
    assert read_report(tmp_path)["layers"] == read_report(analyzed)["layers"]
    one, other = (directory / "singular_values.npz" for directory in (tmp_path, analyzed))
    assert one.read_bytes() == other.read_bytes()


def test_stages_add_up_to_the_time_that_the_command_took(tmp_path: Path) -> None:
    started = time.perf_counter()
    assert run(str(SMALL), "--output-dir", str(tmp_path), "--quiet").returncode == 0
    passed = time.perf_counter() - started
    timing = read_report(tmp_path)["timing"]
    assert isinstance(timing, dict)
    assert all(seconds > 0 for seconds in timing.values())
    # What follows the report's last writing, leaving Python above all, is not in it.
    assert 0.5 * passed < sum(timing.values()) < passed + 0.05


def test_existing_report_is_kept_without_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(SMALL), "--output-dir", str(tmp_path), "--quiet", "--kinds", "recurrent"]
    assert main([*arguments, "--plot-format", "svg"]) == 0
    before = (tmp_path / "report.json").read_bytes()
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "already holds a report" in error
    assert "--force" in error
    assert (tmp_path / "report.json").read_bytes() == before
    assert main([*arguments, "--force", "--layers", "_l0$"]) == 0
    layers = read_report(tmp_path)["layers"]
    assert isinstance(layers, list)
    assert {layer["kind"] for layer in layers} == {"recurrent"}
    drawn = list((tmp_path / "plots" / "layers").iterdir())
    assert len(drawn) == len(layers) == 2, "plots of the earlier run are gone"
    assert {path.suffix for path in drawn} == {".png"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.tar.gz"], 2, "missing.tar.gz"),
        (["ftp://example.org/x.tar.gz"], 2, "ftp"),
        ([str(SMALL), "--kinds", "lineal"], 2, "'lineal'"),
        ([str(SMALL), "--layers", "("], 2, "not a regular expression"),
        ([str(SMALL), "--layers", "nothing has this name"], 1, "leave none"),
        ([str(SMALL), "--weights-file", "worst.th"], 1, "worst.th"),
        ([str(SMALL), "--layers", "_l0$", "--max-dim", "20"], 1, "128 x 88 is too large: M = 88"),
        ([str(SMALL), "--jobs", "0"], 2, "--jobs: 0"),
        ([str(SMALL), "--output-dir", str(SMALL)], 1, "not a directory"),
        ([str(ROOT / "README.md")], 1, "README.md"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    tmp_path: Path, arguments: "list[str]", code: int, message: str
) -> None:
    done = run(*arguments, "--quiet", cwd=tmp_path)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [[], ["a", "b"], ["a", "--table", "2017"], ["a", "--no-such"]]
)
def test_usage_errors_exit_2(arguments: "list[str]") -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_unwritable_output_is_found_out_before_the_archive_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("missing.tar.gz", "--output-dir", str(tmp_path / "file" / "out"))
    assert done.returncode == 1
    assert "not a directory" in done.stderr


def test_a_failing_plot_loses_no_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("allennlp_analyze.analysis.pipeline.write_plots", full)
    assert main([str(SMALL), "--output-dir", str(tmp_path)]) == 1
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
        timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # type: ignore[arg-type,return-value]
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

    monkeypatch.setattr("allennlp_analyze.analysis.pipeline.write_csv", broken)
    assert main([str(SMALL), "--output-dir", str(tmp_path), "--layers", "_l0$"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"error: {SMALL}: unexpected KeyError: 'a fault'; --debug shows")
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
    assert ("unpacks to more than 2048 bytes" in capsys.readouterr().err) == bool(code)


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
    assert "Invalid: 2 matrices hold NaN or infinity (b.weight: 2 entries are not" in printed
    assert "Invalid: c.weight: 1 entry is not finite; the first is infinity at row 0" in printed
    report = read_report(tmp_path / "out")
    assert report["summary"]["verdict"] == "invalid"
    assert report["summary"]["n_invalid"] == 2
    assert [layer["name"] for layer in report["layers"]] == ["a"]
    assert report["layers"][0]["verdict"] == "full_rank"
    assert [skipped["invalid"] for skipped in report["skipped"]] == [True, True]


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for option, text in (("--version", allennlp_analyze.__version__), ("--help", "ARCHIVE")):
        with pytest.raises(SystemExit) as ended:
            main([option])
        assert ended.value.code == 0
        assert text in capsys.readouterr().out


def test_front_door_imports_no_heavy_library() -> None:
    heavy = ["allennlp", "torch", "matplotlib", "powerlaw", "scipy", "cached_path", "rich"]
    code = (
        "import sys\n"
        "from allennlp_analyze.cli.main import make_parser\n"
        "make_parser().format_help()\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_analysis_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['allennlp'] = None\n"
        "from allennlp_analyze.cli.main import main\n"
        f"sys.exit(main([{str(SMALL)!r}, '--output-dir', {str(tmp_path)!r}, '--quiet']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_build_model_without_allennlp_goes_on_from_the_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "allennlp.models", None)
    out = str(tmp_path)
    assert main([str(SMALL), "--build-model", "--table", "2018", "--output-dir", out]) == 0
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 1
    assert "AllenNLP is not installed" in warnings[0]
    assert read_report(tmp_path)["source"]["walk"] == "weights"  # type: ignore[index]


def test_bare_weights_files_in_every_format(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.numpy import save_file

    matrix = gaussian(0, 60, 40).astype(np.float32)
    state = {"ff.weight": torch.from_numpy(matrix), "ff.bias": torch.zeros(60)}
    torch.save(state, tmp_path / "a.th", _use_new_zipfile_serialization=False)
    torch.save(state, tmp_path / "b.pt")
    save_file({name: value.numpy() for name, value in state.items()}, tmp_path / "c.safetensors")
    expected = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)[-1]
    for name in ("a.th", "b.pt", "c.safetensors"):
        out = tmp_path / f"{name}-out"
        assert main([str(tmp_path / name), "--output-dir", str(out), "--quiet"]) == 0
        (layer,) = read_report(out)["layers"]  # type: ignore[misc]
        assert layer["kind"] == "linear"
        assert layer["min_singular_value"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("archive", "name"),
    [
        ("https://host/models/ner-model-2018.04.26.tar.gz?x=1#y", "ner-model-2018.04.26"),
        ("some/where/model.tar.gz", "model"),
        ("weights.th", "weights"),
        ("serialization/dir/", "dir"),
        ("hf://owner/name", "name"),
        (".", Path.cwd().name),
    ],
)
def test_output_directory_is_named_after_the_archive(archive: str, name: str) -> None:
    assert archive_name(archive) == name


class Counting(http.server.SimpleHTTPRequestHandler):
    gets: ClassVar["list[str]"] = []

    def do_GET(self) -> None:
        self.gets.append(self.path)
        super().do_GET()

    def end_headers(self) -> None:
        # cached_path names what it keeps by URL and ETag.
        self.send_header("ETag", '"1"')
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "ner-small.tar.gz").write_bytes(SMALL.read_bytes())
    Counting.gets.clear()
    handler = partial(Counting, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def front_doors() -> "list[list[str]]":
    doors = [["allennlp_analyze"]]
    try:
        metadata.version("allennlp")
    except metadata.PackageNotFoundError:
        return doors
    return [*doors, ["allennlp", "analyze"]]


@pytest.mark.parametrize("door", front_doors(), ids=lambda door: door[-1])
def test_url_is_downloaded_once(door: "list[str]", server: str, tmp_path: Path) -> None:
    cache = {"ALLENNLP_CACHE_ROOT": str(tmp_path / "cache")}
    options = ["--table", "2018", "--no-plots"]
    for attempt in ("first", "second"):
        out = ["--output-dir", str(tmp_path / attempt)]
        done = run_module(*door, f"{server}/ner-small.tar.gz", *options, *out, **cache)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 17
    assert Counting.gets == ["/ner-small.tar.gz"]
    source = read_report(tmp_path / "second")["source"]
    assert source["archive"] == f"{server}/ner-small.tar.gz"  # type: ignore[index]


def test_missing_url_is_one_line(server: str, tmp_path: Path) -> None:
    done = run(
        f"{server}/nothing.tar.gz", cwd=tmp_path, ALLENNLP_CACHE_ROOT=str(tmp_path / "cache")
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "nothing.tar.gz" in done.stderr
    assert "not found" in done.stderr
