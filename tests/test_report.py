"""A report in its other forms: the files of the command, figures, lookups, and back from disk."""

import json
import pickle
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allennlp_analyze import Layer, Report, analyze, load
from allennlp_analyze.analysis.journal import only_writer, open_journal
from allennlp_analyze.cli.main import main
from allennlp_analyze.errors import OutputError, SourceError, UsageError
from allennlp_analyze.report import PLOTS
from allennlp_analyze.reports.json import layer_to_dict, to_json_dict
from allennlp_analyze.results.layer import LayerResult, ModelReport
from tests.support.commands import ROOT, SMALL
from tests.support.report_factory import ODD_NAMES, gaussian, make_layer, make_report, odd_report
from tests.support.waiting import PATIENCE

# Six layers, of every kind but one.
SOME = "_l0$|^crf|^tag|conv_[36]$"
TWO = "^crf|^tag"


@pytest.fixture(scope="module")
def report() -> Report:
    return analyze(SMALL, layers=SOME)


@pytest.fixture(scope="module")
def two() -> Report:
    """A report of two layers, for figures."""
    return analyze(SMALL, layers=TWO)


@pytest.fixture(scope="module")
def written(two: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("written") / "library"
    two.write(directory, plots=True)
    return directory


def test_the_same_results(report: Report) -> None:
    plain = odd_report()
    ours = Report.of(plain)
    for field in fields(ModelReport):
        if field.name != "layers":
            assert getattr(ours, field.name) == getattr(plain, field.name)
    for one, other in zip(ours.layers, plain.layers):
        assert isinstance(one, Layer)
        assert all(getattr(one, f.name) is getattr(other, f.name) for f in fields(LayerResult))
        assert one.to_dict() == layer_to_dict(other)
    assert ours.to_dict() == to_json_dict(plain)


@pytest.mark.newest_python
@pytest.mark.no_cover
def test_it_writes_the_files_of_the_command(two: Report, written: Path, tmp_path: Path) -> None:
    arguments = ["--output-dir", str(tmp_path), "--quiet", "--layers", TWO, "--plots"]
    assert main([str(SMALL), *arguments]) == 0
    ours, theirs = (
        {path.relative_to(root): path for path in root.rglob("*") if path.is_file()}
        for root in (written, tmp_path)
    )
    assert set(ours) == set(theirs)
    assert len(ours) > len(two.layers) == 2
    for name, path in ours.items():
        # report.json, and what is made of it, tells how long it took.
        if name.suffix in {".csv", ".npz", ".png"}:
            assert path.read_bytes() == theirs[name].read_bytes(), name
    reports = [json.loads(files[Path("report.json")].read_text()) for files in (ours, theirs)]
    for contents in reports:
        del contents["timing"]
    assert reports[0] == reports[1]


def test_it_says_what_it_has_written(report: Report, tmp_path: Path) -> None:
    found = report.write(tmp_path, plots=False)
    assert {path.name for path in found} == {path.name for path in tmp_path.iterdir()}


def test_it_comes_back_as_it_was(report: Report, tmp_path: Path) -> None:
    chosen = analyze(SMALL, kinds="linear", layers="forward_layer_0.st", compare_distributions=True)
    for name, one in (("all", report), ("chosen", chosen), ("odd", Report.of(odd_report()))):
        one.write(tmp_path / name, plots=False)
        found = load(tmp_path / name)
        assert isinstance(found, Report)
        for ours, theirs in zip(found.layers, one.layers):
            np.testing.assert_array_equal(ours.singular_values, theirs.singular_values)
            assert ours == theirs
        assert found.to_dict()["layers"] == one.to_dict()["layers"]
        assert found.settings == one.settings
        assert found.summary == one.summary
    assert load(tmp_path / "all" / "report.json").layers == report.layers


def test_what_was_not_written_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="contains no report.json"):
        load(tmp_path)
    for path, named in (("", "''"), ("a" * 5000, "a" * 5000)):
        with pytest.raises(SourceError, match=f"^{named}: contains no report.json"):
            load(path)


def test_a_report_is_not_replaced_unasked(report: Report, tmp_path: Path) -> None:
    one = analyze({"a.weight": np.eye(3)})
    one.write(tmp_path, plots=False)
    with pytest.raises(OutputError, match="a report already exists; use force=True to replace it"):
        report.write(tmp_path, plots=False)
    assert len(load(tmp_path).layers) == 1
    report.write(str(tmp_path), plots=False, force=True)
    assert load(tmp_path).layers == report.layers


