"""Which weights formats there are: what their files are called, how they begin, who reads them.

The one place that knows: what else needs endings or readers takes them from here. A new format is
one class here, and its entry in `FORMATS`. Readers are imported when a file is read: the command's
help names the endings, and numpy takes longer than help may.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from allennlp_analyze.errors import SourceError

if TYPE_CHECKING:
    from allennlp_analyze.sources.tensor import StoredTensor

HEAD_BYTES = 512


class WeightsFormat(Protocol):
    """One format of weights files."""

    @property
    def endings(self) -> tuple[str, ...]:
        """What its files' names end in, in lower case."""
        ...

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins with `head`, its first 512 bytes, is of this format."""
        ...

    def read(self, path: Path, label: str) -> "dict[str, StoredTensor]":
        """The tensors by name; their values are read when asked for.

        `label` stands for the path in messages. Raises `CheckpointError`, and nothing else, when
        the file cannot be read, is damaged, or is of another format.
        """
        ...


class TorchFile:
    """What `torch.save` writes, in either of its formats."""

    endings = (".th", ".pt", ".pth", ".bin")

    def recognises(self, head: bytes) -> bool:
        """Whatever is left: this reader tells what a file is instead."""
        return True

    def read(self, path: Path, label: str) -> "dict[str, StoredTensor]":
        from allennlp_analyze.sources.formats.torch_file import read_checkpoint

        return read_checkpoint(path, label)


class Safetensors:
    """A JSON object behind its length, in eight bytes; then the values."""

    endings = (".safetensors",)

    def recognises(self, head: bytes) -> bool:
        return head[8:9] == b"{"

    def read(self, path: Path, label: str) -> "dict[str, StoredTensor]":
        from allennlp_analyze.sources.formats.safetensors import read_safetensors

        return read_safetensors(path, label)


# In the order in which they are asked.
FORMATS: tuple[WeightsFormat, ...] = (Safetensors(), TorchFile())
# AllenNLP's own first.
WEIGHTS_ENDINGS = tuple(ending for known in reversed(FORMATS) for ending in known.endings)
ARCHIVE_ENDINGS = (".tar.gz", ".tgz")
# Of everything that is one model in one file.
MODEL_ENDINGS = (*ARCHIVE_ENDINGS, *WEIGHTS_ENDINGS)


def read_weights(path: Path, label: str) -> "dict[str, StoredTensor]":
    """The tensors of a weights file of any format, by its first bytes or the end of `label`.

    `label` stands for the path in messages. Raises `SourceError`.
    """
    begins = head(path, label)
    known = next(x for x in FORMATS if x.recognises(begins) or label.endswith(x.endings))
    return known.read(path, label)


def head(path: Path, label: str) -> bytes:
    """The first 512 bytes, which tell every format. Raises `SourceError`."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise SourceError(f"{label}: cannot be read ({error.strerror})") from None
