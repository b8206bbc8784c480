"""The figures under plots/: one per layer, some per model, in files that are always the same."""

import os
import subprocess
import sys
import warnings
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from allennlp_analyze.errors import OutputError
from allennlp_analyze.reports.console import print_report
from allennlp_analyze.reports.figures import plots
from allennlp_analyze.reports.figures.model import MODEL_PLOTS, plot_rank_loss
from allennlp_analyze.reports.figures.plots import write_plots
from allennlp_analyze.reports.figures.style import house_style
from allennlp_analyze.text.names import NAME_WIDTH, figure_name, printable, shorten
from tests.support.figure_cases import CASES, LONG_NAME, axes, collisions, write_layer
from tests.support.report_factory import (
    ODD_NAMES,
    gaussian,
    heavy_tailed,
    make_layer,
    make_report,
)

pytestmark = [pytest.mark.newest_python, pytest.mark.no_cover]


def layer_figure(layer: Any) -> Any:
    return plots.draw_layer(plots.new_layer_figure(), layer)


@pytest.mark.parametrize("case", CASES)
def test_nothing_covers_anything_and_every_axis_is_labelled(case: str) -> None:
    with house_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = layer_figure(CASES[case]())
        assert list(collisions(figure)) == []
    for ax in figure.axes:
        assert not ax.axison or (ax.get_xlabel() and ax.get_ylabel())
        assert ax.axison or len(ax.texts) == 1, "a reason"
    assert any("dimensionless" in text.get_text() for text in figure.texts)


@pytest.mark.parametrize(
    ("matrix", "scale"),
    [
        (gaussian(40, 30), 1e-60),
        (gaussian(40, 30), 0.02),
        (gaussian(40, 30), 3),
        (heavy_tailed(300, 200), 0.3),
        (heavy_tailed(300, 200), 30),
        (heavy_tailed(300, 200), 1e60),
        (gaussian(30, 1), 30),
    ],
)
def test_nothing_covers_anything_at_any_scale(matrix: np.ndarray, scale: float) -> None:
    with house_style():
        assert list(collisions(layer_figure(make_layer(scale * matrix, "name")))) == []


def test_names_are_shortened_in_one_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of the model's figure, and the terminal."""
    names = [*ODD_NAMES, LONG_NAME]
    layers = [make_layer(gaussian(40, 3) @ gaussian(3, 30, 1), name) for name in names]
    rows = plot_rank_loss(axes(), make_report(*layers)).get_yticklabels()
    for layer, row in zip(layers, rows):
        assert row.get_text() == figure_name(layer.name)
    stream = StringIO()
    monkeypatch.setenv("COLUMNS", "100")
    print_report(make_report(*layers), [], stream)
    lines = stream.getvalue().splitlines()
    start = lines.index("") + 2  # after the verdict, and the header
    shown = lines[start : start + len(names)]
    width = shown[names.index(LONG_NAME)].index(" ")
    for name, line in zip(names, shown):
        assert line.startswith(shorten(printable(name), width) + " ")
    assert figure_name(LONG_NAME) == shorten(LONG_NAME, NAME_WIDTH)


def test_a_figure_of_a_layer_has_no_title() -> None:
    """Its file, its caption, or the page says which layer it is, whatever the name."""
    layer = make_layer(gaussian(40, 30), "some name")
    figure = layer_figure(layer)
    texts = [text.get_text() for text in figure.texts]
    assert not [text for text in texts if "some name" in text or "verdict" in text]
    for name in (LONG_NAME, "\u6f22" * 80):
        np.testing.assert_array_equal(
            pixels(layer_figure(replace(layer, name=name))), pixels(figure)
        )


def test_reusing_a_figure_leaves_nothing_of_the_last_layer() -> None:
    figure = plots.draw_layer(plots.new_layer_figure(), CASES["all zeros"]())
    plots.draw_layer(figure, CASES["spike"]())
    layer = make_layer(gaussian(40, 30), "last")
    reused, fresh = (
        plots.draw_layer(figure, layer),
        plots.draw_layer(plots.new_layer_figure(), layer),
    )
    for old, new in zip(reused.axes, fresh.axes):
        assert len(old.lines) == len(new.lines) and len(old.patches) == len(new.patches)
        assert old.get_xlim() == new.get_xlim() and old.get_ylim() == new.get_ylim()
        assert old.axison and old.get_title(loc="right") == new.get_title(loc="right")
    assert [t.get_text() for t in reused.texts] == [t.get_text() for t in fresh.texts]
    assert len(reused.artists) == len(fresh.artists)


