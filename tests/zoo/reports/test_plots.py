"""The figures of a zoo: every layer once, by group, and nothing over anything else."""

import subprocess
import sys
import warnings
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Callable
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from allennlp_analyze.errors import OutputError
from allennlp_analyze.reports.figures.file import drawn_figure
from allennlp_analyze.reports.figures.style import GREY, GROUP_LOOKS, house_style
from allennlp_analyze.results.verdict import MIN_Q
from allennlp_analyze.text.names import figure_name, printable
from allennlp_analyze.zoo.reports import plots as zoo_plots
from allennlp_analyze.zoo.reports.plots import (
    MAX_BARS,
    MAX_POINTS,
    ZOO_PLOTS,
    draw_zoo,
    new_zoo_figure,
    write_zoo_plots,
    zoo_caption,
)
from allennlp_analyze.zoo.reports.points import GROUP_WIDTH, group_name, zoo_points
from allennlp_analyze.zoo.results import ZooLayer, ZooReport
from tests.support.figure_cases import axes, collisions, legend, total
from tests.support.report_factory import ODD_NAMES
from tests.support.zoo_factory import layers_zoo, make_zoo, sample_zoo
from tests.support.zoo_figure_cases import (
    ZOOS,
    a_layer,
    a_model,
    drawn_by_lot,
    oddly_named,
    published,
)

pytestmark = pytest.mark.newest_python
EVERY, CLEAR = "min_singular_values", "min_singular_values_q"
# Draws a figure by its name.
Drawn = Callable[[str], Any]


@pytest.fixture(scope="module", params=ZOOS)
def zoo(request: pytest.FixtureRequest) -> ZooReport:
    return ZOOS[request.param]()


@pytest.fixture(scope="module")
def drawn(zoo: ZooReport) -> Drawn:
    """The axes of a figure of `zoo` by its name, drawn once and as it is written."""
    points = zoo_points(zoo)

    @cache
    def draw(name: str) -> Any:
        with house_style():
            [ax] = draw_zoo(new_zoo_figure(), name, points).axes
        return ax

    return draw


def linear(zoo: ZooReport) -> "list[ZooLayer]":
    layers = [layer for model in zoo.counted for layer in model.outcome.layers]
    return [layer for layer in layers if layer.kind == "linear"]


@pytest.mark.parametrize("name", [name for name, _, _ in ZOO_PLOTS])
@pytest.mark.no_cover
def test_nothing_covers_anything_and_every_axis_is_labelled(name: str, drawn: Drawn) -> None:
    with house_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        ax = drawn(name)
        assert list(collisions(ax.figure)) == []
    assert not ax.get_title(loc="left") and not ax.get_title()
    if not ax.axison:
        assert len(ax.texts) == 1, "a reason"
        return
    assert "(" in ax.get_xlabel(), "a unit"
    assert ax.get_ylabel() or name == "rank_loss"  # whose rows have names
    legend = ax.get_legend().get_window_extent()
    assert legend.x0 >= 0 and legend.x1 <= ax.figure.bbox.width and legend.y0 >= 0
    boxes = [text.get_window_extent() for text in ax.texts]
    assert all(box.x1 <= ax.figure.bbox.width for box in boxes)
    bars = [bar.get_window_extent() for bar in ax.patches]
    assert not [1 for box in boxes for bar in bars if box.overlaps(bar)], "numbers beside the bars"


def test_an_empty_zoo_has_a_reason_in_every_figure() -> None:
    for name, _, _ in ZOO_PLOTS:
        [ax] = draw_zoo(new_zoo_figure(), name, zoo_points(make_zoo([]))).axes
        assert not ax.axison and len(ax.texts) == 1


