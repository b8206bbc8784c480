"""What the terminal shows of a zoo."""

import io
import re
from dataclasses import replace
from typing import Any, Callable

import pytest

from allennlp_analyze.text.names import display_width
from allennlp_analyze.zoo.reports.console import MAX_NAMED, MAX_ROWS, print_zoo
from allennlp_analyze.zoo.reports.sentences import verdict_sentence
from allennlp_analyze.zoo.results import CLAIM_VERDICTS, ZooReport
from tests.reports.test_console import Terminal
from tests.support.report_factory import ODD_NAMES
from tests.support.zoo_factory import (
    done,
    failed,
    make_model,
    make_zoo,
    odd_zoo,
    sample_reports,
    sample_zoo,
)
from tests.support.zoo_figure_cases import ZOOS

pytestmark = pytest.mark.newest_python
FILES = ["analysis/zoo/zoo.json", "analysis/zoo/index.html"]


def printed(report: ZooReport, stream: io.StringIO) -> str:
    print_zoo(report, FILES, stream)
    return stream.getvalue()


def unwrapped(report: ZooReport) -> str:
    """In one line: where lines end does not matter."""
    return " ".join(printed(report, io.StringIO()).split())


def many_models() -> ZooReport:
    """60 models, of which some failed, collapsed, or are duplicates, not the first ones."""
    reports = sample_reports()
    models = [make_model(done(reports["healthy"]), f"good {index}") for index in range(50)]
    models[10] = replace(models[10], duplicate_of="good 0")
    models += [make_model(done(reports["lost"]), f"lost {index}") for index in range(4)]
    models += [make_model(failed(f"reason {index}"), f"bad {index}") for index in range(6)]
    return make_zoo(models)


def test_one_row_per_model_with_all_that_matters() -> None:
    zoo = sample_zoo()
    lines = printed(zoo, io.StringIO()).splitlines()
    titles = ["model", "group", "layers", "sigma_min", "lost", "alpha", "verdict"]
    assert lines[0].split() == titles
    shown = {line.split()[0]: line for line in lines[1 : 1 + len(zoo.models)]}
    verdicts = [line.split()[6] for line in shown.values()]
    assert verdicts == ["failed:"] * 2 + ["collapsed"] * 2 + verdicts[4:]
    for model in zoo.models:
        line = shown[model.name]
        name, group, n_layers, smallest, lost, alpha, verdict, *rest = line.split()
        assert (name, group) == (model.name, model.group)
        summary = model.outcome.summary
        if summary is None:
            assert (n_layers, smallest, lost, alpha, verdict) == ("-", "-", "-", "-", "failed:")
            assert model.outcome.reason is not None and rest[-1] == model.outcome.reason.split()[-1]
            continue
        assert int(n_layers) == summary.n_layers and verdict == summary.verdict
        assert rest == (["(duplicate)"] if model.duplicate_of else [])
        for text, number in (
            (smallest, summary.min_singular_value),
            (lost.rstrip("%"), summary.max_rank_loss_percent),
            (alpha, summary.median_alpha),
        ):
            assert text == "-" if number is None else float(text) == pytest.approx(number, rel=0.01)


def test_below_the_table_stand_failures_duplicates_claims_totals_and_files() -> None:
    zoo = sample_zoo()
    text = unwrapped(zoo)
    assert "Duplicates, counted once (1): again = healthy" in text
    for model in zoo.failed:
        assert f"{model.name}: {model.outcome.reason}" in text
    assert "Failed (2):" in text
    for claim in zoo.claims:
        found = claim.note if claim.verdict == "not run" else f"here: {claim.ours}"
        assert f"{claim.verdict}: {claim.claim} {found}; published: {claim.published}" in text
    assert "are near zero no such model; published: 6 of 24" in text
    assert "8 models: 6 analyzed, 2 failed, 1 duplicate." in text
    counts = {"full_rank": 1, "collapsed": 2, "not_assessed": 2}
    found = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
    assert f"Verdicts on the 5 counted: {found}." in text
    assert zoo.summary is not None
    assert f"median alpha {zoo.summary.totals.median_alpha:.3g}" in text
    assert "Smallest singular value: 0, in zeros of mixed." in text
    assert text.endswith(f"Written: {' '.join(FILES)}")
    places = [
        text.index(part)
        for part in ("Failed", "Verdicts", "Duplicates", "8 models", "Claims", "Written")
    ]
    assert places == sorted(places)


