import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import allennlp_analyze
from allennlp_analyze.analysis.request import archive_name
from allennlp_analyze.cli.main import main
from tests.support.commands import ROOT, SMALL, read_report, run_module
from tests.support.matrices import gaussian

run = partial(run_module, "allennlp_analyze")
FILES = {"report.json", "layers.csv", "singular_values.npz", "report.html"}


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
    assert {path.name for path in analyzed.iterdir()} == FILES


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
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main([str(SMALL), "--output-dir", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    assert "Healthy: all 30 judged layers" in " ".join(shown.out.split())
    assert "report.json" in shown.out
    assert shown.err == ""
    assert max(map(len, shown.out.splitlines())) <= 100
    assert not (tmp_path / "out" / "plots").exists()


@pytest.mark.newest_python
def test_table_2018_prints_six_columns_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--table", "2018", "--no-plots", "--kinds", "linear"]
    assert main([str(SMALL), *options, "--output-dir", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    header, *rows = said.out.splitlines()
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
    assert main([str(SMALL), "--output-dir", str(tmp_path), "--no-plots", "--max-dim", "79"]) == 0
    report = read_report(tmp_path)
    assert max(layer["M"] for layer in report["layers"]) < 80  # type: ignore[attr-defined]
    large = [s for s in report["skipped"] if "max_dim = 79" in s["reason"]]  # type: ignore[attr-defined]
    assert {min(s["shape"]) for s in large} == {80, 88}
    (warning,) = report["summary"]["warnings"]  # type: ignore[index]
    assert "skipped" in warning and f"and {len(large) - 1} more" in warning


@pytest.mark.newest_python
def test_numbers_do_not_depend_on_the_number_of_jobs(analyzed: Path, tmp_path: Path) -> None:
    assert main([str(SMALL), "--output-dir", str(tmp_path), "--no-plots", "--jobs", "3"]) == 0
    assert read_report(tmp_path)["layers"] == read_report(analyzed)["layers"]
    one, other = (directory / "singular_values.npz" for directory in (tmp_path, analyzed))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.newest_python
def test_stages_add_up_to_the_time_that_the_command_took(tmp_path: Path) -> None:
    started = time.time()
    assert run(str(SMALL), "--output-dir", str(tmp_path), "--quiet").returncode == 0
    # What follows the report's last writing, leaving Python above all, is not in it.
    passed = (tmp_path / "report.json").stat().st_mtime - started
    timing = read_report(tmp_path)["timing"]
    assert isinstance(timing, dict)
    assert all(seconds > 0 for seconds in timing.values())
    assert 0.5 * passed < sum(timing.values()) < passed + 0.05


@pytest.mark.newest_python
def test_existing_report_is_kept_without_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(SMALL), "--output-dir", str(tmp_path), "--quiet", "--kinds", "recurrent"]
    arguments += ["--layers", "_l0$"]
    assert main([*arguments, "--plot-format", "svg"]) == 0
    before = (tmp_path / "report.json").read_bytes()
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "a report already exists" in error
    assert "--force" in error
    assert (tmp_path / "report.json").read_bytes() == before
    assert main([*arguments, "--force", "--plots"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, "plots"}
    layers = read_report(tmp_path)["layers"]
    assert isinstance(layers, list)
    assert {layer["kind"] for layer in layers} == {"recurrent"}
    drawn = list((tmp_path / "plots" / "layers").iterdir())
    assert len(drawn) == len(layers) == 2, "plots of the earlier run are gone"
    assert {path.suffix for path in drawn} == {".png"}
    assert main([*arguments, "--force"]) == 0
    assert not (tmp_path / "plots").exists()


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
        f"sys.exit(main([{str(SMALL)!r}, '--output-dir', {str(tmp_path)!r}, '--quiet',"
        " '--layers', '_l0$']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_build_model_without_allennlp_goes_on_from_the_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "allennlp.models", None)
    out = str(tmp_path)
    options = ["--build-model", "--table", "2018", "--no-plots"]
    assert main([str(SMALL), *options, "--output-dir", out]) == 0
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
        assert main([str(tmp_path / name), "--output-dir", str(out), "--no-plots"]) == 0
        (layer,) = read_report(out)["layers"]  # type: ignore[misc]
        assert layer["kind"] == "linear"
        assert layer["min_singular_value"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.newest_python
def test_files_for_other_tools_are_of_the_run_that_wrote_the_report(tmp_path: Path) -> None:
    command = [str(SMALL), "--layers", "_l0$", "--no-plots", "-q", "--output-dir", str(tmp_path)]
    other = {"junit.xml", "weightwatcher.csv"}
    assert main([*command, "--annotate", "junit", "--weightwatcher"]) == 0
    assert other <= {path.name for path in tmp_path.iterdir()}
    assert main([*command, "--force"]) == 0
    assert not other & {path.name for path in tmp_path.iterdir()}


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
