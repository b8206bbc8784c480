"""Reads a weights file that torch.save wrote, in either format, without torch."""

import mmap
import struct
import zipfile
from pathlib import Path
from typing import Optional

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats import foreign
from allennlp_analyze.sources.formats.guarded import mapped, reading
from allennlp_analyze.sources.formats.state_dict import find_state_dict
from allennlp_analyze.sources.formats.torch_legacy import read_legacy
from allennlp_analyze.sources.formats.torch_tensors import stored
from allennlp_analyze.sources.formats.torch_zip import read_zipped
from allennlp_analyze.sources.tensor import StoredTensor, Weights
from allennlp_analyze.sources.views import Block, map_file

_DAMAGE = (
    zipfile.BadZipFile,
    EOFError,
    AttributeError,
    LookupError,
    NotImplementedError,
    ArithmeticError,
    TypeError,
    ValueError,
    struct.error,
)
_TAR_FORMAT = "is in torch's tar format (before 2017), which is not supported"


def read_checkpoint(path: Path, label: Optional[str] = None) -> dict[str, StoredTensor]:
    """Returns the model's tensors by name, as `read_torch` does."""
    return dict(read_torch(path, label).tensors)


def read_torch(path: Path, label: Optional[str] = None, key: Optional[str] = None) -> Weights:
    """Returns the model's tensors, in state-dict order, and what else the file holds.

    Values are read on demand. `key` picks one state dict of several. Messages use `label` in place
    of the path. Raises `CheckpointError`, and nothing else, if the file cannot be read, is damaged,
    or has no tensors that torch.save wrote.
    """
    with reading(label or str(path), *_DAMAGE):
        return _read(path, key)


def read_contents(path: Path) -> object:
    """Returns everything that the file holds, with the descriptions of its tensors.

    Raises `CheckpointError`.
    """
    with reading(str(path), *_DAMAGE):
        return _read_format(map_file(path), str(path))[0]


def _read(path: Path, key: Optional[str]) -> Weights:
    described, blocks = _read_format(mapped(path), str(path))
    found = find_state_dict(described, key)
    tensors = {name: stored(name, ref, blocks) for name, ref in found.tensors.items()}
    return Weights(tensors, left_out=tuple(found.left_out))


def _read_format(mapping: mmap.mmap, path: str) -> tuple[object, dict[str, Block]]:
    head = mapping[:512]
    if head.startswith(b"PK\x03\x04"):
        return read_zipped(mapping, path)
    if head[257:262] == b"ustar":
        raise CheckpointError(_TAR_FORMAT)
    reason = foreign.describe(head)
    if reason is not None:
        raise CheckpointError(reason)
    if head[:1] not in (b"\x80", b"L"):
        raise CheckpointError(f"is not a file written by torch.save (it starts with {head[:8]!r})")
    return read_legacy(mapping)
