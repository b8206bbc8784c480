"""Tells a trainer's own files (optimizer, scheduler, random state) from those with a model."""

import re
from pathlib import Path

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.formats.registry import FORMATS
from allennlp_analyze.storage.files import open_regular
from allennlp_analyze.storage.zip_directory import checked_zip

MAX_PICKLE_BYTES = 64 * 2**20

# The names that transformers, accelerate, AllenNLP and DeepSpeed give.
_NAMES = re.compile(
    r"""(
      (lr_?)?(optim|optimizer|optimizers|scheduler|sched|scaler|sampler)(_states?)?([-_.]?\d+)?
        \.(pt|pth|bin|th|ckpt|pkl|safetensors)
    | rng_states?([-_]\d+)?\.(pt|pth|bin|pkl|th)
    | random_states?([-_]\d+)?\.(pkl|pt|bin)
    | training_args\.(bin|pt) | training_state(_.*)?\.(th|pt|pth|bin)
    | trainer_state\.(json|pt|pth|bin) | dl_state_dict\.bin | custom_checkpoint_\d+\.pkl
    | .+_optim_states\.pt
    )""",
    re.VERBOSE | re.IGNORECASE,
)
# Words in the pickles of optimizers, schedulers and scalers of gradients.
_MARKS = (b"param_groups", b"last_epoch", b"growth_tracker", b"metric_tracker")


def is_trainers_own(path: Path) -> bool:
    """Whether a file belongs to a trainer, by its name, and by its contents where they can be read.

    A file of such a name with matrices of a model is a model; an optimizer is none, whatever its
    name is.
    """
    named = _NAMES.fullmatch(path.name) is not None
    if not path.name.lower().endswith(FORMATS[-1].endings):
        return named
    if not named and not any(mark in _pickle(path) for mark in _MARKS):
        return False
    from allennlp_analyze.sources.formats.torch_file import read_contents, read_torch

    try:
        read_contents(path)
    except SourceError:
        return named  # damaged, which its reader will say
    try:
        tensors = read_torch(path).tensors.values()
    except SourceError:
        return True  # it holds no tensors of a model
    return not any(len(tensor.shape) > 1 for tensor in tensors)


def is_trainers_name(name: str) -> bool:
    """Whether a trainer gives this name to one of its own files."""
    return _NAMES.fullmatch(name) is not None


def _pickle(path: Path) -> bytes:
    """Returns the pickle of a torch file, or what is in its place; b"" if it cannot be read."""
    try:
        with open_regular(path) as file:
            if file.read(4) != b"PK\x03\x04":
                file.seek(0)
                return file.read(2**20)
            with checked_zip(file) as archive:
                name = next(x for x in archive.namelist() if x.endswith("data.pkl"))
                with archive.open(name) as record:
                    return record.read(MAX_PICKLE_BYTES)
    except Exception:  # the reader of the file will say what is wrong with it
        return b""
