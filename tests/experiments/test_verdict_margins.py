"""How far layers are from the verdict's limits, as scripts.study.verdict_margins prints it."""

import re
from pathlib import Path

import numpy as np
import pytest

from allennlp_analyze import analyze
from scripts.study import verdict_margins as margins
from tests.support.matrices import gaussian, with_singular_values

pytestmark = pytest.mark.newest_python


@pytest.fixture
def models(tmp_path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Two models as weights files: three linear layers with Q > 1.1 and one square."""
    from safetensors.numpy import save_file

    sunk = np.linalg.svd(gaussian(1, 90, 30), compute_uv=False)
    sunk[-4:] *= 1e-3
    made = {
        "one": {"a.weight": gaussian(0, 60, 40), "square.weight": gaussian(2, 40, 40)},
        "two": {"b.weight": with_singular_values(0, 90, 30, sunk), "c.weight": gaussian(3, 50, 20)},
    }
    for name, weights in made.items():
        single = {key: value.astype(np.float32) for key, value in weights.items()}
        save_file(single, str(tmp_path / f"{name}.safetensors"))
    return made


def test_the_nearest_to_zero_come_first(models, tmp_path: Path, capsys) -> None:
    files = [str(tmp_path / f"{name}.safetensors") for name in models]
    assert margins.main(files) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "linear: 3 assessed: 2 full_rank, 1 collapsed; nearest to zero:"
    expected = []
    for w in (models["two"]["b.weight"], models["one"]["a.weight"], models["two"]["c.weight"]):
        edge = np.std(w) * (np.sqrt(len(w)) - np.sqrt(len(w.T)))
        sigma = np.linalg.svd(w, compute_uv=False)
        expected.append((sigma[-1] / edge, np.sum(sigma < 0.05 * edge), len(w.T)))
    expected.sort()
    found = [re.match(r"  (\S+) of the edge, (\d+) of (\d+) directions", line) for line in lines]
    assert len(found) == len(expected)
    for match, (share, below, m) in zip(found, expected):
        assert match is not None
        assert float(match[1]) == pytest.approx(share, rel=0.06)
        assert (int(match[2]), int(match[3])) == (below, m)


def test_reports_and_zoos_are_taken_as_they_are(models, tmp_path: Path, capsys) -> None:
    paths = [tmp_path / f"{name}.safetensors" for name in models]
    zoo = tmp_path / "zoo"
    for path in paths:
        analyze(path).write(zoo / "models" / path.stem, plots=False)
        path.unlink()
    assert margins.main([str(zoo)]) == 0
    whole = capsys.readouterr().out
    assert "3 assessed" in whole and "two: b, 90 x 30" in whole
    assert margins.main([str(zoo / "models" / "two")]) == 0
    assert "2 assessed" in capsys.readouterr().out


def test_what_is_not_there_is_one_line(tmp_path: Path, capsys) -> None:
    assert margins.main([str(tmp_path / "none.th")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "none.th" in line
