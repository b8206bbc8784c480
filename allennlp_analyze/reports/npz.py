"""Writes singular_values.npz: every spectrum by the name of its matrix."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Union

import numpy as np

from allennlp_analyze.results.layer import ModelReport
from allennlp_analyze.storage.files import write_atomically

MAX_KEY = 1000


def write_npz(report: ModelReport, path: Union[str, Path]) -> None:
    """Write the singular values of every matrix, (M,) float64 descending, for `numpy.load`.

    The keys are those of `npz_keys`. Raises `OutputError`.
    """
    keys = npz_keys([layer.name for layer in report.layers])

    def write(file: BinaryIO) -> None:
        # Not numpy.savez, which takes names as keyword arguments and reserves "file". A ZipInfo
        # without a date gives the same file for the same numbers.
        with zipfile.ZipFile(file, "w") as archive:
            for key, layer in zip(keys, report.layers):
                with archive.open(zipfile.ZipInfo(key + ".npy"), "w", force_zip64=True) as member:
                    values = np.asarray(layer.singular_values)
                    np.lib.format.write_array(member, values, allow_pickle=False)

    write_atomically(path, write)


def npz_keys(names: Sequence[str]) -> list[str]:
    """Returns one key per name, in order: the name itself if `numpy.load` can return it.

    NUL and lone surrogates are escaped, 1000 characters are kept, and "~2" and so on are added to a
    key that would equal an earlier one.
    """
    taken: set[str] = set()
    keys = []
    for name in names:
        key = base = _storable(name)[:MAX_KEY]
        number = 1
        # numpy.load looks for the key itself first, then with ".npy".
        while key in taken or key + ".npy" in taken:
            number += 1
            key = f"{base}~{number}"
        taken.update((key, key + ".npy"))
        keys.append(key)
    return keys


def _storable(name: str) -> str:
    return name.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")
