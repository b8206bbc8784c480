"""The table of formats that are recognized but not read: how each is told, and what to do.

A format leaves the table when `registry.FORMATS` has its reader. Nothing here reads more of a file
than its first and last bytes, and the names of the members of a zip file.
"""

import re
import zipfile
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Callable, Optional

from allennlp_analyze.sources.formats import wire
from allennlp_analyze.storage.files import open_regular
from allennlp_analyze.storage.zip_directory import checked_zip
from allennlp_analyze.text.lines import excerpt

TAIL_BYTES = 48
DOCS = "docs/reference/formats.md says how"
SAVE = f"save its weights as .safetensors ({DOCS})"
JOIN_ZERO = "join its parts, where its zero_to_fp32.py is: python zero_to_fp32.py . out"
ORIGINAL = f"use the weights that it was made from, or {SAVE}"


@dataclass(frozen=True)
class File:
    """What tells the format of a file: its first bytes, its name; members and last bytes on demand.

    Without a `path` only the first bytes are known.
    """

    head: bytes
    name: str = ""
    path: Optional[Path] = field(default=None, compare=False)

    @property
    def size(self) -> int:
        try:
            return self.path.stat().st_size if self.path is not None else 2**63
        except OSError:
            return 0

    @cached_property
    def members(self) -> Optional[frozenset[str]]:
        """The names in a zip file; None if it is none or damaged."""
        if self.path is None or not self.head.startswith(b"PK\x03\x04"):
            return None
        try:
            with open_regular(self.path) as file, checked_zip(file) as archive:
                return frozenset(archive.namelist())
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError):
            return None

    @cached_property
    def tail(self) -> bytes:
        """The last bytes of the file."""
        if self.path is None or self.size < TAIL_BYTES:
            return b""
        try:
            with open_regular(self.path) as file:
                file.seek(-TAIL_BYTES, 2)
                return file.read()
        except OSError:
            return b""

    @property
    def text(self) -> bytes:
        """The first bytes without a byte-order mark, space and capitals."""
        return self.head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()


@dataclass(frozen=True)
class Foreign:
    """A format that is not read: what a file `is`, and what to do.

    `has_weights` unless its files hold nothing to analyze, so that a zoo need not mention them. An
    entry `is_weak` if its sign proves little: the ending of a weights format then counts more.
    """

    what: str
    advice: str
    recognizes: Callable[[File], bool]
    has_weights: bool = True
    is_weak: bool = False

    @property
    def described(self) -> str:
        return f"is {self.what}; {self.advice}" if self.advice else f"is {self.what}"


def _begins(*magics: bytes, at: int = 0) -> Callable[[File], bool]:
    return lambda file: file.head.startswith(magics, at)


def _text_begins(*starts: bytes) -> Callable[[File], bool]:
    return lambda file: file.text.startswith(starts)


def _contains(*names: str) -> Callable[[File], bool]:
    """All these members are in the zip file, at any depth."""
    return lambda file: (
        file.members is not None
        and all(any(f"/{member}".endswith(f"/{name}") for member in file.members) for name in names)
    )


def _ends(*endings: str) -> Callable[[File], bool]:
    return lambda file: file.name.lower().endswith(endings)


def is_torch_zip(file: File) -> bool:
    """Whether a zip file has what torch writes: a pickle, or a program of torch.export."""
    return file.members is not None and any(
        name.count("/") == 1 and name.endswith(("/data.pkl", "/archive_format"))
        for name in file.members
    )


def zero_part(name: str) -> str:
    """Returns "model" or "optim" for the name of a part of DeepSpeed ZeRO's checkpoint, else ""."""
    found = _ZERO_PART.fullmatch(name)
    return "" if found is None else found[1]


def _is_other_zip(file: File) -> bool:
    return file.members is not None and not is_torch_zip(file)


_LEARNED = re.compile(
    rb"\x80[\x02-\x05].{0,48}?(sklearn|xgboost|lightgbm|catboost|joblib|statsmodels|gensim)[._\n]",
    re.DOTALL,
)
# Under ZeRO 3 a part of every weight is in each file of an optimizer's states.
_ZERO_PART = re.compile(r"(?:bf16_)?zero_pp_rank_\d+_mp_rank_\d+_(model|optim)_states\.pt")
_OCDBT = tuple(bytes.fromhex(magic) for magic in ("0cdb3a2a", "0cdb20de"))
_TENSORFLOW_DATA = re.compile(r"\.data-\d{5}-of-\d{5}$")
_TABLE_MAGIC = bytes.fromhex("57fb808b247547db")  # of LevelDB, whose tables are TensorFlow's index


def _is_text(file: File) -> bool:
    sample = file.head[:256]
    return (
        bool(sample.strip())
        and all(x >= 0x20 or x in b"\t\n\r\f" for x in sample)
        and (0x7F not in sample and _decodes(sample))
    )


def _decodes(sample: bytes) -> bool:
    try:
        sample[:-4].decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(sample) - 8
    return True


POINTER = Foreign(
    "a git-lfs pointer, not the file itself",
    "run 'git lfs pull' in its repository",
    _begins(b"version https://git-lfs"),
)
TEXT = Foreign("a text file, not a weights file", "", _is_text, has_weights=False, is_weak=True)

