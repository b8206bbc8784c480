"""docs/reference/metrics.md: every number is there, and every formula gives what is measured."""

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allennlp_analyze import Layer, Report, analyze
from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.options.names import KINDS
from allennlp_analyze.reports.csv import columns
from allennlp_analyze.reports.json import LAYER_KEYS
from allennlp_analyze.results import layer as results
from allennlp_analyze.results import reference as reference_results
from allennlp_analyze.results.verdict import LAYER_VERDICTS, Verdict
from allennlp_analyze.sources.opening import open_source
from allennlp_analyze.zoo import results as zoo_results
from allennlp_analyze.zoo.reports.csv import write_zoo_models
from allennlp_analyze.zoo.reports.json import zoo_to_dict
from scripts.tools import make_metrics_docs
from tests.support.commands import ROOT, SMALL
from tests.support.zoo_factory import sample_zoo

pytestmark = pytest.mark.newest_python
PAGE = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
NAMES = set(re.findall(r"`([^`\n]+)`", PAGE))
EPS = float(np.finfo(np.float32).eps)  # the fixture is stored as float32
# With and without a bulk and a power law, of every kind but one.
SOME = "_l0$|^tag|char_conv|projection$|^crf"
RESULTS = [
    kind
    for module in (results, reference_results, zoo_results)
    for kind in vars(module).values()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind)
]


@pytest.fixture(scope="module")
def report() -> Report:
    return analyze(SMALL, layers=SOME, compare_distributions=True)


@pytest.fixture(scope="module")
def measured(report: Report) -> list[tuple[Layer, np.ndarray]]:
    """Every layer of the report with its matrix, N x M in float64."""
    with open_source(str(SMALL)) as source:
        matrices = {x.name: np.array(x.values(), np.float64) for x in find_matrices(source)[0]}
    tall = {name: w if len(w) >= w.shape[1] else w.T for name, w in matrices.items()}
    return [(layer, tall[layer.name]) for layer in report.layers]


def test_the_page_is_up_to_date() -> None:
    assert make_metrics_docs.make_page() == PAGE, "run `make generated`"


def test_a_page_that_is_not_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = PAGE.replace("| `Q` | 1.455 |", "| `Q` | 1.5 |").replace("### `entropy`", "### `e`")
    page = tmp_path / "metrics.md"
    page.write_text(changed, encoding="utf-8")
    monkeypatch.setattr(make_metrics_docs, "PAGE", page)
    assert make_metrics_docs.main(["--check"]) == 1
    assert "run `make generated`" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == changed
    assert make_metrics_docs.main([]) == 0 and page.read_text(encoding="utf-8") == PAGE


def test_every_key_and_every_column_is_documented(report: Report) -> None:
    assert set(LAYER_KEYS) - NAMES == set()
    assert set(columns(report)) - NAMES == set()
    assert set(report.to_dict()) - NAMES == set()


def test_every_key_of_a_zoo_and_every_column_of_its_models_is_documented(tmp_path: Path) -> None:
    zoo = sample_zoo()
    contents = zoo_to_dict(zoo)
    parts = [contents, contents["totals"], contents["groups"][0], *contents["models"]]
    assert {key for part in parts for key in part} - NAMES == set()
    write_zoo_models(zoo, tmp_path / "zoo-models.csv")
    header = (tmp_path / "zoo-models.csv").read_text().splitlines()[0].split(",")
    counts = {f"layers_{name}" for name in (*KINDS, *LAYER_VERDICTS)}
    assert set(header) - counts - NAMES == set()


@pytest.mark.parametrize("kind", RESULTS, ids=lambda kind: kind.__name__)
def test_every_field_of_the_results_is_documented(kind: Any) -> None:
    fields = {field.name for field in dataclasses.fields(kind)}
    leaves = {name.rpartition(".")[2] for name in NAMES}
    assert fields - leaves == set()


def test_every_verdict_kind_of_source_and_tolerance_is_documented() -> None:
    assert {*Verdict, *results.TOLERANCES} - NAMES == set()


