"""Trainers that have no callback of ours: Accelerate, torch.compile, TRL, DeepSpeed.

DeepSpeed and TRL are in no environment of the Makefile (TRL brings pyarrow). Their tests run where
they are installed beside the packages of .venv-formats.
"""

import importlib.util
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from allennlp_analyze import RankMonitor, analyze
from allennlp_analyze.errors import UsageError
from allennlp_analyze.monitor.trainers import hugging_face_callback
from tests.support.torch_trainings import (
    EPOCHS,
    STEPS,
    TOO_STRONG,
    assert_agrees,
    epochs,
    joined,
    network,
    one_thread,
    sgd,
    teacher,
    warned,
)

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.newest_python, pytest.mark.usefixtures("heard")]


def test_a_loop_of_accelerate() -> None:
    """The lines of docs/how-to/monitor.md."""
    accelerate: Any = pytest.importorskip("accelerate", reason="needs accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    model = network()
    model, optimizer = accelerator.prepare(model, sgd(model, TOO_STRONG))
    monitor = RankMonitor(model, optimizer=optimizer, stop=True)
    for epoch in epochs(model, optimizer):
        check = monitor.step(epoch)
        accelerator.log(check.metrics, step=epoch)
        if monitor.stops(check):
            break
    assert 1 < epoch < 20 and check.metrics["rank_monitor/collapsed_layers"] >= 1
    assert "weight decay 0.3" in check.collapses[-1].sentence


def test_a_compiled_model() -> None:
    if not hasattr(torch, "compile"):
        pytest.skip("this torch does not compile models")
    model = torch.compile(network(), backend="aot_eager")  # traced, but no C++ is built
    optimizer = sgd(model, TOO_STRONG)
    monitor = RankMonitor(model, optimizer=optimizer, stop=True)
    for epoch in epochs(model, optimizer):
        check = monitor.step(epoch)
        assert_agrees(check, analyze(model).layers)
        if monitor.stops(check):
            break
    assert 1 < epoch < 20 and [x.layer for x in check.readings] == ["0", "2"]
    assert "weight decay 0.3" in check.collapses[-1].sentence


def test_a_trainer_of_trl(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """SFTTrainer, on a Llama of two layers and sentences of a language of 60 words."""
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")
        trl = pytest.importorskip("trl", reason="needs TRL")
        datasets = pytest.importorskip("datasets", reason="needs datasets")
        transformers = pytest.importorskip("transformers")
        tokenizers = pytest.importorskip("tokenizers")
        words = {f"w{n}": n for n in range(60)} | {"<pad>": 60, "</s>": 61}
        inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<pad>"))
        inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        torch.manual_seed(0)
        model = transformers.LlamaForCausalLM(
            transformers.LlamaConfig(
                vocab_size=62,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
            )
        )
        texts = [" ".join(f"w{(n * k) % 60}" for k in range(12)) for n in range(1, 33)]
        trainer = trl.SFTTrainer(
            model,
            args=trl.SFTConfig(
                str(tmp_path),
                num_train_epochs=3,
                per_device_train_batch_size=8,
                report_to=[],
                save_strategy="no",
                use_cpu=True,
                bf16=False,
                max_length=16,
                disable_tqdm=True,
            ),
            train_dataset=datasets.Dataset.from_dict({"text": texts}),
            processing_class=transformers.PreTrainedTokenizerFast(
                tokenizer_object=inner, pad_token="<pad>", eos_token="</s>"
            ),
        )
        callback = hugging_face_callback(per_layer=True)
        trainer.add_callback(callback)
        trainer.train()
    entries = [x for x in trainer.state.log_history if "rank_monitor/collapsed_layers" in x]
    assert [x["step"] for x in entries] == [0, 4, 8, 12]
    assert warned(caplog) == []
    for layer in analyze(trainer.model).layers:
        found = entries[-1][f"rank_monitor/{layer.name}/stable_rank"]
        assert found == pytest.approx(layer.stable_rank, rel=1e-9)


def with_zero(rank: int, world: int, folder: str, stage: int) -> None:
    """Train by DeepSpeed's engine; write down what this process saw, or why it was refused."""
    os.environ.update(DS_ACCELERATOR="cpu", LOCAL_RANK="0", RANK=str(rank), WORLD_SIZE=str(world))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
    torch.set_num_threads(1)
    joined(rank, world, folder)
    import deepspeed

    deepspeed.ops.__compatible_ops__ = {}  # its C++ would be built first
    model = network()
    engine, optimizer, _, _ = deepspeed.initialize(
        model=model,
        optimizer=sgd(model, TOO_STRONG),
        config={
            "train_micro_batch_size_per_gpu": 256,
            "zero_optimization": {"stage": stage},
            "zero_allow_untested_optimizer": True,
        },
    )
    seen: dict[str, Any] = {}
    try:
        monitor = RankMonitor(engine, optimizer=optimizer, stop=True)
    except UsageError as error:
        seen["refused"] = str(error)
    else:
        inputs, targets = teacher()
        for epoch in range(1, EPOCHS + 1):
            for _ in range(STEPS):
                engine.backward(torch.nn.functional.mse_loss(engine(inputs), targets))
                engine.step()
            check = monitor.step(epoch)
            if rank == 0:
                assert_agrees(check, analyze(engine.module).layers)
            if monitor.stops(check):
                break
        seen["epochs"] = epoch
        seen["readings"] = len(check.readings)
        seen["said"] = [one.sentence for one in check.collapses]
    (Path(folder) / f"{rank}.json").write_text(json.dumps(seen))
    torch.distributed.barrier()
    os._exit(0)


def by_deepspeed(folder: Path, stage: int) -> "list[dict[str, Any]]":
    if importlib.util.find_spec("deepspeed") is None or sys.platform == "win32":
        pytest.skip("needs DeepSpeed")
    torch.multiprocessing.spawn(with_zero, (2, str(folder), stage), nprocs=2)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("stage", [1, 2])
def test_deepspeed_with_whole_parameters(stage: int, tmp_path: Path) -> None:
    first, second = by_deepspeed(tmp_path, stage)
    assert 1 < first["epochs"] == second["epochs"] < 20
    assert first["readings"] == 2 and second["readings"] == 0
    assert not second["said"]
    assert any("weight decay 0.3 is likely too strong" in line for line in first["said"])


def test_deepspeed_with_sharded_parameters_is_refused_in_one_line(tmp_path: Path) -> None:
    for seen in by_deepspeed(tmp_path, 3):
        assert seen == {
            "refused": "model: module.0.weight: parameters that DeepSpeed ZeRO-3 shards cannot be"
            " monitored; use ZeRO stage 1 or 2, or analyze what zero_to_fp32.py makes of a"
            " checkpoint"
        }
