"""The table of a built model, against what torch and the oracle say of its modules."""

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any

import pytest

from allennlp_analyze.matrices.modules import ModuleFacts, table_from_model
from tests.support.corpus import Corpus
from tests.support.torch_sources import layer_kinds

torch = pytest.importorskip("torch")
nn = torch.nn

# Archives whose models AllenNLP 2.10.1 builds without network or allennlp-models.
BUILDABLE = (
    "v2.0.0/core__basic_classifier.tar.gz",
    "v2.10.1/core__simple_tagger__serialization_full.tar.gz",
)


def every_layer() -> Any:
    return nn.ModuleDict(
        {
            "linear": nn.Linear(4, 3),
            "embedding": nn.Embedding(9, 4),
            "bag": nn.EmbeddingBag(9, 4),
            "lstm": nn.LSTM(4, 3, bidirectional=True),
            "gru": nn.GRUCell(4, 3),
            "rnn": nn.RNN(4, 3),
            "attention": nn.MultiheadAttention(8, 2),
            "bilinear": nn.Bilinear(4, 3, 2),
            "conv": nn.Conv2d(4, 6, 3, groups=2),
            "up": nn.ConvTranspose1d(4, 6, 3, groups=2),
            "norm": nn.BatchNorm1d(4),
            "stack": nn.TransformerDecoderLayer(8, 2, 12),
        }
    )


def test_kinds_are_those_of_torchs_classes() -> None:
    model = every_layer()
    table = table_from_model(model)
    expected = layer_kinds(model)
    assert {name: table.parameters[name].kind for name in expected} == expected


def test_every_parameter_is_in_the_table_and_every_buffer_is_known() -> None:
    model = every_layer()
    table = table_from_model(model)
    assert set(table.parameters) == {name for name, _ in model.named_parameters()}
    assert table.buffers == {name for name, _ in model.named_buffers()}
    assert table.is_buffer("norm.running_mean") and not table.is_buffer("norm.weight")
    assert table.get("norm.running_mean") is None


def test_index_and_class_are_those_of_model_modules() -> None:
    model = every_layer()
    modules = list(model.modules())
    for name, facts in table_from_model(model).parameters.items():
        owner = modules[facts.module_index]
        assert facts.module_class == type(owner).__name__
        assert owner is model.get_submodule(name.rpartition(".")[0])


def test_a_module_registered_twice_is_counted_once() -> None:
    layer = nn.Linear(4, 4)
    model = nn.ModuleList([layer, layer, nn.Linear(4, 2)])
    table = table_from_model(model)
    assert [facts.module_index for facts in table.parameters.values()] == [1, 1, 2, 2]
    assert table.get("1.weight") is None


def test_tied_parameters_are_listed_under_each_module() -> None:
    model = nn.ModuleDict({"table": nn.Embedding(9, 4), "head": nn.Linear(4, 9, bias=False)})
    model["head"].weight = model["table"].weight
    table = table_from_model(model)
    assert table.parameters["table.weight"].module_class == "Embedding"
    assert table.parameters["head.weight"].module_class == "Linear"


@pytest.mark.parametrize(
    "layer, gates",
    [(nn.LSTM(4, 3), 4), (nn.LSTMCell(4, 3), 4), (nn.GRU(4, 3), 3), (nn.RNN(4, 3), 1)],
)
def test_gates_of_recurrent_layers(layer: Any, gates: int) -> None:
    assert {facts.gates for facts in table_from_model(layer).parameters.values()} == {gates}


def test_groups_of_a_transposed_convolution() -> None:
    table = table_from_model(every_layer())
    assert table.parameters["up.weight"].transposed_groups == 2
    assert table.parameters["conv.weight"].transposed_groups == 0


def test_a_parameter_of_the_model_itself_has_index_0() -> None:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.transitions = nn.Parameter(torch.zeros(3, 3))

    table = table_from_model(Tagger())
    assert table.get("transitions") == ModuleFacts("Tagger", 0, "other")


def test_subclasses_are_of_the_kind_of_their_base() -> None:
    class Projection(nn.Linear):
        pass

    assert table_from_model(Projection(4, 3)).parameters["weight"] == ModuleFacts(
        "Projection", 0, "linear"
    )


def test_a_parametrized_layer_keeps_its_class_and_index() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    nn.utils.parametrizations.orthogonal(model[1], "weight")
    facts = table_from_model(model).parameters["1.parametrizations.weight.original"]
    assert list(model.modules())[facts.module_index] is model[1]
    assert facts.kind == "linear"


def test_attention_of_allennlp_and_conv1d_of_transformers() -> None:
    pytest.importorskip("allennlp")
    from allennlp.modules.attention import AdditiveAttention, BilinearAttention
    from allennlp.modules.matrix_attention import BilinearMatrixAttention
    from transformers.pytorch_utils import Conv1D

    model = nn.ModuleList(
        [
            AdditiveAttention(4, 3),
            BilinearAttention(4, 3),
            BilinearMatrixAttention(4, 3),
            Conv1D(4, 3),
        ]
    )
    kinds = {name: facts.kind for name, facts in table_from_model(model).parameters.items()}
    assert kinds["0._w_matrix"] == kinds["1._weight_matrix"] == kinds["2._weight_matrix"]
    assert kinds["0._w_matrix"] == "attention"
    assert kinds["3.weight"] == "linear"


@pytest.mark.parametrize("name", BUILDABLE)
def test_indices_and_classes_are_the_oracles(corpus: Corpus, name: str, tmp_path: Path) -> None:
    pytest.importorskip("allennlp")
    model = built(corpus.path(name), tmp_path)
    table = table_from_model(model)
    oracle = corpus.oracle[name]
    linear = [(f.module_index, n[: -len(".weight")]) for n, f in table.parameters.items()
              if f.kind == "linear" and n.endswith(".weight")]  # fmt: skip
    assert linear == [(row[0], row[1]) for row in oracle["linear"]]
    for parameter, owner in oracle["module_class"].items():
        assert table.parameters[parameter].module_class == owner


def built(archive: Path, directory: Path) -> Any:
    """The model of `archive` as AllenNLP builds it."""
    import tarfile

    from allennlp.common import Params
    from allennlp.models import Model

    with tarfile.open(archive) as members:
        members.extractall(directory)
    with open(os.devnull, "w") as quiet, contextlib.redirect_stderr(quiet):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = Params.from_file(str(directory / "config.json"))
            weights = str(directory / "weights.th")
            return Model.load(config, str(directory), weights_file=weights, cuda_device=-1)
