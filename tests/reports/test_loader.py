"""What a run has written is read back as it was, and what was not written by one is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allennlp_analyze.errors import SourceError
from allennlp_analyze.reports.json import to_json_dict, write_json
from allennlp_analyze.reports.loader import load_report, report_directory
from allennlp_analyze.reports.npz import write_npz
from allennlp_analyze.results.layer import Comparison, ModelReport
from tests.support.report_factory import (
    gaussian,
    heavy_tailed,
    make_layer,
    make_reference,
    make_report,
    odd_report,
)


def full_report() -> ModelReport:
    """With and without what is optional."""
    tailed = make_layer(heavy_tailed(90, 40), "tailed")
    assert tailed.power_law is not None
    compared = {"lognormal": Comparison(1.5, 0.2), "exponential": Comparison(None, None)}
    fit = replace(tailed.power_law, best_fit="power_law", comparisons=compared)
    bare = make_layer(np.zeros((4, 3)), "zeros", tikhonov=None, entropy=None)
    return make_report(
        replace(tailed, power_law=fit, warnings=("one", "two")),
        make_layer(gaussian(20, 30), "wide", part="gate", module_index=3, module_class="Linear"),
        bare,
        warnings=("a warning",),
        reference=make_reference(tailed),
    )


def written(report: ModelReport, directory: Path) -> Path:
    write_json(report, directory / "report.json")
    write_npz(report, directory / "singular_values.npz")
    return directory


def test_everything_comes_back(tmp_path: Path) -> None:
    report = full_report()
    found = load_report(written(report, tmp_path))
    assert to_json_dict(found) == to_json_dict(report)
    for ours, theirs in zip(found.layers, report.layers):
        assert ours == theirs
        np.testing.assert_array_equal(ours.singular_values, theirs.singular_values)
    assert replace(found, layers=()) == replace(report, layers=())


def test_a_report_from_before_there_were_references_is_read(tmp_path: Path) -> None:
    path = written(full_report(), tmp_path) / "report.json"
    contents = json.loads(path.read_text())
    del contents["reference"]
    path.write_text(json.dumps(contents))
    assert load_report(tmp_path).reference is None
    assert replace(load_report(tmp_path), layers=()) == replace(
        full_report(), layers=(), reference=None
    )


def test_odd_names_come_back(tmp_path: Path) -> None:
    report = odd_report()
    found = load_report(written(report, tmp_path) / "report.json")
    assert to_json_dict(found) == to_json_dict(report)
    for ours, theirs in zip(found.layers, report.layers):
        np.testing.assert_array_equal(ours.singular_values, theirs.singular_values)


def test_the_directory_of_a_report(tmp_path: Path) -> None:
    assert report_directory(tmp_path) == report_directory(tmp_path / "report.json") == tmp_path


def spoilt(*path: Any, value: Any = None) -> Any:
    """A function that puts `value` at `path` in a report; without one, it takes what is there."""

    def change(contents: dict[str, Any]) -> None:
        *parents, last = path
        target: Any = contents
        for key in parents:
            target = target[key]
        if value is None:
            del target[last]
        else:
            target[last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        spoilt("layers"),
        spoilt("summary"),
        spoilt("summary", "verdict"),
        spoilt("summary", "n_layers", value="many"),
        spoilt("summary", "n_layers", value=True),
        spoilt("layers", value=7),
        spoilt("layers", 0, value=[]),
        spoilt("layers", 0, "name"),
        spoilt("layers", 0, "shape", value=[1]),
        spoilt("layers", 0, "tolerance", value={}),
        spoilt("layers", 0, "warnings", value="none"),
        spoilt("layers", 0, "hard_rank", "numpy", value=1.5),
        spoilt("layers", 0, "stable_rank", value="two"),
        spoilt("source", "archive", value=1),
        spoilt("reference", "verdict"),
        spoilt("reference", "rows", value=7),
        spoilt("reference", "rows", 0, "agreement"),
        spoilt("reference", "rows", 0, "ours", value=7),
        spoilt("reference", "rows", 0, "ours", "alpha", value="two"),
        spoilt("reference", "tolerance", value=1e-5),
    ],
)
def test_a_damaged_report_is_one_line(tmp_path: Path, change: Any) -> None:
    written(full_report(), tmp_path)
    path = tmp_path / "report.json"
    contents = json.loads(path.read_text())
    change(contents)
    path.write_text(json.dumps(contents))
    with pytest.raises(SourceError) as raised:
        load_report(tmp_path)
    assert str(raised.value).startswith(f"{path}: is damaged")
    assert "\n" not in str(raised.value)


def test_a_shape_that_is_not_that_of_the_values(tmp_path: Path) -> None:
    path = written(full_report(), tmp_path) / "report.json"
    contents = json.loads(path.read_text())
    spoilt("layers", 0, "shape", value=[10, 10])(contents)
    path.write_text(json.dumps(contents))
    with pytest.raises(SourceError, match="does not belong to the report.json .*40.* for 10 "):
        load_report(tmp_path)


@pytest.mark.parametrize("contents", [b"", b"PK", b"no zip at all", None])
def test_values_that_are_not_there(tmp_path: Path, contents: Any) -> None:
    path = written(full_report(), tmp_path) / "singular_values.npz"
    path.unlink()
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(SourceError, match=r"singular_values.npz: "):
        load_report(tmp_path)


def test_values_of_another_report(tmp_path: Path) -> None:
    written(full_report(), tmp_path)
    other = replace(full_report(), layers=(make_layer(np.eye(3), "else"),))
    write_npz(other, tmp_path / "singular_values.npz")
    with pytest.raises(SourceError, match="does not belong to"):
        load_report(tmp_path)


@pytest.mark.parametrize("spoil", [lambda s: s * np.nan, lambda s: s[::-1], lambda s: s - 1e9])
def test_values_that_are_no_singular_values(tmp_path: Path, spoil: Any) -> None:
    report = full_report()
    written(report, tmp_path)
    layer = replace(report.layers[0], singular_values=spoil(report.layers[0].singular_values))
    write_npz(replace(report, layers=(layer, *report.layers[1:])), tmp_path / "singular_values.npz")
    with pytest.raises(SourceError, match="'tailed': not singular values in descending order"):
        load_report(tmp_path)


def test_no_report(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="contains no report.json"):
        load_report(tmp_path)
    with pytest.raises(SourceError, match="contains no report.json"):
        load_report(tmp_path / "missing" / "report.json")


def test_spectra_of_a_run_with_other_numbers_are_refused(tmp_path: Path) -> None:
    """As a run with --force leaves them that is killed between two files."""
    report = full_report()
    written(report, tmp_path)
    first = report.layers[0]
    other = replace(first, singular_values=first.singular_values * 1.01)
    write_npz(replace(report, layers=(other, *report.layers[1:])), tmp_path / "singular_values.npz")
    with pytest.raises(SourceError, match="does not belong to the report.json beside it"):
        load_report(tmp_path)


def test_a_report_of_an_early_release_has_no_id(tmp_path: Path) -> None:
    written(full_report(), tmp_path)
    contents = json.loads((tmp_path / "report.json").read_text())
    del contents["id"]
    (tmp_path / "report.json").write_text(json.dumps(contents))
    assert load_report(tmp_path) == full_report()
