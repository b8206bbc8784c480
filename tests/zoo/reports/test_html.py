"""A zoo's index.html as a file: what it says is the report's, and it names nothing outside it."""

import json
import re
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allennlp_analyze.errors import OutputError
from allennlp_analyze.results.verdict import MIN_Q, Verdict
from allennlp_analyze.zoo.reports.charts import POINTS, STYLES
from allennlp_analyze.zoo.reports.html import write_zoo_html, zoo_html
from allennlp_analyze.zoo.reports.page import STATIC_ROWS
from allennlp_analyze.zoo.reports.table import STATES
from allennlp_analyze.zoo.results import ZooReport
from tests.support.html_elements import Elements, assert_nothing_outside_is_named, words
from tests.support.report_factory import ODD_NAMES
from tests.support.zoo_pages import (
    CLAIMS,
    REASON,
    every_state,
    failed,
    hostile,
    hostile_names,
    layer,
    many,
    model,
    zoo,
)

pytestmark = pytest.mark.newest_python
FILES = ("zoo-models.csv", "zoo.csv", "zoo.json")
SMALLEST = "Smallest singular value of each linear layer"
CLEAR = "Smallest singular value, Q > 1.1"
ZOOMED = "Smallest singular value below 0.01, Q > 1.1"
ALPHAS = "Power-law exponent α of each linear layer"
RATIOS = "Aspect ratio Q against α"
LOSSES = "Rank loss: share of the directions lost"


def data_of(page: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} on the page")

    return json.loads(Elements(page).data, parse_constant=refuse)


def charts(report: ZooReport) -> "dict[str, Any]":
    found = data_of(zoo_html(report))["charts"]
    assert {chart["title"] for chart in found} == {
        SMALLEST, CLEAR, ZOOMED, ALPHAS, RATIOS, LOSSES
    }  # fmt: skip
    return {chart["title"]: chart for chart in found}


def bars(chart: "dict[str, Any]") -> "list[dict[str, Any]]":
    return [mark for mark in chart.get("marks", ()) if mark["type"] == "bars"]


def drawn(chart: "dict[str, Any]") -> int:
    """How many layers are in the bars; they must stand upon each other and within the axes."""
    top = np.zeros(len(bars(chart)[0]["values"]), dtype=int) if bars(chart) else np.zeros(1)
    for mark in bars(chart):
        assert mark["base"] == top.tolist()
        top = top + mark["values"]
        assert f"({sum(mark['values']):,})" in mark["label"]
        assert all(np.diff(mark["edges"]) > 0)
        assert mark["edges"] == bars(chart)[0]["edges"]
        assert chart["x"]["min"] <= mark["edges"][0] and mark["edges"][-1] <= chart["x"]["max"]
    assert "y" not in chart or chart["y"]["max"] >= max(1, top.max())
    return int(top.sum())


def linear(report: ZooReport) -> "list[Any]":
    return [x for m in report.counted for x in m.outcome.layers if x.kind == "linear"]


def test_nothing_outside_is_named_but_the_reports_beside_it() -> None:
    report = every_state()
    page = zoo_html(report)
    reports = {f"{m.directory}/report.html" for m in report.models if m.outcome.status == "done"}
    known = (*FILES, *reports, "https://example.org/a%20b")
    assert_nothing_outside_is_named(page, known)
    found = [attributes.get("href") for tag, attributes in Elements(page).tags if tag == "a"]
    assert reports <= set(found)
    assert not [href for href in found if href and "broken" in href]


def test_it_says_what_became_of_the_models() -> None:
    text = words(zoo_html(every_state()))
    assert (
        "6 models analyzed: 1 invalid, 1 collapsed, 1 near collapse, 2 healthy, 1 not assessed."
        " 1 failed. 1 duplicate excluded."
    ) in text
    assert "same as healthy" in text
    assert "model.tar.gz: cannot be downloaded (404 Not Found)" in text
    assert "3 claims: 1 holds, 1 does not hold, 1 could not be judged." in text
    for claim in CLAIMS:
        assert claim.claim in text and claim.note in text
    for without in ({"claims": ()}, {"shows_claims": False}):
        text = words(zoo_html(replace(every_state(), **without)))
        assert "The study's claims" not in text and CLAIMS[0].claim not in text


def test_the_numbers_are_those_of_the_counted_linear_layers() -> None:
    report = many(60, 3)
    report = replace(
        report, models=(*report.models, replace(report.models[0], duplicate_of="another"))
    )
    layers = linear(report)
    assert len(layers) == 180
    text = words(zoo_html(report))
    clear = [x for x in layers if x.Q > MIN_Q]
    alphas = [x.alpha for x in layers]
    assert (
        f"Layers {len(clear)} assessed: linear with Q above 1.1; 180 linear and 180 matrices"
        in text
    )
    weakest = min(clear, key=lambda x: x.min_singular_value)
    (of,) = {m.name for m in report.models if weakest in m.outcome.layers}
    assert f"{weakest.min_singular_value:.3g} {of}: {weakest.name}" in text
    assert f"{statistics.median(alphas):.3g} median of 180 linear layers" in text
    usual = sum(2 <= alpha <= 4 for alpha in alphas) / len(alphas)
    assert f"{100 * usual:.3g}% between 2 and 4" in text


