"""Builds a trusted archive's modules with AllenNLP: the only path on which its code can run."""

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.source import Source
from allennlp_analyze.text.lines import one_line

CONFIG = "config.json"


def build_model(source: Source, overrides: str, packages: Sequence[str]) -> object:
    """The AllenNLP model that `source` describes, built by `Model.load` without a dataset reader.

    `overrides` is JSON as for `allennlp evaluate --overrides`; `packages` are imported first, with
    all their submodules. Raises `SourceError` when AllenNLP is not installed, when there is no
    configuration, and when building fails, with the reason in one line.
    """
    if not source.config:
        raise SourceError("there is no config.json to build the modules from")
    try:
        models = importlib.import_module("allennlp.models")
    except ImportError:
        raise SourceError("AllenNLP is not installed in this environment") from None
    try:
        with _silence(), _serialization_dir(source) as directory:
            _register(packages)
            params = importlib.import_module("allennlp.common").Params
            config = params.from_file(str(directory / CONFIG), overrides)
            weights = _weights_path(source, directory)
            return models.Model.load(config, str(directory), weights_file=weights, cuda_device=-1)
    except Exception as error:  # whatever the archive's own code raises
        reason = one_line(error, 300) or "no message"
        raise SourceError(f"{type(error).__name__}: {reason}") from error


def _register(packages: Sequence[str]) -> None:
    """Import AllenNLP's plugins and the user's packages, so that their models are known."""
    importlib.import_module("allennlp.common.plugins").import_plugins()
    for package in packages:
        importlib.import_module("allennlp.common.util").import_module_and_submodules(package)


@contextlib.contextmanager
def _serialization_dir(source: Source) -> Iterator[Path]:
    """A directory with config.json, vocabulary and weights: the user's own, or one unpacked."""
    if Path(source.resolved).is_dir():
        yield Path(source.resolved)
        return
    archival = importlib.import_module("allennlp.models.archival")
    with archival.extracted_archive(source.resolved, cleanup=True) as directory:
        yield Path(directory)


def _weights_path(source: Source, directory: Path) -> str:
    """The weights file that was analyzed, as it lies in `directory`."""
    inside = directory / source.weights_file  # an absolute path stays what it is
    return str(inside) if inside.is_file() else source.weights_file


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep AllenNLP's log lines, warnings and prints off the user's terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stderr(io.StringIO()):
                yield
    finally:
        logging.disable(before)
