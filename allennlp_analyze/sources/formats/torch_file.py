"""Reads a weights file that torch.save wrote, in either format, without torch."""

import mmap
import struct
import zipfile
from functools import partial
from pathlib import Path
from typing import Callable, Optional, TypeVar

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats import foreign
from allennlp_analyze.sources.formats.state_dict import find_state_dict
from allennlp_analyze.sources.formats.torch_legacy import read_legacy
from allennlp_analyze.sources.formats.torch_tensors import stored
from allennlp_analyze.sources.formats.torch_zip import read_zipped
from allennlp_analyze.sources.tensor import StoredTensor, Weights
from allennlp_analyze.sources.views import Block, map_file
from allennlp_analyze.text.lines import excerpt

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

Result = TypeVar("Result")


def read_checkpoint(path: Path, label: Optional[str] = None) -> dict[str, StoredTensor]:
    """Returns the model's tensors by name, as `read_torch` does."""
    return dict(read_torch(path, label).tensors)


def read_torch(path: Path, label: Optional[str] = None, key: Optional[str] = None) -> Weights:
    """Returns the model's tensors, in state-dict order, and what else the file holds.

    Values are read on demand. `key` picks one state dict of several. Messages use `label` in place
    of the path. Raises `CheckpointError`, and nothing else, if the file cannot be read, is damaged,
    or has no tensors that torch.save wrote.
    """
    return _guarded(partial(_read, key=key), path, label or str(path))


def read_contents(path: Path) -> object:
    """Returns everything that the file holds, with the descriptions of its tensors.

    Raises `CheckpointError`.
    """
    return _guarded(_contents, path, str(path))


def _guarded(read: Callable[[Path], Result], path: Path, label: str) -> Result:
    try:
        return read(path)
    except CheckpointError as error:
        raise CheckpointError(f"{label}: {error}") from None
    except OSError as error:
        raise CheckpointError(f"{label}: cannot be read ({error.strerror or error})") from None
    except (RecursionError, MemoryError):
        raise CheckpointError(f"{label}: needs too much memory to read") from None
    except _DAMAGE as error:
        raise CheckpointError(f"{label}: is damaged ({excerpt(error)})") from None


def _contents(path: Path) -> object:
    return _read_format(map_file(path), str(path))[0]


def _read(path: Path, key: Optional[str]) -> Weights:
    if not path.is_file():
        raise CheckpointError("is not a regular file" if path.exists() else "no such file")
    if path.stat().st_size == 0:
        raise CheckpointError("is empty")
    described, blocks = _read_format(map_file(path), str(path))
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