def test_each_group_has_its_numbers() -> None:
    report = many(40, 2, groups=3)
    page = zoo_html(report)
    text = words(page)
    for group in report.groups:
        members = [m for m in report.models if m.group == group]
        layers = [x for m in members for x in m.outcome.layers]
        clear = [x for x in layers if x.Q > MIN_Q]
        weakest = min(clear, key=lambda x: x.min_singular_value)
        (of,) = {m.name for m in members if weakest in m.outcome.layers}
        alpha = statistics.median(x.alpha for x in layers)
        numbers = f"{len(members)} {len(members)} {len(clear)}"
        assert f"{group} {numbers} {weakest.min_singular_value:.3g} {of} {alpha:.3g}" in text


def test_models_come_first_the_worst_first_with_their_sentences() -> None:
    report = every_state()
    sentence = "Collapsed: 1 of 2 judged layers has lost rank; smallest singular value of the 2: 0."
    models = [
        replace(
            m, outcome=replace(m.outcome, summary=replace(m.outcome.summary, sentence=sentence))
        )
        if m.name == "collapsed"
        else m
        for m in report.models
    ]
    page = zoo_html(replace(report, models=tuple(models)))
    text = words(page)
    assert "collapsed 1 of 2 judged layers has lost rank. 3.125%" in text
    assert "1 failed" in text and f"broken failed {REASON}" in text
    order = ["broken", "invalid", "collapsed", "near", "healthy", "small", "square", "again"]
    heads = re.findall(r'<tr><th scope="row">(?:<a [^>]*>)?([a-z]+)', page.split('id="models"')[1])
    assert heads[:8] == order
    headings = re.findall(r"<h2[^>]*>([^<(]+?) ?[<(]", page)
    assert headings[0] == "Models" and headings[-1] == "The study's claims"
    assert headings.index("Failed") < headings.index("Key numbers")


def test_the_table_has_every_model() -> None:
    report = every_state()
    data = data_of(zoo_html(report))
    assert [state for state, _ in data["states"]] == list(STATES)
    assert set(Verdict) < set(STATES)
    states = [
        "full_rank", "collapsed", "near_collapse", "not_assessed", "invalid", "failed",
        "duplicate", "full_rank",
    ]  # fmt: skip
    for row, of, state in zip(data["rows"], report.models, states):
        name, link, place, lost, sigma, where, alpha, layers, group, seconds = row
        found = of.outcome.summary
        assert (name, data["texts"][group]) == (of.name, of.group)
        assert data["states"][place][0] == state
        assert (link is None) == (found is None)
        assert seconds == of.outcome.seconds
        if found is not None:
            assert layers == len(of.outcome.layers)
            assert data["texts"][where] == (found.min_singular_value_layer or "")
            for value, exact in (
                (sigma, found.min_singular_value),
                (alpha, found.median_alpha),
                (lost, found.max_rank_loss_percent),
            ):
                assert value is None if exact is None else value == pytest.approx(exact, rel=1e-3)


sigmas = st.floats(0, 1e300) | st.sampled_from([0.0, 1e-320, 1e-9, 0.01, 0.5])


@given(
    st.lists(st.tuples(sigmas, sigmas.map(lambda x: min(x, 1e12)), st.integers(0, 9)), max_size=30)
)
@settings(max_examples=20)
def test_histograms_hold_every_layer(numbers: "list[tuple[float, float, int]]") -> None:
    models = [
        model(
            str(i), [layer(sigma, alpha=1 + alpha, rank_loss_percent=min(alpha, 100))], group=str(g)
        )
        for i, (sigma, alpha, g) in enumerate(numbers)
    ]
    found = charts(zoo(models))
    possible = [sigma for sigma, _, _ in numbers if 1e-150 < sigma < 1e150]
    assert drawn(found[SMALLEST]) == drawn(found[CLEAR]) == len(possible)
    zeros = sum(sigma == 0 for sigma, _, _ in numbers)
    assert (f"{zeros} layer" in str(found[CLEAR])) or not zeros or len(possible) == zeros
    assert drawn(found[ZOOMED]) == sum(sigma < 0.01 for sigma, _, _ in numbers)
    alphas = [1 + alpha for _, alpha, _ in numbers]
    end = found[ALPHAS]["x"]["max"] if numbers else 0
    assert drawn(found[ALPHAS]) == sum(alpha <= end for alpha in alphas)
    assert drawn(found[LOSSES]) == sum(alpha > 0 for _, alpha, _ in numbers)


