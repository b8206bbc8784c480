"""Takes names of parameters apart: the module, the parameter in it, wrappers."""

import re

# Modules that hold the layer that they wrap under one of these names.
_WRAPPERS = frozenset(
    "_module module _orig_mod base_layer original_module _fsdp_wrapped_module"
    " _checkpoint_wrapped_module default".split()
)
# Those of torch that nobody else's module has: savers leave some of them out of the names.
_OF_TORCH = frozenset(("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))
_WRAPPERS_BY_NAME = "modules_to_save"  # PEFT's, followed by the name of the adapter
_WRAPPED = (*_WRAPPERS, _WRAPPERS_BY_NAME)
# What is stored of a parametrized parameter, and what older functions call the same.
_PARAMETRIZED = re.compile(r"(?:(.*)\.)?parametrizations\.([^.]+)\.original([01]?)")
_OLDER_ENDINGS = {"": "_orig", "0": "_g", "1": "_v"}
_STORED_FOR = re.compile(r"(.+)_orig|(.*weight(?:_(?:[ih]h|hr)_l\d+(?:_reverse)?)?)_(?:v|bar|raw)")


def split_name(name: str) -> tuple[str, str]:
    """Returns the path of the module ("" for the model itself) and the parameter's name in it.

    The parts of a parametrized parameter belong to the layer, under the names that
    `torch.nn.utils.weight_norm` and `spectral_norm` use.
    """
    if name.endswith(("original", "original0", "original1")):
        found = _PARAMETRIZED.fullmatch(name)
        if found is not None:
            return found[1] or "", found[2] + _OLDER_ENDINGS[found[3]]
    if name.endswith(":0"):  # TensorFlow's "dense/kernel:0"
        name = name[:-2].replace("/", ".")
    module, _, leaf = name.rpartition(".")
    return module, leaf


def looked_through(path: str) -> str:
    """Returns the path of a module without the wrappers in it, such as `_orig_mod`."""
    if not any(part in path for part in _WRAPPED):
        return path  # most names
    kept = []
    parts = iter(path.split("."))
    for part in parts:
        if part == _WRAPPERS_BY_NAME:
            next(parts, None)
        elif part not in _WRAPPERS:
            kept.append(part)
    return ".".join(kept)


def without_torch_wrappers(path: str) -> str:
    """Returns a path or a name without the wrappers of torch.compile, FSDP and checkpointing.

    So a layer has one name, whether a trainer saves the compiled model or what it wraps.
    """
    if not any(part in path for part in _OF_TORCH):
        return path
    kept = [part for part in path.split(".") if part not in _OF_TORCH]
    return ".".join(kept) or path


def plain_name(parameter: str) -> str:
    """Returns the name of a parameter without the wrappers in it."""
    module, _, leaf = parameter.rpartition(".")
    seen = looked_through(module)
    return parameter if seen == module else joined(seen, leaf)


def stands_for(leaf: str) -> str:
    """Returns the parameter from which `leaf` was made: `weight` for `weight_v`."""
    found = _STORED_FOR.fullmatch(leaf)
    return (found[1] or found[2]) if found else leaf


def joined(module: str, leaf: str) -> str:
    return f"{module}.{leaf}" if module else leaf
