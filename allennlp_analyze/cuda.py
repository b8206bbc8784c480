"""Eigenvalues of the Gram matrix on a GPU, in float64, falling back to the processor."""

from typing import Any, Callable

import numpy as np

from allennlp_analyze.spectra import GramEigenvalues, gram_eigenvalues, row_blocks


def cuda_eigenvalues(index: int, warn: Callable[[str], None]) -> GramEigenvalues:
    """A stand-in for `spectra.gram_eigenvalues` that computes on CUDA device `index`.

    Where there is no such device, or its memory does not suffice, `warn` is told in one line and
    the processor computes.
    """
    try:
        import torch
    except ImportError:
        warn("--cuda-device: torch is not installed; computing on the processor")
        return gram_eigenvalues
    if not torch.cuda.is_available() or index >= torch.cuda.device_count():
        warn(f"--cuda-device: there is no CUDA device {index}; computing on the processor")
        return gram_eigenvalues
    return _with_fallback(torch.device("cuda", index), warn)


def _with_fallback(device: Any, warn: Callable[[str], None]) -> GramEigenvalues:
    def eigenvalues(matrix: np.ndarray, scale: float) -> np.ndarray:
        try:
            return torch_eigenvalues(matrix, scale, device)
        except RuntimeError as error:  # torch's out-of-memory error is one, in every version
            reason = " ".join(str(error).split())[:120]
            warn(f"--cuda-device: {reason}; computing this matrix on the processor")
            return gram_eigenvalues(matrix, scale)

    return eigenvalues


def torch_eigenvalues(matrix: np.ndarray, scale: float, device: Any) -> np.ndarray:
    """As `spectra.gram_eigenvalues`, by torch on `device`, one block of rows there at a time."""
    import torch

    size = min(matrix.shape)
    gram = torch.zeros((size, size), dtype=torch.float64, device=device)
    for block in row_blocks(matrix):
        # A copy: torch warns about read-only arrays, and half of these are views of a file.
        rows = torch.from_numpy(np.array(block, order="C")).to(device).to(torch.float64)
        if scale != 1.0:
            rows *= scale
        gram.addmm_(rows.T, rows)
    return np.asarray(torch.linalg.eigvalsh(gram).cpu().numpy())
