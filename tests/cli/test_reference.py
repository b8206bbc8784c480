"""`--reference` from the command line to report.json, against the 2018 method's own rows too."""

import contextlib
import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from allennlp_analyze.analysis.journal import JOURNAL, Journal, open_journal
from allennlp_analyze.analysis.pipeline import analyze_archive, run
from allennlp_analyze.analysis.request import Reading, Writing
from allennlp_analyze.cli.main import main
from allennlp_analyze.errors import OutputError
from allennlp_analyze.options.names import REFERENCES
from allennlp_analyze.reports.loader import load_report
from allennlp_analyze.reports.reference_console import format_reference
from allennlp_analyze.results.reference import ReferenceComparison
from allennlp_analyze.settings import Settings
from tests.support.commands import ROOT, SMALL, read_report, run_module
from tests.support.corpus import Corpus, corpus_names, corpus_root, newest_of_each_model
from tests.support.scripts import run_main

pytestmark = pytest.mark.newest_python
TABLE = ROOT / "allennlp_analyze" / "data" / "published" / "allennlp_2018.csv"
COLUMNS = ("module_index", "name", "M", "N", "alpha", "D", "min_singular_value")


def compared(archive: Path, reference: object, out: Path, *more: str) -> ReferenceComparison:
    """What the command writes into report.json, which must fit the schema, read back."""
    arguments = [str(archive), "--output-dir", str(out), "--no-plots", "--quiet", "--force"]
    assert main([*arguments, "--reference", str(reference), *more]) == 0
    read_report(out)  # which fits the schema
    found = load_report(out).reference
    assert found is not None and found.name == str(reference)
    return found


def write_rows(path: Path, rows: "list[list[Any]]", left_out: str = "") -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        kept = [index for index, column in enumerate(COLUMNS) if column != left_out]
        writer.writerow([COLUMNS[index] for index in kept])
        writer.writerows([row[index] for index in kept] for row in rows)
    return path


def oracle_rows(corpus: Corpus, name: str) -> "list[list[Any]]":
    return [list(row) for row in corpus.oracle[name]["linear"]]


def names_with_numbers() -> "list[str]":
    """The archives of which the oracle has alpha, D and the smallest singular value."""
    if not corpus_names():
        return []
    oracle = Corpus(corpus_root()).oracle
    return [
        name
        for name in corpus_names()
        if any(len(row) == len(COLUMNS) for row in oracle[name].get("linear", ()))
    ]


def one_of_each() -> "list[str]":
    """Of those; `analysis/test_corpus.py` has the numbers of all."""
    return newest_of_each_model(names_with_numbers())


@pytest.mark.parametrize(
    ("name", "left_out"),
    [(name, "") for name in one_of_each()] + [(name, "name") for name in one_of_each()[::3]],
)
def test_real_archives_reproduce_the_method_of_2018(
    corpus: Corpus, name: str, left_out: str, tmp_path: Path
) -> None:
    rows = oracle_rows(corpus, name)
    table = write_rows(tmp_path / "oracle.csv", rows, left_out)
    found = compared(corpus.path(name), table, tmp_path / "out")
    assert found.verdict == "reproduced", found.sentence
    assert len(found.rows) == len(rows)
    for (_, layer, m, n, alpha, *_), row in zip(rows, found.rows):
        assert row.ours is not None and row.numbers is not None
        assert (row.ours.name, row.ours.M, row.ours.N) == (layer, m, n)
        assert row.agreement == row.numbers.min_singular_value == "agrees"
        # Where M < 10 nothing is fitted here; the study fitted any number of eigenvalues.
        expected = "not_compared" if m < 10 or math.isnan(alpha) else "agrees"
        assert row.numbers.alpha == row.numbers.D == expected
    few = sum(m < 10 and not math.isnan(alpha) for _, _, m, _, alpha, *_ in rows)
    assert ("no fit for M < 10" in found.sentence) == (few > 0)


@pytest.mark.parametrize("name", one_of_each()[::3])
def test_a_number_that_is_not_theirs_is_found(corpus: Corpus, name: str, tmp_path: Path) -> None:
    rows = oracle_rows(corpus, name)
    rows[-1][-1] *= 1.5
    found = compared(corpus.path(name), write_rows(tmp_path / "oracle.csv", rows), tmp_path / "out")
    assert found.verdict == "differs"
    assert [row.agreement for row in found.rows] == ["agrees"] * (len(rows) - 1) + ["differs"]
    assert f"the worst is the smallest singular value of {rows[-1][1]}" in found.sentence


