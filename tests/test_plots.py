"""Figures show the numbers of the report, for every spectrum that occurs."""

import subprocess
import sys
import warnings
from io import BytesIO
from itertools import combinations
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image
from report_factory import gaussian, heavy_tailed, make_layer, make_report, odd_report

from allennlp_analyze.errors import OutputError
from allennlp_analyze.reports import plots
from allennlp_analyze.reports.esd_plots import bulk_curve
from allennlp_analyze.reports.plots import write_plots
from allennlp_analyze.reports.style import ALPHA, house_style, new_figure
from allennlp_analyze.results import LayerResult

MODEL_PLOTS = (
    plots.plot_min_singular_values,
    plots.plot_alpha,
    plots.plot_q_alpha,
    plots.plot_rank_loss,
)


def spiked() -> np.ndarray:
    return gaussian(200, 100) + 5 * np.outer(gaussian(200, 1), gaussian(100, 1, 1))


CASES: dict[str, Callable[[], LayerResult]] = {
    "one eigenvalue": lambda: make_layer(gaussian(30, 1)),
    "two eigenvalues": lambda: make_layer(gaussian(30, 2)),
    "17 eigenvalues": lambda: make_layer(gaussian(40, 17)),
    "all equal": lambda: make_layer(np.eye(24)),
    "spike": lambda: make_layer(spiked()),
    "zeros": lambda: make_layer(np.zeros((9, 4))),
    "rank 3": lambda: make_layer(gaussian(40, 3) @ gaussian(3, 20, 1)),
    "duplicated columns": lambda: make_layer(np.repeat(gaussian(30, 8), 2, axis=1)),
    "no fit": lambda: make_layer(gaussian(40, 30), power_law=None),
    "no bulk": lambda: make_layer(heavy_tailed(40, 30), marchenko_pastur=None),
    "tiny": lambda: make_layer(gaussian(40, 30, scale=1e-20)),
    "huge": lambda: make_layer(gaussian(40, 30, scale=1e20)),
    "graded": lambda: make_layer(np.diag(np.geomspace(1e-20, 1e20, 30))),
}


def axes() -> Any:
    return new_figure(6, 4).add_subplot()


@pytest.mark.parametrize("case", CASES)
def test_every_spectrum_can_be_drawn(case: str) -> None:
    layer = CASES[case]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for plot in (plots.plot_esd_linear, plots.plot_esd_loglog):
            ax = axes()
            assert plot(ax, layer) is ax
            for low, high in (ax.get_xlim(), ax.get_ylim()):
                assert np.isfinite([low, high]).all() and low < high
        figure = plots.draw_layer(new_figure(10, 4.4), layer)
        figure.canvas.draw()


def heights(ax: Any) -> tuple[np.ndarray, np.ndarray]:
    [stairs] = ax.patches
    data = stairs.get_data()
    return np.asarray(data.values), np.asarray(data.edges)


def test_the_histogram_is_a_density() -> None:
    layer = make_layer(gaussian(300, 150))
    values, edges = heights(plots.plot_esd_linear(axes(), layer))
    assert (values * np.diff(edges)).sum() == pytest.approx(1)
    expected = np.histogram(layer.eigenvalues, edges, density=True)[0]
    np.testing.assert_allclose(values, expected)


def test_a_cut_view_says_what_lies_beyond() -> None:
    layer = make_layer(spiked())
    ax = plots.plot_esd_linear(axes(), layer)
    assert ax.get_xlim()[1] < layer.eigenvalues[0]
    n_beyond = int((layer.eigenvalues > ax.get_xlim()[1]).sum())
    assert ax.get_title(loc="right").startswith(f"{n_beyond} beyond, up to ")
    values, edges = heights(ax)
    assert (values * np.diff(edges)).sum() == pytest.approx(1 - n_beyond / layer.M)


def test_numerical_zeros_are_counted_not_drawn() -> None:
    layer = make_layer(gaussian(40, 3) @ gaussian(3, 20, 1))
    ax = plots.plot_esd_loglog(axes(), layer)
    assert ax.get_title(loc="right") == "17 of 20 are zero: not drawn"
    assert ax.get_xlim()[0] > layer.eigenvalues[2] / 10


