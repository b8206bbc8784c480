"""Takes matrices to a torch device through pinned memory, and computes their Gram spectra there."""

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Optional

import numpy as np

from allennlp_analyze.linalg.gram import GramSpectrum, squares_are_safe
from allennlp_analyze.linalg.machine import available_memory
from allennlp_analyze.sources.blocks import Entries, as_stored
from allennlp_analyze.sources.dtypes import AsType, stored_dtype

# Types whose stored bytes are uploaded, if torch has them, and widened on the device.
HALVES = ("float16", "bfloat16")
EIGHTHS = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz")
UPLOADED = ("float64", "float32", *HALVES, *EIGHTHS)
# A solver on a device has the Gram matrix, a copy and about two more as workspace.
GRAMS = 4
# The share of the device's free memory that several matrices together may need.
SHARE = 0.8


class Lanes:
    """At most `at_once` lanes of a device, each for one thread at a time."""

    def __init__(self, device: Any, at_once: int) -> None:
        self._device = device
        self._free = [Lane(device) for _ in range(at_once)]
        self._needs: list[float] = []
        self._changed = threading.Condition()

    @contextmanager
    def lane(self, need: float) -> "Iterator[Lane]":
        """Wait for a lane on which `need` bytes are free beside those of the others, and use it.

        A need that exceeds the device's memory, `math.inf` for example, gets the device alone.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._has_room(need))
            lane = self._free.pop()
            self._needs.append(need)
        try:
            with lane.is_current():
                yield lane
        finally:
            with self._changed:
                self._needs.remove(need)
                self._free.append(lane)
                self._changed.notify_all()

    def _has_room(self, need: float) -> bool:
        if not self._needs:
            return True
        together = math.fsum((need, *self._needs))
        return bool(self._free) and together <= SHARE * free_memory(self._device)


class Lane:
    """The stream of one thread, and two buffers: one is filled while the other is copied from."""

    def __init__(self, device: Any) -> None:
        self._device = device
        self._stream: Any = None
        self._buffers = (_Buffer(device), _Buffer(device))

    @contextmanager
    def is_current(self) -> Iterator[None]:
        """All work of this thread on the device is of this lane's stream."""
        if self._device.type != "cuda":
            yield
            return
        import torch

        if self._stream is None:
            self._stream = torch.cuda.Stream(self._device)
        with torch.cuda.stream(self._stream):
            yield

    def spectra(self, many: Sequence[Entries], scale: float) -> list[Optional[GramSpectrum]]:
        """Compute `gram.gram_spectrum` of each of `many`, which have the same M."""
        import torch

        m = many[0].M
        grams = torch.zeros((len(many), m, m), dtype=torch.float64, device=self._device)
        totals = [self._add(gram, entries, scale) for gram, entries in zip(grams, many)]
        largest = grams.diagonal(dim1=1, dim2=2).amax(dim=1).tolist()
        safe = [index for index, value in enumerate(largest) if squares_are_safe(value)]
        found: list[Optional[GramSpectrum]] = [None] * len(many)
        if not safe:
            return found
        if len(safe) < len(many):
            grams = grams[safe]
        eigenvalues = torch.linalg.eigvalsh(grams if len(safe) > 1 else grams[0])
        rows = eigenvalues.reshape(len(safe), m).cpu().numpy()
        for index, squares, gram in zip(safe, rows, grams):
            total = math.fsum(float(total) for total in torch.stack(totals[index]).cpu())
            found[index] = GramSpectrum(squares, total, gram.cpu().numpy())
        return found

    def _add(self, gram: Any, entries: Entries, scale: float) -> list[Any]:
        """Add (scale W)^T (scale W) to `gram`, block by block. Returns the sums of the blocks.

        The device works on a block while this thread reads the next one.
        """
        import torch

        totals = []
        for number, (block, name) in enumerate(_blocks(entries)):
            buffer = self._buffers[number % len(self._buffers)]
            rows = buffer.uploaded(block, getattr(torch, name)).to(torch.float64)
            if not entries.is_tall:
                rows = rows.T
            if scale != 1.0:
                rows *= scale
            totals.append(rows.sum())
            gram.addmm_(rows.T, rows)
        return totals


class _Buffer:
    """Pinned memory, from which a GPU copies while the processor does something else."""

    def __init__(self, device: Any) -> None:
        self._device = device
        self._is_cuda = device.type == "cuda"
        self._memory: Any = None
        self._copied: Any = None

    def uploaded(self, block: np.ndarray, dtype: Any) -> Any:
        """Returns the bytes of `block` on the device as a tensor of `dtype`, of the same shape.

        It is valid until this buffer is used again.
        """
        import torch

        if self._copied is not None:
            self._copied.synchronize()
        if self._memory is None or len(self._memory) < block.nbytes:
            self._memory = None  # free it first
            self._memory = torch.empty(block.nbytes, dtype=torch.uint8, pin_memory=self._is_cuda)
        filled = self._memory[: block.nbytes]
        np.copyto(filled.numpy().view(block.dtype).reshape(block.shape), block)
        there = filled.view(dtype).view(block.shape).to(self._device, non_blocking=True)
        if self._is_cuda:
            self._copied = self._copied or torch.cuda.Event()
            self._copied.record()
        return there


def _blocks(entries: Entries) -> Iterator[tuple[np.ndarray, str]]:
    """Yields the blocks of `stored_blocks`, and the names of their types in torch.

    They are as stored if torch has the type, otherwise decoded here.
    """
    name = _name_in_torch(entries)
    for block in entries.stored_blocks():
        if name is not None:
            yield block, name
            continue
        numbers = entries.decode(block)
        known = numbers.dtype.isnative and numbers.dtype.name in UPLOADED
        yield (numbers, numbers.dtype.name) if known else (numbers.astype(float), "float64")


def _name_in_torch(entries: Entries) -> Optional[str]:
    """Returns torch's name of the type of the stored values, or None if torch lacks it."""
    import torch

    stored, decode = entries.stored.dtype, entries.decode
    name = decode.name if isinstance(decode, AsType) else stored.name
    if not (isinstance(decode, AsType) or decode is as_stored):
        return None
    if name not in UPLOADED or not hasattr(torch, name):
        return None
    return name if stored.isnative and stored == stored_dtype(name) else None


def needed_memory(many: Sequence[Entries]) -> int:
    """About the bytes of a device's memory that `Lane.spectra` needs for `many`."""
    grams = GRAMS * sum(entries.M**2 for entries in many)
    blocks = max(3 * entries.block_rows * entries.M for entries in many)
    return 8 * (grams + blocks)


def free_memory(device: Any) -> int:
    """Bytes that this process can still allocate on a device."""
    if device.type != "cuda":
        return available_memory()
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + cached)
