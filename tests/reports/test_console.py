"""The table that people read, and the one that the 2018 study printed."""

import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest

from allennlp_analyze.reports.console import COLUMNS_2018, MANY, MOST_ROWS, print_report, table_2018
from allennlp_analyze.results.layer import ModelReport, Skipped
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.text.names import display_width
from tests.support.commands import ROOT
from tests.support.report_factory import gaussian, heavy_tailed, make_layer, make_report, odd_report

pytestmark = pytest.mark.newest_python
PUBLISHED = ROOT / "allennlp_analyze" / "data" / "published" / "allennlp_2018.csv"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(report: ModelReport, stream: io.StringIO) -> str:
    print_report(report, ["analysis/x/report.json", "analysis/x/layers.csv"], stream)
    return stream.getvalue()


def table_of(text: str) -> "list[str]":
    """The header and the rows of the table, without what stands above and below it."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("layer "))
    return lines[start : lines.index("", start)]


def model_report() -> ModelReport:
    long = "_text_field_embedder.token_embedder_elmo._elmo.forward_layer_0.input_linearity"
    return make_report(
        make_layer(heavy_tailed(300, 200), long),
        make_layer(gaussian(40, 1), "scores", verdict=Verdict.NOT_ASSESSED),
        make_layer(np.zeros((20, 12)), "dead", kind="convolution", verdict=Verdict.COLLAPSED),
        make_layer(gaussian(30, 20), "weak", verdict=Verdict.NEAR_COLLAPSE, warnings=("w",)),
        warnings=("the archive has trailing bytes",),
    )


def test_one_row_per_layer_in_model_order_with_all_that_matters() -> None:
    report = model_report()
    lines = table_of(printed(report, io.StringIO()))
    assert lines[0].split() == [
        "layer", "kind", "N", "x", "M", "Q", "sigma_min", "lost", "alpha", "D",
        "of", "null", "verdict",
    ]  # fmt: skip
    assert len(lines) == 1 + len(report.layers)
    for line, layer in zip(lines[1:], report.layers):
        cells = line.split()
        assert cells[0] == layer.name
        assert cells[1] == layer.kind and cells[-1] == layer.verdict
        assert f"{layer.N} x {layer.M}" in line
        assert float(cells[5]) == pytest.approx(layer.N / layer.M, rel=1e-3)
        assert int(cells[7]) == layer.M - layer.hard_rank.numpy
        alpha = cells[-4]
        if layer.power_law is None:
            assert alpha == "-"
        else:
            assert float(alpha) == pytest.approx(layer.power_law.alpha, abs=0.005)
        assert float(cells[6]) == pytest.approx(layer.min_singular_value, rel=0.005)


def test_q_is_shown_where_names_leave_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name, is_shown in (("short", True), ("n" * 60, False)):
        layer = make_layer(gaussian(30, 20), name)
        header = table_of(printed(make_report(layer), io.StringIO()))[0]
        assert ("Q" in header.split()) == is_shown


def test_names_lose_what_all_begin_with_where_they_do_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    beginning = "bert.encoder.some_long_part.another_long_part."
    names = [f"{beginning}layer.{i}.attention.output.dense" for i in (1, 10)]
    report = make_report(*(make_layer(gaussian(30, 20), name) for name in names))
    assert all(name in printed(report, io.StringIO()) for name in names)
    monkeypatch.setenv("COLUMNS", "100")
    text = printed(report, io.StringIO())
    assert f"All names begin with {beginning}layer." in text
    assert [line.split()[0] for line in table_of(text)[1:]] == [
        "1.attention.output.dense",
        "10.attention.output.dense",
    ]


def test_of_many_layers_those_at_full_rank_are_not_shown() -> None:
    layers = [make_layer(gaussian(30, 20), f"layer{i}") for i in range(MANY)]
    dead = make_layer(np.zeros((20, 12)), "dead", verdict=Verdict.COLLAPSED)
    assert len(table_of(printed(make_report(*layers), io.StringIO()))) == 1 + MANY
    report = make_report(*layers, dead)
    text = printed(report, io.StringIO())
    assert [line.split()[0] for line in table_of(text)] == ["layer", "dead"]
    assert f"Not shown: {MANY} layers at full rank." in text
    stream = io.StringIO()
    print_report(report, [], stream, show_all=True)
    assert len(table_of(stream.getvalue())) == 2 + MANY
    stream = io.StringIO()
    print_report(make_report(*layers, layers[0]), [], stream, how_to_see_all="ask")
    assert f"Not shown: {MANY + 1} layers at full rank; ask." in stream.getvalue()
    assert "sigma_min" not in stream.getvalue()


def test_of_very_many_layers_with_lost_rank_the_worst_are_shown() -> None:
    bad = make_layer(np.zeros((20, 12)), "", verdict=Verdict.NEAR_COLLAPSE)
    layers = [replace(bad, name=f"near{i}") for i in range(MOST_ROWS)]
    worse = replace(bad, name="worse", verdict=Verdict.COLLAPSED)
    report = make_report(*layers, worse, replace(bad, name="last"))
    text = printed(report, io.StringIO())
    assert [line.split()[0] for line in table_of(text)[1:]] == [
        *(f"near{i}" for i in range(MOST_ROWS - 1)),
        "worse",
    ]
    assert "Not shown: 2 layers that are no worse." in text
    stream = io.StringIO()
    print_report(report, [], stream, show_all=True)
    assert len(table_of(stream.getvalue())) == 3 + MOST_ROWS


def test_the_verdict_stands_first_and_files_last() -> None:
    report = model_report()
    text = printed(report, io.StringIO())
    assert "Skipped 2 tensors: 1 one-dimensional; 1 int64." in text
    assert "Warning: the archive has trailing bytes" in text
    assert "Warnings on 1 layer" in text
    assert report.summary.sentence in text
    assert text.startswith(report.summary.sentence)
    assert text.index("Warning: the archive") < text.index("sigma_min") < text.index("Skipped")
    assert text.rstrip().endswith("analysis/x/layers.csv")


@pytest.mark.parametrize("make", [model_report, odd_report])
def test_no_line_is_wider_than_the_columns(make: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = printed(make(), io.StringIO())
    assert max(display_width(line) for line in text.split("\n")) <= 100


def test_the_widest_numbers_still_fit_with_every_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    matrix = gaussian(600, 300)
    layer = make_layer(matrix, "n" * 90, kind="convolution", verdict=Verdict.NEAR_COLLAPSE)
    lines = table_of(printed(make_report(layer, layer), io.StringIO()))
    assert lines[0].split()[-1] == "verdict" and " D " in lines[0]
    assert max(map(len, lines)) <= 100 and "near_collapse" in lines[1]


def test_names_can_neither_colour_nor_move_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    report = odd_report()
    for stream in (io.StringIO(), Terminal()):
        text = re.sub(r"\x1b\[[0-9;]*m", "", printed(report, stream))
        assert "[red]x[/red]" in text and "<script>" in text and "two\\n" in text
        assert not set(text) & set("\r\t\0\x1b\ud800\u202e")
        rows = table_of(text)
        assert len(rows) == 1 + len(report.layers)


def test_colour_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    plain, coloured = printed(model_report(), io.StringIO()), printed(model_report(), Terminal())
    assert "\x1b" not in plain
    assert "\x1b[32mfull_rank" in coloured
    for verdict in {layer.verdict for layer in model_report().layers}:
        assert verdict in plain and verdict in coloured


def test_a_narrow_terminal_keeps_name_rank_and_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "80")
    lines = table_of(printed(model_report(), Terminal()))
    assert max(map(len, lines)) <= 80
    assert "lost" in lines[0] and "verdict" in lines[0]
    assert lines[3].startswith("dead") and "collapsed" in lines[3]


def test_a_stream_that_knows_only_ascii() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print_report(odd_report(), ["éé/report.json"], stream)
    stream.flush()
    assert b"couche_\\xe9" in raw.getvalue()


def test_many_reasons_are_counted_not_listed() -> None:
    skipped = tuple(Skipped(f"p{i}", (i,), f"reason {max(i - 5, 0)}") for i in range(30))
    text = printed(make_report(skipped=skipped), io.StringIO())
    assert "Skipped 30 tensors: 6 reason 0;" in text and "22 for other reasons." in text


def test_2018_table_has_its_columns_and_linear_layers_only() -> None:
    report = make_report(
        make_layer(heavy_tailed(60, 40), module_index=7),
        make_layer(gaussian(9, 5), kind="embedding"),
        make_layer(gaussian(5, 1)),
    )
    header, fitted, single = table_2018(report).split("\n")
    assert header == "module_index M N alpha D min_singular_value"
    fit = report.layers[0].power_law
    assert fit is not None
    smallest = report.layers[0].min_singular_value
    index, *numbers = fitted.split(" ")
    assert index == "7" and [float(x) for x in numbers] == [40, 60, fit.alpha, fit.D, smallest]
    assert single.split(" ")[:5] == ["-", "1", "5", "nan", "nan"]
    assert "float" not in table_2018(report)


def test_2018_columns_are_those_of_the_published_table() -> None:
    if not PUBLISHED.is_file():
        pytest.skip("allennlp_analyze/data/published/allennlp_2018.csv is not here")
    with open(PUBLISHED, newline="") as file:
        published = csv.DictReader(file).fieldnames
    assert published is not None and tuple(published[2:]) == COLUMNS_2018
