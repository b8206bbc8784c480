"""The library's entry points: `analyze` a model, and `load` the report of a run."""

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Optional, Union

from allennlp_analyze.analysis.pipeline import analyze_archive, analyze_source
from allennlp_analyze.analysis.request import Building, Limits, Reading
from allennlp_analyze.errors import UsageError
from allennlp_analyze.matrices.modules import table_from_model
from allennlp_analyze.options.choices import checked, given, laid_over
from allennlp_analyze.options.option import Place, Section, options_at
from allennlp_analyze.options.table import TABLE
from allennlp_analyze.reference.comparison import beside_reference
from allennlp_analyze.reference.table import read_reference
from allennlp_analyze.report import Report
from allennlp_analyze.reports.loader import load_report
from allennlp_analyze.results.layer import ModelReport
from allennlp_analyze.settings import Settings
from allennlp_analyze.sources.in_memory import (
    is_module,
    is_scripted,
    is_tensor,
    mapping_source,
    module_source,
)
from allennlp_analyze.sources.opening import open_source
from allennlp_analyze.sources.source import Source

if TYPE_CHECKING:
    import torch

    Model = Union[str, os.PathLike[str], Mapping[str, Any], torch.nn.Module]

_OF_FILES = (Section.WEIGHTS, Section.LIMITS, Section.BUILDING, Section.WORKERS)
ACCEPTED = "a path or URL, a mapping of names to tensors (torch or numpy), or a torch.nn.Module"


def analyze(
    model: "Model",
    *,
    kinds: Union[str, Iterable[str], None] = Settings.kinds,
    layers: Optional[str] = Settings.layers,
    split_gates: bool = Settings.split_gates,
    split_heads: bool = Settings.split_heads,
    loose_tolerance: float = Settings.loose_tolerance,
    gamma: Optional[float] = Settings.gamma,
    compare_distributions: bool = Settings.compare_distributions,
    uncertainty: bool = Settings.uncertainty,
    base: "Optional[Model]" = None,
    max_dim: int = Settings.max_dim,
    jobs: Optional[int] = Settings.jobs,
    cuda_device: int = Settings.cuda_device,
    eigensolver: str = Settings.eigensolver,
    weights_file: Union[str, "os.PathLike[str]", None] = Reading.weights_file,
    part: Union[str, "os.PathLike[str]", None] = Reading.part,
    key: Optional[str] = Reading.key,
    sha256: Optional[str] = Reading.sha256,
    timeout: float = Limits.timeout,
    cache: bool = Limits.cache,
    max_unpacked_size: Union[int, str] = Limits.max_unpacked_size,
    build_model: bool = Building.build_model,
    overrides: Union[str, Mapping[str, Any]] = Building.overrides,
    include_packages: Union[str, Sequence[str]] = Building.include_packages,
    quiet: bool = True,
    reference: Union[str, "os.PathLike[str]", None] = None,
    dask: Optional[str] = None,
) -> Report:
    """Measure every weight matrix of `model`. Writes no files and does not change the model.

    `model` is anything that the command accepts (a URL, an archive, a directory, a weights file), a
    state dict, or a module, whose classes then decide the kind of each matrix. Tensors may be torch
    tensors of any floating type on any device, or numpy arrays. A wrapped checkpoint ("state_dict"
    and so on) is unwrapped. Tensors are read in place, one at a time.

    The keywords are the command's options (see docs/reference/cli.md): those from `kinds` to
    `eigensolver` are the fields of `Settings`, but for `base`: the model that training started
    from, of the same types as `model`. Layers are judged by what they have lost since, and adapters
    are set beside its weights. The keywords from `weights_file` to `include_packages` say how to
    read a path or URL, and are an error for other models, but for `key`, which picks one of several
    state dicts of a mapping, too. `reference` names published numbers, or a file of them, to
    compare with. Without `quiet`, a terminal shows the progress. The workers of the Dask scheduler
    at the address `dask` measure the model, if it is a path or URL that they can read, too.

    Raises `UsageError` for an invalid model or option, and `SourceError` if the model cannot be
    read or contains no weight matrix.

    >>> import numpy as np
    >>> analyze({"W": np.diag([3.0, 2.0, 1.0])}).layer("W").singular_values
    array([3., 2., 1.])
    """
    return _analyze(**locals())


