"""report.json: exactly the promised keys, finite numbers, and a schema that catches mistakes."""

import copy
import dataclasses
import json
from functools import cache
from pathlib import Path
from typing import Any, Callable

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.errors import OutputError, SourceError
from allennlp_analyze.metrics.catalogue import CATALOGUE
from allennlp_analyze.options.names import KINDS
from allennlp_analyze.reports.json import (
    read_json,
    report_text,
    schema,
    to_json_dict,
    write_json,
    write_timing,
)
from allennlp_analyze.results.layer import Comparison, ModelReport, Timing
from allennlp_analyze.results.reference import AGREEMENTS, REFERENCE_VERDICTS, ROW_AGREEMENTS
from allennlp_analyze.results.verdict import LAYER_VERDICTS
from allennlp_analyze.settings import Settings
from tests.support.report_factory import (
    gaussian,
    heavy_tailed,
    make_layer,
    make_reference,
    make_report,
    odd_report,
)

# Section 6 of the specification, word for word, and the reference.
TOP_KEYS = "schema_version tool source settings layers skipped summary timing reference adapters id"
# Not in the first reports of this schema version.
ADDED = ("reference", "adapters", "id")
OPTIONAL = tuple(((), key) for key in ADDED)
LAYER_KEYS = (
    "name parameter part module_index kind kind_source module_class shape dtype M N Q "
    "min_singular_value max_singular_value condition_number hard_rank tolerance "
    "rank_loss_percent lost_directions lost_percent frobenius_norm spectral_norm stable_rank "
    "effective_rank entropy log_norm "
    "log_spectral_norm alpha_weighted log_alpha_norm marchenko_pastur tikhonov power_law "
    "uncertainty verdict evidence power_law_note warnings"
)
OBJECT_KEYS = {
    "tool": "version python torch numpy powerlaw allennlp",
    "source": "archive resolved sha256 weights_file model_type walk",
    "timing": "startup read spectra fits write plots",
}
NESTED_KEYS = {
    "hard_rank": "numpy numerical_recipes loose rounding",
    "tolerance": "numpy numerical_recipes loose rounding",
    "rank_loss_percent": "numpy numerical_recipes loose rounding",
    "power_law": "alpha D xmin sigma n_tail best_fit comparisons",
}
REFERENCE_KEYS = {
    (): "name title archive verdict sentence tolerance rows",
    ("tolerance",): "relative D min_singular_value close",
    ("rows", 0): "number published ours agreement numbers",
    ("rows", 0, "published"): "name module_index M N alpha D min_singular_value",
    ("rows", 0, "ours"): "name module_index M N alpha D min_singular_value",
    ("rows", 0, "numbers"): "M N alpha D min_singular_value",
}


def full_report() -> ModelReport:
    layer = make_layer(heavy_tailed(60, 40), "encoder")
    assert layer.power_law is not None
    comparisons = {"lognormal": Comparison(-1.5, 0.25), "exponential": Comparison(None, None)}
    fit = dataclasses.replace(layer.power_law, best_fit="lognormal", comparisons=comparisons)
    bare = make_layer(np.zeros((4, 3)), "zeros", tikhonov=None)
    return make_report(
        dataclasses.replace(layer, power_law=fit),
        bare,
        warnings=("odd",),
        reference=make_reference(layer),
    )


@cache
def validator() -> Any:
    return jsonschema.Draft202012Validator(schema())


def is_valid(contents: dict[str, Any]) -> bool:
    return validator().is_valid(contents)


def test_keys_are_those_of_the_specification() -> None:
    contents = to_json_dict(full_report())
    assert list(contents) == TOP_KEYS.split()
    for key, names in OBJECT_KEYS.items():
        assert list(contents[key]) == names.split()
    layer = contents["layers"][0]
    # Keys that are in the specification, in its order; later ones are numbers of the catalogue.
    assert [key for key in layer if key in LAYER_KEYS.split()] == LAYER_KEYS.split()
    assert set(layer) - set(LAYER_KEYS.split()) <= {metric.key for metric in CATALOGUE}
    for key, names in NESTED_KEYS.items():
        assert list(layer[key]) == names.split()
    assert set(contents["skipped"][0]) == {
        "parameter",
        "shape",
        "reason",
        "invalid",
        "weights",
    }
    assert contents["summary"]["warnings"] == ["odd"]
    for path, names in REFERENCE_KEYS.items():
        assert list(at(contents["reference"], path)) == names.split()


def test_a_report_without_a_reference_says_so_and_an_older_one_need_not() -> None:
    contents = to_json_dict(make_report())
    assert contents["reference"] is None
    del contents["reference"], contents["adapters"]
    assert is_valid(contents)


def test_schema_is_itself_valid_and_describes_every_field() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    settings = schema()["properties"]["settings"]
    # A run adds how the archive was asked for; the analysis alone has the settings.
    assert settings["required"] == [field.name for field in dataclasses.fields(Settings)]
    layer = schema()["$defs"]["layer"]["properties"]
    assert layer["kind"]["enum"] == list(KINDS)
    assert layer["verdict"]["enum"] == list(LAYER_VERDICTS)
    definitions = schema()["$defs"]
    assert definitions["reference"]["properties"]["verdict"]["enum"] == list(REFERENCE_VERDICTS)
    row = definitions["reference_row"]["properties"]
    assert row["agreement"]["enum"] == list(ROW_AGREEMENTS)
    for number in definitions["number_agreement"]["properties"].values():
        assert number["enum"] == list(AGREEMENTS)


