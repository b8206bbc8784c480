"""Estimates the memory that the analysis of a model needs, from the size of its files."""

import itertools
from collections.abc import Iterable
from pathlib import Path

from allennlp_analyze.linalg.machine import BASE_BYTES
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.download.cache import is_url
from allennlp_analyze.sources.formats.registry import MODEL_ENDINGS

# Assumed bytes of an archive that is not downloaded yet.
UNKNOWN_BYTES = 2**30
# Factor for a file with one square float32 matrix: its Gram matrix and a copy, in float64.
WORST_GRAM = 4
# How many files below a directory without weights are looked at for its size.
MAX_COUNTED = 10_000


def estimated_bytes(archive: str, settings: Settings) -> int:
    """Estimate from its size the most memory that the analysis of `archive` normally needs.

    The unpacked archive is mapped from a temporary file, which may be in memory. The largest matrix
    adds M x M in float64, twice. An archive that is not downloaded yet counts as 1 GiB.
    """
    size = UNKNOWN_BYTES if is_url(archive) else _size(Path(archive).expanduser())
    return BASE_BYTES + size + min(WORST_GRAM * size, 16 * settings.max_dim**2)


def _size(path: Path) -> int:
    """Bytes of a file, or of the readable files in a directory; 0 if it does not exist.

    In a directory without weights, those of the directories below it count: it may be a cache.
    """
    try:
        if path.is_dir():
            top = _bytes_of(path.iterdir())
            return top or _bytes_of(itertools.islice(path.rglob("*"), MAX_COUNTED))
        return path.stat().st_size
    except OSError:
        return 0


def _bytes_of(files: Iterable[Path]) -> int:
    return sum(x.stat().st_size for x in files if x.name.endswith(MODEL_ENDINGS) and x.is_file())
