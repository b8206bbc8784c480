"""Judges each file of a directory by its name and first bytes: model, trainer's, or other."""

import contextlib
import enum
import os
import re
from dataclasses import dataclass
from pathlib import Path

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.archive import is_gzip
from allennlp_analyze.sources.directories.trainers import is_trainers_own
from allennlp_analyze.sources.formats import foreign
from allennlp_analyze.sources.formats.registry import (
    ARCHIVE_ENDINGS,
    WEIGHTS_ENDINGS,
    by_content,
    head,
)

# Below this size a file of no known format cannot be a model that anyone would miss.
LARGE_BYTES = 1 << 20
# Endings that files of other kinds have as well: only the contents make them models.
AMBIGUOUS = (".pkl",)
_DISTRIBUTED = ".distcp"
_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
# Large files beside models, without weights of their own.
_BESIDE = re.compile(
    r"(tokenizer|spiece|sentencepiece|vocab|events\.out\.tfevents).*|.*\.(model|arrow|idx|npz\.tmp)",
    re.IGNORECASE,
)


class Kind(enum.Enum):
    """What a file is to an analysis."""

    MODEL = "a weights file"
    TRAINER = "a trainer's own file"
    UNREAD = "a model of a format that is not read"
    UNKNOWN = "a large file of no known format"
    OTHER = "anything else"


@dataclass(frozen=True)
class Judgement:
    """The kind of a file; `reason` says what an unread or unknown one is."""

    kind: Kind
    reason: str = ""


def judge(path: Path) -> Judgement:
    """Judge the file `path`, which is not hidden. A name alone makes a model if nothing else does.

    A page or a pointer in place of weights is a model: its reader then says what is wrong.
    """
    name = path.name.lower()
    named = name.endswith(WEIGHTS_ENDINGS)
    if is_trainers_own(path):
        return Judgement(Kind.TRAINER)
    try:
        begins = head(path, path.name)
    except SourceError:
        return Judgement(Kind.MODEL if named else Kind.OTHER)
    if is_gzip(begins) and name.endswith(ARCHIVE_ENDINGS):
        return Judgement(Kind.OTHER)
    if whole := _whole_of(path.name):
        return Judgement(Kind.UNREAD, f"is one part of {whole}")
    if by_content(begins) is not None or _is_torch(begins, path):
        return Judgement(Kind.MODEL)
    if named and name.endswith(".bin") and path.with_suffix(".xml").is_file():
        return Judgement(Kind.UNREAD, "has the values of an OpenVINO model, which are not read")
    strange = foreign.recognized(foreign.File(begins, path.name, path))
    if named and not name.endswith(AMBIGUOUS):
        if strange is None or strange.is_weak or not strange.has_weights:
            return Judgement(Kind.MODEL)
        if strange is foreign.POINTER:
            return Judgement(Kind.MODEL)
        return Judgement(Kind.UNREAD, strange.described)
    if strange is not None:
        return Judgement(Kind.UNREAD if strange.has_weights else Kind.OTHER, strange.described)
    if _is_large(path) and not _BESIDE.fullmatch(path.name):
        return Judgement(Kind.UNKNOWN, f"is of no known format (it starts with {begins[:8]!r})")
    return Judgement(Kind.OTHER)


def is_part(name: str) -> bool:
    """Whether a file of this name is a part that no one can read alone."""
    return _whole_of(name) != ""


def _whole_of(name: str) -> str:
    if len(name) > len(_DISTRIBUTED) and name.endswith(_DISTRIBUTED):
        return "a distributed checkpoint of torch (DCP)"
    return "a checkpoint of DeepSpeed ZeRO" if foreign.zero_part(name) == "model" else ""


def _is_torch(begins: bytes, path: Path) -> bool:
    if begins.startswith(_LEGACY_TORCH):
        return True
    return foreign.is_torch_zip(foreign.File(begins, path.name, path))


def _is_large(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.stat(path).st_size >= LARGE_BYTES
    return False
