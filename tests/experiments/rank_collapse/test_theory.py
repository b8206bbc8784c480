"""The figures of theory: the law against random matrices, and files that are always the same."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import integrate

from allennlp_analyze.reports.figures.style import house_style
from scripts.rank_collapse import theory
from tests.support.figure_cases import collisions
from tests.support.scripts import error_line, run_script

pytestmark = [pytest.mark.newest_python, pytest.mark.study]
SCRIPT = "scripts.rank_collapse.theory"
NAMES = [f"{name}.svg" for name, _, _ in theory.DRAWINGS]


def drawn(name: str) -> Any:
    (draw,) = [draw for known, draw, _ in theory.DRAWINGS if known == name]
    with house_style():
        return draw()


@pytest.mark.parametrize("name", [name for name, _, _ in theory.DRAWINGS])
def test_nothing_covers_anything(name: str) -> None:
    with house_style():
        (draw,) = [draw for known, draw, _ in theory.DRAWINGS if known == name]
        assert list(collisions(draw())) == []


@pytest.mark.parametrize("q", theory.RATIOS)
def test_random_matrices_follow_the_law(q: float) -> None:
    """The Kolmogorov-Smirnov distance of linear statistics of eigenvalues is of the order 1/m."""
    eigenvalues, n = theory.random_eigenvalues(q)
    m = len(eigenvalues)
    known = theory.law(n, m)
    assert known.lambda_minus == pytest.approx((1 - (m / n) ** 0.5) ** 2, abs=1e-12)
    assert known.lambda_plus == pytest.approx((1 + (m / n) ** 0.5) ** 2)

    def density(x: float) -> float:
        root = max((known.lambda_plus - x) * (x - known.lambda_minus), 0.0) ** 0.5
        return float(n / m * root / (2 * np.pi * x))

    ends = np.linspace(max(known.lambda_minus, 1e-3), known.lambda_plus, 9)
    for low, high in zip(ends, ends[1:]):
        share = integrate.quad(density, low, high)[0]
        found = np.mean((eigenvalues > low) & (eigenvalues <= high))
        assert found == pytest.approx(share, abs=0.02)


def test_the_smallest_eigenvalue_is_clear_of_zero_only_for_q_above_1() -> None:
    smallest = {q: theory.random_eigenvalues(q)[0][0] for q in theory.RATIOS}
    assert smallest[1.0] < 1e-4 < 1e-3 < smallest[1.1] < 0.05 < smallest[2.0] < 0.3 < smallest[10.0]
    figure = drawn("marchenko-pastur")
    for ax, q in zip(figure.axes, theory.RATIOS):
        assert ax.get_title(loc="left") == f"Q = {q:g}"
        assert f"smallest {smallest[q]:.2g}" in ax.texts[0].get_text()


def test_all_tolerances_find_the_rank_of_the_rounded_matrix() -> None:
    n, m, rank = theory.RANK_DEFICIENT
    matrix = theory.rank_deficient()
    assert matrix.dtype == np.float32 and matrix.shape == (n, m)
    assert np.linalg.matrix_rank(matrix) == rank
    values = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    assert values[-1] > 0, "not exactly singular: rounding hides it"
    ax = drawn("tolerances").axes[0]
    labels = [text.get_text() for text in ax.texts]
    assert len(labels) == 4 and all(f"({m - rank} below)" in label for label in labels)


def test_the_ridge_curves_meet_their_bounds() -> None:
    filtered, inverse = drawn("ridge").axes
    for ax, peak in ((filtered, lambda gamma: 0.5), (inverse, lambda gamma: 0.5 / gamma**0.5)):
        points = [line for line in ax.get_children() if getattr(line, "get_marker", str)() == "o"]
        found = [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in points]
        expected = [(gamma**0.5, peak(gamma)) for gamma, _ in theory.GAMMAS]
        assert found == [pytest.approx(pair) for pair in expected]
    lines = [child for child in inverse.get_children() if hasattr(child, "get_ydata")]
    curves = [line for line in lines if len(line.get_ydata()) > 99]
    for (gamma, _), line in zip(theory.GAMMAS, curves):
        y = np.asarray(line.get_ydata())
        assert y.max() == pytest.approx(0.5 / gamma**0.5, rel=1e-2)
        assert (y <= 1 / theory.SIGMAS * (1 + 1e-12)).all()


def test_the_script_writes_the_same_files_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        done = run_script(SCRIPT, "--output-dir", tmp_path / name)
        assert done.returncode == 0, done.stderr
        assert [line.split("/")[-1] for line in done.stdout.splitlines()] == NAMES
    for name in NAMES:
        first = (tmp_path / "a" / name).read_bytes()
        assert first == (tmp_path / "b" / name).read_bytes()
        assert len(first) < 150_000
        root = ElementTree.fromstring(first)
        assert root[0].text and root[1].text


def test_the_documents_figures_are_those_of_the_script() -> None:
    """Other releases of matplotlib write other bytes: the words are compared."""
    for name, _, caption in theory.DRAWINGS:
        root = ElementTree.parse(theory.FIGURES / f"{name}.svg").getroot()
        assert (root[0].text, root[1].text) == (caption.title, caption.description)


def test_where_nothing_can_be_written_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    done = run_script(SCRIPT, "--output-dir", tmp_path / "file")
    assert "file" in error_line(done, 1)
