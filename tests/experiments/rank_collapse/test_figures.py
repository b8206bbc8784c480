"""The figures of the rank-collapse experiment: every number in its place, nothing over another."""

import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allennlp_analyze.errors import OutputError
from allennlp_analyze.reports.figures.style import GREEN, VERDICT_COLOURS, VERMILLION, house_style
from scripts.rank_collapse import figures, marks, words
from scripts.rank_collapse.ends import LAYER_LOOKS
from scripts.rank_collapse.measures import MEASURES, NO_NETWORK, ZERO_NOTE
from tests.reports.figures.test_colours import VISIONS, difference
from tests.support.commands import ROOT
from tests.support.figure_cases import axes, collisions
from tests.support.rank_collapse_cases import (
    EXPERIMENTS,
    case,
    demonstration,
    experiment,
    network,
    results,
)

pytestmark = [pytest.mark.newest_python, pytest.mark.study]
HIDDEN = results.HIDDEN


@pytest.fixture(params=EXPERIMENTS)
def made(request: pytest.FixtureRequest) -> Any:
    return case(request.param)


@pytest.fixture(scope="module")
def sweep() -> Any:
    return case("sweep")


_DRAWN: "dict[int, tuple[Any, dict[str, Any]]]" = {}


def drawn(of: Any) -> "dict[str, Any]":
    """The figures of an experiment by name, drawn once; a test only looks at them."""
    if id(of) not in _DRAWN:
        with house_style(), warnings.catch_warnings():
            warnings.simplefilter("error")
            found = {name: figure for name, figure, _ in figures.drawings(of)}
        _DRAWN[id(of)] = (of, found)  # which keeps `of`, and its id its own
    return _DRAWN[id(of)][1]


def lines_of(ax: Any) -> "list[tuple[np.ndarray, np.ndarray]]":
    """Lines in the units of the data, as (x, y)."""
    return [
        (np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float))
        for line in ax.get_children()
        if type(line).__name__ == "Line2D" and line.get_transform() == ax.transData
    ]


def names(ax: Any) -> "list[str]":
    return [text.get_text() for text in ax.texts]


def test_the_cases_have_healthy_and_collapsed_layers(sweep: Any) -> None:
    found = {layer.verdict for n in sweep.networks for layer in n.final.layers}
    assert found == {"full_rank", "collapsed"}


def test_nothing_covers_anything(made: Any) -> None:
    with house_style():
        for name, figure in drawn(made).items():
            assert list(collisions(figure)) == [], name


def test_only_a_demonstration_has_a_figure_of_it(made: Any) -> None:
    expected = ["eigenvalues", "epochs", "l2", "accuracy"]
    assert list(drawn(made)) == expected + ["tikhonov"] * (made.tikhonov is not None)


def test_every_eigenvalue_is_in_its_histogram_or_counted(made: Any) -> None:
    figure = drawn(made)["eigenvalues"]
    panels = [ax for ax in figure.axes if ax.axison]
    if not made.networks:
        assert panels == [] and "no network" in names(figure.axes[0])[0]
        return
    linear, log = ([ax for ax in panels if ax.get_xscale() == scale] for scale in ("linear", "log"))
    assert len(linear) == len(log) == len(made.networks)
    for upper, lower, net in zip(linear, log, made.networks):
        assert upper.get_title(loc="left") == f"L2 = {words.l2_label(net.l2)}"
        states = (net.final, net.epochs[0])
        for patch, other, state in zip(upper.patches, lower.patches, states):
            values = np.linalg.eigvalsh(gram(state.layer("fc1")))
            counts, edges, _ = patch.get_data()
            within = state.layer("fc1").eigenvalues <= edges[-1]
            assert counts.sum() == np.count_nonzero(within)
            assert other.get_data()[0].sum() == np.count_nonzero(state.layer("fc1").eigenvalues > 0)
            assert values.max() == pytest.approx(state.layer("fc1").eigenvalues[0])
        beyond = np.count_nonzero(net.final.layer("fc1").eigenvalues > upper.get_xlim()[1])
        assert (f"{beyond} beyond" in "".join(names(upper))) == bool(beyond)
        zeros = np.count_nonzero(net.final.layer("fc1").eigenvalues == 0)
        assert (f"{zeros} of 24 exactly 0" in "".join(names(lower))) == bool(zeros)
        colour = VERDICT_COLOURS[net.final.layer("fc1").verdict].lower()
        assert to_hex(upper.patches[0]) == colour


def gram(layer: Any) -> np.ndarray:
    return np.diag(layer.singular_values**2)


def to_hex(patch: Any) -> str:
    from matplotlib.colors import to_hex

    return str(to_hex(patch.get_facecolor()))


def test_a_pile_up_near_zero_is_said_and_seen(sweep: Any) -> None:
    figure = drawn(sweep)["eigenvalues"]
    linear = [ax for ax in figure.axes if ax.axison and ax.get_xscale() == "linear"]
    collapsed, before = linear[-1], linear[-1].patches[1].get_data().values
    after, edges, _ = collapsed.patches[0].get_data()
    assert after[0] == 21 > before[0]
    assert f"21 of 24 below {edges[1]:.2g}" in names(collapsed)[0]
    assert "below" not in "".join(names(linear[0]))