# Each of these draws something that no other does.
LEAVING = ("one eigenvalue", "all zeros", "spike", "exact zeros", "no fit", "no bulk", "1e-200")


def test_a_layer_looks_the_same_whatever_was_drawn_before() -> None:
    with house_style():
        reused = plots.new_layer_figure()
        for case in np.random.default_rng(0).permutation(LEAVING):
            layer = CASES[case]()
            fresh = plots.draw_layer(plots.new_layer_figure(), layer)
            plots.draw_layer(reused, layer)
            np.testing.assert_array_equal(pixels(reused), pixels(fresh), case)


def pixels(figure: Any) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def test_the_legend_has_every_curve_in_its_colour() -> None:
    figure = plots.draw_layer(plots.new_layer_figure(), make_layer(heavy_tailed(300, 200)))
    curves, labels = figure.axes[0].get_legend_handles_labels()
    assert len(labels) == 5 and set(labels) < {text.get_text() for text in figure.texts}
    samples = figure.artists
    assert [type(sample) for sample in samples] == [Rectangle] + [Line2D] * 4
    assert samples[0].get_facecolor() == curves[0].get_facecolor()
    for sample, curve in zip(samples[1:], curves[1:]):
        assert sample.get_color() == curve.get_color()
        assert sample.get_linestyle() == curve.get_linestyle()


def test_files_are_where_they_belong_and_the_same_every_time(tmp_path: Path) -> None:
    report = make_report(
        make_layer(heavy_tailed(60, 40), "../../x$y"), make_layer(np.eye(3), "b/c")
    )
    calls: list[int] = []
    first = write_plots(report, tmp_path / "1", "svg", lambda: calls.append(1))
    second = write_plots(report, tmp_path / "2", "svg")
    assert len(calls) == len(first) == len(report.layers) + len(MODEL_PLOTS)
    root = tmp_path / "1" / "plots"
    assert sorted(first) == sorted(path for path in (tmp_path / "1").rglob("*") if path.is_file())
    assert [path.parent for path in first] == [root / "layers"] * 2 + [root] * len(MODEL_PLOTS)
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_another_process_and_other_settings_make_the_same_files(tmp_path: Path) -> None:
    code = (
        "import sys, matplotlib, pathlib\n"
        "from tests.support.figure_cases import write_layer\n"
        "from tests.support.report_factory import heavy_tailed, make_layer, make_report\n"
        "from allennlp_analyze.reports.figures.plots import write_plots\n"
        "settings = {'font.size': 30, 'axes.grid': True, 'pdf.fonttype': 3}\n"
        "matplotlib.rcParams.update(settings)\n"
        "before = dict(matplotlib.rcParams)\n"
        "layer = make_layer(heavy_tailed(60, 40))\n"
        "write_plots(make_report(layer), sys.argv[1])\n"
        "write_layer(layer, pathlib.Path(sys.argv[1]), 'pdf')\n"
        "assert dict(matplotlib.rcParams) == before"
    )
    layer = make_layer(heavy_tailed(60, 40))
    paths = write_plots(make_report(layer), tmp_path / "here")
    paths.append(write_layer(layer, tmp_path / "here", "pdf"))
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", code, str(tmp_path / "there")]
    subprocess.run(command, check=True, env=environment)
    for path in paths:
        other = tmp_path / "there" / path.relative_to(tmp_path / "here")
        assert path.read_bytes() == other.read_bytes()


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "plots").write_bytes(b"")
    with pytest.raises(OutputError, match="plots"):
        write_plots(make_report(), tmp_path)


def test_no_pyplot_and_no_matplotlib_at_import() -> None:
    code = (
        "import sys, allennlp_analyze.reports.console\n"
        "import allennlp_analyze.reports.figures.plots as p\n"
        "assert not {'matplotlib', 'rich'} & set(sys.modules)\n"
        "from matplotlib.figure import Figure\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
