"""Reads the names and shapes of a model's tensors, but none of their values."""

import hashlib
import json
from pathlib import Path
from typing import Optional

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.directories.choosing import choose
from allennlp_analyze.sources.directories.contents import list_weights
from allennlp_analyze.sources.formats.registry import ARCHIVE_ENDINGS, read_weights
from allennlp_analyze.sources.formats.sharded import is_index, read_sharded


def shapes_digest(path: Path) -> Optional[str]:
    """SHA-256 of the names and shapes of the tensors in a weights file, or a directory with one.

    None where these would cost much, as in an archive, or cannot be read.
    """
    if path.name.lower().endswith(ARCHIVE_ENDINGS):
        return None
    try:
        if path.is_dir():
            path = path / choose(list_weights(path), None, path)[0]
        label = path.name
        weights = read_sharded(path, label) if is_index(label) else read_weights(path, label)
    except SourceError:
        return None
    shapes = sorted((name, list(tensor.shape)) for name, tensor in weights.tensors.items())
    return hashlib.sha256(json.dumps(shapes).encode("ascii")).hexdigest()