def test_bars_agree_with_numpy() -> None:
    report = many(300, 2)
    found = charts(report)
    values = [x.min_singular_value for x in linear(report) if x.Q > MIN_Q]
    for title, of in (
        (CLEAR, [v for v in values if v > 0]),
        (ZOOMED, [v for v in values if v < 0.01]),
    ):
        stacked = np.sum([mark["values"] for mark in bars(found[title])], axis=0)
        # Edges are rounded to six digits: only values that close to one may be in the next bar.
        ours = np.cumsum(stacked)
        exact = np.cumsum(np.histogram(of, bars(found[title])[0]["edges"])[0])
        assert np.abs(ours - exact).max() <= 1
    lines = [mark["at"] for mark in found[ALPHAS]["marks"] if mark["type"] == "vline"]
    assert lines == [2, 4, 6]
    assert set(lines) <= set(bars(found[ALPHAS])[0]["edges"])


def test_a_scatter_of_many_is_a_sample_and_says_so() -> None:
    report = many(90, 50)
    chart = charts(report)[RATIOS]
    points = [mark for mark in chart["marks"] if mark["type"] == "points"]
    assert sum(len(mark["x"]) for mark in points) == POINTS
    assert chart["note"] == f"A random sample of {POINTS:,} of 4,500 layers."
    for mark in points:
        for x, y, of, place, name in zip(
            *(mark[k] for k in ("x", "y", "models", "layers", "names"))
        ):
            found = report.models[of].outcome.layers[place]
            assert (found.Q, found.alpha) == (x, pytest.approx(y, rel=1e-5))
            assert name.startswith(report.models[of].name)
    assert chart == charts(report)[RATIOS]
    assert charts(many(2))[RATIOS]["note"] == ""


def test_groups_beyond_the_colours_share_one() -> None:
    for groups in (1, len(STYLES), len(STYLES) + 1, 40):
        marks = bars(charts(many(80, groups=groups))[SMALLEST])
        styles = [mark["style"] for mark in marks]
        assert styles == [*STYLES[: min(groups, len(STYLES))], *["grey"] * (groups > len(STYLES))]
        assert ("other groups" in marks[-1]["label"]) == (groups > len(STYLES))


def test_many_groups() -> None:
    page = zoo_html(many(260, groups=250))
    data = data_of(page)
    assert "The first 200 of 250 groups." in words(page)
    assert len(data["groups"]) == 201 and data["groups"][-1] == "other groups"
    assert "other groups (50)" in words(page)


@pytest.mark.no_cover
def test_many_models_take_little_room() -> None:
    page = zoo_html(many(2100))
    found = Elements(page)
    assert len(json.loads(found.data)["rows"]) == 2100
    links = [a for tag, a in found.tags if tag == "a" and "models/" in str(a["href"])]
    assert len(links) == STATIC_ROWS
    text = " ".join(" ".join(found.text).split())
    assert "The first 2,000; all are in zoo-models.csv" in text
    assert len(page.encode()) < 1_750_000
    # However many layers they have, once they are more than a chart shows.
    few, many_layers = (zoo_html(many(100, layers)) for layers in (POINTS // 100, POINTS // 50))
    assert len(many_layers.encode()) < len(few.encode()) + 100_000


@pytest.mark.parametrize("make", [lambda: [], lambda: [failed("x"), failed("y", None)]])
def test_without_a_model_that_counts(make: Any) -> None:
    report = zoo(make())
    page = zoo_html(report)
    assert "No model could be analyzed" in words(page)
    assert all("nothing" in chart for chart in data_of(page)["charts"])


def test_long_lists_are_cut() -> None:
    report = zoo(failed(f"m{i}") for i in range(250))
    page = zoo_html(report)
    assert "Failed (250)" in words(page) and "And 50 more: see zoo-models.csv" in words(page)
    assert len(data_of(page)["rows"]) == 250


@given(name=st.text(max_size=40))
@settings(max_examples=20)
def test_no_text_becomes_markup(name: str) -> None:
    odd, plain = (Elements(zoo_html(hostile(text))) for text in (name, "plain"))
    allowed = {tag for tag, _ in plain.tags}
    assert {tag for tag, _ in odd.tags} <= allowed
    assert [tag for tag, _ in odd.tags].count("script") == 2
    for tag, attributes in odd.tags:
        if tag == "a":
            href = str(attributes["href"])
            assert not href.lower().startswith(("javascript", "data", "/")) or href == "data:,"


@pytest.mark.parametrize("make", [*(lambda n=n: hostile(n) for n in ODD_NAMES), hostile_names])
def test_odd_names(make: Any, tmp_path: Path) -> None:
    report = make()
    page = zoo_html(report)
    assert page == zoo_html(report)
    written = write_zoo_html(report, tmp_path / "index.html")
    assert written.read_text(encoding="utf-8") == page
    assert not [c for c in page if not c.isprintable() and c != "\n"]


def test_nothing_is_left_where_the_page_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_zoo_html(every_state(), tmp_path / "missing" / "index.html")
    (tmp_path / "index.html").mkdir()
    with pytest.raises(OutputError):
        write_zoo_html(every_state(), tmp_path / "index.html")
    assert [p.name for p in tmp_path.iterdir()] == ["index.html"]