def test_every_layer_is_in_its_histogram_or_counted(zoo: ZooReport, drawn: Drawn) -> None:
    layers = linear(zoo)
    assert len(zoo_points(zoo).layers.group) == len(layers)
    clear = [layer for layer in layers if layer.Q > MIN_Q]
    for name, of in ((EVERY, layers), (CLEAR, clear)):
        ax = drawn(name)
        assert total(ax) == sum(1e-150 < x.min_singular_value < 1e150 for x in of)
        n_zero = sum(layer.min_singular_value == 0 for layer in of)
        note = ax.get_title(loc="right") + "".join(text.get_text() for text in ax.texts)
        if n_zero:
            assert f"{n_zero} layer{'s' * (n_zero > 1)} with exactly 0" in note
        if not of:
            assert "no linear layer" in note


def test_the_zoom_is_on_what_is_near_zero(zoo: ZooReport, drawn: Drawn) -> None:
    near = [x for x in linear(zoo) if x.Q > MIN_Q and x.min_singular_value < 0.01]
    ax = drawn("min_singular_values_zoom")
    assert total(ax) == len(near)
    if not near:
        assert not ax.axison and ax.texts[0].get_text().startswith(("none of", "no linear layer"))
        return
    assert ax.get_xlim() == (0, 0.01)
    note = ax.get_title(loc="right")
    assert note.startswith(f"{len(near)} of ")
    n_zero = sum(layer.min_singular_value == 0 for layer in near)
    assert note.endswith(f", {n_zero} exactly 0") if n_zero else "exactly" not in note
    first = [bar for bar in ax.patches if bar.get_x() == 0]
    assert sum(bar.get_height() for bar in first) >= n_zero


def test_the_zoom_on_the_published_matrices_shows_six_near_zero() -> None:
    """As the study says: 24 ImageNet matrices with Q > 1.1, six of them near zero."""
    models = [model for model in published().models if model.group == "ImageNet"]
    ax: Any = zoo_plots.plot_min_singular_values_zoom(axes(), zoo_points(make_zoo(models)))
    assert ax.get_title(loc="right") == "6 of 24 layers"


def test_alpha_counts_what_is_from_2_to_4(zoo: ZooReport, drawn: Drawn) -> None:
    alphas = np.array([layer.alpha for layer in linear(zoo) if layer.alpha is not None])
    ax = drawn("alpha")
    if not len(alphas):
        assert not ax.axison
        return
    end = ax.get_xlim()[1]
    assert total(ax) == np.count_nonzero(alphas <= end)
    usual = np.count_nonzero((alphas >= 2) & (alphas <= 4)) / len(alphas)
    note = ax.get_title(loc="right")
    assert float(note.split("% from 2 to 4")[0]) == pytest.approx(100 * usual, abs=0.5)
    n_beyond = np.count_nonzero(alphas > end)
    assert (f"{n_beyond} layer" in note) == bool(n_beyond)
    lines = {line.get_label(): line.get_xdata()[0] for line in ax.lines}
    assert lines == {"\u03b1 = 2": 2, "\u03b1 = 4": 4, "\u03b1 = 6": 6}
    for bar in ax.patches:
        left, right = bar.get_x(), bar.get_x() + bar.get_width()
        assert not [1 for place in (2, 4, 6) if left + 1e-9 < place < right - 1e-9]


def test_q_alpha_shows_one_point_per_fit_all_in_view(zoo: ZooReport, drawn: Drawn) -> None:
    expected = [(x.Q, x.alpha) for x in linear(zoo) if x.alpha is not None]
    ax = drawn("q_alpha")
    if not expected:
        assert not ax.axison
        return
    points = np.concatenate([np.asarray(group.get_offsets()) for group in ax.collections])
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    assert ((left < points[:, 0]) & (points[:, 0] < right)).all()
    assert ((low < points[:, 1]) & (points[:, 1] < high)).all()
    if len(expected) <= MAX_POINTS:
        assert sorted(map(tuple, points)) == sorted(expected)
        assert not ax.get_title(loc="right")
    else:
        assert len(points) == MAX_POINTS and set(map(tuple, points)) <= set(expected)
        assert ax.get_title(loc="right") == f"20000 of {len(expected)} layers, chosen at random"


