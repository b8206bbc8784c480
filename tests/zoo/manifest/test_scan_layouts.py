"""Zoos of directories that people have: pipelines, caches, trainers' outputs, and strange files."""

import json
from pathlib import Path

import pytest

from allennlp_analyze.cli.main import main
from allennlp_analyze.errors import UsageError
from allennlp_analyze.zoo.manifest.reading import Manifest, read_manifest
from tests.sources.directories.test_opened import cached, model, modules, pipeline

pytestmark = pytest.mark.newest_python
torch = pytest.importorskip("torch")
LITE = b"\x1c\0\0\0TFL3" + bytes(100)


def every(path: Path) -> "list[str]":
    """The names of all models, each checkpoint of a training among them."""
    return names(read_manifest(str(path), every_checkpoint=True))


def names(manifest: Manifest) -> "list[str]":
    return [entry.name for entry in manifest.entries]


def configured(directory: Path, scale: float = 1) -> Path:
    (model(directory, scale) / "config.json").write_text('{"model_type": "bert"}')
    return directory


def test_the_parts_of_a_pipeline_are_the_models(tmp_path: Path) -> None:
    pipe = pipeline(tmp_path / "pipe")
    for part in ("unet", "vae"):
        (pipe / part / "config.json").write_text("{}")
    assert names(read_manifest(str(pipe))) == ["unet", "vae"]
    assert names(read_manifest(str(tmp_path))) == ["pipe/unet", "pipe/vae"]


def test_a_repository_of_the_cache_is_one_model(tmp_path: Path) -> None:
    cached(tmp_path / "hub", "a" * 40)
    (tmp_path / "hub" / ".locks").mkdir()
    manifest = read_manifest(str(tmp_path / "hub"))
    assert names(manifest) == ["models--org--name"] and manifest.unread == ()


def test_a_pipeline_in_the_cache_has_the_parts_of_its_snapshot(tmp_path: Path) -> None:
    pipeline(tmp_path / "models--org--pipe" / "snapshots" / ("c" * 40))
    found = names(read_manifest(str(tmp_path)))
    assert [name.split("/")[3] for name in found] == ["unet", "vae"]


def test_checkpoints_come_in_the_order_of_their_steps_before_the_final_model(
    tmp_path: Path,
) -> None:
    configured(tmp_path / "run")
    for step in (400, 1200, 800):
        configured(tmp_path / "run" / f"checkpoint-{step}", step)
    expected = ["run/checkpoint-400", "run/checkpoint-800", "run/checkpoint-1200", "run"]
    assert every(tmp_path) == expected
    assert len(every(tmp_path / "*")) == len(every(tmp_path / "**" / "*")) == 4


def test_modules_belong_to_the_model_above_them(tmp_path: Path) -> None:
    top = modules(configured(tmp_path / "st"), "", "1_Pooling", "2_Dense")
    configured(top / "2_Dense")
    configured(top / "checkpoint-10")
    assert every(tmp_path) == every(tmp_path / "**" / "*") == ["st/checkpoint-10", "st"]


def test_a_model_in_the_directory_of_another_is_found(tmp_path: Path) -> None:
    configured(tmp_path / "a")
    configured(tmp_path / "a" / "teacher")
    (tmp_path / "a" / "log").mkdir()
    torch.save({"w": torch.ones(3, 2)}, tmp_path / "a" / "log" / "events.pt")
    assert names(read_manifest(str(tmp_path))) == ["a", "a/teacher"]


def test_names_that_people_give(tmp_path: Path) -> None:
    below = tmp_path / "lightning_logs" / "version_0" / "checkpoints"
    below.mkdir(parents=True)
    state = {"state_dict": {"w": torch.ones(4, 3)}, "optimizer_states": [{"state": {}}]}
    for name in ("epoch=10-step=1100.ckpt", "epoch=9-step=990.ckpt"):
        torch.save(state, below / name)
    torch.save(state, tmp_path / "old.pth.tar", _use_new_zipfile_serialization=False)
    torch.save(state, tmp_path / "best_model")
    torch.save(state, tmp_path / "m.pkl")
    (tmp_path / "data.pkl").write_bytes(b"\x80\x04\x95\x05\0\0\0\0\0\0\0]\x94.")
    found = every(tmp_path)
    logs = "lightning_logs/version_0/checkpoints"
    expected = ["best_model", f"{logs}/epoch=9-step=990", f"{logs}/epoch=10-step=1100", "m", "old"]
    assert found == expected