def every_object(node: Any, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    found = []
    if isinstance(node, dict):
        if node.get("type") == "object":
            found.append((path, node))
        for key, item in node.items():
            found += every_object(item, f"{path}/{key}")
    return found


def test_schema_leaves_no_object_open() -> None:
    objects = every_object(schema())
    assert len(objects) > 10
    for path, node in objects:
        assert "additionalProperties" in node, path
        if "properties" in node:
            assert node["additionalProperties"] is False, path
            optional = {
                "": [*ADDED, "expert_groups", "attention"],
                "/$defs/adapter": ["base"],
            }.get(path, [])
            if path != "/properties/settings":
                assert [*node["required"], *optional] == list(node["properties"]), path
            assert all("description" in p or "$ref" in p for p in node["properties"].values()), path


@pytest.mark.parametrize("make", [full_report, odd_report, make_report])
def test_what_is_written_fits_the_schema(make: Callable[[], ModelReport], tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_json(make(), path)
    validator().validate(json.loads(path.read_text(encoding="utf-8")))
    assert read_json(path) == to_json_dict(make())
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of the objects with fixed keys in a report."""
    found: list[tuple[Any, ...]] = []
    if isinstance(node, dict):
        if path[-1:] not in {("layers_by_kind",), ("layers_by_verdict",), ("comparisons",)}:
            found.append(path)
        for key, item in node.items():
            found += places(item, (*path, key))
    if isinstance(node, list):
        for index, item in enumerate(node):
            found += places(item, (*path, index))
    return found


def test_schema_catches_a_missing_and_an_extra_key_everywhere() -> None:
    contents = to_json_dict(full_report())
    assert is_valid(contents)
    for path in places(contents):
        node = at(contents, path)
        for key in list(node):
            changed = copy.deepcopy(contents)
            del at(changed, path)[key]
            assert is_valid(changed) == ((path, key) in OPTIONAL), (path, "without", key)
        changed = copy.deepcopy(contents)
        at(changed, path)["extra"] = 1
        assert not is_valid(changed), (path, "extra")


def at(contents: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        contents = contents[key]
    return contents


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("layers", 0, "alpha_weighted"), "NaN"),
        (("layers", 0, "Q"), None),
        (("layers", 0, "kind"), "lstm"),
        (("layers", 0, "verdict"), "healthy"),
        (("layers", 0, "kind_source"), "guessed"),
        (("layers", 0, "shape"), [3]),
        (("layers", 0, "hard_rank", "loose"), 2.5),
        (("source", "walk"), "files"),
        (("source", "sha256"), "abc"),
        (("summary", "layers_by_kind"), {"lstm": 1}),
        (("schema_version",), 2),
        (("reference", "verdict"), "fine"),
        (("reference", "rows", 0, "agreement"), "equal"),
        (("reference", "rows", 0, "number"), 0),
        (("reference", "rows", 0, "ours", "D"), 1.5),
        (("reference", "rows", 0, "numbers", "alpha"), None),
    ],
)
def test_schema_catches_a_wrong_value(path: tuple[Any, ...], value: Any) -> None:
    contents = to_json_dict(full_report())
    at(contents, path[:-1])[path[-1]] = value
    assert not is_valid(contents)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64("-inf")])
def test_numbers_that_are_not_finite_become_null(value: float, tmp_path: Path) -> None:
    layer = make_layer(gaussian(6, 4), condition_number=value, dtype="float32")
    path = tmp_path / "report.json"
    write_json(make_report(layer), path)
    assert "NaN" not in path.read_text() and "Infinity" not in path.read_text()
    assert read_json(path)["layers"][0]["condition_number"] is None


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**62))
def test_numbers_keep_their_full_precision(number: float, count: int) -> None:
    layer = make_layer(
        gaussian(3, 2), log_norm=np.float64(number), entropy=None, module_index=np.int64(count)
    )
    back = json.loads(json.dumps(to_json_dict(make_report(layer)), allow_nan=False))["layers"][0]
    assert back["log_norm"] == number and back["module_index"] == count


def test_names_come_back_as_they_were(tmp_path: Path) -> None:
    report = odd_report()
    write_json(report, tmp_path / "report.json")
    back = read_json(tmp_path / "report.json")
    assert [entry["name"] for entry in back["layers"]] == [layer.name for layer in report.layers]


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"", "is not valid JSON"),
        (b"\xff\xfe\x00", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b"[]", "is not a report"),
        (b"{}", "is not a report"),
        (b'{"schema_version": 999}', "schema version 999"),
    ],
)
def test_other_files_are_refused_in_one_line(contents: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(contents)
    with pytest.raises(SourceError) as caught:
        read_json(path)
    assert reason in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"absent\.json"):
        read_json(tmp_path / "absent.json")
    with pytest.raises(OutputError, match=r"no/report\.json"):
        write_json(make_report(), tmp_path / "no" / "report.json")


@pytest.mark.parametrize("report", [full_report(), odd_report(), make_report(skipped=())])
def test_the_text_is_that_of_the_standard_library(report: ModelReport) -> None:
    expected = json.dumps(to_json_dict(report), indent=2, allow_nan=False)
    assert "".join(report_text(report)) == expected + "\n"


def test_another_timing_changes_nothing_else(tmp_path: Path) -> None:
    trap = '\n  "timing": {}\n  }'
    report = make_report(make_layer(gaussian(8, 4), trap), warnings=(trap,))
    later = dataclasses.replace(report, timing=Timing(read=1.5, write=float("nan")))
    write_json(report, tmp_path / "report.json")
    write_timing(later.timing, tmp_path / "report.json")
    assert (tmp_path / "report.json").read_text() == "".join(report_text(later))
