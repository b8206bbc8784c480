"""Computes the eigenvalues of the Gram matrix on a GPU in float64, and falls back to the CPU."""

import math
import threading
from typing import Any, Callable, Optional

import numpy as np

from allennlp_analyze.linalg.gram import GramSolver, GramSpectrum, gram_spectrum, squares_are_safe
from allennlp_analyze.sources.blocks import Entries
from allennlp_analyze.text.lines import one_line


def cuda_spectrum(index: int, warn: Callable[[str], None]) -> GramSolver:
    """Returns a replacement for `gram.gram_spectrum` that computes on CUDA device `index`.

    If the device does not exist or runs out of memory, `warn` is called once with one line, and the
    CPU computes.
    """
    try:
        import torch
    except ImportError:
        warn(
            "no GPU: torch is not installed (pip install 'allennlp_analyze[torch]'); computing on"
            " the CPU"
        )
        return gram_spectrum
    if not torch.cuda.is_available() or index >= torch.cuda.device_count():
        warn(f"no GPU: there is no CUDA device {index}; computing on the CPU")
        return gram_spectrum
    return OnDevice(torch.device("cuda", index), warn)


class OnDevice:
    """A `GramSolver` on one torch device: one matrix at a time, for any number of jobs."""

    def __init__(self, device: Any, warn: Callable[[str], None]) -> None:
        self._device = device
        self._warn = warn
        self._warned = False
        self._one_at_a_time = threading.Lock()

    def __call__(self, entries: Entries, scale: float) -> Optional[GramSpectrum]:
        with self._one_at_a_time:
            try:
                return torch_spectrum(entries, scale, self._device)
            except RuntimeError as error:  # includes torch's out-of-memory error, in every version
                self._say(one_line(error, 120))
        return gram_spectrum(entries, scale)

    def _say(self, reason: str) -> None:
        if not self._warned:
            self._warn(f"{self._device}: {reason}; computing such matrices on the CPU")
        self._warned = True


def torch_spectrum(entries: Entries, scale: float, device: Any) -> Optional[GramSpectrum]:
    """Compute `gram.gram_spectrum` with torch on `device`, one block of rows at a time."""
    import torch

    gram = torch.zeros((entries.M, entries.M), dtype=torch.float64, device=device)
    totals = []
    for block in entries.decoded_blocks():
        # Copy the block: torch warns about read-only arrays, and many are views of a file.
        rows = torch.from_numpy(np.array(block, order="C")).to(device).to(torch.float64)
        if scale != 1.0:
            rows *= scale
        totals.append(rows.sum())
        gram.addmm_(rows.T, rows)
    if not squares_are_safe(float(gram.diagonal().max())):
        return None
    eigenvalues = torch.linalg.eigvalsh(gram).cpu().numpy()
    total = math.fsum(float(total) for total in totals)
    return GramSpectrum(eigenvalues, total, gram.cpu().numpy())