WRITER = """\
import sys
from pathlib import Path
import numpy as np
from allennlp_analyze import analyze
report = analyze({"a.weight": np.diag(np.arange(1.0, 4.0))})
print("ready", flush=True)
sys.stdin.readline()
try:
    report.write(sys.argv[1], plots=False)
    print("wrote")
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.newest_python
def test_of_many_writers_one_writes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", WRITER, str(out)]
    pipe = subprocess.PIPE
    writers = [
        subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) for _ in range(3)
    ]
    for one in writers:
        assert one.stdout is not None and one.stdout.readline() == "ready\n"
    for one in writers:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    said = sorted(one.communicate(timeout=PATIENCE)[0] for one in writers)
    assert said == ["OutputError\n"] * 2 + ["wrote\n"]
    assert len(load(out).layers) == 1


def test_it_does_not_write_where_a_run_is_writing(report: Report, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with open_journal(out, {}, resume=False):
        with pytest.raises(OutputError, match=rf"^{out}: another run \(process \d+\) is writing"):
            report.write(out, plots=False, force=True)
        assert not (out / "report.json").exists()
    assert not out.exists()
    with only_writer(out), pytest.raises(OutputError, match=f"^{out}: another run is writing"):
        report.write(out, plots=False, force=True)
    assert not out.exists()
    report.write(out, plots=False)
    assert load(out).layers == report.layers


@pytest.mark.newest_python
def test_no_run_writes_where_it_is_writing(tmp_path: Path) -> None:
    with only_writer(tmp_path), pytest.raises(OutputError, match="another run is writing there"):
        with open_journal(tmp_path, {}, resume=False):
            pass


def test_a_directory_that_cannot_be(report: Report, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is not a directory; choose another directory"):
        report.write(tmp_path / "file")
    with pytest.raises(UsageError, match="plot_format: 'gif' is not one of png, svg, pdf"):
        report.write(tmp_path / "new", plot_format="gif")
    for path in ("", " ", "\0", 3):
        with pytest.raises(UsageError, match=f"^directory: {re.escape(repr(path))} "):
            report.write(path)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_layers_by_name_place_and_parameter(report: Report) -> None:
    for index, layer in enumerate(report.layers):
        assert report.layer(layer.name) is layer
        assert report.layer(index) is layer
        assert report.layer(layer.parameter) is layer
    assert report.layer(-1) is report.layers[-1]


def test_a_layer_that_is_not_there(report: Report) -> None:
    with pytest.raises(UsageError, match="^no layer 36: the report has 6 layers$"):
        report.layer(36)
    with pytest.raises(UsageError, match=r"no layer 'crf.transition'; did you mean crf.tran"):
        report.layer("crf.transition")
    with pytest.raises(UsageError, match=r"^no layer 'q+'$"):
        report.layer("qqqqqqqq")
    split = analyze({"attention.in_proj_weight": gaussian(12, 4)})
    with pytest.raises(UsageError, match=r"did you mean attention.in_proj_weight\[query\], "):
        split.layer("attention.in_proj_weight")


def test_every_odd_name_finds_its_layer() -> None:
    report = Report.of(odd_report())
    for name in ODD_NAMES:
        assert report.layer(name).name == name
        assert "\n" not in repr(report.layer(name)) and "\x1b" not in repr(report.layer(name))


def test_repr_is_short(report: Report) -> None:
    assert len(repr(report)) < 110 and repr(report).endswith(": 6 layers, full_rank>")
    assert repr(report.layer("crf.transitions")) == (
        "<Layer 'crf.transitions': other, 17 x 17, full_rank>"
    )
    one = Report.of(make_report(make_layer(gaussian(5, 3), "x" * 500)))
    assert repr(one) == "<Report of model.tar.gz: 1 layer, full_rank>"
    assert len(repr(one.layers[0])) < 110


def test_reports_can_be_pickled_and_changed(report: Report) -> None:
    again = pickle.loads(pickle.dumps(report))
    assert again == report and isinstance(again.layers[0], Layer)
    changed = replace(report, warnings=("changed",))
    assert isinstance(changed, Report) and changed.layers == report.layers


@pytest.mark.newest_python
@pytest.mark.parametrize("kind", PLOTS)
def test_figures_of_the_model_are_those_of_the_command(
    kind: str, two: Report, written: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    from PIL import Image

    def pixels(path: Path) -> np.ndarray:
        return np.asarray(Image.open(path).convert("RGB"), dtype=float)

    two.plot(kind).savefig(tmp_path / "ours.png")
    ours = pixels(tmp_path / "ours.png")
    others = {name: pixels(written / "plots" / f"{name}.png") for name in PLOTS}
    assert {picture.shape for picture in others.values()} == {ours.shape}
    apart = {name: np.mean(np.abs(ours - picture) > 64) for name, picture in others.items()}
    # Letters are hinted in one of them only, which moves a line by a pixel.
    assert apart[kind] < 0.03 and min(apart, key=lambda name: apart[name]) == kind
    assert np.any(ours < 128)


@pytest.mark.newest_python
def test_figures_of_a_layer(report: Report) -> None:
    figure = report.layer("crf.transitions").plot()
    assert len(figure.axes) == 3
    # Its caption has the name.
    assert all("crf.transitions" not in text.get_text() for text in figure.texts)
    assert figure is not report.layer("crf.transitions").plot()


def test_a_plot_that_does_not_exist(report: Report) -> None:
    with pytest.raises(UsageError, match="kind: no plot is called 'esd'; choose from min_sing"):
        report.plot("esd")


@pytest.mark.newest_python
def test_notebooks_show_the_figure_without_pyplot(report: Report) -> None:
    shown: Any = report.plot("alpha")
    assert shown._repr_png_().startswith(b"\x89PNG")
    code = (
        "import sys; from allennlp_analyze import analyze; import numpy as np\n"
        "report = analyze({'a.weight': np.diag(np.arange(1.0, 21.0))})\n"
        "report.plot().savefig('/dev/null', format='png'); report.layers[0].plot()\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
