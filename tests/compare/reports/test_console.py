"""The table of a comparison: a row for each pair that matters, whatever the names and the width."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest

from allennlp_analyze.compare.compare import compare_models
from allennlp_analyze.compare.reports.console import print_comparison
from allennlp_analyze.compare.results import MOST_MOVED, ComparedModel, ComparisonReport
from allennlp_analyze.reports.console import MOST_ROWS
from allennlp_analyze.results.layer import LayerResult, Skipped
from allennlp_analyze.results.verdict import Verdict
from allennlp_analyze.text.counts import percent
from allennlp_analyze.text.names import display_width
from tests.support.report_factory import (
    ODD_NAMES,
    gaussian,
    heavy_tailed,
    make_layer,
    make_report,
    odd_report,
)

pytestmark = pytest.mark.newest_python
MANY = 30


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(report: ComparisonReport, stream: io.StringIO, show_all: bool = False) -> str:
    print_comparison(report, show_all, ["out/compare.json"], stream, "--all shows them")
    return stream.getvalue()


def comparison(
    a: "list[LayerResult]", b: "list[LayerResult]", **changes: object
) -> ComparisonReport:
    other = ComparedModel("other", make_report(*b, **changes))
    return compare_models(ComparedModel("first", make_report(*a)), [other])


def two_models() -> ComparisonReport:
    long = "_text_field_embedder.token_embedder_elmo._elmo.forward_layer_0.input_linearity"
    before, after = heavy_tailed(300, 200), gaussian(30, 20)
    broken = gaussian(30, 20)
    broken[:, 0] = broken[:, 1]
    return comparison(
        [make_layer(before, long), make_layer(after, "kept"), make_layer(gaussian(30, 20), "dead"),
         make_layer(gaussian(9, 4), "renamed"), make_layer(gaussian(7, 5), "sized"),
         make_layer(gaussian(8, 3), "gone")],
        [make_layer(1.1 * before, long), make_layer(after, "kept"),
         make_layer(broken, "dead", verdict=Verdict.COLLAPSED),
         make_layer(gaussian(9, 4, 3), "new_name"),
         make_layer(gaussian(6, 5), "sized"), make_layer(gaussian(2, 2), "extra")],
        skipped=(Skipped("gone.weight", (8, 3), "NaN at 0, 0", invalid=True),),
    )  # fmt: skip


def test_one_row_per_pair_with_both_numbers() -> None:
    report = two_models()
    lines = printed(report, io.StringIO(), show_all=True).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("layer"))
    assert lines[start].split()[-11:] == [
        "sigma_min", "A", "B", "lost", "A", "B", "alpha", "A", "B", "moved", "change",
    ]  # fmt: skip
    rows = lines[start + 1 : lines.index("", start)]
    pairs = report.candidates[0].worst_first
    assert len(rows) == len(pairs) == 5
    changes = [pair.change for pair in pairs]
    assert changes == ["collapsed", "incomparable", "same", "same", "same"]
    for row, pair in zip(rows, pairs):
        *_, smallest, smallest_b, lost, lost_b, alpha, alpha_b, moved, change = row.split()
        assert change == pair.change
        assert float(smallest) == pytest.approx(pair.baseline.min_singular_value, rel=0.005)
        assert float(smallest_b) == pytest.approx(pair.candidate.min_singular_value, rel=0.005)
        assert int(lost) == pair.baseline.M - pair.baseline.hard_rank.rounding
        assert int(lost_b) == pair.candidate.M - pair.candidate.hard_rank.rounding
        for text, fit in ((alpha, pair.baseline.power_law), (alpha_b, pair.candidate.power_law)):
            assert text == (f"{fit.alpha:.2f}" if fit else "-")
        assert moved == (percent(pair.spectral_distance) if pair.same_size else "-")


def test_what_stands_around_the_table() -> None:
    text = printed(two_models(), io.StringIO())
    joined = " ".join(text.split())
    assert text.startswith("A (the baseline): first\n") and "\nB: other\n" in text
    assert "sigma_min: smallest singular value" in text
    shape = "Not comparable, because the shape changed (1): sized: 7 x 5 in A, 6 x 5 in B"
    assert shape in joined and "1 layer changed shape (not comparable)" in joined
    worse = (
        "Worse in B than in A, worst first (2): gone.weight: contains NaN or infinity: NaN at 0, 0"
    )
    assert f"{worse} dead: full rank -> collapsed" in joined
    places = [
        text.index(part) for part in ("B is worse", "Worse in B", "Not comparable", "\nlayer ")
    ]
    assert places == sorted(places)
    assert "Matched by order and shape (1): renamed = new_name" in joined
    assert (
        "Only in A, not in B (1): gone: linear, 8 x 3, full_rank; skipped there: NaN at" in joined
    )
    assert "Only in B, not in A (1): extra: linear, 2 x 2, full_rank" in joined
    assert (
        "B is worse than A: 1 matrix contains NaN or infinity (gone.weight); 1 layer coll" in joined
    )
    assert text.endswith("Written: out/compare.json\n")


def many() -> ComparisonReport:
    """All moved a little, the later the more; the second collapsed, the last did not move."""
    before = [make_layer(gaussian(12, 6, i), f"layer{i}") for i in range(MANY + 10)]
    after = [
        make_layer((1 + 0.001 * i) * gaussian(12, 6, i), f"layer{i}") for i in range(MANY + 10)
    ]
    after[1] = make_layer(np.ones((12, 6)), "layer1", verdict=Verdict.COLLAPSED)
    after[-1] = before[-1]
    return comparison(before, after)


def rows(text: str) -> "list[str]":
    return re.findall(r"^(layer\d+) ", text, re.MULTILINE)


def test_of_many_layers_those_that_changed_most_are_shown() -> None:
    text = printed(many(), io.StringIO())
    last = MANY + 8
    assert rows(text) == ["layer1", *(f"layer{i}" for i in range(last, last - MOST_MOVED, -1))]
    hidden = MANY + 10 - MOST_MOVED - 1
    assert (
        f"Not shown: {hidden} layers with the same verdict whose singular values moved by 2.8% or"
        " less; --all shows them." in " ".join(text.split())
    )


def test_of_very_many_changes_the_worst_are_shown() -> None:
    size = MOST_ROWS + 20
    before = [make_layer(gaussian(4, 2), f"layer{i}") for i in range(size)]
    dead = make_layer(np.ones((4, 2)), "layer7", verdict=Verdict.COLLAPSED)
    weak = replace(before[0], verdict=Verdict.NEAR_COLLAPSE)
    after = [dead if i == 7 else replace(weak, name=one.name) for i, one in enumerate(before)]
    text = printed(comparison(before, after), io.StringIO())
    found = rows(text)
    assert len(found) == MOST_ROWS and found[0] == "layer7"
    assert "Not shown: 20 further layers that changed or moved; --all shows them." in text
    assert len(rows(printed(comparison(before, after), io.StringIO(), show_all=True))) == size


def test_all_shows_all() -> None:
    text = printed(many(), io.StringIO(), show_all=True)
    assert sorted(rows(text)) == sorted(f"layer{i}" for i in range(MANY + 10))
    assert "Not shown" not in text


def test_nothing_is_shown_of_many_layers_that_are_the_same() -> None:
    layers = [make_layer(gaussian(12, 6, i), f"layer{i}") for i in range(MANY + 1)]
    text = printed(comparison(layers, layers), io.StringIO())
    assert not rows(text)
    assert f"Not shown: {MANY + 1} layers that did not change; --all shows them." in text
    assert f"B has the spectra of A: {MANY + 1} layers, none changed." in text


def test_long_lists_are_cut_unless_all_is_asked_for() -> None:
    before = [make_layer(gaussian(12, 6), f"a{i}") for i in range(15)]
    after = [make_layer(gaussian(12, 6), f"b{i}") for i in range(15)]
    text = printed(comparison(before, after), io.StringIO())
    assert "Matched by order and shape (15):" in text and "and 5 more" in text
    assert "a14 = b14" not in text
    text = printed(comparison(before, after), io.StringIO(), show_all=True)
    assert "a14 = b14" in text and "and 5 more" not in text


def odd() -> ComparisonReport:
    a = make_report(*odd_report().layers, make_layer(gaussian(30, 3), "\x1b[31mgone\n"))
    b = make_report(*odd_report().layers, make_layer(gaussian(31, 2), "[red]new\u202e"))
    model = ComparedModel("\x1b]0;title\x07[bold]", b)
    return compare_models(ComparedModel("a\nb", a), [model])


@pytest.mark.parametrize("make", [two_models, many, odd])
@pytest.mark.parametrize("show_all", [False, True])
def test_no_line_is_wider_than_the_columns(
    make: type, show_all: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = printed(make(), io.StringIO(), show_all)
    assert max(display_width(line) for line in text.split("\n")) <= 100


def test_names_can_neither_colour_nor_move_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    for stream in (io.StringIO(), Terminal()):
        text = re.sub(r"\x1b\[[0-9;]*m", "", printed(odd(), stream, show_all=True))
        assert "[red]x[/red]" in text and "two\\n" in text and "[bold]" in text
        assert not set(text) & set("\r\t\0\x1b\x07\ud800\u202e")
        table = text.split("\n\n")[2].splitlines()
        assert len(table) == 1 + len(ODD_NAMES) + 1


def test_colour_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    assert "\x1b" not in printed(two_models(), io.StringIO())
    assert "\x1b[1;31mcollapsed" in printed(two_models(), Terminal())


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_terminal_keeps_what_matters(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # To rich, a terminal that is dumb has 80 columns.
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed(two_models(), Terminal()))
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    (header,) = [line for line in lines if line.startswith("layer ") and "moved" in line]
    for title in ("sigma_min A", "lost A", "moved", "change"):
        assert title in header
    assert [line for line in lines if line.startswith("dead") and "collapsed" in line]


@pytest.mark.parametrize(
    "share, text",
    [(None, "-"), (0.0, "0%"), (0.00123, "0.12%"), (0.12, "12%"), (0.994, "99%"), (0.996, "100%"),
     (1.5, "150%"), (9.99, "999%"), (12.0, ">999%")],
)  # fmt: skip
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text