def test_every_number_says_when_not_to_trust_it() -> None:
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    for section in sections:
        title = section.split("\n")[0]
        if title not in {"Conventions", "Skipped tensors", "A worked example"}:
            assert re.search(r"\*\*When not to\s+trust", section), title


def test_the_worked_example_is_what_is_measured(report: Report) -> None:
    shown = dict(re.findall(r"^\| `(\w+)` \| (-?[\d.]+(?:e-\d+)?) \|$", PAGE, re.MULTILINE))
    name = "encoder._module.weight_ih_l0"
    assert f"`{name}`" in PAGE
    pytest.importorskip("pandas")
    frame = report.to_dataframe().set_index("name")
    numbers = frame.loc[name].drop(["part", "module_index"])
    numbers = numbers.dropna()  # without a base model
    measured = {k: v for k, v in numbers.items() if not isinstance(v, str) and v is not None}
    assert set(shown) == set(measured)
    for column, text in shown.items():
        # The optimizers behind p-values and ratios differ in their last digits.
        tolerance = 1e-2 if column.startswith("comparison") else 6e-4
        assert float(text) == pytest.approx(float(measured[column]), rel=tolerance), column


def test_singular_values_ranks_and_tolerances(measured: Any) -> None:
    for layer, w in measured:
        n, m = w.shape
        sigma = np.linalg.svd(w, compute_uv=False)
        assert layer.min_singular_value == pytest.approx(sigma[-1], abs=1e-7 * sigma[0])
        assert layer.spectral_norm == layer.max_singular_value
        assert layer.max_singular_value == pytest.approx(np.linalg.norm(w, 2), rel=1e-7)
        assert layer.condition_number == pytest.approx(np.linalg.cond(w), rel=1e-4)
        rms = math.sqrt(np.mean(w**2))
        rounding = 2.5 * EPS / math.sqrt(12) * rms * (math.sqrt(n) + math.sqrt(m))
        expected = {
            "numpy": sigma[0] * n * EPS,
            "numerical_recipes": sigma[0] * (EPS / 2) * math.sqrt(n + m + 1),
            "loose": 0.001,
            "rounding": max(rounding, sigma[0] * n * 2.0**-52),
        }
        for name, tolerance in expected.items():
            assert getattr(layer.tolerance, name) == pytest.approx(tolerance, rel=1e-7), name
            rank = int(np.sum(sigma > tolerance))
            assert getattr(layer.hard_rank, name) == rank
            assert layer.rank_loss_percent[name] == pytest.approx(100 * (m - rank) / m)
        assert layer.hard_rank.numpy == np.linalg.matrix_rank(w.astype(np.float32))


def test_norms_and_soft_ranks(measured: Any) -> None:
    for layer, w in measured:
        sigma = np.linalg.svd(w, compute_uv=False)
        eigenvalues = sigma**2
        assert layer.frobenius_norm == pytest.approx(np.linalg.norm(w), rel=1e-7)
        assert layer.stable_rank == pytest.approx(
            (np.linalg.norm(w) / np.linalg.norm(w, 2)) ** 2, rel=1e-6
        )
        assert layer.effective_rank == pytest.approx(math.exp(shannon(sigma)), rel=1e-6)
        if len(sigma) > 1:
            share = shannon(eigenvalues) / math.log(layer.hard_rank.numpy)
            assert layer.entropy == pytest.approx(share, rel=1e-6)
        else:
            assert layer.entropy == 0
        assert layer.log_norm == pytest.approx(2 * math.log10(np.linalg.norm(w)), abs=1e-6)
        assert layer.log_spectral_norm == pytest.approx(math.log10(eigenvalues[0]), abs=1e-6)
        if layer.power_law is not None:
            alpha = layer.power_law.alpha
            assert layer.alpha_weighted == pytest.approx(
                alpha * math.log10(eigenvalues[0]), abs=1e-6
            )
            assert layer.log_alpha_norm == pytest.approx(
                math.log10(np.sum(eigenvalues**alpha)), abs=1e-6
            )


def shannon(weights: np.ndarray) -> float:
    from scipy.stats import entropy

    return float(entropy(weights))