@pytest.mark.parametrize(("N", "M"), [(200, 100), (500, 50), (100, 100)])
def test_the_bulk_curve_is_the_law_of_random_matrices(N: int, M: int) -> None:
    layer = make_layer(gaussian(N, M))
    assert layer.marchenko_pastur is not None
    curve = bulk_curve(layer.marchenko_pastur, M)
    total = float((np.diff(curve.x) * (curve.density[1:] + curve.density[:-1]) / 2).sum())
    share = 1 - layer.marchenko_pastur.n_spikes / M
    # At Q = 1 the trapezoids miss some of the pole at 0.
    assert total == pytest.approx(share, abs=0.03 if N == M else 1e-3)
    mean = float((np.diff(curve.x) * ((curve.x * curve.density)[1:])).sum()) / share
    assert mean == pytest.approx(N * layer.marchenko_pastur.sigma**2, rel=0.02)


@pytest.mark.parametrize("plot", [plots.plot_esd_linear, plots.plot_esd_loglog])
def test_fit_and_edges_are_drawn_where_the_report_says(plot: Callable[..., Any]) -> None:
    layer = make_layer(heavy_tailed(300, 200))
    fit, mp = layer.power_law, layer.marchenko_pastur
    assert fit is not None and mp is not None
    ax = plot(axes(), layer)
    assert upright_lines(ax) == sorted([fit.xmin, mp.lambda_minus, mp.lambda_plus])
    texts = " ".join(text.get_text() for text in ax.get_legend().get_texts())
    assert f"{ALPHA} = {fit.alpha:.2f}" in texts and f"D = {fit.D:.3f}" in texts
    [law] = [line for line in ax.lines if line.get_label().startswith("power law")]
    x, y = law.get_data()
    assert (x[0], x[-1]) == (pytest.approx(fit.xmin), pytest.approx(layer.eigenvalues[0]))
    slope = np.diff(np.log(y)) / np.diff(np.log(x))
    np.testing.assert_allclose(slope, -fit.alpha)
    # The integral from xmin to infinity is the tail's share of the eigenvalues.
    assert y[0] * fit.xmin / (fit.alpha - 1) == pytest.approx(fit.n_tail / layer.M)


def test_reusing_a_figure_leaves_nothing_of_the_last_layer() -> None:
    figure = plots.draw_layer(Figure(), CASES["zeros"]())
    plots.draw_layer(figure, CASES["spike"]())
    layer = make_layer(gaussian(40, 30), "last")
    reused, fresh = plots.draw_layer(figure, layer), plots.draw_layer(Figure(), layer)
    for old, new in zip(reused.axes, fresh.axes):
        assert len(old.lines) == len(new.lines) and len(old.patches) == len(new.patches)
        assert old.get_xlim() == new.get_xlim() and old.get_ylim() == new.get_ylim()
        assert old.axison and old.get_title(loc="right") == new.get_title(loc="right")
    assert [t.get_text() for t in reused.texts] == [t.get_text() for t in fresh.texts]
    assert len(reused.artists) == len(fresh.artists)


@pytest.mark.parametrize("seed", range(3))
def test_a_layer_looks_the_same_whatever_was_drawn_before(seed: int) -> None:
    with house_style():
        reused = new_figure(10, 4.4)
        for case in np.random.default_rng(seed).permutation(list(CASES)):
            layer = CASES[case]()
            fresh = plots.draw_layer(new_figure(10, 4.4), layer)
            plots.draw_layer(reused, layer)
            np.testing.assert_array_equal(pixels(reused), pixels(fresh), case)


