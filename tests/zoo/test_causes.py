"""Causes over a zoo: counted from its models' own reports, in every report of the zoo."""

import csv
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from safetensors.numpy import save_file

from allennlp_analyze.data import read_schema
from allennlp_analyze.results.evidence import Cause
from allennlp_analyze.settings import Settings
from allennlp_analyze.zoo import ZooRequest, run_zoo
from tests.support.html_elements import words
from tests.support.matrices import gaussian, low_rank

pytestmark = pytest.mark.newest_python


def save(path: Path, **layers: np.ndarray) -> None:
    save_file({f"{name}.weight": w.astype(np.float32).copy() for name, w in layers.items()}, path)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zoo of a collapsed model, one with dead units and a blind head, and a healthy one."""
    root = tmp_path_factory.mktemp("zoo")
    models = root / "models"
    models.mkdir()
    dead = gaussian(0, 60, 24)
    dead[:, [2, 7]] = 0
    head = gaussian(1, 2, 60)
    save(models / "collapsed.safetensors", body=low_rank(2, 40, 40, 5), zero=np.zeros((30, 20)))
    save(models / "dead.safetensors", body=dead, head=head - head.mean(axis=0))
    save(models / "fine.safetensors", body=gaussian(3, 60, 24), other=gaussian(4, 24, 24))
    run_zoo(ZooRequest(str(models), root / "out", workers=1), Settings())
    return root / "out"


def zoo(directory: Path) -> "dict[str, dict]":
    contents = json.loads((directory / "zoo.json").read_text())
    jsonschema.validate(contents, read_schema("zoo"))
    return contents


def by_hand(directory: Path) -> "dict[str, list[int]]":
    """Layers by cause, those lost and harmful, lost and harmless, and models: from the reports."""
    counts: dict[str, list[set]] = {}
    for path in (directory / "models").glob("*/report.json"):
        for layer in json.loads(path.read_text())["layers"]:
            for finding in layer["evidence"]["findings"]:
                of = counts.setdefault(finding["cause"], [set(), set(), set(), set()])
                key = (path.parent.name, layer["name"])
                of[0].add(key)
                if finding["is_lost"]:
                    of[2 if finding["is_harmless"] else 1].add(key)
                of[3].add(path.parent.name)
    return {cause: [len(found) for found in of] for cause, of in counts.items()}


def test_totals_are_those_of_the_reports(directory: Path) -> None:
    causes = {x["cause"]: x for x in zoo(directory)["totals"]["causes"]}
    found = {
        cause: [x["n_layers"], x["n_harmful"], x["n_harmless"], x["n_models"]]
        for cause, x in causes.items()
    }
    assert found == by_hand(directory)
    assert {"dead_inputs", "softmax", "zero"} <= set(found)
    assert causes["softmax"]["n_harmless"] == 1 and causes["softmax"]["n_harmful"] == 0


def test_each_model_has_its_worst_layer(directory: Path) -> None:
    worst = {model["name"]: model["worst_layer"] for model in zoo(directory)["models"]}
    assert worst["collapsed"]["name"] == "zero"
    assert worst["collapsed"]["reason"] == "20 of 20 directions, all weights are zero"
    assert worst["dead"]["name"] == "body" and worst["dead"]["verdict"] == "dead_units"
    assert worst["dead"]["reason"] == "2 of 24 directions, dead inputs 2, 7"
    assert worst["fine"]["verdict"] == "full_rank" and worst["fine"]["reason"] == ""
    with open(directory / "zoo-models.csv", newline="") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    for name, row in rows.items():
        assert row["worst_layer"] == worst[name]["name"]
        assert row["worst_reason"] == worst[name]["reason"]


def test_the_page_says_both(directory: Path) -> None:
    page = (directory / "index.html").read_text(encoding="utf-8")
    text = words(page)
    assert "(zero: 20 of 20 directions, all weights are zero)" in text
    assert "(body: 2 of 24 directions, dead inputs 2, 7)" in text
    assert 'id="causes"' in page
    for cause in by_hand(directory):
        assert Cause(cause).words in text
