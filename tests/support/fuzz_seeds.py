"""Small valid inputs for the fuzzer, by reader. A new format of weights is a line in WEIGHTS."""

import gzip
import importlib.util
import io
import json
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

import numpy as np
import torch
from safetensors.numpy import save

from allennlp_analyze.analysis.journal import finished_layers, open_journal
from allennlp_analyze.matrices.adapters import find_adapters
from allennlp_analyze.matrices.finding import find_matrices
from allennlp_analyze.reference.table import read_reference
from allennlp_analyze.reports.json import write_json
from allennlp_analyze.reports.loader import load_report
from allennlp_analyze.reports.npz import write_npz
from allennlp_analyze.results.layer import Skipped
from allennlp_analyze.sources.directories.remote import Repository
from allennlp_analyze.sources.formats import registry
from allennlp_analyze.sources.opening import open_source
from allennlp_analyze.zoo.manifest.reading import read_manifest
from allennlp_analyze.zoo.outcome import read_outcome, write_outcome
from allennlp_analyze.zoo.reports.json import read_zoo_json, write_zoo_json
from tests.support.format_savers import SAVERS
from tests.support.fuzzing import Files, Reader
from tests.support.report_factory import gaussian, heavy_tailed, make_layer, make_report
from tests.support.zoo_factory import sample_zoo

RUN: "dict[str, Any]" = {"weights": ["0" * 64, "weights.th"], "settings": {"jobs": None}}


