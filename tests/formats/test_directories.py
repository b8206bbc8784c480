"""Directories that transformers and Lightning write are read as their users mean them."""

from pathlib import Path

import pytest

from allennlp_analyze.sources.opening import open_source
from allennlp_analyze.zoo.manifest.reading import read_manifest

torch = pytest.importorskip("torch")


def test_the_output_of_transformers_trainer(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="install the extra `formats`")
    pytest.importorskip("accelerate", reason="the Trainer needs it")
    config = transformers.BertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=50,
    )
    model = transformers.BertForSequenceClassification(config)
    rows = [{"input_ids": [1, 2, 3], "attention_mask": [1, 1, 1], "labels": 0}] * 24
    arguments = transformers.TrainingArguments(
        str(tmp_path / "run"),
        max_steps=12,
        save_steps=3,
        save_total_limit=None,
        per_device_train_batch_size=2,
        report_to=[],
        use_cpu=True,
    )
    trainer = transformers.Trainer(model, arguments, train_dataset=rows)
    trainer.train()
    trainer.save_model(str(tmp_path / "run"))
    manifest = read_manifest(str(tmp_path))
    steps = [f"run/checkpoint-{step}" for step in (3, 6, 9, 12)]
    assert [entry.name for entry in manifest.entries] == [*steps, "run"]
    assert manifest.trainer_files >= 16 and manifest.unread == ()
    with open_source(manifest.entries[0].archive) as source:
        assert source.config["model_type"] == "bert" and source.warnings == ()


@pytest.mark.parametrize("sharded", [False, True])
def test_a_model_that_transformers_saved(tmp_path: Path, sharded: bool) -> None:
    transformers = pytest.importorskip("transformers", reason="install the extra `formats`")
    config = transformers.GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=50, n_positions=8)
    model = transformers.GPT2LMHeadModel(config)
    model.save_pretrained(tmp_path / "m", max_shard_size="4KB" if sharded else "5GB")
    with open_source(str(tmp_path / "m")) as source:
        assert source.warnings == ()
        assert any(name.endswith("c_attn.weight") for name in source.tensors)
    assert [entry.name for entry in read_manifest(str(tmp_path)).entries] == ["m"]


def test_the_logs_of_lightning(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning.pytorch", reason="install the extra `lightning`")

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = torch.nn.Linear(8, 4)

        def training_step(self, batch: "list[torch.Tensor]", _: int) -> "torch.Tensor":
            return self.net(batch[0]).sum()

        def configure_optimizers(self) -> "torch.optim.Optimizer":
            return torch.optim.Adam(self.parameters())

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(8, 8)))
    trainer = lightning.Trainer(
        max_epochs=1,
        default_root_dir=tmp_path,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(), data)
    with open_source(str(tmp_path)) as source:
        assert list(source.tensors) == ["net.weight", "net.bias"]
        assert source.archive.endswith(".ckpt") or "checkpoints" in source.archive
    manifest = read_manifest(str(tmp_path))
    assert len(manifest.entries) == 1 and manifest.unread == ()
