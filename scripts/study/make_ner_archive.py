"""Write an archive like the NER model of 2018: its names, shapes, schema and serialisation.

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

MODIFIED = 1524700800  # 2018-04-26, the date in the real archive's name
ENTRY_SCALE = 0.05  # gives smallest singular values of the size of the published ones
ENTITIES = ("LOC", "MISC", "ORG", "PER")
ELMO = "text_field_embedder.token_embedder_elmo._elmo."
CHARACTERS = "text_field_embedder.token_embedder_token_characters."


@dataclass(frozen=True)
class Dimensions:
    """The sizes that the configuration of the model chooses; rows include padding and unknown."""

    tokens: int
    token_dim: int
    elmo_filters: tuple[int, ...]
    elmo_cell: int
    elmo_projection: int
    characters: int
    character_filters: int
    hidden: int
    character_dim: int = 16
    elmo_characters: int = 262

    @property
    def elmo_cnn(self) -> int:
        return sum(self.elmo_filters)

    @property
    def encoder_input(self) -> int:
        return self.token_dim + 2 * self.elmo_projection + self.character_filters


FULL = Dimensions(
    tokens=402,
    token_dim=50,
    elmo_filters=(32, 32, 64, 128, 256, 512, 1024),
    elmo_cell=4096,
    elmo_projection=512,
    characters=82,
    character_filters=128,
    hidden=200,
)
# Q as in the original wherever the size allows; M >= 20 for every Linear but the tag projection.
SMALL = Dimensions(
    tokens=102,
    token_dim=24,
    elmo_filters=(1, 1, 3, 5, 10, 20, 40),
    elmo_cell=160,
    elmo_projection=20,
    characters=82,
    character_filters=24,
    hidden=32,
)


def labels() -> list[str]:
    """The 17 tags of CoNLL 2003 in the BIOUL scheme."""
    return ["O", *(f"{position}-{entity}" for entity in ENTITIES for position in "BILU")]


def parameter_shapes(size: Dimensions) -> dict[str, tuple[int, ...]]:
    """Every parameter's shape, in state-dict order."""
    shapes: dict[str, tuple[int, ...]] = {
        "text_field_embedder.token_embedder_tokens.weight": (size.tokens, size.token_dim)
    }
    shapes.update(_elmo_shapes(size))
    shapes.update(_character_shapes(size))
    shapes.update(_encoder_shapes(size))
    tags = len(labels())
    shapes["tag_projection_layer._module.weight"] = (tags, 2 * size.hidden)
    shapes["tag_projection_layer._module.bias"] = (tags,)
    shapes["crf.transitions"] = (tags, tags)
    shapes["crf._constraint_mask"] = (tags + 2, tags + 2)
    return shapes


def _elmo_shapes(size: Dimensions) -> dict[str, tuple[int, ...]]:
    embedder = f"{ELMO}_elmo_lstm._token_embedder."
    shapes: dict[str, tuple[int, ...]] = {
        f"{embedder}_char_embedding_weights": (size.elmo_characters, size.character_dim)
    }
    for index, filters in enumerate(size.elmo_filters):
        shapes[f"{embedder}char_conv_{index}.weight"] = (filters, size.character_dim, index + 1)
        shapes[f"{embedder}char_conv_{index}.bias"] = (filters,)
    for index in range(2):
        shapes[f"{embedder}_highways._layers.{index}.weight"] = (2 * size.elmo_cnn, size.elmo_cnn)
        shapes[f"{embedder}_highways._layers.{index}.bias"] = (2 * size.elmo_cnn,)
    shapes[f"{embedder}_projection.weight"] = (size.elmo_projection, size.elmo_cnn)
    shapes[f"{embedder}_projection.bias"] = (size.elmo_projection,)
    gates, projection = 4 * size.elmo_cell, size.elmo_projection
    for index in range(2):
        for direction in ("forward", "backward"):
            layer = f"{ELMO}_elmo_lstm._elmo_lstm.{direction}_layer_{index}."
            shapes[f"{layer}input_linearity.weight"] = (gates, projection)
            shapes[f"{layer}state_linearity.weight"] = (gates, projection)
            shapes[f"{layer}state_linearity.bias"] = (gates,)
            shapes[f"{layer}state_projection.weight"] = (projection, size.elmo_cell)
    shapes[f"{ELMO}scalar_mix_0.gamma"] = (1,)
    shapes.update({f"{ELMO}scalar_mix_0.scalar_parameters.{index}": (1,) for index in range(3)})
    return shapes