def _array(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def _state() -> "dict[str, torch.Tensor]":
    whole = torch.from_numpy(_array(6, 4))
    return {
        "encoder.layers.0.self_attn.q_proj.weight": whole,
        "encoder.layers.0.self_attn.q_proj.bias": torch.zeros(6),
        "tied.weight": whole,
        "view.weight": whole[1:5:2, ::2].T,
        "half.weight": whole.half(),
        "steps": torch.tensor(3),
        "conv.weight": torch.ones(2, 3, 2, 2, dtype=torch.bfloat16),
    }


def _saved(value: object, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def _torch_files() -> "Sequence[Files]":
    state = _state()
    wrapped = {"model": state, "optimizer": {"lr": 0.1, "betas": (0.9, 0.99)}, "epoch": 3}
    return [
        {"m.pt": _saved(value, zipped)}
        for zipped in (True, False)
        for value in (state, wrapped, torch.nn.Parameter(state["half.weight"].float()))
    ]


def _safetensors() -> bytes:
    tensors = {
        "encoder.layers.0.self_attn.q_proj.weight": _array(6, 4),
        "b.weight": _array(2, 5).astype(np.float16),
        "b.bias": np.zeros(5, np.int64),
    }
    return save(tensors, {"format": "pt"})


def _by(known: "type[Any]", name: str) -> "Callable[[], Sequence[Files]]":
    """What writes a file called `name` in a format of the registry, and what belongs to it."""

    def write() -> "Sequence[Files]":
        tensors = {"a.weight": torch.from_numpy(_array(6, 4)), "b.weight": torch.ones(3, 5)}
        written = _written(lambda path: SAVERS[known](tensors, path / name))
        return [{name: written.pop(name), **written}]

    return write


# Files of each format in the registry, by the name of its class: one file each, or several beside
# each other of which the first is read.
WEIGHTS: "dict[str, Callable[[], Sequence[Files]]]" = {
    "TorchFile": _torch_files,
    "Safetensors": lambda: [{"m.safetensors": _safetensors()}],
    "Gguf": _by(registry.Gguf, "m.gguf"),
    "Npz": _by(registry.Npz, "m.npz"),
    "Npy": _by(registry.Npy, "m.npy"),
    "Onnx": _by(registry.Onnx, "m.onnx"),
    "Flax": _by(registry.Flax, "m.msgpack"),
    "Keras": _by(registry.Keras, "m.h5"),
    "Distributed": _by(registry.Distributed, ".metadata"),
}
# The library that writes these files, where it is an extra.
NEEDS = {"Keras": "h5py"}


def _sharded() -> "Sequence[Files]":
    first, second = {"a.weight": _array(4, 3)}, {"b.weight": _array(3, 5)}
    names = ("m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors")
    places = {"a.weight": names[0], "b.weight": names[1]}
    index = {"metadata": {"total_size": 108}, "weight_map": places}
    files = {names[0]: save(first), names[1]: save(second)}
    return [{"m.safetensors.index.json": json.dumps(index).encode(), **files}]


CONFIG = {
    "model": {"type": "crf_tagger", "encoder": {"type": "lstm", "num_layers": 1}},
    "num_attention_heads": 2,
    "hidden_size": 6,
    "model_type": "bert",
}


def _archives() -> "Sequence[Files]":
    members = {
        "config.json": json.dumps(CONFIG).encode(),
        "weights.th": _saved(_state()),
        "vocabulary/tokens.txt": b"@@UNKNOWN@@\na\nb\n",
        "vocabulary/non_padded_namespaces.txt": b"*tags\n*labels\n",
        "n" * 150: b"x",
    }
    found = []
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
            for name, data in members.items():
                info = tarfile.TarInfo(f"./{name}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        found.append({"model.tar.gz": gzip.compress(buffer.getvalue(), 1)})
    return found


def _directories() -> "Sequence[Files]":
    adapter = {
        "base_model.model.q.lora_A.weight": _array(2, 6),
        "base_model.model.q.lora_B.weight": _array(4, 2),
    }
    settings = {"lora_alpha": 4, "r": 2, "use_rslora": True, "alpha_pattern": {"q": 8}}
    return [
        {"config.json": json.dumps(CONFIG).encode(), "model.safetensors": _safetensors()},
        {
            "adapter_config.json": json.dumps(settings).encode(),
            "adapter_model.safetensors": save(adapter),
        },
    ]


def _written(*writers: "Callable[[Path], object]") -> Files:
    with tempfile.TemporaryDirectory() as name:
        for write in writers:
            write(Path(name))
        return {path.name: path.read_bytes() for path in Path(name).iterdir() if path.is_file()}


def _layers() -> "list[Any]":
    return [make_layer(heavy_tailed(30, 12), "a.weight"), make_layer(gaussian(8, 6), "b.weight")]


def _reports() -> "Sequence[Files]":
    report = make_report(*_layers())
    return [
        _written(
            lambda path: write_json(report, path / "report.json"),
            lambda path: write_npz(report, path / "singular_values.npz"),
        )
    ]


def _journals() -> "Sequence[Files]":
    def write(path: Path) -> None:
        with open_journal(path, RUN, resume=False) as journal:
            for index, outcome in enumerate([*_layers(), Skipped("w", (3, 4), "not finite")]):
                journal.add(index, outcome)

    return [{"journal.jsonl": _written(write)["journal.jsonl"]}]


def _read_journal(directory: Path) -> None:
    finished_layers(directory)
    with open_journal(directory, RUN, resume=True, force=True) as journal:
        make_report(*(x for x in journal.finished.values() if not isinstance(x, Skipped)))


MANIFEST = b"""title: A zoo
group: small
options:
  gamma: 0.5
  layers: "^a"
models:
  - name: one
    path: one.pt
    options: {kinds: [linear], max_dim: 100}
  - url: https://example.org/two.tar.gz
    sha256: abababababababababababababababababababababababababababababababab
  - three.safetensors
"""
TABLE = b"""name,path,group,max_dim
one,one.pt,small,100
"two, too",two.tar.gz,,
"""
REFERENCE = b"""layer,M,N,alpha,D,min_singular_value
a.weight,4,6,2.5,0.1,0.01
,3,8,nan,,1e-3
"""


def _read_source(directory: Path, name: str) -> None:
    with open_source(str(directory / name)) as source:
        adapters = find_adapters(source)
        matrices, _ = find_matrices(source, adapters=adapters, split_gates=True, split_heads=True)
        for tensor in source.tensors.values():
            if tensor.unsupported is None:
                tensor.values()
        for matrix in matrices:
            matrix.load()


def _weights(seeds: "Callable[[], Sequence[Files]]") -> Reader:
    def read(directory: Path) -> None:
        names = [next(iter(files)) for files in seeds()]
        _read_source(directory, next(name for name in names if (directory / name).exists()))

    return Reader(seeds, read)


def _repositories() -> "list[Files]":
    """The names of a repository's files, one a line, and those of its files that decide."""
    parts = {"unet": ["diffusers", "UNet"], "vae": ["diffusers", "VAE"]}
    modules = [{"path": ""}, {"path": "2_Dense"}]
    pipeline = b"model_index.json\nunet/model.safetensors\nvae/a.bin\nx.gguf"
    return [
        {"names": pipeline, "model_index.json": json.dumps(parts).encode()},
        {
            "names": b"modules.json\nw.bin\n2_Dense/w.bin",
            "modules.json": json.dumps(modules).encode(),
        },
        {"names": b"m.safetensors.index.json\na.bin\n../b.bin\nc/../d.bin", **_sharded()[0]},
    ]


def _choose_files(directory: Path) -> object:
    """As for `hf://org/name`: nothing but listed files below the directory is asked for."""
    names = (directory / "names").read_bytes().decode("utf-8", "replace").split("\n")

    def get(name: str) -> Path:
        assert name in names and ".." not in name.split("/") and not name.startswith("/")
        path = directory / name
        return path if len(name) < 200 and path.is_file() else directory / "names"

    return Repository(names, get, lambda line: None).choose(None, None)


def readers() -> "Mapping[str, Reader]":
    """Every reader of files that may be a stranger's, by name."""
    return {
        **{
            name: _weights(seeds)
            for name, seeds in WEIGHTS.items()
            if name not in NEEDS or importlib.util.find_spec(NEEDS[name]) is not None
        },
        "sharded": Reader(_sharded, lambda d: _read_source(d, "m.safetensors.index.json")),
        "archive": Reader(_archives, lambda d: _read_source(d, "model.tar.gz")),
        "directory": Reader(_directories, lambda d: _read_source(d, ".")),
        "repository": Reader(_repositories, _choose_files),
        "report": Reader(_reports, load_report),
        "journal": Reader(_journals, _read_journal),
        "outcome": Reader(
            lambda: [
                _written(lambda d, m=m: write_outcome(m.outcome, d)) for m in sample_zoo().models
            ],
            read_outcome,
        ),
        "zoo": Reader(
            lambda: [_written(lambda d: write_zoo_json(sample_zoo(), d / "zoo.json"))],
            lambda d: read_zoo_json(d / "zoo.json"),
        ),
        "manifest.yaml": Reader(
            lambda: [{"m.yaml": MANIFEST}], lambda d: read_manifest(str(d / "m.yaml"))
        ),
        "manifest.csv": Reader(
            lambda: [{"m.csv": TABLE}], lambda d: read_manifest(str(d / "m.csv"))
        ),
        "reference": Reader(
            lambda: [{"r.csv": REFERENCE}], lambda d: read_reference(str(d / "r.csv"))
        ),
    }
