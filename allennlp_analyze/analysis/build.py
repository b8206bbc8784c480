"""Builds a trusted archive's modules with AllenNLP; only here can code of the archive run."""

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
    """Build the AllenNLP model that `source` describes with `Model.load`, without a dataset reader.

    `overrides` is JSON as for `allennlp evaluate --overrides`; `packages` are imported first, with
    all their submodules. Raises `SourceError` if AllenNLP is not installed, the configuration is
    missing, or building fails, with the reason in one line.
    """
    if not source.config:
        raise SourceError("config.json is missing, so the modules cannot be built")
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
    except Exception as error:  # the archive's code may raise anything
        reason = one_line(error, 300) or "no message"
        raise SourceError(f"{type(error).__name__}: {reason}") from error


def _register(packages: Sequence[str]) -> None:
    """Import AllenNLP's plugins and the user's packages, so that their models are registered."""
    importlib.import_module("allennlp.common.plugins").import_plugins()
    for package in packages:
        importlib.import_module("allennlp.common.util").import_module_and_submodules(package)


@contextlib.contextmanager
def _serialization_dir(source: Source) -> Iterator[Path]:
    """A directory with config.json, vocabulary and weights: the user's own, or an unpacked one."""
    if Path(source.resolved).is_dir():
        yield Path(source.resolved)
        return
    archival = importlib.import_module("allennlp.models.archival")
    with archival.extracted_archive(source.resolved, cleanup=True) as directory:
        yield Path(directory)


def _weights_path(source: Source, directory: Path) -> str:
    """Returns the path in `directory` of the weights file that was analyzed."""
    inside = directory / source.weights_file  # an absolute path is not changed
    return str(inside) if inside.is_file() else source.weights_file


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Hide AllenNLP's log lines, warnings and prints from the user's terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stderr(io.StringIO()):
                yield
    finally:
        logging.disable(before)
