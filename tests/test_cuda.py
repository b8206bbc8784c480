import numpy as np
import pytest
from matrices import gaussian

from allennlp_analyze.cuda import cuda_eigenvalues, torch_eigenvalues
from allennlp_analyze.spectra import gram_eigenvalues

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "columns"), [(400, 120), (120, 400)])
def test_torch_gives_the_same_eigenvalues(rows: int, columns: int, dtype: type) -> None:
    matrix = gaussian(0, rows, columns).astype(dtype)
    matrix.flags.writeable = False
    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    expected = gram_eigenvalues(matrix, 0.5)
    for device in devices:
        found = torch_eigenvalues(matrix, 0.5, torch.device(device))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * expected[-1])


def test_absent_device_falls_back_and_says_so() -> None:
    notes: list[str] = []
    solver = cuda_eigenvalues(97, notes.append)
    assert solver is gram_eigenvalues
    assert len(notes) == 1
    assert "no CUDA device 97" in notes[0]