def test_marchenko_pastur(measured: Any) -> None:
    seen = 0
    for layer, w in measured:
        mp = layer.marchenko_pastur
        n, m = w.shape
        r = layer.hard_rank.numpy
        if mp is None:
            assert r < 5
            continue
        seen += 1
        bulk = [(mp.sigma * (math.sqrt(n) + sign * math.sqrt(r))) ** 2 for sign in (-1, 1)]
        assert [mp.lambda_minus, mp.lambda_plus] == pytest.approx(bulk)
        both, inverse = math.sqrt(n - 1) + math.sqrt(r), 1 / math.sqrt(n - 1) + 1 / math.sqrt(r)
        threshold = mp.sigma**2 * (both**2 + 2.0234 * both * inverse ** (1 / 3))
        assert mp.spike_threshold == pytest.approx(threshold)
        assert mp.n_spikes == int(np.sum(layer.eigenvalues > threshold))
        assert mp.soft_rank == pytest.approx(mp.lambda_plus / layer.eigenvalues[0])
        assert mp.entry_sigma == pytest.approx(np.std(w), rel=1e-7)
        entries = [(np.std(w) * (math.sqrt(n) + sign * math.sqrt(m))) ** 2 for sign in (-1, 1)]
        assert [mp.entry_lambda_minus, mp.entry_lambda_plus] == pytest.approx(entries, rel=1e-6)
    assert seen > 12