def pixels(figure: Any) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def test_png_files_hold_what_matplotlib_draws(tmp_path: Path) -> None:
    layer = make_layer(heavy_tailed(300, 200), "name")
    path = write_plots(make_report(layer), tmp_path)[0]
    expected = BytesIO()
    with house_style():
        plots.draw_layer(new_figure(10, 4.4), layer).savefig(expected, format="png")
    ours, theirs = Image.open(path), Image.open(expected)
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs.convert("RGB")))
    assert theirs.getextrema()[3] == (255, 255), "opaque: nothing is lost without it"
    assert ours.info["dpi"] == theirs.info["dpi"]
    assert path.stat().st_size < len(expected.getvalue())


@pytest.mark.parametrize("scale", [1e-60, 0.02, 0.05, 0.1, 0.3, 1, 3, 10, 30, 1e60])
@pytest.mark.parametrize("matrix", [gaussian(40, 30), heavy_tailed(300, 200), gaussian(30, 1)])
def test_no_text_covers_another(matrix: np.ndarray, scale: float) -> None:
    with house_style():
        figure = plots.draw_layer(new_figure(10, 4.4), make_layer(scale * matrix, "name"))
        figure.canvas.draw()
    boxes = [(text, text.get_window_extent()) for text in drawn_texts(figure)]
    for text, box in boxes:
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width, text
        assert 0 <= box.y0 < box.y1 <= figure.bbox.height, text
    for (text, box), (other, other_box) in combinations(boxes, 2):
        assert not box.overlaps(other_box), (text, other)


def drawn_texts(figure: Any) -> list[Text]:
    texts = list(figure.texts)
    for ax in figure.axes:
        texts += [child for child in ax.get_children() if isinstance(child, Text)]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = axis.get_view_interval()
            ticks = zip(axis.get_ticklocs(), axis.get_ticklabels())
            texts += [label for place, label in ticks if low <= place <= high]
            texts += [axis.label, axis.get_offset_text()]
    return [text for text in texts if text.get_text()]


@pytest.mark.parametrize("scale", [1e-60, 0.01, 0.1, 1, 10, 100, 1e60])
@pytest.mark.parametrize("matrix", [gaussian(40, 30), heavy_tailed(300, 200), np.eye(24)])
@pytest.mark.parametrize("plot", [plots.plot_esd_linear, plots.plot_esd_loglog])
def test_tick_labels_say_where_they_stand(
    plot: Callable[..., Any], matrix: np.ndarray, scale: float
) -> None:
    ax = plot(axes(), make_layer(scale * matrix))
    ax.figure.canvas.draw()
    for axis in (ax.xaxis, ax.yaxis):
        unit = number(axis.get_offset_text().get_text().strip("\u00d7") or "1")
        labels = [number(text.get_text()) for text in axis.get_ticklabels()]
        assert len(labels) >= 2 and (unit == 1 or max(labels) >= 1)
        np.testing.assert_allclose(np.multiply(labels, unit), axis.get_ticklocs(), 1e-3)


def number(text: str) -> float:
    digits = text.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    return float(text) if digits == text else 10.0 ** int(digits[len("10") :])


def test_the_legend_has_every_curve_in_its_colour() -> None:
    figure = plots.draw_layer(Figure(), make_layer(heavy_tailed(300, 200)))
    curves, labels = figure.axes[0].get_legend_handles_labels()
    assert len(labels) == 5 and set(labels) < {text.get_text() for text in figure.texts}
    samples = figure.artists
    assert [type(sample) for sample in samples] == [Rectangle] + [Line2D] * 4
    assert samples[0].get_facecolor() == curves[0].get_facecolor()
    for sample, curve in zip(samples[1:], curves[1:]):
        assert sample.get_color() == curve.get_color()
        assert sample.get_linestyle() == curve.get_linestyle()


def upright_lines(ax: Any) -> list[float]:
    """Where vertical lines stand that reach from the bottom of the axes to their top."""
    low, high = ax.bbox.intervaly
    found = []
    for line in ax.lines:
        x, y = line.get_data()
        ends = line.get_transform().transform(np.column_stack([x, y]))[:, 1]
        for at in range(len(x) - 1):
            if x[at] == x[at + 1] and np.allclose(ends[at : at + 2], (low, high)):
                found.append(x[at])
    return sorted(found)


