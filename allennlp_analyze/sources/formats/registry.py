"""One weights file, of whichever format its first bytes say."""

from pathlib import Path

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.formats.safetensors import looks_like_safetensors, read_safetensors
from allennlp_analyze.sources.formats.torch_file import read_checkpoint
from allennlp_analyze.sources.tensor import StoredTensor


def read_weights(path: Path, label: str) -> dict[str, StoredTensor]:
    """The tensors of a weights file of either kind. Raises `CheckpointError`."""
    if looks_like_safetensors(head(path, label)) or label.endswith(".safetensors"):
        return read_safetensors(path, label)
    return read_checkpoint(path, label)


def head(path: Path, label: str) -> bytes:
    """The first 512 bytes, which tell every format. Raises `SourceError`."""
    try:
        with path.open("rb") as file:
            return file.read(512)
    except OSError as error:
        raise SourceError(f"{label}: cannot be read ({error.strerror})") from None
