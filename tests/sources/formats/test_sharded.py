"""Weights in several files: found by their index, checked against it, and refused in one line."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.opening import open_source
from tests.support.commands import run_module

NAMES = ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin")
INDEX = "pytorch_model.bin.index.json"
FIRST = {"a.weight": torch.randn(40, 20), "a.bias": torch.zeros(40)}
SECOND = {"b.weight": torch.randn(30, 25)}
ORDER = ("b.weight", "a.weight", "a.bias")


def weight_map(first: str = NAMES[0], second: str = NAMES[1]) -> "dict[str, str]":
    return {name: second if name in SECOND else first for name in ORDER}


def sharded(directory: Path, index: "Any | None" = None) -> Path:
    for name, state in zip(NAMES, (FIRST, SECOND)):
        torch.save(state, directory / name)
    contents = {"metadata": {"total_size": 1}, "weight_map": weight_map()}
    (directory / INDEX).write_text(json.dumps(contents if index is None else index))
    return directory / INDEX


def refusal(path: Path) -> str:
    with pytest.raises(SourceError) as caught, open_source(str(path)):
        pass
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("by", ["index", "directory"])
def test_all_files_together_are_the_model(by: str, tmp_path: Path) -> None:
    index = sharded(tmp_path)
    with open_source(str(index if by == "index" else tmp_path)) as source:
        assert tuple(source.tensors) == ORDER
        for name, expected in {**FIRST, **SECOND}.items():
            np.testing.assert_array_equal(source.tensors[name].values(), expected.numpy())
        assert source.weights_file == str(index)
        digest = hashlib.sha256(index.read_bytes()).hexdigest()
        assert source.sha256 == (digest if by == "index" else None)


def test_the_command_takes_them(tmp_path: Path) -> None:
    sharded(tmp_path)
    done = run_module("allennlp_analyze", str(tmp_path), "--no-plots", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\na  " in done.stdout and "\nb  " in done.stdout


def test_safetensors_and_a_config_beside_them(tmp_path: Path) -> None:
    save_file(
        {"a.weight": FIRST["a.weight"].numpy()}, tmp_path / "model-00001-of-00001.safetensors"
    )
    index = {"weight_map": {"a.weight": "model-00001-of-00001.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_text('{"model": {"type": "bert"}}')
    with open_source(str(tmp_path)) as source:
        assert list(source.tensors) == ["a.weight"]
        assert source.model_type == "bert"


def test_whole_weights_come_before_an_index(tmp_path: Path) -> None:
    sharded(tmp_path)
    torch.save({"whole": torch.ones(2, 2)}, tmp_path / "pytorch_model.bin")
    with open_source(str(tmp_path)) as source:
        assert list(source.tensors) == ["whole"]
    with open_source(str(tmp_path), INDEX) as source:
        assert tuple(source.tensors) == ORDER


def test_equal_storages_of_different_files_are_not_tied(tmp_path: Path) -> None:
    sharded(tmp_path)
    with open_source(str(tmp_path)) as source:
        assert len({tensor.storage for tensor in source.tensors.values()}) == 3


@pytest.mark.parametrize(
    "index, words",
    [
        ({"weight_map": weight_map(second="none.bin")}, "the shard none.bin is missing"),
        ({"weight_map": {**weight_map(), "c": NAMES[0]}}, "does not contain c"),
        ({"weight_map": {"a.weight": NAMES[0]}}, "contains a.bias, which the index does not list"),
        ({"weight_map": dict.fromkeys(ORDER, NAMES[0])}, "does not contain b.weight"),
        (
            {"weight_map": weight_map(first="../x.bin")},
            "'../x.bin', which is not a file in the same directory",
        ),
        (
            {"weight_map": weight_map(first="/etc/passwd")},
            "which is not a file in the same directory",
        ),
        ({"weight_map": weight_map(first="..")}, "which is not a file in the same directory"),
        ({"weight_map": weight_map(first="a\nb")}, "which is not a file in the same directory"),
        ({"weight_map": weight_map(first="c:\\x")}, "which is not a file in the same directory"),
        ({"weight_map": {"a": 3}}, "which is not a file in the same directory"),
        ({"weight_map": {f"t{n}": f"f{n}" for n in range(10_001)}}, "more than 10000 files"),
        ({"weight_map": {}}, "no weight_map"),
        ({"weight_map": []}, "no weight_map"),
        ([], "no weight_map"),
    ],
)
def test_an_index_that_does_not_fit(index: Any, words: str, tmp_path: Path) -> None:
    path = sharded(tmp_path, index)
    assert words in refusal(path)
    assert refusal(path).startswith(str(path))


@pytest.mark.parametrize("text", ["", "nothing", "[" * 100_000, "\x00"])
def test_an_index_that_is_not_json(text: str, tmp_path: Path) -> None:
    sharded(tmp_path)
    (tmp_path / INDEX).write_text(text)
    reasons = ("is not a JSON file", "it has lists of lists")
    assert any(reason in refusal(tmp_path) for reason in reasons)


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    sharded(tmp_path)
    whole = (tmp_path / NAMES[1]).read_bytes()
    (tmp_path / NAMES[1]).write_bytes(whole[: len(whole) // 2])
    assert refusal(tmp_path).startswith(str(tmp_path / NAMES[1]))


def test_parts_without_their_index(tmp_path: Path) -> None:
    sharded(tmp_path).unlink()
    assert "contains 2 shards (pytorch_model-00001-of-00002.bin, ...) but no index" in refusal(
        tmp_path
    )


def test_an_index_by_url_is_read_with_its_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.http_server import File, HttpServer

    monkeypatch.setenv("ALLENNLP_CACHE_ROOT", str(tmp_path / "cache"))
    index = sharded(tmp_path)
    with open_source(str(index)) as source:
        here = {name: tensor.values() for name, tensor in source.tensors.items()}
    with HttpServer() as server:
        server.pages[INDEX] = File(index.read_bytes())
        with pytest.raises(SourceError, match="-0000[12]-of-00002.bin: not found"):
            with open_source(server.url(INDEX)):
                pass
        for part in tmp_path.glob("*.bin"):
            server.pages[part.name] = File(part.read_bytes())
        with open_source(server.url(INDEX)) as source:
            there = {name: tensor.values() for name, tensor in source.tensors.items()}
    assert here and here.keys() == there.keys()
    assert all((here[name] == there[name]).all() for name in here)
