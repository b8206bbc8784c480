"""Kinds inferred from the weights, against the classes of the modules that wrote them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.matrices.kinds import infer_kinds
from allennlp_analyze.matrices.names import split_name
from allennlp_analyze.options.names import KINDS
from allennlp_analyze.sources.opening import open_source
from allennlp_analyze.sources.source import Source
from allennlp_analyze.sources.tensor import StoredTensor
from allennlp_analyze.text.words import words_of
from tests.support.corpus import SHARED, Corpus, corpus_names
from tests.support.torch_sources import layer_kinds, source_of

# AllenNLP's own parameters, which no layer of torch holds, by the class that owns them.
ORACLE_KINDS = {
    "Linear": "linear",
    "Embedding": "embedding",
    "LSTM": "recurrent",
    "LSTMCell": "recurrent",
    "Conv1d": "convolution",
    "Bilinear": "bilinear",
    "BilinearAttention": "attention",
    "BilinearMatrixAttention": "attention",
    "BiaffineDependencyParser": "other",
}


def shapes_source(shapes: dict[str, tuple[int, ...]], **about: Any) -> Source:
    tensors = {
        name: StoredTensor(name, tuple(shape), "float32", name, None)
        for name, shape in shapes.items()
    }
    return Source("test", "test", None, "weights.th", tensors, **about)


@pytest.mark.parametrize("name", corpus_names())
def test_corpus_kinds_are_those_of_the_real_classes(corpus: Corpus, name: str) -> None:
    classes = corpus.oracle[name].get("module_class")
    if classes is None:
        pytest.skip("no release of AllenNLP opened this archive: its classes are not known")
    with open_source(str(corpus.path(name))) as source:
        kinds = infer_kinds(source)
    assert kinds == {parameter: ORACLE_KINDS[owner] for parameter, owner in classes.items()}


def test_names_and_shapes_of_the_2018_ner_model_give_its_linear_layers() -> None:
    published = SHARED / "published"
    if not published.is_dir():
        pytest.skip("the published tables (../shared/published) are not on this machine")
    shapes = json.loads((published / "ner_2018_parameters.json").read_text())
    rows = [row.split(",") for row in (published / "allennlp_2018.csv").read_text().splitlines()]
    kinds = infer_kinds(shapes_source(shapes))
    linear = [name for name in shapes if kinds.get(name) == "linear"]
    expected = {(int(row[3]), int(row[4])) for row in rows if row[0] == "ner"}
    assert {(min(shapes[name]), max(shapes[name])) for name in linear} == expected
    assert len(linear) == sum(row[0] == "ner" for row in rows)


def embedding_models() -> "dict[str, Callable[[], Any]]":
    """Models with embeddings, under names that say little, and some that mislead."""
    nn = torch.nn
    return {
        "biases": lambda: nn.ModuleDict({"a": nn.Embedding(9, 4), "b": nn.Linear(4, 3)}),
        "features": lambda: nn.ModuleDict(
            {
                "embeddings": nn.ModuleDict(
                    {
                        "image_embeddings": nn.Linear(7, 6),
                        "location_embeddings": nn.Linear(4, 6, bias=False),
                        "position_embeddings": nn.Embedding(11, 6),
                    }
                ),
                "layer_norm": nn.LayerNorm(6),
            }
        ),
        "no biases": lambda: nn.ModuleDict(
            {
                "embed_tokens": nn.Embedding(50, 8),
                "layers": nn.ModuleList(
                    nn.ModuleDict({n: nn.Linear(8, 8, bias=False) for n in ("q_proj", "gate", "x")})
                    for _ in range(2)
                ),
                "lm_head": nn.Linear(8, 50, bias=False),
            }
        ),
        "named to mislead": lambda: nn.ModuleDict(
            {
                "embed_proj": nn.Linear(6, 4, bias=False),
                "embedding": nn.Linear(6, 4),
                "relative_attention_bias": nn.Embedding(32, 4),
                "_question_num_marker": nn.Embedding(13, 5),
                "softmax_w": nn.Embedding(12, 5),
                "_action_biases": nn.Embedding(20, 1),
            }
        ),
    }


def torch_models() -> "dict[str, Callable[[], Any]]":
    """Models of torch's own layers."""
    nn = torch.nn
    return {
        **embedding_models(),
        "recurrent": lambda: nn.ModuleDict(
            {
                "a": nn.LSTM(5, 4, 2, bidirectional=True),
                "b": nn.GRU(5, 4, bias=False),
                "c": nn.RNNCell(5, 4),
                "d": nn.LSTM(5, 4, proj_size=2),
            }
        ),
        "three dimensions": lambda: nn.ModuleDict(
            {
                "pair": nn.Bilinear(5, 5, 3),
                "tag_bilinear": nn.Bilinear(4, 3, 6),
                "wide": nn.Bilinear(20, 30, 4),
                "conv": nn.Conv1d(3, 8, 3),
                "window": nn.Conv1d(6, 8, 5),
                "pointwise": nn.Conv1d(6, 8, 1, bias=False),
                "image": nn.Conv2d(3, 4, 3),
                "volume": nn.Conv3d(3, 4, 2),
                "up": nn.ConvTranspose1d(6, 4, 3),
            }
        ),
        "attention": lambda: nn.ModuleDict(
            {"a": nn.MultiheadAttention(8, 2), "b": nn.MultiheadAttention(8, 2, kdim=5, vdim=7)}
        ),
        "weight normalization": lambda: nn.ModuleDict(
            {
                "linear": nn.utils.weight_norm(nn.Linear(5, 4)),
                "conv": nn.utils.weight_norm(nn.Conv1d(5, 4, 3)),
            }
        ),
        "transformer": lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 12), 2),
    }


