"""report.html as a file: one, small, whole, and made from what the run has written alone."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.cli.main import main
from allennlp_analyze.reports.html.model import html_page, write_html
from allennlp_analyze.reports.html.templating import embedded_json
from allennlp_analyze.results.layer import ModelReport
from allennlp_analyze.text.names import printable
from tests.support.commands import SMALL
from tests.support.html_elements import Elements, assert_nothing_outside_is_named, words
from tests.support.page_reports import edge_cases, many_layers
from tests.support.report_factory import ODD_NAMES, make_reference, make_report

pytestmark = pytest.mark.newest_python


@pytest.fixture(scope="module")
def report() -> ModelReport:
    return edge_cases()


@pytest.fixture(scope="module")
def page(report: ModelReport) -> str:
    return html_page(report)


def test_nothing_outside_is_named(page: str) -> None:
    assert_nothing_outside_is_named(page)


def test_a_page_of_200_layers_stays_small() -> None:
    assert len(html_page(many_layers(200)).encode()) < 3_000_000


def test_a_very_large_layer_takes_no_more_room() -> None:
    import numpy as np

    report = many_layers(1)
    large = replace(
        report.layers[0],
        shape=(20_000, 16_384),
        singular_values=np.sort(np.random.default_rng(0).gamma(2, size=16_384))[::-1],
    )
    grown = len(html_page(replace(report, layers=(large,)))) - len(html_page(report))
    assert grown < 5000


def test_the_numbers_of_the_report_are_in_the_page(page: str, report: ModelReport) -> None:
    found = Elements(page)
    text = words(page)
    assert report.summary.sentence.split(": ", 1)[1].split(" (")[0] in text
    assert report.source.archive in text
    assert str(report.source.sha256) in text
    for name in ("loose tolerance", "max dim", "numpy", "AllenNLP"):
        assert name in text
    layers = json.loads(found.data)["layers"]
    for ours, layer in zip(layers, report.layers):
        assert ours["sigma_min"] == layer.min_singular_value
        assert ours["alpha"] == (layer.power_law.alpha if layer.power_law else None)
        assert ours["name"] == printable(layer.name)


def test_warnings_say_what_to_do(page: str) -> None:
    text = words(page)
    assert "Lost rank: 3 layers, up to 100% of the directions" in text
    assert "all zeros Collapsed: 10 of 10 directions, all weights are zero" in text
    assert "What to do: Lower weight decay" in text
    assert "1 matrix with NaN or infinity" in text
    assert "Close to losing rank: 1 layer" in text
    assert "Dead or copied units: 1 layer" in text
    assert "some zeros Collapsed: 10 of 40 directions, dead inputs 30, 31, 32" in text
    assert "Such layers have no part in the verdict on the model" in text


def test_a_reference_is_a_section(report: ModelReport, page: str) -> None:
    assert 'id="reference"' not in page
    layer = report.layers[1]
    compared = html_page(replace(report, reference=make_reference(layer)))
    text = words(compared)
    assert "Incomplete: 1 of 2 rows of table.csv agrees" in text
    assert layer.power_law is not None
    for value in (layer.power_law.alpha, layer.power_law.D, layer.min_singular_value):
        assert f"{value:.5g} {value:.5g}" in text
    for said in ("agrees", "not here", "not published", "3 × 2 – – – – 0.5 –"):
        assert said in text


def test_the_same_report_makes_the_same_page(report: ModelReport, page: str) -> None:
    assert html_page(report) == page


@cache
def tags(name: str, warning: str) -> "list[str]":
    """Those of the page of one layer."""
    one = small()
    layer = replace(one.layers[0], name=name, parameter=name, warnings=(warning,))
    page = html_page(replace(one, layers=(layer,), warnings=(warning,)))
    return [tag for tag, _ in Elements(page).tags]


@cache
def small() -> ModelReport:
    return many_layers(1, 60, 30)


@given(name=st.text(max_size=40), warning=st.text(max_size=40))
def test_no_text_becomes_markup(name: str, warning: str) -> None:
    assert tags(name, warning) == tags("n", "w")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_of_archives(name: str) -> None:
    report = make_report()
    source = replace(report.source, archive=name or "x", resolved=name)
    found = Elements(html_page(replace(report, source=source)))
    assert "".join(found.text).count("<script>") <= 3


@given(st.recursive(st.text() | st.floats(allow_nan=False, allow_infinity=False), st.lists))
def test_embedded_data_is_what_it_was(data: Any) -> None:
    text = embedded_json(data)
    assert not set("<>&") & set(text)
    assert json.loads(text) == data


def test_render_makes_the_page_of_the_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([str(SMALL), "--output-dir", str(out), "--no-plots", "--quiet"]) == 0
    capsys.readouterr()
    page = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    (out / "layers.csv").unlink()
    assert main(["render", str(out)]) == 0
    assert capsys.readouterr().out == f"{out / 'report.html'}\n"
    assert (out / "report.html").read_bytes() == page
    assert main(["render", str(out / "report.json")]) == 0


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda out: out.rmdir(), "contains no report.json"),
        (lambda out: (out / "report.json").write_text("{}"), "is not a report"),
        (lambda out: (out / "report.json").write_text("<html>"), "is not valid JSON"),
    ],
)
def test_render_refuses_in_one_line(
    tmp_path: Path, spoil: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    spoil(out)
    assert main(["render", str(out)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert said in error
    assert not (out / "report.html").exists()


def test_nothing_is_left_where_the_page_cannot_be_written(
    report: ModelReport, tmp_path: Path
) -> None:
    from allennlp_analyze.errors import OutputError

    with pytest.raises(OutputError):
        write_html(report, tmp_path / "missing" / "report.html")
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError):
        write_html(report, tmp_path / "report.html")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
