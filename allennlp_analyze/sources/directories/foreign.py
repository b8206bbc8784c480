"""The table of directories that are a model of a format that is not read."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Callable, Optional

from allennlp_analyze.sources.formats.foreign import JOIN_ZERO, ORIGINAL, SAVE, zero_part


@dataclass(frozen=True)
class ForeignDirectory:
    """A directory that is a model of a format that is not read, by the names of its files."""

    what: str
    advice: str
    recognizes: Callable[[Collection[str]], bool]

    def owns(self, name: str) -> bool:
        """Whether a file of this name can be one of the format's own, not a model beside it."""
        return name.endswith("model_states.pt")

    @property
    def described(self) -> str:
        return f"is {self.what}, which is not read; {self.advice}"


def _any_ends(names: Collection[str], *endings: str) -> bool:
    return any(name.endswith(endings) for name in names)


DIRECTORIES: tuple[ForeignDirectory, ...] = (
    ForeignDirectory(
        "a part of a distributed checkpoint of torch (DCP)",
        "put its .metadata beside it",
        lambda names: _any_ends(names, ".distcp") and ".metadata" not in names,
    ),
    ForeignDirectory(
        "a checkpoint of DeepSpeed ZeRO in parts",
        JOIN_ZERO,
        lambda names: any(zero_part(name) == "model" for name in names),
    ),
    ForeignDirectory(
        "a checkpoint of Orbax",
        SAVE,
        lambda names: bool({"manifest.ocdbt", "_METADATA", "_CHECKPOINT_METADATA"} & {*names}),
    ),
    ForeignDirectory(
        "a SavedModel of TensorFlow",
        SAVE,
        lambda names: bool({"saved_model.pb", "saved_model.pbtxt"} & {*names}),
    ),
    ForeignDirectory(
        "a Core ML package",
        ORIGINAL,
        lambda names: {"Manifest.json", "Data"} <= {*names},
    ),
    ForeignDirectory(
        "a directory of TensorFlow checkpoints",
        SAVE,
        lambda names: any(
            f"{name[: -len('.index')]}.data-00000-of-00001" in names
            for name in names
            if name.endswith(".index")
        ),
    ),
)

# The directory above: its parts may be read, under ZeRO 1 and 2.
ABOVE_ZERO = ForeignDirectory(
    "a directory of checkpoints of DeepSpeed ZeRO in parts",
    JOIN_ZERO,
    lambda names: "zero_to_fp32.py" in names,
)


def recognized_directory(names: Collection[str]) -> Optional[ForeignDirectory]:
    """Returns the entry for a directory with files and directories of these names, or None."""
    return next((known for known in DIRECTORIES if known.recognizes(names)), None)
