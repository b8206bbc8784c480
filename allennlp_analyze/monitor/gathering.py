"""Puts tensors that are spread over the processes together, one at a time, for the first process.

FSDP2 and tensor parallelism keep a part of each parameter (a DTensor) in every process. The whole
is computed by all of them together, so the others wait for the name of a tensor, take part, and
throw their copy away, until the first process has finished its check.
"""

import logging
import zlib
from collections.abc import Mapping
from typing import Any

from allennlp_analyze.errors import TensorError, UsageError
from allennlp_analyze.monitor.processes import (
    first_process_sends,
    is_distributed,
    is_first_process,
)
from allennlp_analyze.sources.in_memory import is_spread, unwrapped

logger = logging.getLogger(__name__)

_END = -1
_FSDP1 = "FullyShardedDataParallel"


def refuse_unreadable(model: Any) -> None:
    """Raise `UsageError` for a model whose parts nobody but its own engine puts together."""
    for module in model.modules():
        if any(base.__name__ == _FSDP1 for base in type(module).__mro__):
            raise UsageError(
                f"model: {type(module).__name__}: its flat shards cannot be monitored; use torch's"
                " fully_shard (FSDP2), or analyze the checkpoints that it saves"
            )
    for name, parameter in model.named_parameters():
        if hasattr(parameter, "ds_id") and hasattr(parameter, "ds_tensor"):
            raise UsageError(
                f"model: {name}: parameters that DeepSpeed ZeRO-3 shards cannot be monitored; use"
                " ZeRO stage 1 or 2, or analyze what zero_to_fp32.py makes of a checkpoint"
            )


class Gathering:
    """The spread tensors of `model` at one check. Each process makes one at the same time."""

    def __init__(self, model: Any) -> None:
        self._tensors: Mapping[str, Any] = {}
        if is_distributed():
            found = unwrapped(model).state_dict()
            self._tensors = {name: tensor for name, tensor in found.items() if is_spread(tensor)}
        self._last: tuple[str, Any] = ("", None)

    @property
    def is_needed(self) -> bool:
        """Whether the other processes must take part in the check."""
        return bool(self._tensors)

    def whole(self, name: str) -> Any:
        """Returns all of a tensor, in the first process. Raises `TensorError`."""
        if name != self._last[0]:  # a fused tensor is read once for each of its parts
            self._last = ("", None)
            first_process_sends(_number(name))
            try:
                self._last = (name, self._tensors[name].detach().full_tensor())
            except Exception as error:
                raise TensorError(f"{name}: failed to gather it ({error})") from None
        return self._last[1]

    def serve(self) -> None:
        """Take part in what the first process puts together; in the other processes."""
        if not self.is_needed:
            return
        by_number = {_number(name): tensor for name, tensor in self._tensors.items()}
        while (number := first_process_sends(_END)) != _END:
            try:
                if number in by_number:  # another stage of a pipeline has other layers
                    by_number[number].detach().full_tensor()
            except Exception:
                logger.debug("failed to take part", exc_info=True)

    def end(self) -> None:
        """Let the other processes go on with the training."""
        if self.is_needed and is_first_process():
            first_process_sends(_END)


def not_now(name: str) -> Any:
    """Stands for `Gathering.whole` where the other processes do not take part."""
    raise TensorError(f"{name}: spread over the processes")


def _number(name: str) -> int:
    return zlib.crc32(name.encode())
