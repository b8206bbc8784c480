"""The facts that the outcomes of a run depend on: for its journal, and for its workers."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Optional, Union

from allennlp_analyze._versions import tool_info
from allennlp_analyze.linalg.machine import this_machine
from allennlp_analyze.matrices.matrix import WeightMatrix
from allennlp_analyze.options.choices import material
from allennlp_analyze.results.files import FileState
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.source import Source

File = tuple[str, Optional[int], Union[int, str, None]]


def run_facts(
    source: Source, chosen: Sequence[WeightMatrix], settings: Settings
) -> dict[str, object]:
    """Returns everything that the outcomes depend on, to the last bit.

    Only a run with the same facts may resume from the journal.
    """
    # The digest covers the file; everything beside it counts by its state.
    states = [asdict(x) for x in source.files if not (source.sha256 and _is_given(source, x))]
    return {
        "tool": asdict(tool_info()),
        "weights": [source.sha256, source.weights_file, source.key, states],
        "matrices": _digest(chosen),
        "settings": material(settings),
        "machine": asdict(this_machine()),
    }


def _is_given(source: Source, state: FileState) -> bool:
    """Whether `state` is that of the file that was named, whose digest is `source.sha256`."""
    return state.path == os.path.abspath(source.resolved)


def _digest(chosen: Sequence[WeightMatrix]) -> str:
    described = "\n".join(map(repr, chosen)).encode("utf-8", "backslashreplace")
    return hashlib.sha256(described).hexdigest()


@dataclass(frozen=True)
class Seen:
    """What two machines must see of a model alike.

    `files` are the path, the size and the time of change of each file, sorted; of what a server has
    sent, the name, the size and what the server said of its version. `matrices` is a digest of
    their descriptions.
    """

    sha256: Optional[str]
    files: tuple[File, ...]
    matrices: str


def seen(source: Source, chosen: Sequence[WeightMatrix]) -> Seen:
    """Returns what this machine sees of the model."""
    files: list[File] = [
        (os.path.basename(x.path), x.size, None) if x.is_download else (x.path, x.size, x.mtime_ns)
        for x in source.files
    ]
    return Seen(source.sha256, tuple(sorted(files, key=lambda x: x[0])), _digest(chosen))


def first_difference(expected: Seen, found: Seen) -> Optional[str]:
    """Returns the first file that is not as expected, with the difference; None without any."""
    for one, other in zip(expected.files, found.files):
        if one != other:
            return f"{one[0]}: {_in_words(one, other)}"
    if len(expected.files) != len(found.files):
        return f"{len(found.files)} files instead of {len(expected.files)}"
    if expected.sha256 != found.sha256:
        return "another SHA-256 digest"
    return None if expected.matrices == found.matrices else "other matrices"


def _in_words(one: File, other: File) -> str:
    if one[0] != other[0]:
        return f"not among its files, but {other[0]}"
    if one[1] != other[1]:
        sizes = [f"{size} bytes" if size is not None else "no file" for size in (other[1], one[1])]
        return " instead of ".join(sizes)
    return "changed at another time"
