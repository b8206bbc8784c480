"""The catalogue: what every entry says, and that one entry is all that a new scalar needs."""

import csv
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from allennlp_analyze.metrics.catalogue import CATALOGUE, compute_metrics
from allennlp_analyze.metrics.metric import FLOAT, SpectrumFacts
from allennlp_analyze.reports.json import layer_to_dict
from scripts.tools import make_schemas
from tests.support.commands import run_module
from tests.support.extra_metric import EXTRA, KEY
from tests.support.html_elements import Elements, words
from tests.support.report_factory import heavy_tailed, make_layer

pytestmark = pytest.mark.newest_python
SIZES = {"a": float(np.linalg.norm(np.random.default_rng(2018).standard_normal((40, 20)), "nuc"))}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is written and shown when the catalogue has one metric more."""
    directory = tmp_path_factory.mktemp("extra")
    done = run_module("tests.support.extra_metric", str(directory))
    assert done.returncode == 0, done.stderr
    return directory


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def table(path: Path, start: str) -> list[list[str]]:
    """The lines of a table on the terminal, from the heading `start` on, in words."""
    lines = path.read_text(encoding="utf-8").splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith(start))
    return [line.split() for line in lines[first : lines.index("", first)]]


def test_keys_and_columns_are_there_once() -> None:
    keys = [metric.key for metric in CATALOGUE]
    columns = [name for metric in CATALOGUE for name in metric.names]
    assert len(set(keys)) == len(keys) and len(set(columns)) == len(columns)


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.key)
def test_an_entry_has_the_words_for_where_it_is_shown(metric: Any) -> None:
    assert metric.description.isascii() and metric.description.endswith(".")
    if metric.term:
        assert metric.label and metric.formula and metric.meaning
    if metric.compared:
        assert metric.label
    if metric.compute is not None:
        assert metric.kind == FLOAT and metric.section and metric.distrust
    if metric.terminal is not None:
        assert metric.terminal.title.isascii()


def test_objects_have_their_numbers_in_the_order_of_the_catalogue() -> None:
    for key, value in layer_to_dict(make_layer(heavy_tailed(60, 40))).items():
        if isinstance(value, dict):
            parts = [m.key for m in CATALOGUE if m.in_report and m.key.startswith(f"{key}.")]
            assert [f"{key}.{part}" for part in value] == parts


def test_attributes_of_a_layer_are_metrics() -> None:
    facts = SpectrumFacts(np.array([3.0, 2.0, 1.0]), 5, 3, 3, None)
    found = compute_metrics(facts)
    layer = make_layer(np.diag([3.0, 2.0, 1.0]), **found)
    assert layer.metrics == {**layer.metrics, **found}
    assert "stable_rank" in found
    assert all(getattr(layer, key) == found[key] for key in found)


def test_the_schemas_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert make_schemas.main(["--check"]) == 0, capsys.readouterr().err


def test_schemas_that_are_not_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = make_schemas.REPORT.read_text(encoding="utf-8")
    path = tmp_path / "report.schema.json"
    path.write_text(wanted.replace('"entropy",', ""), encoding="utf-8")
    monkeypatch.setattr(make_schemas, "REPORT", path)
    assert make_schemas.main(["--check"]) == 1
    assert capsys.readouterr().err == f"{path}: is out of date; run `make generated`\n"
    assert make_schemas.main([]) == 0 and path.read_text(encoding="utf-8") == wanted


class TestOneMoreMetric:
    """One entry of the catalogue, in everything that is made of it."""

    def test_report_json_and_its_schema(self, files: Path) -> None:
        contents = read(files / "one" / "report.json")
        first, zero = contents["layers"]
        assert first[KEY] == pytest.approx(SIZES["a"]) and zero[KEY] is None
        keys = list(first)
        assert keys[keys.index("effective_rank") + 1] == KEY
        schema = read(files / "schemas.json")["report"]
        jsonschema.validate(contents, schema)
        del first[KEY]
        assert not jsonschema.Draft202012Validator(schema).is_valid(contents)

    def test_layers_csv_and_data_frame(self, files: Path) -> None:
        first, zero = read(files / "one" / "report.json")["layers"]
        with (files / "one" / "layers.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert float(rows[0][KEY]) == first[KEY] and rows[1][KEY] == ""
        pytest.importorskip("pandas")
        frame = read(files / "frame.json")
        assert frame == {"dtype": "float64", "values": [first[KEY], zero[KEY]]}

    def test_terminal(self, files: Path) -> None:
        head, first, zero = table(files / "one.txt", "layer")
        # "N x M" is three words in the head and in each row.
        place = head.index("nuclear")
        assert first[place] == f"{SIZES['a']:.4g}" and zero[place] == "-"

    def test_page(self, files: Path) -> None:
        page = (files / "one" / "report.html").read_text(encoding="utf-8")
        text, data = words(page), json.loads(Elements(page).data)
        assert f"{EXTRA.label} {EXTRA.formula} {EXTRA.meaning}" in text
        assert f"{SIZES['a']:.4g}" in text
        place = data["facts"].index("nuclear norm")
        assert [x["facts"][place] for x in data["layers"]] == [f"{SIZES['a']:.4g}", "–"]
        assert pytest.approx(SIZES["a"]) in data["layers"][0]["sort"]
        titles = {attributes.get("title") for _, attributes in Elements(page).tags}
        assert "sum of the singular values" in titles and "‖σ‖₁" in text

    def test_comparison(self, files: Path) -> None:
        head, *rows = table(files / "compare.txt", "layer")
        first, zero = sorted(rows)  # the table has the worst first
        place = head.index("nuclear")
        # Of the head "A" is a word of its own.
        shift = head[:place].count("A")
        both = [f"{SIZES['a']:.4g}", f"{3 * SIZES['a']:.4g}"]
        assert first[place - shift : place - shift + 2] == both
        assert zero[place - shift : place - shift + 2] == ["-", "-"]
        contents = read(files / "compared" / "compare.json")
        jsonschema.validate(contents, read(files / "schemas.json")["compare"])
        differences = [pair["differences"][KEY] for pair in contents["candidates"][0]["pairs"]]
        assert differences[0]["ratio"] == pytest.approx(3) and differences[1]["ratio"] is None

    def test_page_of_a_comparison(self, files: Path) -> None:
        page = (files / "compared" / "compare.html").read_text(encoding="utf-8")
        assert "‖σ‖₁ A" in words(page) and "‖σ‖₁ B" in words(page)
        pair = json.loads(Elements(page).data)["candidates"][0]["pairs"][0]
        measures = {label: numbers for label, *numbers in pair["measures"]}
        assert measures["nuclear norm"][:2] == [f"{x * SIZES['a']:.4g}" for x in (1, 3)]

    def test_what_is_written_comes_back(self, files: Path) -> None:
        written, again = (read(files / name / "report.json") for name in ("one", "again"))
        assert written["layers"] == again["layers"]

    def test_documentation(self, files: Path) -> None:
        page = (files / "metrics.md").read_text(encoding="utf-8")
        said = f"### `{KEY}`\n\n{EXTRA.formula}. {EXTRA.unit} {EXTRA.meaning} `null` for the zero"
        assert said in page.replace("zero\n", "zero ")
        assert f"| `{KEY}` | " in page.split("## A worked example")[1]