def test_min_singular_values_leave_out_square_layers() -> None:
    report = make_report(
        make_layer(gaussian(40, 20)),
        make_layer(gaussian(20, 20)),
        make_layer(np.zeros((9, 4))),
        make_layer(gaussian(40, 20, scale=1e-6), verdict="near_collapse"),
    )
    ax: Any = plots.plot_min_singular_values(axes(), report)
    assert sum(bar.get_height() for bar in ax.patches) == 2
    assert ax.get_xscale() == "log"
    assert "1 layer with exactly 0" in ax.get_title(loc="right")


def test_alpha_has_reference_lines_and_counts_outliers() -> None:
    layers = [make_layer(heavy_tailed(60, 40, seed)) for seed in range(5)]
    layers.append(make_layer(gaussian(4000, 20)))
    alphas = [layer.power_law.alpha for layer in layers if layer.power_law]
    assert max(alphas) > 14
    ax: Any = plots.plot_alpha(axes(), make_report(*layers))
    assert [line.get_xdata()[0] for line in ax.lines] == [2, 6]
    assert sum(bar.get_height() for bar in ax.patches) == sum(alpha <= 14 for alpha in alphas)
    assert "1 layer beyond" in ax.get_title(loc="right")


def test_q_alpha_shows_one_point_per_fit() -> None:
    report = make_report(
        make_layer(heavy_tailed(60, 40)), make_layer(heavy_tailed(90, 30), kind="embedding")
    )
    ax = plots.plot_q_alpha(axes(), report)
    points = np.concatenate([group.get_offsets() for group in ax.collections])
    expected = [(layer.Q, layer.power_law.alpha) for layer in report.layers if layer.power_law]
    np.testing.assert_allclose(np.sort(points, 0), np.sort(expected, 0))


def test_rank_loss_names_those_that_lose() -> None:
    losing = make_layer(gaussian(40, 3) @ gaussian(3, 20, 1), "bad_layer")
    ax: Any = plots.plot_rank_loss(axes(), make_report(losing, make_layer(gaussian(9, 5))))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["bad_layer"]
    assert ax.patches[0].get_width() == pytest.approx(100 * 17 / 20)
    assert ax.get_title(loc="right") == "1 layer loses none"


@pytest.mark.parametrize("plot", MODEL_PLOTS)
def test_an_empty_model_says_so(plot: Callable[..., Any]) -> None:
    ax = plot(axes(), make_report())
    assert len(ax.texts) == 1


@pytest.mark.parametrize("fmt", ["png", "svg", "pdf"])
def test_files_are_where_they_belong_and_the_same_every_time(fmt: str, tmp_path: Path) -> None:
    report = make_report(
        make_layer(heavy_tailed(60, 40), "../../x$y"), make_layer(np.eye(3), "b/c")
    )
    calls: list[int] = []
    first = write_plots(report, tmp_path / "1", fmt, lambda: calls.append(1))
    second = write_plots(report, tmp_path / "2", fmt)
    assert len(calls) == len(first) == len(report.layers) + 4
    root = tmp_path / "1" / "plots"
    assert sorted(first) == sorted(path for path in (tmp_path / "1").rglob("*") if path.is_file())
    assert [path.parent for path in first] == [root / "layers"] * 2 + [root] * 4
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_odd_names_are_drawn_without_a_word(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written = write_plots(odd_report(), tmp_path, "svg")
    assert len(set(written)) == len(odd_report().layers) + 4
    assert "<script" not in "".join(path.read_text(encoding="utf-8") for path in written)


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "plots").write_bytes(b"")
    with pytest.raises(OutputError, match="plots"):
        write_plots(make_report(), tmp_path)


def test_no_pyplot_and_no_matplotlib_at_import() -> None:
    code = (
        "import sys, allennlp_analyze.reports.plots as p, allennlp_analyze.reports.console\n"
        "assert not {'matplotlib', 'rich'} & set(sys.modules)\n"
        "from matplotlib.figure import Figure\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
