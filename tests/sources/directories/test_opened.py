"""Directories that people have: pipelines, caches, modules, checkpoints; and their parts."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from allennlp_analyze import analyze
from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.opening import open_source
from allennlp_analyze.sources.source import Source

pytestmark = pytest.mark.newest_python
save_file = pytest.importorskip("safetensors.numpy").save_file

OF_A_MODEL = " (weights.th, model.safetensors or another file of a model)"


def model(directory: Path, scale: float = 1, name: str = "model.safetensors") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    weights = {"net.weight": np.full((8, 4), scale, np.float32), "net.bias": np.ones(8, np.float32)}
    save_file(weights, directory / name)
    return directory


def pipeline(directory: Path, **more: object) -> Path:
    model(directory / "unet", 1, "diffusion_pytorch_model.safetensors")
    model(directory / "vae", 2, "diffusion_pytorch_model.safetensors")
    (directory / "scheduler").mkdir()
    index = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "safety_checker": [None, None],
        "requires_safety_checker": True,
        "vae": ["diffusers", "AutoencoderKL"],
        **more,
    }
    (directory / "model_index.json").write_text(json.dumps(index))
    return directory


def modules(directory: Path, *paths: object) -> Path:
    index = [{"idx": i, "name": str(i), "path": path} for i, path in enumerate(paths)]
    (directory / "modules.json").write_text(json.dumps(index))
    return directory


def opened(path: Path, part: "str | None" = None) -> Source:
    with open_source(str(path), part=part) as source:
        assert all(tensor.name == name for name, tensor in source.tensors.items())
        return source


def refused(path: Path, part: "str | None" = None) -> str:
    with pytest.raises(SourceError) as caught, open_source(str(path), part=part):
        pass
    said = str(caught.value)
    assert said.startswith(f"{path}") and "\n" not in said
    return said


def scale_of(tensors: "Mapping[str, object]", name: str = "net.weight") -> float:
    return float(tensors[name].values()[0, 0])  # type: ignore[attr-defined]


def test_a_pipeline_is_read_with_every_model_in_it(tmp_path: Path) -> None:
    source = opened(pipeline(tmp_path / "pipe"))
    assert list(source.tensors) == [
        *("unet.net.bias", "unet.net.weight", "vae.net.bias", "vae.net.weight")
    ]
    assert scale_of(source.tensors, "vae.net.weight") == 2
    assert len({tensor.storage for tensor in source.tensors.values()}) == 4
    assert "is a pipeline of 2 models (unet, vae), read together" in source.warnings[0]
    read = {Path(state.path).name for state in source.files}
    assert {"model_index.json", "diffusion_pytorch_model.safetensors"} <= read


def test_one_part_of_a_pipeline(tmp_path: Path) -> None:
    pipe = pipeline(tmp_path / "pipe")
    source = opened(pipe, "vae")
    assert list(source.tensors) == ["net.bias", "net.weight"] and scale_of(source.tensors) == 2
    assert source.archive == f"{pipe}/vae"
    assert refused(pipe, "clip").endswith("contains no model 'clip'; it contains: unet, vae")
    for name in ("../pipe/vae", "/etc", "unet/../vae", ".", ""):
        assert "contains no model" in refused(pipe, name) or not name
    report = analyze(pipe, part="unet")
    assert report.settings["part"] == "unet" and report.source.archive == f"{pipe}/unet"


def test_a_part_of_a_pipeline_that_is_missing_is_said(tmp_path: Path) -> None:
    source = opened(pipeline(tmp_path / "pipe", text_encoder=["transformers", "CLIPTextModel"]))
    assert "model_index.json lists text_encoder, but there is no such dir" in source.warnings[1]


@pytest.mark.parametrize("name", ["../other", "/etc", "a\\b", "a/../../b", "..", "a\nb"])
def test_an_index_cannot_lead_out_of_its_directory(tmp_path: Path, name: str) -> None:
    pipe = pipeline(tmp_path / "pipe", **{name: ["diffusers", "X"]})
    assert "which is not a directory below" in refused(pipe)
    top = modules(model(tmp_path / "st"), "", name)
    assert "which is not a directory below" in refused(top)


@pytest.mark.parametrize("text", ["", "[1", "3", '"x"', "null", "[" * 5000, '{"a": ["b"]}', "[3]"])
def test_a_damaged_index_is_one_line(tmp_path: Path, text: str) -> None:
    for name in ("model_index.json", "modules.json"):
        directory = tmp_path / name
        directory.mkdir()
        (directory / name).write_text(text)
        refused(directory)


def test_modules_belong_to_the_model_at_the_top(tmp_path: Path) -> None:
    top = modules(model(tmp_path / "st"), "", "1_Pooling", "2_Dense")
    model(top / "2_Dense", 3)
    (top / "1_Pooling").mkdir()
    (top / "config.json").write_text('{"model_type": "bert"}')
    source = opened(top)
    assert "2_Dense.net.weight" in source.tensors and "net.weight" in source.tensors
    assert scale_of(source.tensors, "2_Dense.net.weight") == 3
    assert source.config == {"model_type": "bert"}
    assert "2_Dense of modules.json" in source.warnings[0]
    assert list(opened(top, "2_Dense").tensors) == ["net.bias", "net.weight"]


def test_modules_without_weights_leave_the_model_as_it_is(tmp_path: Path) -> None:
    top = tmp_path / "st"
    model(top / "0_Transformer")
    (top / "0_Transformer" / "config.json").write_text('{"model_type": "bert"}')
    modules(top, "0_Transformer", "1_Pooling")
    source = opened(top)
    assert list(source.tensors) == ["net.bias", "net.weight"]
    assert source.config == {"model_type": "bert"}


def cached(root: Path, main: str = "") -> Path:
    """A repository of the Hub's cache with two snapshots, whose files are links to blobs."""
    repository = root / "models--org--name"
    for scale, commit in ((1, "a" * 40), (2, "b" * 40)):
        model(repository / "blobs", scale, f"blob{scale}")
        snapshot = repository / "snapshots" / commit
        snapshot.mkdir(parents=True)
        (snapshot / "model.safetensors").symlink_to(f"../../blobs/blob{scale}")
        os.utime(snapshot, (scale * 10**6, scale * 10**6))
    if main:
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(main)
    return repository


