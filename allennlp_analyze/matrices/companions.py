"""Finds tensors that together are one weight, and puts them together as torch does.

Weight and spectral normalization, pruning and orthogonal maps store other tensors in place of the
weight that a layer multiplies by; wrappers store a second one beside it.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Callable, Optional

import numpy as np

from allennlp_analyze.matrices.assembled import (
    fits_weight_norm,
    orthogonal,
    pruned,
    spectral_normed,
    weight_normed,
)
from allennlp_analyze.matrices.names import split_name
from allennlp_analyze.sources.tensor import StoredTensor

Places = Mapping[tuple[str, str], StoredTensor]

_PARAMETRIZATIONS = "parametrizations."
_STATE = re.compile(r"((?:.*\.)?parametrizations\.[^.]+)\.(\d+\..+)")
_ORIGINAL = re.compile(r"((?:.*\.)?parametrizations\.[^.]+)\.original(\d*)")
_MOST_ORIGINALS = 100
_REPLACED, _REPLACING = ".original_module.", ".modules_to_save."
_DROPPED_OUT = ".module"  # of fastai's WeightDropout
_NOT_THE_WEIGHT = "the stored parameter, not the weight that the layer computes from it: {}"
_NO_FIT = "{} of shape {} does not fit"
_LARGEST_ORTHOGONAL = 2048  # a matrix exponential takes thirty times as long as the spectrum
_TOO_LARGE = (
    f"parameter of an orthogonal matrix of more than {_LARGEST_ORTHOGONAL} rows: not computed"
)
_ORTHOGONAL = "orthogonal by torch's usual map ({}); the file does not name the map"
_MAPS = {True: "matrix exponential", False: "Householder"}


@dataclass(frozen=True)
class Assembly:
    """How the weight comes from the tensor that the report names.

    `load` assembles it; None if it is as stored. `note` says what the report must not hide.
    """

    load: Optional[Callable[[], np.ndarray]] = field(default=None, repr=False, compare=False)
    note: Optional[str] = None


@dataclass(frozen=True)
class Companions:
    """The assemblies by the name of their tensor, and why each other tensor is no matrix.

    `unread` are the weights that cannot be assembled, and why.
    """

    assemblies: Mapping[str, Assembly]
    reasons: Mapping[str, str]
    unread: Mapping[str, str]


def find_companions(tensors: Mapping[str, StoredTensor], places: Places) -> Companions:
    """Returns what belongs together; `places` are all tensors by module and leaf."""
    return _Finder(tensors, places).find()


class _Finder:
    def __init__(self, tensors: Mapping[str, StoredTensor], places: Places) -> None:
        self._tensors = tensors
        self._places = places
        self._states = _states(tensors)
        self._replacing = _replacing(tensors)
        self._assemblies: dict[str, Assembly] = {}
        self._reasons: dict[str, str] = {}
        self._unread: dict[str, str] = {}

    def find(self) -> Companions:
        for name, tensor in self._tensors.items():
            module, leaf = split_name(name)
            parametrized = _ORIGINAL.fullmatch(name) if _PARAMETRIZATIONS in name else None
            if parametrized is not None:
                if parametrized[2] in ("", "0"):  # the others with the first one
                    self._parametrized(tensor, parametrized[1])
            elif leaf.endswith(("_v", "_orig", "_bar")) and tensor.shape:
                self._hooked(tensor, module, leaf)
            if name in self._replacing:
                other = self._replacing[name]
                self._reasons[name] = f"replaced by {other}, which was trained"
            elif module.endswith(_DROPPED_OUT):
                raw = self._places.get((module[: -len(_DROPPED_OUT)], f"{leaf}_raw"))
                if raw is not None and raw.shape == tensor.shape:
                    self._reasons[name] = f"a copy of {raw.name}, with dropout"
        return Companions(self._assemblies, self._reasons, self._unread)

    def _hooked(self, tensor: StoredTensor, module: str, leaf: str) -> None:
        """What weight_norm, spectral_norm and prune of torch.nn.utils store.

        `_bar` in place of `_orig` is of the spectral norm that was in use before torch had one.
        """
        stem, _, ending = leaf.rpartition("_")
        g, u, v, mask = (self._places.get((module, f"{stem}_{x}")) for x in "g u v mask".split())
        computed = self._places.get((module, stem))
        if ending == "v":
            if g is not None and (len(g.shape) > 1 or stem.startswith("weight")):
                self._weight_normed(tensor, g)
            return
        if u is not None and len(tensor.shape) > 1:
            if v is not None:
                self._spectral_normed(tensor, u, v)
            else:
                self._note(tensor, f"{module}.{stem}_v of its spectral normalization is missing")
        elif mask is not None and mask.shape == tensor.shape and _is_real(mask):
            self._masked(tensor, mask)
        elif mask is not None and ending == "orig" and len(tensor.shape) > 1:
            self._note(tensor, _NO_FIT.format(mask.name, mask.shape))
            return
        else:
            return
        if computed is not None and computed.shape == tensor.shape:
            self._reasons[computed.name] = f"computed from {tensor.name}"

    def _parametrized(self, first: StoredTensor, path: str) -> None:
        """What torch.nn.utils.parametrize stores: `original`, or `original0` and more."""
        state = self._states.get(path, {})
        others = list(self._more_originals(path))
        if first.is_weight:
            reason = f"part of the parametrization of {first.name}"
            self._reasons.update((x.name, reason) for x in (*others, *state.values()))
            return
        if len(others) == 1 and not state and fits_weight_norm(others[0].shape, first.shape):
            self._weight_normed(others[0], first)
        elif not others and set(state) == {"0._u", "0._v"}:
            self._spectral_normed(first, state["0._u"], state["0._v"])
        elif not others and set(state) == {"0.base"} and _is_base(first, state["0.base"]):
            self._orthogonal(first, state["0.base"])
        else:
            for tensor in (first, *others):
                self._note(tensor, "the file does not say how; analyze the module in memory")
            reason = f"part of the parametrization of {first.name}"
            self._reasons.update((x.name, reason) for x in state.values())

    def _more_originals(self, path: str) -> Iterator[StoredTensor]:
        for index in range(1, _MOST_ORIGINALS):
            tensor = self._tensors.get(f"{path}.original{index}")
            if tensor is None:
                return
            yield tensor

    def _weight_normed(self, v: StoredTensor, g: StoredTensor) -> None:
        if _is_real(g) and fits_weight_norm(v.shape, g.shape):
            self._assemblies[v.name] = Assembly(partial(weight_normed, v, g))
            self._reasons[g.name] = f"weight normalization: multiplied into {v.name}"
        else:
            self._note(v, _NO_FIT.format(g.name, g.shape))

    def _spectral_normed(self, weight: StoredTensor, u: StoredTensor, v: StoredTensor) -> None:
        fits = len(u.shape) == len(v.shape) == 1 and u.shape[0] in weight.shape
        if (
            fits
            and _is_real(u)
            and _is_real(v)
            and u.shape[0] * v.shape[0] == math.prod(weight.shape)
        ):
            self._assemblies[weight.name] = Assembly(partial(spectral_normed, weight, u, v))
        else:
            self._note(weight, _NO_FIT.format(u.name, u.shape))
        reason = f"singular vector of the spectral normalization of {weight.name}"
        self._reasons.update({u.name: reason, v.name: reason})

    def _orthogonal(self, weight: StoredTensor, base: StoredTensor) -> None:
        if max(weight.shape) > _LARGEST_ORTHOGONAL:
            self._unread[weight.name] = _TOO_LARGE
        else:
            note = _ORTHOGONAL.format(_MAPS[weight.shape[0] == weight.shape[1]])
            self._assemblies[weight.name] = Assembly(partial(orthogonal, weight, base), note)
        self._reasons[base.name] = f"part of the orthogonal matrix of {weight.name}"

    def _masked(self, weight: StoredTensor, mask: StoredTensor) -> None:
        self._assemblies[weight.name] = Assembly(partial(pruned, weight, mask))
        self._reasons[mask.name] = f"mask of pruning: multiplied into {weight.name}"

    def _note(self, weight: StoredTensor, why: str) -> None:
        self._assemblies[weight.name] = Assembly(note=_NOT_THE_WEIGHT.format(why))


def _states(tensors: Mapping[str, StoredTensor]) -> dict[str, dict[str, StoredTensor]]:
    """What torch's parametrizations store beside the parameter, as "0._u", by their path."""
    states: dict[str, dict[str, StoredTensor]] = {}
    for name, tensor in tensors.items():
        match = _STATE.fullmatch(name) if _PARAMETRIZATIONS in name else None
        if match is not None:
            states.setdefault(match[1], {})[match[2]] = tensor
    return states


def _replacing(tensors: Mapping[str, StoredTensor]) -> dict[str, str]:
    """The trained tensor by the name of that which it replaces.

    PEFT keeps the module that it replaces beside the trained one, which has an adapter's name.
    """
    found: dict[str, str] = {}
    for name in tensors:
        before, wrapper, rest = name.partition(_REPLACING)
        replaced = f"{before}{_REPLACED}{rest.partition('.')[2]}"
        if wrapper and replaced in tensors:
            found.setdefault(replaced, name)
    return found


def _is_base(weight: StoredTensor, base: StoredTensor) -> bool:
    if len(weight.shape) != 2 or not _is_real(base):
        return False
    return base.shape == (max(weight.shape),) * 2


def _is_real(tensor: StoredTensor) -> bool:
    """Whether the values can be read and multiplied into a weight."""
    return tensor.unsupported is None and not tensor.dtype.startswith("complex")
