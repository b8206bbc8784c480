"""Computes the eigenvalues of Gram matrices on a GPU in float64, and falls back to the CPU."""

import math
import threading
from collections.abc import Sequence
from typing import Any, Callable, Optional

from allennlp_analyze.linalg.gram import GramSolver, GramSpectrum, gram_spectrum
from allennlp_analyze.linalg.lanes import Lanes, needed_memory
from allennlp_analyze.linalg.schedule import Shape
from allennlp_analyze.sources.blocks import Entries
from allennlp_analyze.text.lines import one_line

# While the eigenvalues of one matrix are computed, another is read and uploaded.
AT_ONCE = 2
# Up to this M, matrices of equal shape are given to the device together.
SMALL = 1024
# The Gram matrices of a group have at most this many bytes.
GROUP_BYTES = 1 << 26


def cuda_spectrum(
    index: int,
    warn: Callable[[str], None],
    in_groups: bool = True,
    on_cpu: GramSolver = gram_spectrum,
) -> GramSolver:
    """Returns a replacement for `on_cpu` that computes on CUDA device `index`.

    If the device does not exist or runs out of memory, `warn` is called once with one line, and
    `on_cpu` computes. `in_groups`: small matrices may be read ahead of their turns, and again in
    them.
    """
    try:
        import torch
    except ImportError:
        warn(
            "no GPU: torch is not installed (pip install 'allennlp_analyze[torch]'); computing on"
            " the CPU"
        )
        return on_cpu
    if not torch.cuda.is_available() or index >= torch.cuda.device_count():
        warn(f"no GPU: there is no CUDA device {index}; computing on the CPU")
        return on_cpu
    small = SMALL if in_groups else 0
    return OnDevice(torch.device("cuda", index), warn, small=small, on_cpu=on_cpu)


class OnDevice:
    """A `GroupSolver` on one torch device, for any number of threads.

    At most `at_once` matrices, or groups of equal ones with M <= `small`, are on the device at the
    same time, fewer if its memory is too small. What the device cannot do, `on_cpu` does.
    """

    def __init__(
        self,
        device: Any,
        warn: Callable[[str], None],
        at_once: int = AT_ONCE,
        small: int = SMALL,
        on_cpu: GramSolver = gram_spectrum,
    ) -> None:
        self.at_once = at_once
        self._on_cpu = on_cpu
        self._small = small
        self._device = device
        self._lanes = Lanes(device, at_once)
        self._warn = warn
        self._warned = False
        self._warning = threading.Lock()

    def __call__(self, entries: Entries, scale: float) -> Optional[GramSpectrum]:
        reason = ""
        # What failed beside another matrix may fit on the device alone.
        for need in (needed_memory([entries]), math.inf):
            try:
                with self._lanes.lane(need) as lane:
                    return lane.spectra([entries], scale)[0]
            except RuntimeError as error:  # includes torch's out-of-memory error, in every version
                reason = one_line(error, 120)
        self._say(reason)
        return self._on_cpu(entries, scale)

    def groups(self, shapes: Sequence[Shape]) -> list[list[int]]:
        """Returns the indices of `shapes` in groups of several small ones of equal shape."""
        equal: dict[tuple[int, int], list[int]] = {}
        for index, shape in enumerate(shapes):
            if min(shape) <= self._small:
                equal.setdefault((max(shape), min(shape)), []).append(index)
        found = []
        for (_, m), indices in equal.items():
            most = max(GROUP_BYTES // (8 * m * m), 1)
            found += [indices[start : start + most] for start in range(0, len(indices), most)]
        return [group for group in found if len(group) > 1]

    def solve_many(self, many: Sequence[Entries]) -> Optional[list[Optional[GramSpectrum]]]:
        """Returns the spectra of a group; None if the device cannot do them together."""
        try:
            with self._lanes.lane(needed_memory(many)) as lane:
                return lane.spectra(many, 1.0)
        except RuntimeError:
            return None

    def _say(self, reason: str) -> None:
        with self._warning:
            if not self._warned:
                self._warn(f"{self._device}: {reason}; computing such matrices on the CPU")
            self._warned = True
