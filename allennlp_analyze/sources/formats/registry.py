"""The registry of weights formats: their file endings, first bytes and readers.

All other modules take endings and readers from here. A new format is one class and its entry in
`FORMATS`. Readers are imported only when a file is read, because importing numpy would slow down
the command's help, which lists the endings.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Optional, Protocol

from allennlp_analyze.errors import Advice, CheckpointError, SourceError
from allennlp_analyze.sources.formats import foreign
from allennlp_analyze.sources.formats.onnx.recognition import is_onnx
from allennlp_analyze.storage.files import open_regular
from allennlp_analyze.text.links import url_path

if TYPE_CHECKING:
    from allennlp_analyze.sources.stored_file import Place
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

    endings = (".th", ".pt", ".pth", ".bin", ".ckpt", ".pth.tar", ".pkl", ".jit", ".pt2")

    def recognizes(self, head: bytes) -> bool:
        """Returns True for every other file: the reader's error says what the file is."""
        return True

    def read(self, path: Path, label: str, key: Optional[str] = None) -> "Weights":
        """As every format; `key` picks one state dict of several."""
        from allennlp_analyze.sources.formats.torch_file import read_torch

        return read_torch(path, label, key)


class Safetensors:
    """A length in eight bytes, a JSON object of that length, then the values."""

    endings = (".safetensors",)

    def recognizes(self, head: bytes) -> bool:
        # A header is shorter than 4 GiB; GGUF has such a brace, too, with 123 tensors.
        return head[4:9] == b"\0\0\0\0{"

    def read(self, path: "Place", label: str) -> "Weights":
        from allennlp_analyze.sources.formats.safetensors import read_safetensors
        from allennlp_analyze.sources.tensor import Weights

        return Weights(read_safetensors(path, label))


class Gguf:
    """Four bytes of magic, values by key, descriptions of tensors, then their values."""

    endings = (".gguf",)

    def recognizes(self, head: bytes) -> bool:
        return head.startswith(b"GGUF")

    def read(self, path: "Place", label: str) -> "Weights":
        from allennlp_analyze.sources.formats.gguf.reading import read_gguf

        return read_gguf(path, label)


class Npz:
    """A zip file of arrays, as `numpy.savez` writes it."""

    endings = (".npz",)

    def recognizes(self, head: bytes) -> bool:
        return _first_member(head).endswith(b".npy")

    def read(self, path: Path, label: str) -> "Weights":
        from allennlp_analyze.sources.formats.arrays.npy import read_npz
        from allennlp_analyze.sources.tensor import Weights

        return Weights(read_npz(path, label))


class Npy:
    """One array, as `numpy.save` writes it."""

    endings = (".npy",)

    def recognizes(self, head: bytes) -> bool:
        return head.startswith(b"\x93NUMPY")

    def read(self, path: Path, label: str) -> "Weights":
        from allennlp_analyze.sources.formats.arrays.npy import read_npy
        from allennlp_analyze.sources.tensor import Weights

        return Weights(read_npy(path, label))


class Keras:
    """A model of Keras: an HDF5 file, or a zip file with one."""

    endings = (".keras", ".h5", ".hdf5")

    def recognizes(self, head: bytes) -> bool:
        first = _first_member(head)
        return head.startswith(b"\x89HDF\r\n") or first in (b"metadata.json", b"config.json")

    def read(self, path: Path, label: str) -> "Weights":
        from allennlp_analyze.sources.formats.keras.reading import read_keras

        return read_keras(path, label)


class Flax:
    """A tree of arrays, as `flax.serialization` writes it with msgpack."""

    endings = (".msgpack",)

    def recognizes(self, head: bytes) -> bool:
        from allennlp_analyze.sources.formats.arrays.flax import is_flax

        return is_flax(head)

    def read(self, path: Path, label: str) -> "Weights":
        from allennlp_analyze.sources.formats.arrays.flax import read_flax

        return read_flax(path, label)


