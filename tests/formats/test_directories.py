"""Directories that transformers and Lightning write are read as their users mean them."""

from pathlib import Path

import pytest

from allennlp_analyze.sources.opening import open_source
from allennlp_analyze.zoo.manifest.reading import read_manifest

pytestmark = pytest.mark.newest_python

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
    steps = [f"run/checkpoint-{step}" for step in (3, 6, 9, 12)]
    every = read_manifest(str(tmp_path), every_checkpoint=True)
    assert [entry.name for entry in every.entries] == [*steps, "run"]
    manifest = read_manifest(str(tmp_path))
    (training,) = manifest.runs
    assert [entry.name for entry in manifest.entries] == ["run"] == [training.model]
    assert sorted(training.not_analyzed) == sorted(steps)
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


def test_a_pipeline_that_diffusers_saved(tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers", reason="install the extra `formats`")
    unet = diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4,
    )
    pipeline = diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler())
    pipeline.save_pretrained(tmp_path / "pipe")
    with open_source(str(tmp_path / "pipe")) as source:
        assert set(source.tensors) == set(unet.state_dict())
        assert source.config["_class_name"] == "UNet2DModel"
    with open_source(str(tmp_path / "pipe"), part="unet") as source:
        assert set(source.tensors) == set(unet.state_dict())
    assert [entry.name for entry in read_manifest(str(tmp_path / "pipe")).entries] == ["unet"]


def test_a_model_that_sentence_transformers_saved(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="install the extra `formats`")
    library = pytest.importorskip("sentence_transformers", reason="install the extra `formats`")
    parts = pytest.importorskip("sentence_transformers.models", reason="moved")
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=50,
    )
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n")
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    transformers.BertTokenizer(str(tmp_path / "bert" / "vocab.txt")).save_pretrained(
        tmp_path / "bert"
    )
    word = parts.Transformer(str(tmp_path / "bert"))
    dense = parts.Dense(in_features=16, out_features=8)
    model = library.SentenceTransformer(modules=[word, parts.Pooling(16), dense], device="cpu")
    model.save(str(tmp_path / "st"))
    with open_source(str(tmp_path / "st")) as source:
        assert "2_Dense.linear.weight" in source.tensors
        assert source.config["model_type"] == "bert"
    assert [x.name for x in read_manifest(str(tmp_path / "st")).entries] == ["st"]


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
