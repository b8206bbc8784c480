"""The registry of weights formats: their file endings, first bytes and readers.

All other modules take endings and readers from here. A new format is one class and its entry in
`FORMATS`. Readers are imported only when a file is read, because importing numpy would slow down
the command's help, which lists the endings.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Optional, Protocol

from allennlp_analyze.errors import CheckpointError, SourceError
from allennlp_analyze.sources.formats import foreign
from allennlp_analyze.storage.files import open_regular
from allennlp_analyze.text.links import url_path

if TYPE_CHECKING:
    from allennlp_analyze.sources.tensor import Weights

HEAD_BYTES = 512


class WeightsFormat(Protocol):
    """One format of weights files."""

    @property
    def endings(self) -> tuple[str, ...]:
        """The endings of the format's file names, in lower case."""
        ...

    def recognizes(self, head: bytes) -> bool:
        """Whether a file has this format, by its first 512 bytes `head`."""
        ...

    def read(self, path: Path, label: str) -> "Weights":
        """Returns the tensors by name, read on demand, and what the file says about its model.

        Messages use `label` in place of the path. Raises `CheckpointError`, and nothing else, if
        the file cannot be read, is damaged, or has another format.
        """
        ...


class TorchFile:
    """A file written by `torch.save`, in either of its formats."""

    endings = (".th", ".pt", ".pth", ".bin", ".ckpt", ".pth.tar", ".pkl")

    def recognizes(self, head: bytes) -> bool:
        """Returns True for every other file: the reader's error says what the file is."""
        return True

    def read(self, path: Path, label: str) -> "Weights":
        from allennlp_analyze.sources.formats.torch_file import read_checkpoint
        from allennlp_analyze.sources.tensor import Weights

        return Weights(read_checkpoint(path, label))


class Safetensors:
    """A length in eight bytes, a JSON object of that length, then the values."""

    endings = (".safetensors",)

    def recognizes(self, head: bytes) -> bool:
        # A header is shorter than 4 GiB; GGUF has such a brace, too, with 123 tensors.
        return head[4:9] == b"\0\0\0\0{"

    def read(self, path: Path, label: str) -> "Weights":
        from allennlp_analyze.sources.formats.safetensors import read_safetensors
        from allennlp_analyze.sources.tensor import Weights

        return Weights(read_safetensors(path, label))


# The order in which `recognizes` is called.
FORMATS: tuple[WeightsFormat, ...] = (Safetensors(), TorchFile())
# AllenNLP's own endings come first.
WEIGHTS_ENDINGS = tuple(ending for known in reversed(FORMATS) for ending in known.endings)
ARCHIVE_ENDINGS = (".tar.gz", ".tgz")
# The endings of every file that contains one whole model.
MODEL_ENDINGS = (*ARCHIVE_ENDINGS, *WEIGHTS_ENDINGS)


def read_weights(path: Path, label: str) -> "Weights":
    """Returns the contents of a weights file in the format of its first bytes or `label`'s ending.

    Messages use `label` in place of the path. Raises `SourceError`, which names the format of a
    file that has another one.
    """
    begins = head(path, label)
    known = by_content(begins)
    if known is None:
        named = by_ending(label)
        strange = foreign.recognized(foreign.File(begins, file_name(label), path))
        if strange is not None and not (strange.is_weak and named):
            raise CheckpointError(f"{label}: {strange.described}")
        known = named or FORMATS[-1]
    return known.read(path, label)


def by_content(begins: bytes) -> Optional[WeightsFormat]:
    """Returns the format of a file by its first bytes, or None if only torch may know it."""
    return next((known for known in FORMATS[:-1] if known.recognizes(begins)), None)


def by_ending(label: str) -> Optional[WeightsFormat]:
    """Returns the format of a file by the ending of its path or URL, or None."""
    name = file_name(label).lower()
    return next((known for known in FORMATS if name.endswith(known.endings)), None)


def file_name(label: str) -> str:
    """Returns the path of a URL, which parameters may follow, or `label` if it is none."""
    return url_path(label) if "://" in label else label


def head(path: Path, label: str) -> bytes:
    """Returns the first 512 bytes, enough to tell the format. Raises `SourceError`."""
    try:
        with open_regular(path) as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise SourceError(f"{label}: cannot be read ({error.strerror})") from None