def trained(root: Path) -> Path:
    """An adapter's checkpoint of transformers' Trainer, and AllenNLP's during a training."""
    net = torch.nn.Linear(8, 6)
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.ones(2, 8)).sum().backward()
    optimizer.step()
    model(root / "lora" / "checkpoint-5", name="adapter_model.safetensors")
    own = {
        "optimizer.pt": optimizer.state_dict(),
        "scheduler.pt": {"last_epoch": 5},
        "rng_state.pth": {"cpu": torch.get_rng_state()},
        "training_args.bin": {"lr": 0.1},
        "trainer_state.json": {},
    }
    for name, what in own.items():
        torch.save(what, root / "lora" / "checkpoint-5" / name)
    (root / "tagger").mkdir()
    (root / "tagger" / "config.json").write_text("{}")
    for epoch in (9, 10):
        torch.save(net.state_dict(), root / "tagger" / f"model_state_epoch_{epoch}.th")
        state = {"optimizer": optimizer.state_dict()}
        torch.save(state, root / "tagger" / f"training_state_epoch_{epoch}.th")
    return root


def test_the_files_of_trainers_are_passed_over_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = trained(tmp_path / "runs")
    manifest = read_manifest(str(runs))
    assert names(manifest) == ["lora/checkpoint-5/adapter_model", "tagger/model_state_epoch_10"]
    (run,) = manifest.runs
    assert run.not_analyzed == ("tagger/model_state_epoch_9.th",)
    assert manifest.trainer_files == 7 and manifest.unread == ()
    (runs / "x.tflite").write_bytes(LITE)
    (runs / "README.md").write_text("What I trained.")
    assert main(["zoo", str(runs), "--output-dir", str(tmp_path / "out")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Passed over: 7 files of trainers" in printed
    written = json.loads((tmp_path / "out" / "zoo.json").read_text())
    assert written["trainer_files"] == 7
    (unread,) = written["unread"]
    assert unread.startswith("x.tflite is a TensorFlow Lite model, which is not read; ")
    assert f"Found but not read (1): {unread}"[:60] in printed


def test_what_is_not_read_is_listed(tmp_path: Path) -> None:
    configured(tmp_path / "good")
    (tmp_path / "blob").write_bytes(LITE)
    (tmp_path / "cc.en").write_bytes(bytes.fromhex("ba164f2f") + bytes(100))
    (tmp_path / "openvino_model.bin").write_bytes(bytes(100))
    (tmp_path / "openvino_model.xml").write_text('<?xml version="1.0"?><net name="a"></net>')
    (tmp_path / "strange.dat").write_bytes(b"\x01\x02\x03\x04" * 2**18)
    (tmp_path / "small.dat").write_bytes(b"\x01\x02\x03\x04")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n" + bytes(2**21))
    dcp = tmp_path / "dcp"
    dcp.mkdir()
    (dcp / "__0_0.distcp").write_bytes(b"\x80\x02 some")
    manifest = read_manifest(str(tmp_path))
    assert names(manifest) == ["good"]
    said = {line.split(" ")[0]: line for line in manifest.unread}
    assert set(said) == {
        *("blob", "cc.en", "openvino_model.bin", "openvino_model.xml"),
        *("strange.dat", "dcp"),
    }
    assert "is a TensorFlow Lite model" in said["blob"]
    assert "is of no known format" in said["strange.dat"]
    assert "distributed checkpoint of torch" in said["dcp"]


def test_a_directory_of_nothing_else_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(LITE)
    with pytest.raises(UsageError) as caught:
        read_manifest(str(tmp_path))
    assert "; found but not read: k is a TensorFlow Lite model" in str(caught.value)


def test_a_page_or_a_pointer_in_place_of_weights_is_a_model_that_fails(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"<html>Not found")
    (tmp_path / "b.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert names(read_manifest(str(tmp_path))) == ["a", "b"]


def test_a_damaged_index_of_modules_is_said(tmp_path: Path) -> None:
    configured(tmp_path / "st")
    (tmp_path / "st" / "modules.json").write_text('[{"path": "../x"}]')
    manifest = read_manifest(str(tmp_path))
    assert names(manifest) == ["st"]
    assert "which is not a directory below" in manifest.unread[0]


def test_a_distributed_checkpoint_is_one_model(tmp_path: Path) -> None:
    dcp = tmp_path / "step-10"
    dcp.mkdir()
    for name in (".metadata", "__0_0.distcp", "__1_0.distcp"):
        (dcp / name).write_bytes(b"\x80\x02 some")
    assert names(read_manifest(str(tmp_path))) == ["step-10"]