def test_many_archives_have_rows(corpus: Corpus) -> None:
    assert len(names_with_numbers()) > 20 and len(one_of_each()) > 6


@pytest.mark.parametrize("name", REFERENCES)
def test_every_published_table_by_name(name: str, tmp_path: Path) -> None:
    found = compared(SMALL, name, tmp_path, "--kinds", "linear")
    assert found.verdict == "not_comparable"  # the fixture has the layers of 2018, but shrunk
    with TABLE.open(newline="") as file:
        archives = {row["archive"] for row in csv.DictReader(file)}
    assert found.archive in archives


def test_a_report_reproduces_itself(tmp_path: Path) -> None:
    linear = ("--kinds", "linear")
    compared(SMALL, "ner-2018", tmp_path / "first", *linear)
    for written in ("report.json", "layers.csv"):
        found = compared(SMALL, tmp_path / "first" / written, tmp_path / "second", *linear)
        assert found.verdict == "reproduced"
        assert "the same to the last digit" in found.sentence
    chosen = compared(SMALL, tmp_path / "first" / "report.json", tmp_path / "c", "--layers", "_0")
    assert chosen.verdict == "incomplete"


def test_the_comparison_is_printed_and_report_json_says_null_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(SMALL), "--output-dir", str(tmp_path), "--no-plots", "--force"]
    assert main([*arguments, "--reference", "ner-2018"]) == 0
    reference = load_report(tmp_path).reference
    assert reference is not None
    assert capsys.readouterr().out.endswith(format_reference(reference) + "\n")
    assert main(arguments) == 0
    assert json.loads((tmp_path / "report.json").read_text())["reference"] is None
    assert "ner-2018" not in capsys.readouterr().out


def test_beside_the_table_the_comparison_goes_to_standard_error(tmp_path: Path) -> None:
    arguments = ("--table", "2018", "--reference", "ner-2018", "--no-plots", "--output-dir")
    done = run_module("allennlp_analyze", str(SMALL), *arguments, str(tmp_path))
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 17
    reference = load_report(tmp_path).reference
    assert reference is not None and done.stderr == format_reference(reference) + "\n"


@pytest.mark.parametrize(
    "contents, code, reason",
    [
        (None, 2, "choose a file or one of ner-2018, parser-2018, srl-2018, coref-2018"),
        (b"name,alpha\nx,two\n", 1, "line 2, column alpha: 'two' is not a number"),
        (b"\xff\xfe", 1, "is not text"),
    ],
)
def test_the_reference_is_checked_before_anything_else(
    tmp_path: Path,
    contents: "bytes | None",
    code: int,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The archive is at an address that nobody answers at."""
    if contents is not None:
        (tmp_path / "table.csv").write_bytes(contents)
    monkeypatch.chdir(tmp_path)
    done = run_main(main, "http://127.0.0.1:9/x.tar.gz", "--reference", "table.csv")
    assert done.returncode == code
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ") and reason in done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"table.csv"}


def test_an_interrupted_run_goes_on_with_another_reference(tmp_path: Path) -> None:
    """The journal holds what became of the layers, whatever they are compared with later."""
    out = tmp_path / "out"
    settings = Settings(kinds=("linear",))
    reading, writing = Reading(str(SMALL)), Writing(out, plots=False, resume=True)
    with contextlib.ExitStack() as stack:

        def keep_journal(of_run: Mapping[str, Any]) -> Journal:
            return stack.enter_context(open_journal(out, of_run, resume=False))

        first = analyze_archive(reading, settings, reference="ner-2018", keep_journal=keep_journal)
    assert (out / JOURNAL).is_file() and not (out / "report.json").exists()
    with pytest.raises(OutputError, match="other settings"):
        run(reading, writing, Settings(kinds=("recurrent",)), reference="srl-2018")
    second = run(reading, writing, settings, reference="srl-2018").report
    assert first.reference is not None and second.reference is not None
    assert (first.reference.name, second.reference.name) == ("ner-2018", "srl-2018")
    assert first.layers == second.layers
    assert load_report(out).reference == second.reference
