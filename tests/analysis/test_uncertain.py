"""`uncertainty`: off it changes nothing, on it adds numbers that depend on the layer alone."""

from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from allennlp_analyze import analyze, load
from allennlp_analyze.analysis.uncertain import notes_on_alpha
from allennlp_analyze.metrics.fixed_aspect import hill_alpha
from allennlp_analyze.metrics.uncertainty import bootstrap
from allennlp_analyze.options.choices import material
from allennlp_analyze.reports.json import schema, to_json_dict
from allennlp_analyze.results.layer import LayerResult
from allennlp_analyze.settings import Settings
from tests.support.commands import SMALL
from tests.support.matrices import gaussian

pytestmark = pytest.mark.newest_python


def heavy(seed: int, rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(2.5, (rows, columns)).astype(np.float32)


MODEL = {
    "wide.weight": heavy(1, 40, 360),
    "square.weight": gaussian(2, 60, 60),
    "small.weight": heavy(3, 5, 70),
    "zero.weight": np.zeros((20, 30), np.float32),
}


@pytest.fixture(scope="module")
def layers() -> "dict[str, LayerResult]":
    return {layer.name: layer for layer in analyze(MODEL, uncertainty=True).layers}


def test_off_it_changes_nothing(layers: "dict[str, LayerResult]") -> None:
    without = analyze(MODEL)
    assert all(layer.uncertainty is None for layer in without.layers)
    for layer in without.layers:
        again = replace(layers[layer.name], uncertainty=None)
        assert again == layer
    assert not [x for x in without.warnings if "alpha" in x]


def test_numbers_are_those_of_the_spectrum(layers: "dict[str, LayerResult]") -> None:
    layer = layers["wide"]
    found, fit = layer.uncertainty, layer.power_law
    assert found is not None and fit is not None
    # Another seed, so only the same within the error of simulation.
    other = bootstrap(layer.eigenvalues, fit, seed=99)
    assert other.p_value is not None and other.low is not None and other.high is not None
    assert found.p_value == pytest.approx(other.p_value, abs=0.1)
    assert found.alpha_low == pytest.approx(other.low, rel=0.2)
    assert found.n_resamples == 1000


def test_submatrices_are_those_of_the_matrix(layers: "dict[str, LayerResult]") -> None:
    found = layers["wide"].uncertainty
    assert found is not None and found.fixed_aspect_side == 40
    parts = [MODEL["wide.weight"][:, at : at + 40] for at in range(0, 360, 40)]
    values = [np.linalg.svd(part.astype(np.float64), compute_uv=False) for part in parts]
    assert found.fixed_aspect_alpha == pytest.approx(hill_alpha(values), rel=1e-9)


def test_what_cannot_be_fitted_says_why(layers: "dict[str, LayerResult]") -> None:
    small = layers["small"]
    assert small.uncertainty is not None and small.power_law_note is not None
    assert small.uncertainty.p_value is small.uncertainty.alpha_low is None
    assert small.uncertainty.fixed_aspect_alpha is None
    assert layers["zero"].uncertainty is None and layers["zero"].power_law_note is not None


def test_numbers_depend_neither_on_jobs_nor_on_other_layers(
    layers: "dict[str, LayerResult]",
) -> None:
    for changes in ({"jobs": 2}, {"layers": "^square$"}, {"layers": "^(square|zero)$", "jobs": 1}):
        report = analyze(MODEL, uncertainty=True, **changes)  # type: ignore[arg-type]
        assert report.layer("square").uncertainty == layers["square"].uncertainty


def test_written_reports_have_it_and_come_back(tmp_path: Path) -> None:
    report = analyze(MODEL, uncertainty=True)
    report.write(tmp_path / "out")
    assert load(tmp_path / "out").layers == report.layers
    jsonschema.validate(to_json_dict(report), schema())
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "alpha of square submatrices" in page and "p-value of the power law" in page
    analyze(MODEL).write(tmp_path / "without")
    page = (tmp_path / "without" / "report.html").read_text(encoding="utf-8")
    assert "square submatrices" not in page and "p-value" not in page


def test_it_is_material() -> None:
    assert material(Settings(uncertainty=True)) != material(Settings())


def test_an_archive_and_its_notes() -> None:
    report = analyze(SMALL, uncertainty=True, kinds="linear")
    ratios = [layer.Q for layer in report.layers if layer.power_law is not None]
    assert max(ratios) > 1.1 * min(ratios)
    assert [x for x in report.warnings if x.startswith("alpha depends on the aspect ratio Q")]
    same_q = [layer for layer in report.layers if layer.Q == ratios[0]]
    assert not [x for x in notes_on_alpha(same_q) if "aspect" in x]


def test_layers_that_are_refused_are_counted(layers: "dict[str, LayerResult]") -> None:
    layer = layers["wide"]
    assert layer.uncertainty is not None

    def with_p(p: float) -> LayerResult:
        assert layer.uncertainty is not None
        return replace(layer, uncertainty=replace(layer.uncertainty, p_value=p))

    notes = list(notes_on_alpha([with_p(0.1), with_p(0.11), with_p(0.0)]))
    assert notes == [
        "the tail is no power law in 2 of 3 layers (p <= 0.1), so alpha is no exponent there"
    ]
    assert list(notes_on_alpha([with_p(0.2)])) == []