def test_of_many_models_the_worst_come_first() -> None:
    zoo = many_models()
    text = printed(zoo, io.StringIO())
    rows = text.split("\n\n")[0].splitlines()[1:]
    assert len(rows) == MAX_ROWS
    assert [row.split("  ")[0] for row in rows[:10]] == [
        *(f"bad {index}" for index in range(6)),
        *(f"lost {index}" for index in range(4)),
    ]
    assert all(row.startswith("good") for row in rows[10:])
    assert "good 10 " not in "\n".join(rows), "duplicates come last"
    assert "Not shown: 20 models; zoo-models.csv has them all." in text
    assert "Failed (6):" in text and "60 models: 54 analyzed, 6 failed, 1 duplicate." in text


def test_the_claims_are_shown_on_request_and_verdicts_have_their_sentences() -> None:
    zoo = sample_zoo()
    text = unwrapped(replace(zoo, shows_claims=False))
    assert "Claims" not in text and zoo.claims[0].claim not in text
    assert "Verdicts, worst first (2):" in text
    for model in zoo.counted:
        summary = model.outcome.summary
        assert summary is not None
        shown = f"{model.name}: {verdict_sentence(model)}" in text
        assert shown == (summary.verdict == "collapsed")


def test_many_failures_and_duplicates_are_counted_not_listed() -> None:
    good = done(sample_reports()["healthy"])
    twins = [make_model(good, f"twin {i}", duplicate_of="first") for i in range(30)]
    models = [make_model(good, "first"), *twins]
    models += [make_model(failed(f"reason {i}"), f"bad {i}") for i in range(100)]
    text = printed(make_zoo(models), io.StringIO())
    assert "Failed (100):" in text and f"and {100 - MAX_NAMED} more, in zoo-models.csv" in text
    assert "(30):" in text and f"and {30 - MAX_NAMED} more, in zoo-models.csv" in text
    assert text.count("\n") < MAX_ROWS + 3 * MAX_NAMED + 20


@pytest.mark.parametrize(
    "make",
    [
        *(sample_zoo, odd_zoo, many_models),
        *(ZOOS[name] for name in ("no layer", "no linear layer", "40 groups", "odd names")),
    ],
)
def test_no_line_is_wider_than_the_columns(
    make: Callable[[], ZooReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = printed(make(), io.StringIO())
    assert max(display_width(line) for line in text.split("\n")) <= 100


def test_names_can_neither_colour_nor_move_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    zoo = odd_zoo()
    for stream in (io.StringIO(), Terminal()):
        text = re.sub(r"\x1b\[[0-9;]*m", "", printed(zoo, stream))
        assert "[red]x[/red]" in text and "<script>" in text and "two\\n" in text
        assert not set(text) & set("\r\t\0\x1b\ud800\u202e")
        rows = text.split("\n\n")[0].splitlines()
        assert len(rows) == 1 + len(zoo.models) == 1 + len(ODD_NAMES)


def test_colour_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    plain, coloured = printed(sample_zoo(), io.StringIO()), printed(sample_zoo(), Terminal())
    assert "\x1b" not in plain
    assert "\x1b[32mfull_rank" in coloured and "\x1b[1;31mfailed: " in coloured
    assert "\x1b[2mfull_rank (duplicate)" in coloured
    for verdict in CLAIM_VERDICTS:
        assert f"  {verdict}: " in plain


@pytest.mark.parametrize("columns", [60, 80])
def test_a_narrow_terminal_keeps_name_rank_and_verdict(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    zoo = sample_zoo()
    models = [replace(model, name="n" * 60 + model.name) for model in zoo.models]
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed(make_zoo(models), Terminal()))
    lines = text.splitlines()
    assert max(map(len, lines)) <= columns
    assert "lost" in lines[0] and "verdict" in lines[0] and "layers" not in lines[0]
    for model in models:
        (line,) = (x for x in lines[1:9] if x.split(" ")[0].endswith(model.name[-6:]))
        verdict = model.outcome.summary.verdict if model.outcome.summary else "failed: "
        assert verdict in line and model.name[-6:] in line


def test_a_stream_that_knows_only_ascii() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print_zoo(odd_zoo(), ["éé/zoo.json"], stream)
    stream.flush()
    assert b"couche_\\xe9" in raw.getvalue()


@pytest.mark.parametrize("make", [lambda: make_zoo([]), lambda: make_zoo([make_model(failed())])])
def test_without_a_model_the_totals_say_so(make: Any) -> None:
    zoo = replace(make(), claims=())
    text = unwrapped(zoo)
    number = len(zoo.models)
    assert f"{number} model{'s' * (number != 1)}: 0 analyzed" in text
    assert "Verdicts" not in text and "Claims" not in text


def test_a_report_without_its_summary_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="summary"):
        printed(replace(sample_zoo(), summary=None), io.StringIO())
