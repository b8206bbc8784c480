"""Loads report.json and singular_values.npz of a run as a `ModelReport`."""

import dataclasses
import mmap
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from allennlp_analyze.errors import SourceError
from allennlp_analyze.metrics.catalogue import CATALOGUE
from allennlp_analyze.reports.json import read_json, report_id
from allennlp_analyze.reports.npz import npz_keys
from allennlp_analyze.results.layer import LayerResult, ModelReport
from allennlp_analyze.results.verdict import LAYER_VERDICTS
from allennlp_analyze.storage.files import PathLike, open_regular
from allennlp_analyze.storage.records import decoded
from allennlp_analyze.storage.zip_directory import check_directory
from allennlp_analyze.text.lines import excerpt

REPORT = "report.json"
VALUES = "singular_values.npz"
_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
# numpy parses the header of an array as Python's tokens.
_NPZ_DAMAGE = (
    *_DAMAGE,
    EOFError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def report_directory(path: PathLike) -> Path:
    """Returns the output directory `path`, or that of the report.json `path`."""
    path = Path(path)
    return path.parent if path.name == REPORT and not os.path.isdir(path) else path


def load_report(path: PathLike) -> ModelReport:
    """Load the report in the output directory `path` (or with the report.json `path`).

    It equals the report that was written. Raises `SourceError` if the report is missing, damaged,
    or has another schema version.
    """
    directory = report_directory(path)
    if not os.fspath(path) or not os.path.isfile(directory / REPORT):
        named = directory if os.fspath(path) else repr("")  # Path("") is the working directory
        raise SourceError(
            f"{named}: contains no {REPORT}; expected the output directory of an analysis"
        )
    contents = read_json(directory / REPORT)
    try:
        names = [str(layer["name"]) for layer in contents["layers"]]
        sizes = [min(rows, columns) for rows, columns in (x["shape"] for x in contents["layers"])]
        values = _read_values(directory / VALUES, names, sizes)
        layers = [_with_values(entry, array) for entry, array in zip(contents["layers"], values)]
        summary = contents["summary"]
        report: ModelReport = decoded(
            ModelReport,
            {
                **contents,
                "layers": (),
                "warnings": summary["warnings"],
                "adapters": [_adapter(entry) for entry in contents.get("adapters", ())],
            },
        )
    except _DAMAGE as error:
        raise SourceError(
            f"{directory / REPORT}: is damaged ({excerpt(error)}); analyze the archive again"
        ) from None
    # Reports of early releases have no id.
    if "id" in contents and contents["id"] != report_id(layers):
        raise SourceError(
            f"{directory / VALUES}: does not belong to the {REPORT} beside it;"
            " analyze the archive again"
        )
    return dataclasses.replace(report, layers=tuple(layers))


def _adapter(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an entry of `adapters` with its singular values as an array."""
    return {**entry, "singular_values": np.array(entry["singular_values"], np.float64)}


def _read_values(path: Path, names: Sequence[str], sizes: Sequence[int]) -> list[np.ndarray]:
    """Returns (M,) float64 arrays for `names`, with M from `sizes`. Raises `SourceError`."""
    try:
        with open_regular(path) as opened:
            with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
                check_directory(mapping)
            with np.load(opened, allow_pickle=False) as file:
                return [_array(file, key, size) for key, size in zip(npz_keys(names), sizes)]
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error})") from None
    except _NPZ_DAMAGE as error:
        raise SourceError(
            f"{path}: does not belong to the {REPORT} beside it ({excerpt(error)});"
            " analyze the archive again"
        ) from None


def _array(file: Any, key: str, size: int) -> np.ndarray:
    """Returns the `size` values of an array of an open .npz.

    numpy would allocate as many as its header says.
    """
    with file.zip.open(f"{key}.npy") as member:
        version = np.lib.format.read_magic(member)
        if version != (1, 0):
            raise ValueError(f"{key!r:.60}: version {version} of the format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        if shape != (size,) or dtype != np.float64:
            raise ValueError(f"{key!r:.60}: {shape!s:.40} of {dtype} for {size} singular values")
        data = member.read(8 * size + 1)
    if len(data) != 8 * size:
        raise ValueError(f"{key!r:.60}: {len(data)} bytes for {size} singular values")
    return np.frombuffer(data, np.float64).copy()


def _with_values(entry: Mapping[str, Any], values: np.ndarray) -> LayerResult:
    """Returns the layer that `entry` of report.json describes, with its singular values."""
    rows, columns = entry["shape"]
    if values.shape != (min(rows, columns),):
        raise ValueError(f"{entry['name']!r:.60}: {values.shape} singular values")
    if not (np.isfinite(values).all() and values[-1] >= 0 and (values[1:] <= values[:-1]).all()):
        raise ValueError(f"{entry['name']!r:.60}: not singular values in descending order")
    metrics = {m.key: entry.get(m.key) for m in CATALOGUE if m.compute is not None}
    layer: LayerResult = decoded(
        LayerResult, {**entry, "singular_values": values, "metrics": metrics}
    )
    if layer.verdict not in LAYER_VERDICTS:
        raise ValueError(f"{layer.name!r:.60}: {layer.verdict} is not a verdict on a layer")
    return layer