def load(path: Union[str, "os.PathLike[str]"]) -> Report:
    """Load the report that `Report.write` or the command has written into the directory `path`.

    It equals the report that was written. Raises `SourceError` if it is missing, damaged, or has
    another version.
    """
    return Report.of(load_report(path))


def _analyze(model: "Model", **choices: Any) -> Report:
    """Run `analyze` with all its keywords in `choices`."""
    settings = laid_over(Settings(), choices)
    quiet: bool = checked("quiet", choices["quiet"])
    reference: Optional[str] = checked("reference", choices["reference"])
    path, base = _path(model), _base(choices["base"])
    if path is None:
        _refuse_in_memory(model, choices)
        # A wrong reference is found before the work.
        published = None if reference is None else read_reference(reference)
        key: Optional[str] = checked("key", choices["key"])
        report = _analyzed_in_memory(model, key, settings, base, quiet)
        if published is not None:
            report = beside_reference(report, published)
    else:
        reading, building = laid_over(Reading(path), choices), laid_over(Building(), choices)
        dask: Optional[str] = checked("dask", choices["dask"])
        report = analyze_archive(
            reading, settings, building, reference=reference, base=base, dask=dask, quiet=quiet
        )
    return Report.of(report)


def _refuse_in_memory(model: Any, choices: Mapping[str, Any]) -> None:
    """Raises `UsageError` for what is no mapping or module, and for options for files."""
    if not isinstance(model, Mapping) and not is_module(model):
        raise UsageError(_refusal(model))
    of_files = [x.name for x in options_at(Place.LIBRARY, TABLE).values() if x.section in _OF_FILES]
    # One of several state dicts may be picked from a mapping, too.
    said = [x for x in given(of_files, choices) if x != "key" or is_module(model)]
    if said:
        raise UsageError(f"{', '.join(said)}: only for a path or URL, not for a model in memory")


def _base(model: Any) -> Union[str, Source, None]:
    """Returns the base model: a path or URL, or opened if it is in memory."""
    if model is None or _path(model) is not None:
        path: Optional[str] = checked("base", model)
        return path
    if is_module(model):
        return module_source(model)[0]
    if not isinstance(model, Mapping):
        raise UsageError(f"base: {_refusal(model)}")
    return mapping_source(model)


def _analyzed_in_memory(
    model: Any,
    key: Optional[str],
    settings: Settings,
    base: Union[str, Source, None],
    quiet: bool,
) -> ModelReport:
    """Returns the report of a mapping, or of the state dict under `key` in it, or a module."""
    with contextlib.ExitStack() as stack:
        start = stack.enter_context(open_source(base)) if isinstance(base, str) else base
        if not is_module(model):
            source = mapping_source(model, key)
            report = analyze_source(source, None, settings, base=start, quiet=quiet)
            return replace(report, settings={**report.settings, "key": key})
        source, module = module_source(model)
        # A scripted module does not show the classes of its layers.
        table = None if is_scripted(module) else table_from_model(module)
        return analyze_source(source, table, settings, base=start, quiet=quiet)


def _path(model: object) -> Optional[str]:
    """Returns `model` if it is a path or URL, otherwise None."""
    path = os.fspath(model) if isinstance(model, os.PathLike) else model
    return path if isinstance(path, str) else None


def _refusal(model: object) -> str:
    alone = "; a tensor alone needs a name: {'W': tensor}" if is_tensor(model) else ""
    return f"a model of type {type(model).__name__} cannot be analyzed: expected {ACCEPTED}{alone}"