def test_the_cache_of_the_hub_is_read_at_refs_main(tmp_path: Path) -> None:
    repository = cached(tmp_path / "hub", "a" * 40)
    assert scale_of(opened(repository).tensors) == 1
    assert scale_of(opened(tmp_path / "hub", "org/name").tensors) == 1
    assert scale_of(opened(tmp_path / "hub").tensors) == 1
    read = [state.path for state in opened(repository).files]
    assert str(repository / "refs" / "main") in read


def test_without_refs_main_the_newest_snapshot_is_read(tmp_path: Path) -> None:
    source = opened(cached(tmp_path / "hub"))
    assert scale_of(source.tensors) == 2
    assert f"has 2 snapshots and no refs/main; {'b' * 40}, the newest, is" in source.warnings[0]


def test_a_cache_without_a_snapshot_or_with_a_strange_ref(tmp_path: Path) -> None:
    repository = cached(tmp_path / "hub", "../../elsewhere")
    assert scale_of(opened(repository).tensors) == 2
    if hasattr(os, "mkfifo"):
        (repository / "refs" / "main").unlink()
        os.mkfifo(repository / "refs" / "main")
        assert scale_of(opened(repository).tensors) == 2
    empty = tmp_path / "models--a--b"
    (empty / "snapshots").mkdir(parents=True)
    assert "a repository of the Hub's cache without a snapshot" in refused(empty)


def test_checkpoints_are_listed_in_the_order_of_their_steps(tmp_path: Path) -> None:
    for step in (400, 1200, 800):
        model(tmp_path / f"checkpoint-{step}", step)
    said = refused(tmp_path)
    assert "3 models below (checkpoint-400, checkpoint-800, checkpoint-1200); choose one" in said
    assert scale_of(opened(tmp_path, "checkpoint-800").tensors) == 800


def test_logs_of_lightning(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for version in range(2):
        below = tmp_path / "lightning_logs" / f"version_{version}" / "checkpoints"
        below.mkdir(parents=True)
        state = {"state_dict": {"w": torch.full((4, 3), float(version))}, "optimizer_states": []}
        torch.save(state, below / "epoch=9-step=10.ckpt")
        if version == 0:
            assert scale_of(opened(tmp_path).tensors, "w") == 0
    assert "2 models below (lightning_logs/version_0/checkpoints" in refused(tmp_path)
    part = "lightning_logs/version_1/checkpoints/epoch=9-step=10.ckpt"
    source = opened(tmp_path, part)
    assert scale_of(source.tensors, "w") == 1 and source.sha256 is not None


@pytest.mark.parametrize(
    "names, what",
    [
        (("__0_0.distcp",), "distributed checkpoint of torch (DCP)"),
        (("zero_pp_rank_0_mp_rank_00_model_states.pt",), "DeepSpeed ZeRO"),
        (("zero_to_fp32.py", "latest"), "DeepSpeed ZeRO"),
        (("_METADATA", "manifest.ocdbt"), "Orbax"),
        (("saved_model.pb",), "SavedModel of TensorFlow"),
        (("ckpt-1.index", "ckpt-1.data-00000-of-00001"), "TensorFlow checkpoints"),
    ],
)
def test_directories_of_formats_that_are_not_read(
    tmp_path: Path, names: "tuple[str, ...]", what: str
) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"\x80\x02 some")
    said = refused(tmp_path)
    assert what in said and ", which is not read; " in said


def test_an_empty_directory_says_so(tmp_path: Path) -> None:
    assert refused(tmp_path) == f"{tmp_path}: contains no weights file{OF_A_MODEL}"
    assert "is not a directory of several models; remove part" in refused(
        model(tmp_path) / "model.safetensors", "x"
    )
