"""An opened model: its tensors, what its archive says about it, and where it came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from allennlp_analyze.sources.tensor import StoredTensor


@dataclass(frozen=True)
class Source:
    """What could be read from an archive, a serialization directory or a weights file.

    `tensors` in state-dict order. `config` is the parsed config.json ({} where there is none).
    `vocabulary` gives the number of lines of each `vocabulary/<namespace>.txt` ({} where none).
    `non_padded` holds the patterns of `vocabulary/non_padded_namespaces.txt` (() where none).
    `sha256` is of the file that was named (None for a directory). `weights_file` is "" where the
    tensors are in memory. `warnings` are for the user.
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

    @property
    def model_type(self) -> Optional[str]:
        """`config["model"]["type"]`, None where the configuration does not say."""
        model = self.config.get("model")
        kind = model.get("type") if isinstance(model, Mapping) else None
        return kind if isinstance(kind, str) else None
