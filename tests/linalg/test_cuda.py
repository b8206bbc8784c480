import numpy as np
import pytest

from allennlp_analyze.linalg.cuda import OnDevice, cuda_spectrum, torch_spectrum
from allennlp_analyze.linalg.gram import gram_spectrum
from allennlp_analyze.linalg.spectrum import spectrum
from allennlp_analyze.sources.blocks import Entries
from tests.support.matrices import gaussian

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "columns"), [(400, 120), (120, 400)])
def test_torch_gives_the_same_eigenvalues(rows: int, columns: int, dtype: type) -> None:
    matrix = gaussian(0, rows, columns).astype(dtype)
    matrix.flags.writeable = False
    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    expected = gram_spectrum(Entries(matrix), 0.5)
    assert expected is not None
    for device in devices:
        found = torch_spectrum(Entries(matrix), 0.5, torch.device(device))
        assert found is not None
        largest = expected.eigenvalues[-1]
        assert np.abs(found.eigenvalues - expected.eigenvalues).max() <= 1e-9 * largest
        assert found.total == pytest.approx(expected.total)
        np.testing.assert_allclose(np.triu(found.matrix), np.triu(expected.matrix), atol=1e-10)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200, 0.0])
def test_torch_too_gives_up_where_squares_are_no_numbers(value: float) -> None:
    matrix = gaussian(0, 300, 200) if np.isfinite(value) and value else np.zeros((300, 200))
    matrix[3, 4] = value
    assert gram_spectrum(Entries(matrix)) is None
    assert torch_spectrum(Entries(matrix), 1.0, torch.device("cpu")) is None


def test_what_a_device_cannot_do_the_processor_does_and_one_line_says_so() -> None:
    """A device that torch knows but cannot compute on stands for one without enough memory: torch
    answers both with RuntimeError."""
    notes: list[str] = []
    solver = OnDevice(torch.device("meta"), notes.append)
    for seed in range(3):
        matrix = gaussian(seed, 600, 200)
        found = spectrum(matrix, "float64", solver=solver)
        np.testing.assert_array_equal(
            found.singular_values, spectrum(matrix, "float64").singular_values
        )
    assert len(notes) == 1
    assert "on the CPU" in notes[0] and "\n" not in notes[0]


def test_absent_device_falls_back_and_says_so() -> None:
    notes: list[str] = []
    solver = cuda_spectrum(97, notes.append)
    assert solver is gram_spectrum
    assert len(notes) == 1
    assert "no CUDA device 97" in notes[0]
