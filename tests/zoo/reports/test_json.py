"""zoo.json: a schema that leaves nothing open, and numbers that are those of the zoo."""

import copy
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from allennlp_analyze.errors import OutputError, SourceError
from allennlp_analyze.reports.json import to_json_dict, write_json
from allennlp_analyze.results.verdict import LAYER_VERDICTS, Verdict
from allennlp_analyze.zoo.reports.json import (
    read_zoo_json,
    write_zoo_json,
    zoo_schema,
    zoo_to_dict,
)
from allennlp_analyze.zoo.results import CLAIM_VERDICTS, STATUSES
from tests.support.report_factory import odd_report
from tests.support.zoo_factory import make_zoo, odd_zoo, sample_reports, sample_zoo

pytestmark = pytest.mark.newest_python


def empty_zoo() -> Any:
    return make_zoo([])


@cache
def validator() -> Any:
    return jsonschema.Draft202012Validator(zoo_schema())


def is_valid(contents: Any) -> bool:
    return validator().is_valid(contents)


@pytest.mark.parametrize("make", [sample_zoo, odd_zoo, empty_zoo])
def test_what_is_written_fits_the_schema_and_is_read_back(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "zoo.json"
    write_zoo_json(make(), path)
    contents = json.loads(path.read_text(encoding="ascii"))
    validator().validate(contents)
    assert contents == zoo_to_dict(make()) == read_zoo_json(path)
    assert list(contents) == list(zoo_schema()["properties"])
    assert [found.name for found in tmp_path.iterdir()] == ["zoo.json"]


def test_each_model_is_a_line(tmp_path: Path) -> None:
    for zoo in (sample_zoo(), odd_zoo()):
        write_zoo_json(zoo, tmp_path / "zoo.json")
        lines = (tmp_path / "zoo.json").read_text().splitlines()
        start = lines.index('  "models": [') + 1
        entries = [json.loads(line.rstrip(",")) for line in lines[start:-2]]
        assert entries == zoo_to_dict(zoo)["models"]


def test_each_entry_says_what_became_of_the_model() -> None:
    zoo = sample_zoo()
    contents = zoo_to_dict(zoo)
    assert len(contents["models"]) == len(zoo.models)
    for entry, model in zip(contents["models"], zoo.models):
        assert entry["name"] == model.name and entry["group"] == model.group
        assert entry["status"] == model.outcome.status
        assert entry["duplicate_of"] == model.duplicate_of
        assert (entry["reason"] is None) == (entry["status"] == "done")
        assert (entry["summary"] is None) == (entry["status"] == "failed")
        assert "layers" not in entry
    assert contents["claims"][0]["verdict"] == "does not hold"


def test_a_models_summary_is_that_of_its_own_report() -> None:
    """In the same layout: what reads one reads the other."""
    entries = {entry["name"]: entry for entry in zoo_to_dict(sample_zoo())["models"]}
    for name, report in sample_reports().items():
        summary = to_json_dict(report)["summary"]
        assert entries[name]["warnings"] == summary.pop("warnings")
        assert entries[name]["summary"] == summary


def test_groups_add_up_to_the_totals() -> None:
    contents = zoo_to_dict(sample_zoo())
    totals, groups = contents["totals"], contents["groups"]
    assert [group["name"] for group in groups] == ["ner", "parsing", "odd", "away"]
    for key, total in totals.items():
        if key.startswith("n_"):
            assert total == sum(group[key] for group in groups), key
        if key.endswith("_by_verdict"):
            for verdict in total:
                assert total[verdict] == sum(group[key][verdict] for group in groups)
    smallest = [group["min_singular_value"] for group in groups]
    assert totals["min_singular_value"] == min(x for x in smallest if x is not None)
    assert None in smallest


def test_numbers_keep_their_full_precision(tmp_path: Path) -> None:
    zoo = sample_zoo()
    write_zoo_json(zoo, tmp_path / "zoo.json")
    back = read_zoo_json(tmp_path / "zoo.json")
    assert zoo.summary is not None
    assert back["totals"]["median_alpha"] == zoo.summary.totals.median_alpha
    for entry, model in zip(back["models"], zoo.models):
        if model.outcome.summary is not None:
            assert entry["summary"]["mean_alpha"] == model.outcome.summary.mean_alpha
            smallest = model.outcome.summary.min_singular_value
            assert entry["summary"]["min_singular_value"] == smallest


def test_the_schema_lists_what_the_results_can_be() -> None:
    schema = zoo_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    kinds = schema["$defs"]
    model, totals = kinds["model"]["properties"], kinds["totals"]["properties"]
    assert model["status"]["enum"] == list(STATUSES)
    assert model["summary"]["properties"]["verdict"]["enum"] == list(Verdict)
    assert kinds["claim"]["properties"]["verdict"]["enum"] == list(CLAIM_VERDICTS)
    assert list(totals["models_by_verdict"]["properties"]) == list(Verdict)
    assert list(totals["layers_by_verdict"]["properties"]) == list(LAYER_VERDICTS)
    assert list(kinds["group"]["properties"]) == ["name", *totals]


def nodes(node: Any) -> "list[dict[str, Any]]":
    """Every object of a JSON value."""
    items = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    found = [node] if isinstance(node, dict) else []
    for item in items:
        found += nodes(item)
    return found


def test_the_schema_leaves_no_object_open_and_describes_every_key() -> None:
    """But that of the settings, whose names are those of the options."""
    schema = zoo_schema()
    del schema["properties"]["settings"]
    schema["required"].remove("settings")
    objects = [n for n in nodes(schema) if n.get("type") in ("object", ["object", "null"])]
    closed = [node for node in objects if "properties" in node]
    assert len(closed) > 7
    for node in closed:
        assert node["additionalProperties"] is False
        assert node["required"] == list(node["properties"])
        assert all("description" in p or "$ref" in p for p in node["properties"].values())
    for node in objects:
        assert "properties" in node or node["additionalProperties"]["type"] == "integer"


def test_the_schema_catches_a_missing_and_an_extra_key_everywhere() -> None:
    contents = zoo_to_dict(sample_zoo())
    contents["models"] = [contents["models"][0], contents["models"][-1]]
    contents["groups"], contents["claims"] = contents["groups"][:1], contents["claims"][:1]
    contents["settings"] = {}
    for entry in contents["models"]:
        if entry["summary"]:
            # Counts by name: a model need not have every kind.
            entry["summary"]["layers_by_kind"] = entry["summary"]["layers_by_verdict"] = {}
    assert is_valid(contents)
    count = len(nodes(contents))
    assert count > 9
    for index in range(count):
        for key in nodes(contents)[index]:
            changed = copy.deepcopy(contents)
            del nodes(changed)[index][key]
            assert not is_valid(changed), key
        if nodes(contents)[index]:
            changed = copy.deepcopy(contents)
            nodes(changed)[index]["extra"] = 1
            assert not is_valid(changed)


def test_a_report_without_its_summary_is_our_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="summary"):
        write_zoo_json(replace(sample_zoo(), summary=None), tmp_path / "zoo.json")
    assert list(tmp_path.iterdir()) == []


def test_no_directory_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no/zoo\.json: cannot be written"):
        write_zoo_json(sample_zoo(), tmp_path / "no" / "zoo.json")


def test_what_is_no_zoo_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "zoo.json"
    with pytest.raises(SourceError, match="cannot be read"):
        read_zoo_json(path)
    for text in ("", "[]", "{}", '{"models": []}', "[" * 10**5):
        path.write_text(text)
        with pytest.raises(SourceError, match="expected a zoo.json"):
            read_zoo_json(path)
    write_json(odd_report(), path)
    with pytest.raises(SourceError, match="is not a zoo"):
        read_zoo_json(path)
    path.write_text(json.dumps({**zoo_to_dict(sample_zoo()), "schema_version": 2}))
    with pytest.raises(SourceError, match="version 2, but this release reads 1; analyze the zoo"):
        read_zoo_json(path)
