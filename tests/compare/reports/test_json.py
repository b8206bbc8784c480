"""compare.json: a schema that leaves nothing open, and numbers that are those of the comparison."""

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from allennlp_analyze.compare.compare import compare_models
from allennlp_analyze.compare.reports.json import (
    comparison_schema,
    comparison_text,
    comparison_to_dict,
    write_comparison,
)
from allennlp_analyze.compare.results import (
    CHANGES,
    MATCHED_BY,
    MEASURES,
    ComparedModel,
    ComparisonReport,
)
from allennlp_analyze.errors import OutputError
from allennlp_analyze.options.names import KINDS
from allennlp_analyze.results.layer import Skipped
from allennlp_analyze.results.verdict import LAYER_VERDICTS, Verdict
from tests.support.report_factory import gaussian, heavy_tailed, make_layer, make_report, odd_report

pytestmark = pytest.mark.newest_python


def full_comparison() -> ComparisonReport:
    """Every list of it has an entry, every optional number is there and is not."""
    invalid = Skipped("gone.weight", (6, 4), "1 entry is not finite", invalid=True)
    shared = make_layer(heavy_tailed(60, 40), "shared")
    a = make_report(
        shared,
        make_layer(gaussian(30, 20), "zeros"),
        make_layer(gaussian(6, 4), "gone"),
        make_layer(gaussian(8, 4), "old", warnings=("w",)),
    )
    b = make_report(
        make_layer(heavy_tailed(70, 40, 1), "shared"),
        make_layer(np.zeros((30, 20)), "zeros"),
        make_layer(gaussian(8, 4, 1), "new", warnings=("v",)),
        make_layer(gaussian(3, 2), "extra"),
        skipped=(invalid,),
        settings={**a.settings, "kinds": ["linear"], "layers": "."},
    )
    models = [ComparedModel(label, report) for label, report in (("b", b), ("a again", a))]
    return compare_models(ComparedModel("a", a), models, 2.5)


def odd_comparison() -> ComparisonReport:
    names = ComparedModel("odd \ud800\x1b[31m", odd_report())
    return compare_models(names, [names, ComparedModel("none", make_report())])


@cache
def validator() -> Any:
    return jsonschema.Draft202012Validator(comparison_schema())


def is_valid(contents: Any) -> bool:
    return validator().is_valid(contents)


@pytest.mark.parametrize("make", [full_comparison, odd_comparison])
def test_what_is_written_fits_the_schema(make: Any, tmp_path: Path) -> None:
    write_comparison(make(), tmp_path / "compare.json")
    contents = json.loads((tmp_path / "compare.json").read_text(encoding="ascii"))
    validator().validate(contents)
    assert contents == comparison_to_dict(make()) == json.loads(comparison_text(make()))
    assert [path.name for path in tmp_path.iterdir()] == ["compare.json"]


def test_the_example_has_all_that_there_can_be() -> None:
    contents = comparison_to_dict(full_comparison())
    candidate = contents["candidates"][0]
    for key in ("pairs", "missing", "added", "new_invalid", "failures", "warnings"):
        assert candidate[key], key
    assert contents["allowed_rank_loss"] == 2.5
    assert contents["baseline"]["label"] == "a"
    by_name = {pair["baseline"]: pair for pair in candidate["pairs"]}
    assert by_name["shared"]["differences"]["min_singular_value"]["difference"] is None
    assert by_name["shared"]["differences"]["alpha"]["difference"] is not None
    assert by_name["zeros"]["ks_distance"] is None
    assert by_name["zeros"]["spectral_distance"] == pytest.approx(1)
    assert by_name["old"]["candidate"] == "new"
    assert by_name["old"]["matched_by"] == "order and shape"
    assert by_name["old"]["new_warnings"] == ["v"] and by_name["old"]["gone_warnings"] == ["w"]


def test_numbers_keep_their_full_precision() -> None:
    report = full_comparison()
    back = json.loads(comparison_text(report))
    for candidate, comparison in zip(back["candidates"], report.candidates):
        for entry, pair in zip(candidate["pairs"], comparison.pairs):
            assert entry["spectral_distance"] == pair.spectral_distance
            for name, difference in pair.differences.items():
                assert entry["differences"][name]["candidate"] == difference.candidate
                assert entry["differences"][name]["difference"] == difference.difference
                assert entry["differences"][name]["ratio"] == difference.ratio


def test_the_schema_lists_what_the_results_can_be() -> None:
    schema = comparison_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    definitions = schema["$defs"]
    pair = definitions["pair"]["properties"]
    assert pair["matched_by"]["enum"] == list(MATCHED_BY)
    assert pair["change"]["enum"] == list(CHANGES)
    assert pair["kind"]["enum"] == definitions["unmatched"]["properties"]["kind"]["enum"]
    assert pair["kind"]["enum"] == list(KINDS)
    assert pair["baseline_verdict"]["enum"] == list(LAYER_VERDICTS)
    assert list(pair["differences"]["properties"]) == list(MEASURES)
    assert definitions["model"]["properties"]["verdict"]["enum"] == list(Verdict)
    assert list(definitions["candidate"]["properties"]["counts"]["properties"]) == list(CHANGES)


def nodes(node: Any) -> "list[dict[str, Any]]":
    """Every object of a JSON value."""
    items = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    found = [node] if isinstance(node, dict) else []
    for item in items:
        found += nodes(item)
    return found


def test_the_schema_leaves_no_object_open_and_describes_every_key() -> None:
    objects = [node for node in nodes(comparison_schema()) if node.get("type") == "object"]
    assert len(objects) > 8
    for node in objects:
        assert node["additionalProperties"] is False
        assert node["required"] == list(node["properties"])
        assert all("description" in p or "$ref" in p for p in node["properties"].values())


def test_the_schema_catches_a_missing_and_an_extra_key_everywhere() -> None:
    contents = comparison_to_dict(full_comparison())
    contents["candidates"] = contents["candidates"][:1]
    contents["candidates"][0]["pairs"] = contents["candidates"][0]["pairs"][:1]
    assert is_valid(contents)
    count = len(nodes(contents))
    assert count > 15
    for index in range(count):
        for key in nodes(contents)[index]:
            changed = copy.deepcopy(contents)
            del nodes(changed)[index][key]
            assert not is_valid(changed), key
        changed = copy.deepcopy(contents)
        nodes(changed)[index]["extra"] = 1
        assert not is_valid(changed)


def test_no_directory_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no/compare\.json: cannot be written"):
        write_comparison(full_comparison(), tmp_path / "no" / "compare.json")
