"""Repositories of the Hub, downloaded by huggingface_hub from a server that speaks its protocol."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
from safetensors.numpy import save

from tests.support.hub_server import HubServer, Opener

pytest.importorskip("huggingface_hub")


@pytest.fixture(scope="module")
def server() -> Iterator[HubServer]:
    server = HubServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def opener(server: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opener]:
    opener = Opener(server, tmp_path_factory.mktemp("cache"))
    yield opener
    opener.close()


def tensors(seed: int, *names: str) -> bytes:
    rng = np.random.default_rng(seed)
    return save({name: rng.normal(size=(20, 30)).astype(np.float32) for name in names or ("w",)})


def opened(
    server: HubServer,
    opener: Opener,
    files: Mapping[str, bytes],
    name: str,
    url: Optional[str] = None,
    **choices: Any,
) -> tuple[dict[str, Any], list[str]]:
    """What was read of a repository with these files, and the files that were downloaded."""
    server.repositories[name] = files
    server.requests.clear()
    return opener(url or f"hf://{name}", **choices), server.served()


NOISE = {"README.md": b"# model", ".gitattributes": b"*", "training_args.bin": b"x" * 5000}
CONFIG = json.dumps({"model_type": "bert"}).encode()


def test_only_what_the_model_needs_is_downloaded(server: HubServer, opener: Opener) -> None:
    files = {
        **NOISE,
        "config.json": CONFIG,
        "model.safetensors": tensors(1),
        "pytorch_model.bin": b"never read" * 1000,
        "tf_model.h5": b"never read" * 1000,
        "onnx/model.onnx": b"never read" * 1000,
        "vocabulary/tokens.txt": b"a\nb\n",
    }
    found, served = opened(server, opener, files, "org/plain")
    assert "error" not in found, found
    assert served == ["config.json", "model.safetensors", "vocabulary/tokens.txt"]
    assert found["names"] == ["w"]
    assert found["config"] == {"model_type": "bert"}
    assert found["vocabulary"] == {"tokens": 2}
    assert found["archive"] == "hf://org/plain"
    (line,) = found["warnings"]
    assert line == (
        "hf://org/plain: contains several weights files: model.safetensors is read (the first of"
        " the usual names), not pytorch_model.bin, tf_model.h5; name another as the weights file"
        " to read it"
    )


def test_an_index_of_shards_brings_its_shards(server: HubServer, opener: Opener) -> None:
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    files = {
        **NOISE,
        first: tensors(1, "a"),
        second: tensors(2, "b"),
        "model.safetensors.index.json": json.dumps(
            {"weight_map": {"a": first, "b": second}}
        ).encode(),
        "pytorch_model-00001-of-00001.bin": b"never read" * 1000,
        "consolidated.safetensors.bak": b"",
    }
    found, served = opened(server, opener, files, "org/sharded")
    assert found["names"] == ["a", "b"]
    assert served == [first, second, "model.safetensors.index.json"]
    assert found["warnings"] == []


def test_one_of_many_is_the_users_choice(server: HubServer, opener: Opener) -> None:
    files = {f"net-{name}.safetensors": tensors(i, name) for i, name in enumerate("xyz")}
    found, served = opened(server, opener, files, "org/many")
    assert served == []
    assert found["exit"] == 1
    assert found["error"] == (
        "hf://org/many: contains several weights files (net-x.safetensors, net-y.safetensors,"
        " net-z.safetensors); choose one with weights_file"
    )
    for choices in ({"weights_file": "net-y.safetensors"}, {"part": "net-y.safetensors"}):
        found, _ = opened(server, opener, files, "org/many", **choices)
        assert found["names"] == ["y"]
        assert found["warnings"] == []
    found, served = opened(server, opener, files, "org/many", url="hf://org/many/net-z.safetensors")
    assert (found["names"], served) == (["z"], ["net-z.safetensors"])
    found, _ = opened(server, opener, files, "org/many", weights_file="none.bin")
    assert "no weights file 'none.bin'" in found["error"]
    assert "net-x.safetensors" in found["error"]


def test_models_below_the_top(server: HubServer, opener: Opener) -> None:
    files = {"fp32/model.safetensors": tensors(1, "full"), "README.md": b"x"}
    found, _ = opened(server, opener, files, "org/below")
    assert found["names"] == ["full"]
    assert found["warnings"] == [
        "hf://org/below/fp32: holds no weights itself; fp32 below it is read"
    ]
    files = {**files, "fp16/model.safetensors": tensors(2, "half")}
    found, served = opened(server, opener, files, "org/below")
    assert served == []
    assert "2 models below (fp16, fp32); choose one with part" in found["error"]
    found, served = opened(server, opener, files, "org/below", part="fp16")
    assert (found["names"], served) == (["half"], ["fp16/model.safetensors"])
    found, _ = opened(server, opener, files, "org/below", part="fp8")
    assert found["error"] == ("hf://org/below: contains no model 'fp8'; it contains: fp16, fp32")


def test_a_pipeline_and_modules(server: HubServer, opener: Opener) -> None:
    index = {"_class_name": "P", "unet": ["d", "U"], "vae": ["d", "V"], "scheduler": ["d", "S"]}
    files = {
        "model_index.json": json.dumps(index).encode(),
        "unet/diffusion_pytorch_model.safetensors": tensors(1, "u"),
        "unet/diffusion_pytorch_model.fp16.safetensors": b"never read" * 1000,
        "vae/diffusion_pytorch_model.safetensors": tensors(2, "v"),
        "scheduler/scheduler_config.json": b"{}",
        "other.ckpt": b"never read" * 1000,
    }
    found, served = opened(server, opener, files, "org/pipe")
    assert found["names"] == ["unet.u", "vae.v"]
    assert not [name for name in served if "fp16" in name or name == "other.ckpt"]
    found, served = opened(server, opener, files, "org/pipe", part="vae")
    assert found["names"] == ["v"]
    modules = [{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Dense"}]
    files = {
        "modules.json": json.dumps(modules).encode(),
        "model.safetensors": tensors(1, "t"),
        "1_Pooling/config.json": b"{}",
        "2_Dense/model.safetensors": tensors(2, "d"),
        "3_Other/model.safetensors": b"never read" * 1000,
    }
    found, served = opened(server, opener, files, "org/modules")
    assert found["names"] == ["t", "2_Dense.d"]
    assert "3_Other/model.safetensors" not in served


def test_parts_of_a_gguf_file_and_data_of_an_onnx_model_come_with_it(
    server: HubServer, opener: Opener
) -> None:
    parts = [f"m-0000{i}-of-00002.gguf" for i in (1, 2)]
    _, served = opened(
        server, opener, {name: b"GGUF" + name.encode() for name in parts}, "org/gguf"
    )
    assert served == parts
    files = {"model.onnx": b"\x08\x08" * 9, "model.onnx_data": b"x", "other.data": b"y"}
    _, served = opened(server, opener, files, "org/onnx")
    assert served == ["model.onnx", "model.onnx_data"]


def test_a_page_and_a_revision(server: HubServer, opener: Opener) -> None:
    files = {"model.safetensors": tensors(7)}
    found, _ = opened(server, opener, files, "org/page", url=server.url("org/page"))
    assert found["names"] == ["w"]
    old = server.commit("org/page")
    page = server.url(f"org/page/tree/{old}")
    assert opened(server, opener, files, "org/page", url=page)[0]["sums"] == found["sums"]
    new = {"model.safetensors": tensors(8)}
    changed, _ = opened(server, opener, new, "org/page")
    assert changed["sums"] != found["sums"]
    kept, _ = opened(server, opener, new, "org/page", url="hf://org/page@nope")
    assert kept["error"] == "hf://org/page@nope: has no revision 'nope'"


def test_without_the_hub_the_copy_in_the_cache_is_used(server: HubServer, opener: Opener) -> None:
    files = {"model.safetensors": tensors(9)}
    found, _ = opened(server, opener, files, "org/away", cache=True)
    server.status = 503
    try:
        again = opener("hf://org/away")
        missing = opener("hf://org/never")
    finally:
        server.status = 0
    assert again["sums"] == found["sums"]
    assert again["warnings"] == ["hf://org/away: could not be reached; using the copy in the cache"]
    assert missing["error"].startswith("hf://org/never: ")
    assert "503" in missing["error"]


def test_without_the_hub_a_distributed_checkpoint_is_read_from_the_cache(
    server: HubServer, opener: Opener, tmp_path: Path
) -> None:
    torch: Any = pytest.importorskip("torch", reason="needs torch")
    checkpoint = pytest.importorskip("torch.distributed.checkpoint", reason="needs torch 2")
    state = {"w": torch.arange(60.0).reshape(10, 6)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checkpoint.save(state, checkpoint_id=str(tmp_path))
    files = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    found, _ = opened(server, opener, files, "org/spread")
    server.status = 503
    try:
        again = opener("hf://org/spread")
    finally:
        server.status = 0
    assert again["sums"] == found["sums"] == {"w": 59 * 60 / 2}


def test_without_the_hub_the_part_is_still_the_users(server: HubServer, opener: Opener) -> None:
    index = {"_class_name": "P", "unet": ["d", "U"], "vae": ["d", "V"]}
    files = {
        "model_index.json": json.dumps(index).encode(),
        "unet/diffusion_pytorch_model.safetensors": tensors(1, "u"),
        "vae/diffusion_pytorch_model.safetensors": tensors(2, "v"),
        "vae/config.json": CONFIG,
    }
    opened(server, opener, files, "org/kept", cache=True)
    server.status = 503
    try:
        folder = opener("hf://org/kept", part="vae")
        file = opener("hf://org/kept", part="vae/diffusion_pytorch_model.safetensors")
    finally:
        server.status = 0
    assert folder["names"] == file["names"] == ["v"]
    assert folder["config"] == file["config"] == {"model_type": "bert"}


def test_what_is_no_weights_file_on_disk_is_none_on_the_hub(
    server: HubServer, opener: Opener
) -> None:
    """Parts of ZeRO, and the values of OpenVINO; other weights may stand beside an .xml."""
    part = "zero_pp_rank_0_mp_rank_00_model_states.pt"
    files = {part: b"never read", "net.xml": b"<net/>", "net.bin": b"never read"}
    found, served = opened(server, opener, files, "org/parts")
    assert "contains no weights file of a known format" in found["error"] and served == []
    files = {"net.xml": b"<net/>", "net.safetensors": tensors(4)}
    found, served = opened(server, opener, files, "org/beside")
    assert (found["names"], served) == (["w"], ["net.safetensors"])


def test_a_damaged_download_is_removed_from_the_cache(server: HubServer, opener: Opener) -> None:
    whole = tensors(3)
    damaged = {"model.safetensors": whole[:-100]}
    found, _ = opened(server, opener, damaged, "org/damaged")
    assert found["exit"] == 1
    assert "\n" not in found["error"]
    _, served = opened(server, opener, damaged, "org/damaged")
    assert served == ["model.safetensors"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "contains no weights file of a known format, but no files"),
        ({"rust_model.ot": b"x"}, "contains no weights file of a known format, but rust_model.ot"),
        ({"../../escape.safetensors": b"x" * 9}, "contains no weights file of a known format"),
        ({"model_index.json": b"[]"}, "is not the index of a pipeline"),
        ({"model.safetensors.index.json": b"{}"}, "no weight_map"),
        (
            {"model.safetensors.index.json": b'{"weight_map": {"a": "../../x.bin"}}'},
            "which is not a file in the same directory",
        ),
    ],
)
def test_bad_repositories_in_one_line(
    server: HubServer, opener: Opener, files: Mapping[str, bytes], words: str
) -> None:
    found, served = opened(server, opener, files, f"org/bad{len(words)}")
    assert words in found["error"]
    assert found["error"].startswith("hf://org/bad")
    assert found["exit"] == 1
    assert "\n" not in found["error"]
    assert not [name for name in served if ".." in name]


def test_a_repository_that_is_not_there(server: HubServer, opener: Opener) -> None:
    found = opener("hf://org/none")
    assert found["error"].startswith("hf://org/none: the Hub has no such repository, or it is pri")


def test_the_command_says_what_it_took(server: HubServer, tmp_path: Path) -> None:
    server.repositories["org/command"] = {
        "model.safetensors": tensors(1),
        "pytorch_model.bin": b"never read" * 1000,
    }
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "allennlp_analyze",
            "hf://org/command",
            "--output-dir",
            str(tmp_path / "out"),
            "--no-plots",
        ],
        env={
            **os.environ,
            "HF_ENDPOINT": server.url("").rstrip("/"),
            "ALLENNLP_CACHE_ROOT": str(tmp_path / "cache"),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rule = "model.safetensors is read (the first of the usual names), not pytorch_model.bin"
    assert rule in " ".join(done.stderr.split())
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert rule in json.dumps(report)