def test_a_sample_is_fair_to_layers_that_repeat_in_every_model() -> None:
    """Of 25 layers that each of 1,000 models has, each is drawn as often as any other."""
    layers = [a_layer(100 + index, 100, alpha=2.0 + index) for index in range(25)]
    points = zoo_points(make_zoo([a_model(layers)] * 1000))
    first, again = (zoo_plots.plot_q_alpha(axes(), points) for _ in range(2))
    alphas, same = (
        np.concatenate([np.asarray(group.get_offsets())[:, 1] for group in ax.collections])
        for ax in (first, again)
    )
    np.testing.assert_array_equal(alphas, same)
    counts = np.unique(alphas, return_counts=True)[1]
    assert len(counts) == 25
    assert (abs(counts - 800) < 5 * np.sqrt(1000 * 0.8 * 0.2)).all()


@pytest.mark.no_cover
def test_the_file_of_a_sample_is_of_a_reasonable_size() -> None:
    points = zoo_points(drawn_by_lot(900, 9))
    assert len(points.layers.group) > MAX_POINTS
    file = BytesIO()
    with house_style():
        figure = draw_zoo(new_zoo_figure(), "q_alpha", points)
        drawn_figure(figure, "svg", zoo_caption(ZOO_PLOTS[4][2], points))(file)
    assert len(file.getvalue()) < 4 * 2**20


def test_rank_loss_names_the_models_that_lose_most(zoo: ZooReport, drawn: Drawn) -> None:
    losses = {}
    for model in zoo.counted:
        of = [layer.rank_loss_percent for layer in model.outcome.layers if layer.kind == "linear"]
        if of and max(of) > 0:
            losses[figure_name(model.name)] = (max(of), sum(loss > 0 for loss in of), len(of))
    ax = drawn("rank_loss")
    if not losses:
        assert not ax.axison and "loses rank" in ax.texts[0].get_text()
        return
    names = [label.get_text() for label in ax.get_yticklabels()]
    worst = sorted((loss for loss, _, _ in losses.values()), reverse=True)[:MAX_BARS]
    assert [losses[name][0] for name in names] == worst
    for name, text in zip(names, ax.texts):
        loss, n_losing, n_layers = losses[name]
        assert text.get_text() == f"{loss:.3g}: {n_losing} of {n_layers}"
    assert sorted(bar.get_width() for bar in ax.patches) == sorted(worst)
    n_none = len(zoo.counted) - len(losses)
    note = ax.get_title(loc="right")
    assert (f"{n_none} model" in note) == bool(n_none)
    assert (f"{len(losses) - MAX_BARS} more lose less" in note) == (len(losses) > MAX_BARS)


def test_groups_are_those_with_most_layers_and_all_others_together() -> None:
    sizes = {f"g{index}": 1 + index % 9 for index in range(12)}
    zoo = make_zoo(a_model([a_layer()] * size, name, name) for name, size in sizes.items())
    points = zoo_points(zoo)
    labels = [look.label for look in points.looks]
    kept = ["g2", "g3", "g4", "g5", "g6", "g7", "g8"]
    assert labels == [*kept, "5 other groups"]
    counts = dict(zip(labels, np.bincount(points.layers.group).tolist()))
    assert counts == {**{name: sizes[name] for name in kept}, "5 other groups": 9}
    ax = zoo_plots.plot_alpha(axes(), points)
    assert legend(ax)[3:] == [f"{label} ({n})" for label, n in counts.items()]


@pytest.mark.parametrize("n_groups", [1, 7, 8])
def test_up_to_seven_groups_have_a_colour_and_a_mark_each(n_groups: int) -> None:
    points = zoo_points(drawn_by_lot(3 * n_groups, n_groups))
    looks = points.looks
    assert len({look.colour for look in looks}) == len({look.marker for look in looks})
    assert len({look.marker for look in looks}) == len(looks) == n_groups
    pairs = [(look.marker, look.colour) for look in looks]
    assert pairs[:7] == list(GROUP_LOOKS[:n_groups])
    others = [(look.label, look.colour) for look in looks if look.hatch]
    assert others == ([("1 other group", GREY)] if n_groups > 7 else [])
    ax: Any = zoo_plots.plot_q_alpha(axes(), points)
    assert len(ax.collections) == n_groups