TORCH_MODELS = (
    "biases",
    "features",
    "no biases",
    "named to mislead",
    "recurrent",
    "three dimensions",
    "attention",
    "weight normalization",
    "transformer",
)


@pytest.mark.parametrize("model", TORCH_MODELS)
@pytest.mark.filterwarnings("ignore")
def test_torch_layers_are_told_apart_without_their_modules(model: str) -> None:
    built = torch_models()[model]()
    expected = layer_kinds(built)
    assert expected
    inferred = infer_kinds(source_of(built.state_dict()))
    assert {name: inferred[name] for name in expected} == expected


def test_a_vocabulary_names_its_embedding_where_nothing_else_does() -> None:
    shapes = {"x1.weight": (12, 4), "x2.weight": (11, 4), "x3.weight": (7, 4), "x4.weight": (8, 4)}
    source = shapes_source(
        shapes, vocabulary={"tokens": 11, "labels": 7}, non_padded=("*labels", "*tags")
    )
    assert infer_kinds(source) == {
        "x1.weight": "embedding",
        "x2.weight": "linear",
        "x3.weight": "embedding",
        "x4.weight": "linear",
    }


def test_the_configuration_names_the_size_of_an_embedding() -> None:
    config = {"model": {"parts": [{"num_embeddings": 12, "embedding_dim": 4}]}}
    shapes = {"x1.weight": (12, 4), "x2.weight": (4, 12)}
    assert infer_kinds(shapes_source(shapes, config=config)) == {
        "x1.weight": "embedding",
        "x2.weight": "linear",
    }


def test_a_numbered_table_is_known_by_what_the_next_layer_takes() -> None:
    """nn.Sequential(nn.Embedding(100, 32), nn.Linear(32, 64)), and layers that are none of it."""
    first, second = {"0.weight": (100, 32)}, {"1.weight": (64, 32), "1.bias": (64,)}
    assert infer_kinds(shapes_source({**first, **second}))["0.weight"] == "embedding"
    for others in (
        {"1.weight": (64, 100), "1.bias": (64,)},  # it takes the rows
        {"1.weight": (64, 32), "2.bias": (64,)},  # without a bias: layers side by side
        {**second, "0.bias": (100,)},
    ):
        assert infer_kinds(shapes_source({**first, **others}))["0.weight"] == "linear"


def test_a_linear_tied_to_an_embedding_is_that_embedding() -> None:
    table = torch.zeros(9, 4)
    state = {"lm_head.weight": table, "lm_head.bias": torch.zeros(9), "wte.weight": table}
    assert set(infer_kinds(source_of(state)).values()) == {"embedding"}


@given(
    st.dictionaries(
        st.text(st.sampled_from("abW_.0 weight"), min_size=1, max_size=12),
        st.lists(st.integers(0, 5), max_size=5).map(tuple),
    )
)
def test_any_names_and_shapes_get_a_kind(shapes: "dict[str, tuple[int, ...]]") -> None:
    kinds = infer_kinds(shapes_source(shapes))
    assert set(kinds) == {name for name, shape in shapes.items() if len(shape) > 1}
    assert set(kinds.values()) <= set(KINDS)


@pytest.mark.parametrize(
    "name, words",
    [("lm_head", ["lm", "head"]), ("LmHead", ["lm", "head"]), ("LayerNorm2", ["layer", "norm"])],
)
def test_words_of_an_identifier(name: str, words: "list[str]") -> None:
    assert words_of(name) == words


def test_a_parametrized_weight_is_the_layers() -> None:
    if not hasattr(torch.nn.utils.parametrizations, "weight_norm"):
        pytest.skip("this torch has no weight_norm by parametrization")
    layer = torch.nn.ModuleDict({"a": torch.nn.Linear(4, 3)})
    torch.nn.utils.parametrizations.weight_norm(layer["a"])
    assert {split_name(name) for name in layer.state_dict()} == {
        ("a", "bias"),
        ("a", "weight_g"),
        ("a", "weight_v"),
    }