# In the order in which they are tried: strong signs first.
FOREIGN: tuple[Foreign, ...] = (
    Foreign(
        "an HTML page (the URL may point to a web page, not to the file)",
        "",
        _text_begins(b"<!doctype html", b"<html"),
        has_weights=False,
    ),
    POINTER,
    Foreign(
        "a GGML file of an old version, which is not read",
        "convert it to GGUF with llama.cpp, or use the weights that it was made from",
        _begins(b"lmgg", b"fmgg", b"tjgg", b"algg"),
    ),
    Foreign(
        "a llamafile, a program with a GGUF file inside",
        "take the .gguf file out of it with unzip",
        _begins(b"MZqFpD"),
    ),
    Foreign("a TensorFlow Lite model, which is not read", ORIGINAL, _begins(b"TFL3", at=4)),
    Foreign("an ExecuTorch program, which is not read", ORIGINAL, _begins(b"ET12", at=4)),
    Foreign(
        "a program of torch.export of an old version, which is not read",
        "save the state_dict of the program instead",
        _contains("serialized_exported_program.json"),
    ),
    Foreign(
        "external data of an ONNX model",
        "pass the .onnx file beside it",
        _ends(".onnx_data", ".onnx.data"),
        has_weights=False,
    ),
    Foreign(
        "an archive of TorchServe (.mar)",
        "unpack it and pass the weights inside",
        _contains("MAR-INF/MANIFEST.json"),
    ),
    Foreign(
        "the description of an OpenVINO model, which is not read",
        ORIGINAL,
        lambda file: file.text.startswith(b"<?xml") and b"<net " in file.text,
    ),
    Foreign(
        "an XML document (often a storage server's error message)",
        "",
        _text_begins(b"<?xml"),
        has_weights=False,
    ),
    Foreign(
        "a pickle of scikit-learn or a similar library, not of a network",
        "its estimators have no layers to analyze",
        lambda file: _LEARNED.match(file.head) is not None,
    ),
    Foreign(
        "one part of a checkpoint of DeepSpeed ZeRO, which is not read alone",
        JOIN_ZERO,
        lambda file: zero_part(Path(file.name).name) != "",
    ),
    Foreign("a file of an Orbax checkpoint, which is not read", SAVE, _begins(*_OCDBT)),
    Foreign(
        "the index of a TensorFlow checkpoint, which is not read",
        SAVE,
        lambda file: file.tail.endswith(_TABLE_MAGIC),
    ),
    Foreign(
        "the values of a TensorFlow checkpoint, which is not read",
        SAVE,
        lambda file: _TENSORFLOW_DATA.search(file.name) is not None,
    ),
    Foreign(
        "a graph of TensorFlow (.pb), which is not read",
        SAVE,
        lambda file: wire.is_saved_model(file.head) or wire.is_graph(file.head),
    ),
    Foreign(
        "a Core ML model, which is not read",
        ORIGINAL,
        lambda file: wire.is_core_ml(file.head),
    ),
    Foreign("a TensorRT engine, which is not read", ORIGINAL, _begins(b"ftrt", b"ptrt")),
    Foreign(
        "a model of fastText, which is not read",
        SAVE,
        _begins(bytes.fromhex("ba164f2f")),
    ),
    Foreign("a file of MXNet, which is not read", SAVE, _begins(b"\x12\x01" + bytes(6))),
    Foreign("weights of Darknet, which are not read", SAVE, _ends(".weights")),
    Foreign("a model of Paddle, which is not read", SAVE, _ends(".pdmodel", ".pdiparams")),
    Foreign("a model of Caffe, which is not read", SAVE, _ends(".caffemodel")),
    Foreign(
        "a file of joblib, not of a network",
        "its estimators have no layers to analyze",
        lambda file: file.name.lower().endswith(".joblib"),
    ),
    Foreign("a gzip file, not a weights file", "unpack it first", _begins(b"\x1f\x8b")),
    Foreign(
        "a compressed file (zstd, xz, bzip2, 7z or RAR)",
        "unpack it first",
        _begins(b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh", b"7z\xbc\xaf\x27\x1c", b"Rar!"),
    ),
    Foreign("a tar file", "unpack it first", _begins(b"ustar", at=257), is_weak=True),
    Foreign(
        "a picture, a PDF, a table or a log, not a weights file",
        "",
        _begins(
            *(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"%PDF", b"PAR1", b"ARROW1"),
            *(b"SQLite format 3", b"\x7fELF", b"OggS", b"fLaC", b"ID3"),
        ),
        has_weights=False,
    ),
    Foreign(
        "a JSON file, not a weights file",
        "",
        lambda file: file.text[:1] in (b"{", b"[") and _is_text(file),
        has_weights=False,
    ),
    TEXT,
)


def recognized(file: File) -> Optional[Foreign]:
    """Returns the entry of the first format that `file` has, or None."""
    found = next((known for known in FOREIGN if known.recognizes(file)), None)
    if found is None and _is_other_zip(file):
        return _other_zip(file.members or frozenset())
    return found


def describe(head: bytes) -> Optional[str]:
    """Describe a file by its first 512 bytes; returns None if its format is not recognized."""
    found = recognized(File(head))
    return found.described if found is not None and found is not TEXT else None


def _other_zip(members: Collection[str]) -> Foreign:
    names = sorted(members, key=lambda name: (not name.lower().endswith((".pth", ".pt")), name))
    some = ", ".join(excerpt(name, 40) for name in names[:4])
    return Foreign(
        f"a zip file, not written by torch.save, with {len(names)} members ({some or 'none'})",
        "unpack it and pass the weights inside",
        _is_other_zip,
    )