@pytest.mark.parametrize("row", range(3))
def test_history_is_that_of_every_network(row: int, sweep: Any) -> None:
    _, measure, _ = MEASURES[row]
    panels = drawn(sweep)["epochs"].axes[2 * row : 2 * row + 2]
    for ax, name in zip(panels, HIDDEN):
        lines = [line for line in lines_of(ax) if len(line[0]) > 1]
        assert len(lines) == len(sweep.networks)
        for (x, y), net in zip(lines, sweep.networks):
            expected = [measure(state.layer(name)) for state in net.epochs]
            np.testing.assert_allclose(y, expected)
            assert list(x) == [state.epoch for state in net.epochs]
        assert sorted(names(ax)) == sorted(words.l2_label(n.l2) for n in sweep.networks)


def test_measures_are_those_of_the_library() -> None:
    layer = network(0.1, 30.0).final.layer("fc1")
    values = layer.singular_values
    smallest, lost, stable = (measure(layer) for _, measure, _ in MEASURES)
    assert smallest == values.min()
    assert lost == pytest.approx(100 * layer.lost_directions / 24)
    assert stable == pytest.approx((values**2).sum() / values.max() ** 2)


def test_exact_zeros_are_crosses_on_the_axis() -> None:
    figure = drawn(case("all zeros"))["epochs"]
    for ax in figure.axes[:2]:
        marks_ = [line.get_marker() for line in ax.get_children() if hasattr(line, "get_marker")]
        assert "x" in marks_
    assert ZERO_NOTE in [text.get_text() for text in figure.texts]


def test_a_network_looks_the_same_in_every_figure() -> None:
    """Whichever of the others diverged."""
    made = [network(l2, 0.1, 1, diverged=l2 == 0.1) for l2 in (0.0, 0.1, 0.2, 0.3)]
    found = drawn(experiment(made))
    for ax in found["epochs"].axes:
        every = looks_in(ax)
        assert len(set(every)) == len(made)
    for ax in found["accuracy"].axes:
        assert sorted(names(ax)) == ["0", "0.2", "0.3"]
        assert looks_in(ax) == [every[0], *every[2:]]


def looks_in(ax: Any) -> "list[tuple[str, str]]":
    """Mark and colour of every line of the axes, in the order of the networks."""
    lines = [line for line in ax.get_children() if type(line).__name__ == "Line2D"]
    return [
        (line.get_marker(), line.get_color())
        for line in lines
        if line.get_transform() == ax.transData
    ]


def test_that_every_network_diverged_is_said() -> None:
    found = drawn(case("every network diverged"))
    for name in ("l2", "accuracy"):
        assert all(names(ax) == ["every network diverged"] for ax in found[name].axes)
        assert "2 networks diverged: not drawn" in said_below(found[name])
    for figure in drawn(case("no network")).values():
        assert "diverged" not in "".join(text for ax in figure.axes for text in names(ax))


def said_below(figure: Any) -> str:
    return "".join(text.get_text() for text in figure.texts)


def test_captions_of_the_ends_leave_out_what_is_not_drawn() -> None:
    with house_style():
        captions = {name: caption for name, _, caption in figures.drawings(case("diverged"))}
        none = [caption for _, _, caption in figures.drawings(case("every network diverged"))]
    for name in ("l2", "accuracy"):
        assert captions[name].description.endswith("1 network diverged: not drawn.")
        assert not re.search(r"\b1 10\.0%|L2 = 1\b", captions[name].description)
    assert "L2 = 1:" in captions["epochs"].description
    assert not any(NO_NETWORK in caption.description for caption in none)


def test_a_diverged_network_is_marked_and_left_out_of_the_ends() -> None:
    of = case("diverged")
    found = drawn(of)
    assert "1†" in names(found["epochs"].axes[0])
    for name in ("l2", "accuracy"):
        assert "1 network diverged: not drawn" in said_below(found[name])
    assert "diverged" not in said_below(drawn(case("sweep"))["accuracy"])
    assert names(found["accuracy"].axes[0]) == ["0"]


def test_against_l2_zero_has_its_own_place(sweep: Any) -> None:
    ax = drawn(sweep)["l2"].axes[0]
    ticks = [label.get_text() for label in ax.get_xticklabels()]
    assert ticks == ["0", "10⁻⁴", "10⁻³", "10⁻²"]
    assert list(ax.get_xticks()) == [-5, -4, -3, -2]
    points = np.concatenate([np.column_stack(line) for line in lines_of(ax)])
    for name in HIDDEN:
        for net in sweep.networks:
            x = np.log10(net.l2) if net.l2 else -5
            y = net.final.layer(name).min_singular_value
            assert any(np.allclose(point, (x, y), rtol=1e-9) for point in points)


