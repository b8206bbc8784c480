"""The library's front door: `analyze` a model, `load` what a run has written."""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from allennlp_analyze._keywords import in_keywords, settings_of
from allennlp_analyze.analysis.pipeline import Request, analyze_archive, analyze_source
from allennlp_analyze.errors import UsageError
from allennlp_analyze.matrices.modules import table_from_model
from allennlp_analyze.reference.comparison import beside_reference
from allennlp_analyze.reference.table import read_reference
from allennlp_analyze.report import Report
from allennlp_analyze.reports.loader import load_report
from allennlp_analyze.results.layer import ModelReport
from allennlp_analyze.settings import MAX_UNPACKED_SIZE, TIMEOUT, Settings
from allennlp_analyze.sources.in_memory import (
    is_module,
    is_scripted,
    is_tensor,
    mapping_source,
    module_source,
)

if TYPE_CHECKING:
    import torch

    Model = Union[str, os.PathLike[str], Mapping[str, Any], torch.nn.Module]

ACCEPTED = "a path or URL, a mapping of names to tensors (torch or numpy), or a torch.nn.Module"


def analyze(
    model: "Model",
    *,
    kinds: Union[str, Iterable[str], None] = Settings.kinds,
    layers: Optional[str] = Settings.layers,
    split_gates: bool = Settings.split_gates,
    loose_tolerance: float = Settings.loose_tolerance,
    gamma: Optional[float] = Settings.gamma,
    compare_distributions: bool = Settings.compare_distributions,
    max_dim: int = Settings.max_dim,
    jobs: Optional[int] = Settings.jobs,
    cuda_device: int = Settings.cuda_device,
    weights_file: Union[str, "os.PathLike[str]", None] = Request.weights_file,
    sha256: Optional[str] = Request.sha256,
    timeout: float = TIMEOUT,
    max_unpacked_size: int = MAX_UNPACKED_SIZE,
    build_model: bool = Request.build_model,
    overrides: str = Request.overrides,
    include_packages: Sequence[str] = Request.include_packages,
    reference: Union[str, "os.PathLike[str]", None] = Request.reference,
    quiet: bool = True,
) -> Report:
    """Measure every weight matrix of `model`; writes nothing, changes nothing.

    `model` is what the command takes (a URL, an archive, a directory, a weights file), or a state
    dict, or a module: then the classes of its modules say what kind each matrix is of. Tensors may
    be of torch, on any device and of any floating type, or of numpy; a checkpoint's wrapping
    ("state_dict" and the like) is taken off. They are read one at a time, in place.

    The keywords are the command's options, see docs/cli.md: from `kinds` to `cuda_device` those of
    `Settings`; from `weights_file` to `include_packages` they say how a path or URL is read, and
    are refused for anything else. `reference` names published numbers, or a file of them, that the
    report sets beside the model's. Without `quiet` a terminal shows the progress.

    Raises `UsageError` for what cannot be analyzed or chosen, `SourceError` for what cannot be read
    or holds no weight matrix.

    >>> import numpy as np
    >>> analyze({"W": np.diag([3.0, 2.0, 1.0])}).layer("W").singular_values
    array([3., 2., 1.])
    """
    with in_keywords():
        settings = settings_of(
            kinds=kinds,
            layers=layers,
            split_gates=split_gates,
            loose_tolerance=loose_tolerance,
            gamma=gamma,
            compare_distributions=compare_distributions,
            max_dim=max_dim,
            jobs=jobs,
            cuda_device=cuda_device,
        )
        request = Request(
            archive=_path(model) or "",
            weights_file=None if weights_file is None else os.fspath(weights_file),
            sha256=sha256,
            timeout=timeout,
            max_unpacked_size=max_unpacked_size,
            build_model=build_model,
            overrides=overrides,
            include_packages=tuple(include_packages),
            reference=None if reference is None else os.fspath(reference),
            quiet=quiet,
        )
        return Report.of(_analyzed(model, request, settings))


def load(path: Union[str, "os.PathLike[str]"]) -> Report:
    """What `Report.write` or the command has written into the directory `path`.

    Equal to what was written. Raises `SourceError` for what is not there, damaged, or of another
    version.
    """
    return Report.of(load_report(Path(path)))


def _analyzed(model: Any, request: Request, settings: Settings) -> ModelReport:
    if _path(model) is not None:
        return analyze_archive(request, settings)
    if not isinstance(model, Mapping) and not is_module(model):
        raise UsageError(_refusal(model))
    _refuse_reading(request)
    reference = None if request.reference is None else read_reference(request.reference)
    report = _analyzed_in_memory(model, request, settings)
    return report if reference is None else beside_reference(report, reference)


def _analyzed_in_memory(model: Any, request: Request, settings: Settings) -> ModelReport:
    if not is_module(model):
        return analyze_source(mapping_source(model), None, request, settings)
    source, module = module_source(model)
    # The classes of a scripted module's layers are no longer to be seen.
    table = None if is_scripted(module) else table_from_model(module)
    return analyze_source(source, table, request, settings)


def _path(model: object) -> Optional[str]:
    """The path or URL that `model` is, None where it is something else."""
    path = os.fspath(model) if isinstance(model, os.PathLike) else model
    return path if isinstance(path, str) else None


def _refusal(model: object) -> str:
    alone = "; a tensor alone needs a name: {'W': tensor}" if is_tensor(model) else ""
    return f"a model of type {type(model).__name__} cannot be analyzed: give {ACCEPTED}{alone}"


def _refuse_reading(request: Request) -> None:
    """Raise `UsageError` when something is said on how to read what is not read from anywhere."""
    plain = Request(request.archive, quiet=request.quiet, reference=request.reference)
    said = [
        field.name
        for field in dataclasses.fields(Request)
        if getattr(request, field.name) != getattr(plain, field.name)
    ]
    if said:
        raise UsageError(f"{', '.join(said)}: only for a path or URL, not for what is in memory")