def _character_shapes(size: Dimensions) -> dict[str, tuple[int, ...]]:
    convolution = f"{CHARACTERS}_encoder._module.conv_layer_0."
    return {
        f"{CHARACTERS}_embedding._module.weight": (size.characters, size.character_dim),
        f"{convolution}weight": (size.character_filters, size.character_dim, 3),
        f"{convolution}bias": (size.character_filters,),
    }


def _encoder_shapes(size: Dimensions) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    gates = 4 * size.hidden
    for layer, inputs in enumerate((size.encoder_input, 2 * size.hidden)):
        for direction in ("", "_reverse"):
            suffix = f"l{layer}{direction}"
            shapes[f"encoder._module.weight_ih_{suffix}"] = (gates, inputs)
            shapes[f"encoder._module.weight_hh_{suffix}"] = (gates, size.hidden)
            shapes[f"encoder._module.bias_ih_{suffix}"] = (gates,)
            shapes[f"encoder._module.bias_hh_{suffix}"] = (gates,)
    return shapes


def configuration(size: Dimensions) -> dict[str, object]:
    """config.json in the schema of AllenNLP 0.4 and 0.5 (embedders directly by name)."""
    elmo = "https://s3-us-west-2.amazonaws.com/allennlp/models/elmo/2x4096_512_2048cnn_2xhighway"
    prefix = f"{elmo}/elmo_2x4096_512_2048cnn_2xhighway"
    return {
        "dataset_reader": {
            "type": "conll2003",
            "tag_label": "ner",
            "coding_scheme": "BIOUL",
            "token_indexers": {
                "tokens": {"type": "single_id", "lowercase_tokens": True},
                "token_characters": {"type": "characters"},
                "elmo": {"type": "elmo_characters"},
            },
        },
        "train_data_path": "eng.train",
        "validation_data_path": "eng.testa",
        "test_data_path": "eng.testb",
        "model": {
            "type": "crf_tagger",
            "label_encoding": "BIOUL",
            "constraint_type": "BIOUL",
            "calculate_span_f1": True,
            "include_start_end_transitions": False,
            "dropout": 0.5,
            "text_field_embedder": {
                "tokens": {"type": "embedding", "embedding_dim": size.token_dim, "trainable": True},
                "elmo": {
                    "type": "elmo_token_embedder",
                    "options_file": f"{prefix}_options.json",
                    "weight_file": f"{prefix}_weights.hdf5",
                    "do_layer_norm": False,
                    "dropout": 0.0,
                },
                "token_characters": {
                    "type": "character_encoding",
                    "embedding": {"embedding_dim": size.character_dim},
                    "encoder": {
                        "type": "cnn",
                        "embedding_dim": size.character_dim,
                        "num_filters": size.character_filters,
                        "ngram_filter_sizes": [3],
                        "conv_layer_activation": "relu",
                    },
                },
            },
            "encoder": {
                "type": "lstm",
                "input_size": size.encoder_input,
                "hidden_size": size.hidden,
                "num_layers": 2,
                "dropout": 0.5,
                "bidirectional": True,
            },
        },
        "iterator": {"type": "basic", "batch_size": 64},
        "trainer": {
            "optimizer": {"type": "adam", "lr": 0.001},
            "validation_metric": "+f1-measure-overall",
            "num_serialized_models_to_keep": 3,
            "num_epochs": 75,
            "patience": 25,
            "grad_norm": 5.0,
            "cuda_device": 0,
        },
    }


def vocabulary(size: Dimensions) -> dict[str, list[str]]:
    """Lines of each file of vocabulary/: padding has a row in the model but no line in the file."""
    unknown = "@@UNKNOWN@@"
    words = [f"word{index}" for index in range(size.tokens - 2)]
    characters = [chr(ord("!") + index) for index in range(size.characters - 2)]
    return {
        "tokens": [unknown, *words],
        "token_characters": [unknown, *characters],
        "labels": labels(),
        "non_padded_namespaces": ["*labels", "*tags"],
    }


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
    """Write the parameters in torch's serialisation of 2018, one tensor in memory at a time.

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
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("output", type=Path, help="the .tar.gz to write")
    parser.add_argument("--small", action="store_true", help="small enough to commit (< 1 MB)")
    parser.add_argument("--seed", type=int, default=2018)
    options = parser.parse_args(argv)
    make_archive(options.output, SMALL if options.small else FULL, options.seed)
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
