"""What the readers of weights files have in common: every error becomes one that names the file."""

import contextlib
import mmap
from collections.abc import Iterator
from pathlib import Path

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.views import map_file
from allennlp_analyze.text.lines import excerpt


@contextlib.contextmanager
def reading(label: str, *damage: type[BaseException]) -> Iterator[None]:
    """A block that raises `CheckpointError` alone, with `label` before its text.

    `damage` are the exceptions by which the reader finds that a file is damaged.
    """
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{label}: {error}") from None
    except OSError as error:
        raise CheckpointError(f"{label}: cannot be read ({error.strerror or error})") from None
    except damage as error:
        raise CheckpointError(f"{label}: is damaged ({excerpt(error)})") from None
    except (RecursionError, MemoryError):
        raise CheckpointError(f"{label}: needs too much memory to read") from None


def mapped(path: Path) -> mmap.mmap:
    """Map a file for reading. Raises `CheckpointError` if it is none, or empty, and `OSError`."""
    if not path.is_file():
        raise CheckpointError("is not a regular file" if path.exists() else "no such file")
    if path.stat().st_size == 0:
        raise CheckpointError("is empty")
    return map_file(path)
