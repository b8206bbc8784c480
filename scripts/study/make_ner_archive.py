"""Write an archive like the NER model of 2018: its names, shapes, schema and serialization.

    python -m scripts.study.make_ner_archive OUTPUT.tar.gz [--small] [--seed N]

Full size is about 360 MB; `--small` is the fixture of this repository. The weights are drawn from
the seed, with heavy-tailed spectra and a healthy smallest singular value. The same seed gives the
same bytes: no clock, no addresses, and only arithmetic that IEEE 754 fixes to the last bit.
"""

import argparse
import gzip
import io
import json
import pickle
import struct
import sys
import tarfile
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Optional

import numpy as np

from scripts.study.ner_model import (
    FULL,
    SMALL,
    Dimensions,
    configuration,
    labels,
    parameter_shapes,
    vocabulary,
)

MODIFIED = 1524700800  # 2018-04-26, the date in the real archive's name
ENTRY_SCALE = 0.05  # gives smallest singular values of the size of the published ones


def heavy_tailed(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Gaussian matrix whose shorter side is scaled by Pareto-distributed factors.

    The squared factors s = u^(-1/4), u uniform, have density exponent 3: the tail of the
    eigenvalues of W^T W gets alpha near 3. Square roots, unlike powers, are exact everywhere.
    """
    matrix_shape = (shape[0], int(np.prod(shape[1:])))
    values = rng.standard_normal(matrix_shape, dtype=np.float32)
    factors = 1 / np.sqrt(np.sqrt(1 - rng.random(min(matrix_shape))))
    factors = (ENTRY_SCALE * factors).astype(np.float32)
    values *= factors[:, None] if matrix_shape[0] <= matrix_shape[1] else factors
    return values.reshape(shape)


def constraint_mask() -> np.ndarray:
    """(19, 19): 1 where BIOUL allows the transition; the last two are the start and the end."""
    tags = labels()
    mask = np.zeros((len(tags) + 2, len(tags) + 2), dtype=np.float32)
    opens = [index for index, tag in enumerate(tags) if tag[0] in "OBU"]
    mask[len(tags), opens] = 1
    for index, tag in enumerate(tags):
        if tag[0] in "OLU":
            mask[index, [*opens, len(tags) + 1]] = 1
        else:
            mask[index, [tags.index(f"{position}-{tag[2:]}") for position in "IL"]] = 1
    return mask


def values_of(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """The values of one parameter: a float32 array of `shape`."""
    if name == "crf._constraint_mask":
        return constraint_mask()
    if name.endswith("gamma"):
        return np.ones(shape, dtype=np.float32)
    if "scalar_parameters" in name:
        return np.zeros(shape, dtype=np.float32)
    if len(shape) == 1:
        values = rng.standard_normal(shape, dtype=np.float32)
        values *= np.float32(ENTRY_SCALE)
        return values
    return heavy_tailed(rng, shape)


@dataclass(frozen=True)
class _Storage:
    """Stands in the pickle for the storage that follows it in the file."""

    key: str
    length: int


class _Tensor:
    """Pickles as a contiguous float32 tensor that fills its storage."""

    def __init__(self, key: str, shape: tuple[int, ...]) -> None:
        self.key = key
        self.shape = shape

    def __reduce__(self) -> tuple[object, ...]:
        from torch._utils import _rebuild_tensor_v2

        strides = [1]
        for length in reversed(self.shape[1:]):
            strides.insert(0, strides[0] * length)
        storage = _Storage(self.key, strides[0] * self.shape[0])
        return _rebuild_tensor_v2, (storage, 0, self.shape, tuple(strides), False, OrderedDict())


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> Optional[tuple[object, ...]]:
        import torch

        if isinstance(obj, _Storage):
            return ("storage", torch.FloatStorage, obj.key, "cpu", obj.length, None)
        return None


def write_weights(file: BinaryIO, shapes: dict[str, tuple[int, ...]], seed: int) -> None:
    """Write the parameters in torch's serialization of 2018, one tensor in memory at a time.

    `torch.save` is not used because it names storages by their addresses, which differ by run.
    """
    keys = [f"{index:06d}" for index in range(len(shapes))]
    tensors = zip(shapes.items(), keys)
    state = OrderedDict((name, _Tensor(key, shape)) for (name, shape), key in tensors)
    sizes = {"short": 2, "int": 4, "long": 4}
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
    for header in (0x1950A86A20F9469CFC6C, 1001, system):
        pickle.dump(header, file, protocol=2)
    _Pickler(file, protocol=2).dump(state)
    pickle.dump(keys, file, protocol=2)
    rng = np.random.Generator(np.random.PCG64(seed))
    for name, shape in shapes.items():
        values = values_of(name, shape, rng).astype("<f4", copy=False)
        file.write(struct.pack("<q", values.size))
        file.write(values.data)


def _text_members(size: Dimensions) -> Iterator[tuple[str, bytes]]:
    yield "config.json", (json.dumps(configuration(size), indent=4) + "\n").encode()
    for namespace, lines in vocabulary(size).items():
        yield f"vocabulary/{namespace}.txt", ("\n".join(lines) + "\n").encode()


def _add(archive: tarfile.TarFile, name: str, length: int, content: BinaryIO) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = length, MODIFIED, 0o644
    archive.addfile(member, content)


def make_archive(output: Path, size: Dimensions, seed: int) -> None:
    """Write the archive to `output`, under its name only when it is complete."""
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as scratch:
        weights, partial = Path(scratch, "weights.th"), Path(scratch, "archive.tar.gz")
        with weights.open("wb") as file:
            write_weights(file, parameter_shapes(size), seed)
        with (
            partial.open("wb") as raw,
            gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=MODIFIED) as stream,
            tarfile.open(fileobj=stream, mode="w|", format=tarfile.USTAR_FORMAT) as archive,
        ):
            for name, content in _text_members(size):
                _add(archive, name, len(content), io.BytesIO(content))
            with weights.open("rb") as file:
                _add(archive, "weights.th", weights.stat().st_size, file)
        partial.replace(output)


def main(argv: Optional[list[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.study.make_ner_archive",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument("output", type=Path, help="the .tar.gz to write")
    parser.add_argument(
        "--small", action="store_true", help="write a small archive for the repository (< 1 MB)"
    )
    parser.add_argument("--seed", type=int, default=2018)
    options = parser.parse_args(argv)
    make_archive(options.output, SMALL if options.small else FULL, options.seed)
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
