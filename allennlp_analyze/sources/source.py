"""An opened model: its tensors, its configuration and vocabulary, and its origin."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from allennlp_analyze.results.files import FileState
from allennlp_analyze.sources.tensor import LeftOut, StoredTensor


@dataclass(frozen=True)
class Source:
    """The contents of an archive, a serialization directory or a weights file.

    `tensors` are in state-dict order. `config` is the parsed config.json ({} if missing),
    `adapter_config` PEFT's adapter_config.json.
    `vocabulary` gives the number of lines of each `vocabulary/<namespace>.txt` ({} if missing).
    `non_padded` has the patterns of `vocabulary/non_padded_namespaces.txt` (() if missing).
    `sha256` is the digest of the given file (None for a directory). `weights_file` is "" if the
    tensors are in memory. `warnings` are for the user. `files` are the states of all local files
    that were read, and of those that would have been had they existed. `left_out` is what the file
    holds beside the model's tensors, `key` the state dict that was picked.
    """

    archive: str
    resolved: str
    sha256: Optional[str]
    weights_file: str
    tensors: Mapping[str, StoredTensor]
    config: Mapping[str, object] = field(default_factory=dict)
    vocabulary: Mapping[str, int] = field(default_factory=dict)
    non_padded: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    adapter_config: Mapping[str, object] = field(default_factory=dict)
    files: tuple[FileState, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    key: Optional[str] = None

    @property
    def model_type(self) -> Optional[str]:
        """`config["model"]["type"]`, or None if it is missing."""
        model = self.config.get("model")
        kind = model.get("type") if isinstance(model, Mapping) else None
        return kind if isinstance(kind, str) else None