class Onnx:
    """A protobuf message: the version, texts about the producer, the graph."""

    endings = (".onnx",)

    def recognizes(self, head: bytes) -> bool:
        return is_onnx(head)

    def read(self, path: Path, label: str) -> "Weights":
        from allennlp_analyze.sources.formats.onnx.reading import read_onnx

        return read_onnx(path, label)


class Distributed:
    """The `.metadata` of torch.distributed.checkpoint, with the other files of its directory."""

    endings = ()

    def recognizes(self, head: bytes) -> bool:
        return head[:1] == b"\x80" and b"torch.distributed.checkpoint.metadata" in head[:80]

    def read(self, path: Path, label: str) -> "Weights":
        from allennlp_analyze.sources.formats.distributed.reading import read_distributed

        return read_distributed(path, label)


# The formats whose header says where each tensor is: of a file on a server only parts are read.
_GGUF, _SAFETENSORS = Gguf(), Safetensors()
RANGED = (_GGUF, _SAFETENSORS)
# The order in which `recognizes` is called. Chance may put a "{" where Safetensors looks for one.
FORMATS: tuple[WeightsFormat, ...] = (
    _GGUF,
    Npz(),
    Npy(),
    Keras(),
    Onnx(),
    _SAFETENSORS,
    Distributed(),
    Flax(),
    TorchFile(),
)
# The file of a directory that stands for all of a distributed checkpoint.
DISTRIBUTED_METADATA = ".metadata"
# AllenNLP's own endings come first.
WEIGHTS_ENDINGS = tuple(ending for known in reversed(FORMATS) for ending in known.endings)
ARCHIVE_ENDINGS = (".tar.gz", ".tgz")
# The endings of every file that contains one whole model.
MODEL_ENDINGS = (*ARCHIVE_ENDINGS, *WEIGHTS_ENDINGS)


def without_ending(name: str) -> str:
    """Returns the name of a model's file without its ending, unless it is nothing else."""
    for ending in MODEL_ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


def read_weights(place: "Place", label: str, key: Optional[str] = None) -> "Weights":
    """Returns the contents of a weights file in the format of its first bytes or `label`'s ending.

    `place` is a path, or an opened file of a format of `RANGED`. `key` picks one of several state
    dicts. Messages use `label` in place of the path. Raises `SourceError`, which names the format
    of a file that has another one, also for a name that is longer than `MAX_NAME`.
    """
    from allennlp_analyze.sources.views import MAX_NAME

    if not isinstance(place, Path):
        path, begins = place.path, bytes(place.begin(HEAD_BYTES)[:HEAD_BYTES])
        known: Optional[WeightsFormat] = _ranged(begins, label)
    else:
        path, begins = place, head(place, label)
        known = by_content(begins)
    if known is None:
        named = by_ending(label)
        strange = foreign.recognized(foreign.File(begins, file_name(label), path))
        if strange is not None and not (strange.is_weak and named):
            raise CheckpointError(f"{label}: {strange.described}")
        known = named or FORMATS[-1]
    if key is None:
        weights = _read(known, place, label)
    elif isinstance(known, TorchFile):
        weights = known.read(path, label, key)
    else:
        raise SourceError(
            f"{label}: has one set of tensors, so no key picks among several",
            Advice("key", "remove {}"),
        )
    if any(len(name) > MAX_NAME for name in weights.tensors):
        raise CheckpointError(f"{label}: has a tensor name of more than {MAX_NAME} characters")
    return weights


def _ranged(begins: bytes, label: str) -> WeightsFormat:
    known = by_content(begins)
    if known not in RANGED:
        raise CheckpointError(f"{label}: has a format that cannot be read by its parts")
    return known


def _read(known: WeightsFormat, place: "Place", label: str) -> "Weights":
    if isinstance(place, Path):
        return known.read(place, label)
    assert isinstance(known, (Gguf, Safetensors))
    return known.read(place, label)


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


def _first_member(head: bytes) -> bytes:
    """Returns the name of the first member of a zip file, b"" for another file."""
    return head[30 : 30 + int.from_bytes(head[26:28], "little")] if head[:4] == b"PK\3\4" else b""