def test_only_counted_models_and_linear_layers_are_drawn() -> None:
    zoo = sample_zoo()
    points = zoo_points(zoo)
    assert points.n_models == len(zoo.counted) == 5
    assert len(points.layers.group) == len(linear(zoo))
    labels = [look.label for look in points.looks]
    assert labels == ["ner", "parsing"], "nothing of groups without a linear layer"


def test_group_names_are_shown_as_names() -> None:
    for name in (*ODD_NAMES, "_hidden", "x" * 99):
        shown = group_name(name)
        assert shown == printable(shown) and 0 < len(shown) <= max(GROUP_WIDTH, 10)
    assert group_name("") == "(no group)" and group_name("ner") == "ner"
    points = zoo_points(
        make_zoo([a_model([a_layer()], group="_hidden"), a_model([a_layer()], group="$x$")])
    )
    labels = legend(zoo_plots.plot_min_singular_values(axes(), points))
    assert labels == [" _hidden (1)", r"\$x\$ (1)"], "in the legend, and no formula"


@settings(max_examples=4)
@given(
    st.lists(
        st.builds(
            a_layer,
            st.integers(10, 10**6),
            st.integers(1, 10),
            st.floats(0, 1e300),
            st.floats(0, 100),
            st.none() | st.floats(1.0001, 1e12),
        ),
        max_size=30,
    )
)
def test_whatever_the_numbers_are_they_are_drawn(layers: "list[ZooLayer]") -> None:
    points = zoo_points(layers_zoo(layers))
    with house_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in (EVERY, "alpha", "q_alpha", "rank_loss"):
            figure = draw_zoo(new_zoo_figure(), name, points)
            figure.canvas.draw()


def test_the_same_numbers_make_the_same_files_that_say_what_they_show(tmp_path: Path) -> None:
    zoo = oddly_named((ODD_NAMES[0], ODD_NAMES[2], ODD_NAMES[7], ODD_NAMES[8]))
    called: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = write_zoo_plots(zoo, tmp_path / "a", "svg", lambda: called.append(1))
    second = write_zoo_plots(zoo, tmp_path / "b", "svg")
    names = [f"{name}.svg" for name, _, _ in ZOO_PLOTS]
    assert [path.name for path in first] == names and len(called) == len(names)
    assert [path.parent for path in first] == [tmp_path / "a" / "plots"] * len(names)
    assert sorted(path.name for path in (tmp_path / "a" / "plots").iterdir()) == sorted(names)
    points = zoo_points(zoo)
    for path, other, (_, _, caption) in zip(first, second, ZOO_PLOTS):
        assert path.read_bytes() == other.read_bytes()
        root = ElementTree.parse(path).getroot()
        expected = zoo_caption(caption, points)
        assert (root[0].text, root[1].text) == (expected.title, expected.description)
        assert "36 linear layers of 4 models: " in expected.description
        assert "<script" not in path.read_text(encoding="utf-8")


@pytest.mark.no_cover
def test_a_png_is_what_matplotlib_draws(tmp_path: Path) -> None:
    zoo = sample_zoo()
    written = write_zoo_plots(zoo, tmp_path)
    assert len(written) == len(ZOO_PLOTS)
    for path in written[1::3]:  # bars, and points
        expected = BytesIO()
        with house_style():
            draw_zoo(new_zoo_figure(), path.stem, zoo_points(zoo)).savefig(expected, format="png")
        drawn = np.asarray(Image.open(expected).convert("RGB"))
        np.testing.assert_array_equal(np.asarray(Image.open(path)), drawn)


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "plots").write_bytes(b"")
    with pytest.raises(OutputError, match="plots"):
        write_zoo_plots(make_zoo([]), tmp_path)


def test_no_pyplot_and_no_matplotlib_at_import() -> None:
    code = (
        "import sys, allennlp_analyze.zoo.reports.plots, allennlp_analyze.zoo.reports.console\n"
        "assert not {'matplotlib', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