@given(st.lists(st.just(0.0) | st.floats(1e-9, 100), min_size=1, max_size=12, unique=True))
def test_an_axis_of_any_l2(values: "list[float]") -> None:
    axis = marks.L2Axis(tuple(values))
    places = [axis.at(value) for value in sorted(values)]
    assert places == sorted(places)
    ax = axes()
    axis.draw(ax)
    low, high = ax.get_xlim()
    assert all(low < place < high for place in places)
    ticks = ax.get_xticks()
    assert len(ticks) >= 1
    assert all(np.diff(ticks) >= marks.TICK_SPACING * (high - low) - 1e-9)
    texts = [ax.xaxis.get_major_formatter()(tick, i) for i, tick in enumerate(ticks)]
    assert ("0" in texts) == (0 in values)


def test_accuracy_is_against_rank_with_a_name_for_every_l2(sweep: Any) -> None:
    figure = drawn(sweep)["accuracy"]
    for column, name in enumerate(HIDDEN):
        kept, stable = figure.axes[column], figure.axes[2 + column]
        for ax, measure in (
            (kept, lambda layer: layer.M - layer.lost_directions),
            (stable, lambda layer: layer.stable_rank),
        ):
            points = [(x[0], y[0]) for x, y in lines_of(ax) if len(x) == 1]
            expected = [
                (measure(n.final.layer(name)), 100 * n.final.test_accuracy) for n in sweep.networks
            ]
            assert points == [pytest.approx(pair) for pair in expected]
            assert sorted(names(ax)) == sorted(words.l2_label(n.l2) for n in sweep.networks)


@given(st.integers(1, 21))
def test_no_two_networks_look_alike(count: int) -> None:
    networks = [results.TrainedNetwork(10.0**-i, 0.0, ()) for i in range(count)]
    found = {(look.marker, look.colour, look.dashes) for look in marks.looks(networks)}
    assert len(found) == count


@pytest.mark.parametrize("vision", VISIONS)
def test_curves_beside_each_other_are_told_apart(vision: str) -> None:
    layers = list(LAYER_LOOKS.values())
    assert len({marker for marker, _ in layers}) == len(layers)
    for colours in ([colour for _, colour in layers], [GREEN, VERMILLION]):  # and Tikhonov's
        assert difference(*colours, vision) > 15


def test_tikhonovs_curves_are_the_steps(sweep: Any) -> None:
    shown = sweep.tikhonov
    condition, distance = drawn(sweep)["tikhonov"].axes
    steps = [step for step in shown.steps if step.gamma > 0]
    (line,) = [line for line in lines_of(condition) if len(line[0]) > 2]
    known = [(s.gamma, s.condition) for s in steps if s.condition is not None]
    np.testing.assert_allclose(np.column_stack(line), known)
    kept, whole = [line for line in lines_of(distance) if len(line[0]) > 2]
    for line, values in (
        (kept, [(s.gamma, s.kept_distance) for s in steps if s.kept_distance]),
        (whole, [(s.gamma, s.distance) for s in steps if s.distance]),
    ):
        np.testing.assert_allclose(np.column_stack(line), values)
    assert condition.get_xlim()[0] > condition.get_xlim()[1], "gamma falls"


def test_a_layer_that_lost_nothing_has_one_curve() -> None:
    shown = demonstration(decay=0.1)
    _, distance = drawn(experiment([network(0.0, 0.0)], shown))["tikhonov"].axes
    assert shown.lost == 0
    assert len([line for line in lines_of(distance) if len(line[0]) > 2]) == 1
    assert "no direction\nis lost" in names(distance)


def test_the_same_numbers_make_the_same_files(sweep: Any, tmp_path: Path) -> None:
    first = figures.write_figures(sweep, tmp_path / "a", "svg")
    second = figures.write_figures(sweep, tmp_path / "b", "svg")
    assert [p.name for p in first] == [f"{name}.svg" for name in drawn(sweep)]
    assert sorted(first) == sorted((tmp_path / "a").iterdir())
    for one, other in zip(first, second):
        assert one.read_bytes() == other.read_bytes()


def test_files_say_what_they_show(sweep: Any, tmp_path: Path) -> None:
    for path in figures.write_figures(sweep, tmp_path, "svg"):
        root = ElementTree.parse(path).getroot()
        assert root[0].text and root[1].text and root[1].text.isascii()
        if path.stem == "accuracy":
            for net in sweep.networks:
                assert f"{100 * net.final.test_accuracy:.1f}%" in root[1].text


@settings(max_examples=3)
@given(
    st.lists(
        st.tuples(st.floats(0, 1e3), st.floats(0, 80), st.floats(0, 1), st.booleans()), max_size=4
    )
)
def test_whatever_the_numbers_are_they_are_drawn(runs: "list[Any]") -> None:
    networks = [network(l2, decay, 1, accuracy, bad) for l2, decay, accuracy, bad in runs]
    with house_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for _, figure, _ in figures.drawings(experiment(networks)):
            figure.canvas.draw()


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "figures").write_bytes(b"")
    with pytest.raises(OutputError, match="figures"):
        figures.write_figures(experiment([]), tmp_path / "figures", "png")


def test_no_matplotlib_at_import() -> None:
    code = (
        "import sys, scripts.rank_collapse.figures, scripts.rank_collapse.page\n"
        "assert not {'matplotlib', 'jinja2', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