def test_sigma_of_the_bulk(measured: Any) -> None:
    """The fit, with the law's quantiles from scipy's integrals of its density."""
    for layer, w in measured:
        if layer.name in ("encoder._module.weight_ih_l0", "tag_projection_layer._module"):
            ascending = np.sort(layer.eigenvalues)
            n = len(w)
            spikes = 0
            while True:
                m = len(ascending) - spikes
                middle = np.arange(m // 4, math.ceil(3 * m / 4))
                quantiles = [quantile((i + 0.5) / m, n, m) for i in middle]
                sigma = math.sqrt(ascending[middle].sum() / sum(quantiles))
                both = math.sqrt(n - 1) + math.sqrt(m)
                inverse = 1 / math.sqrt(n - 1) + 1 / math.sqrt(m)
                threshold = sigma**2 * (both**2 + 2.0234 * both * inverse ** (1 / 3))
                found = min(max(int(np.sum(ascending > threshold)), spikes), len(ascending) // 2)
                if found == spikes:
                    break
                spikes = found
            assert layer.marchenko_pastur is not None
            assert layer.marchenko_pastur.sigma == pytest.approx(sigma, rel=1e-4)


def quantile(probability: float, n: int, m: int) -> float:
    from scipy.integrate import quad
    from scipy.optimize import brentq

    low, high = (math.sqrt(n) - math.sqrt(m)) ** 2, (math.sqrt(n) + math.sqrt(m)) ** 2

    def density(x: float) -> float:
        return math.sqrt(max((high - x) * (x - low), 0.0)) / (2 * math.pi * m * x)

    return float(brentq(lambda x: quad(density, low, x)[0] - probability, low, high, xtol=1e-6))


def test_tikhonov(measured: Any) -> None:
    for layer, _ in measured:
        split = layer.tikhonov
        if split is None:
            assert layer.marchenko_pastur is None
            continue
        assert split.gamma == layer.marchenko_pastur.lambda_plus
        above = layer.eigenvalues > split.gamma
        assert (split.n_information, split.n_noise) == (above.sum(), (~above).sum())
        share = layer.eigenvalues[above].sum() / np.linalg.norm(layer.singular_values) ** 2
        assert split.information_share == pytest.approx(share)
        assert split.noise_share == pytest.approx(1 - share)


def test_power_law(measured: Any) -> None:
    for layer, _ in measured:
        fit = layer.power_law
        if fit is None:
            assert layer.hard_rank.numpy < 10 and layer.power_law_note
            continue
        tail = np.sort(layer.eigenvalues[layer.eigenvalues >= fit.xmin])
        n = len(tail)
        assert fit.n_tail == n >= 2
        alpha = 1 + n / np.sum(np.log(tail / fit.xmin))
        assert fit.alpha == pytest.approx(alpha)
        assert fit.sigma == pytest.approx((alpha - 1) / math.sqrt(n))
        model = 1 - (tail / fit.xmin) ** (1 - alpha)
        assert pytest.approx(np.max(np.abs(np.arange(n) / n - model))) == fit.D
        assert set(fit.comparisons) == {"truncated_power_law", "exponential", "lognormal"}
        better = {name: c.ratio for name, c in fit.comparisons.items() if c.ratio < 0 and c.p < 0.1}
        assert fit.best_fit == min(better, key=better.get, default="power_law")


def test_the_ratio_against_the_exponential(measured: Any) -> None:
    """By the formula, with the exponential's own maximum likelihood."""
    from scipy.special import erfc

    for layer, _ in measured:
        fit = layer.power_law
        if fit is not None and fit.n_tail > 8:
            tail = layer.eigenvalues[layer.eigenvalues >= fit.xmin]
            rate = 1 / np.mean(tail - fit.xmin)
            power = np.log((fit.alpha - 1) / fit.xmin) - fit.alpha * np.log(tail / fit.xmin)
            d = power - (np.log(rate) - rate * (tail - fit.xmin))
            ratio = d.sum() / math.sqrt(len(d) * np.var(d))
            assert fit.comparisons["exponential"].ratio == pytest.approx(ratio, abs=1e-2)
            assert fit.comparisons["exponential"].p == pytest.approx(
                float(erfc(abs(ratio) / math.sqrt(2))), abs=1e-2
            )


def test_verdicts(measured: Any) -> None:
    for layer, w in measured:
        assert layer.verdict == ("not_assessed" if min(w.shape) == 1 else "full_rank")
    rng = np.random.default_rng(2018)
    for power in range(-9, 1):
        w = rng.standard_normal((60, 40)) + 0.5
        w[:, 7] = w[:, 6] + 10.0**power * w[:, 7]
        (layer,) = analyze({"a.weight": w.astype(np.float32)}).layers
        assert layer.evidence is not None
        named = [(f.cause, f.units) for f in layer.evidence.findings]
        if power <= -2:
            assert (layer.verdict, layer.lost_directions) == ("dead_units", 1)
            assert named == [("copied_inputs", (6, 7))]
        elif power == 0:
            assert (layer.verdict, named) == ("full_rank", [])


def test_entries_with_a_mean_have_the_sigma_of_their_deviation() -> None:
    w = np.random.default_rng(0).standard_normal((80, 40)) + 3
    (layer,) = analyze({"a.weight": w}).layers
    assert layer.marchenko_pastur is not None
    assert layer.marchenko_pastur.entry_sigma == pytest.approx(np.std(w))
    assert layer.marchenko_pastur.entry_sigma < 0.5 * math.sqrt(np.mean(w**2))


def test_the_summary(measured: Any) -> None:
    report = analyze(SMALL)
    judged = [x for x in report.layers if x.verdict != "not_assessed"]
    assessed = [x for x in judged if x.kind == "linear" and x.Q > 1.1]
    alphas = [x.power_law.alpha for x in report.layers if x.power_law is not None]
    weakest = min(assessed, key=lambda x: x.min_singular_value)
    found = report.summary
    assert found.n_assessed == len(assessed)
    assert found.n_judged == sum(x.kind not in ("embedding", "other") for x in judged)
    weights = [x.N * x.M for x in report.layers]
    share = 100 * sum(x.N * x.M for x in judged) / sum(weights)
    assert found.judged_percent == pytest.approx(share)
    assert found.min_singular_value == weakest.min_singular_value
    assert found.min_singular_value_layer == weakest.name
    assert found.max_rank_loss_percent == max(x.rank_loss_percent["rounding"] for x in assessed)
    assert found.mean_alpha == pytest.approx(np.mean(alphas))
    assert found.median_alpha == pytest.approx(np.median(alphas))
    assert found.n_power_law == len(alphas)
