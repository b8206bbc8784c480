"""Kinds inferred from the weights of the modules of AllenNLP and transformers."""

from collections.abc import Callable
from typing import Any

import pytest

from allennlp_analyze.matrices.kinds import infer_kinds
from tests.support.torch_sources import layer_kinds, source_of


def allennlp_models() -> "dict[str, Callable[[], Any]]":
    pytest.importorskip("allennlp")
    from allennlp.modules import augmented_lstm, elmo_lstm, seq2seq_encoders, span_extractors
    from allennlp.modules import stacked_bidirectional_lstm as stacked
    from allennlp.modules import transformer as blocks
    from allennlp.modules.highway import Highway
    from allennlp.modules.maxout import Maxout
    from allennlp.modules.seq2vec_encoders import CnnEncoder, CnnHighwayEncoder
    from allennlp.modules.token_embedders import Embedding, TokenCharactersEncoder
    from allennlp.modules.transformer.t5 import T5DenseReluDense, T5LayerFF, T5LayerNorm

    two_streams = {
        **dict.fromkeys(("hidden_size1", "combined_hidden_size"), 8),
        **dict.fromkeys(("hidden_size2", "intermediate_size1", "intermediate_size2"), 12),
        **dict.fromkeys(("num_hidden_layers1", "num_hidden_layers2"), 2),
        **dict.fromkeys(("num_attention_heads1", "num_attention_heads2"), 2),
        "combined_num_attention_heads": 2,
        "biattention_id1": [1],
        "biattention_id2": [1],
    }
    return {
        "ELMo's LSTM": lambda: elmo_lstm.ElmoLstm(6, 4, 8, 2),
        "augmented LSTM": lambda: augmented_lstm.AugmentedLstm(5, 4),
        "stacked LSTM": lambda: stacked.StackedBidirectionalLstm(5, 4, 2),
        "gated CNN": lambda: seq2seq_encoders.GatedCnnEncoder(
            6, [[[2, 6]], [[1, 4], [3, 4], [1, 6]]]
        ),
        "transformer": lambda: seq2seq_encoders.PytorchTransformer(8, 2, 12, 2, "embedding", 20),
        "CNN": lambda: CnnEncoder(6, 4, (1, 2, 3), output_dim=5),
        "CNN highway": lambda: CnnHighwayEncoder(6, [[1, 4], [2, 8]], 2, 5),
        "highway": lambda: Highway(6, 2),
        "maxout": lambda: Maxout(6, 2, 5, 3),
        "characters": lambda: TokenCharactersEncoder(
            Embedding(6, num_embeddings=20), CnnEncoder(6, 4, (2, 5))
        ),
        "projected": lambda: Embedding(6, num_embeddings=20, projection_dim=3),
        "spans": lambda: span_extractors.EndpointSpanExtractor(6, "x,y", 10, 4),
        "T5 attention": lambda: blocks.T5Attention(
            hidden_size=8, key_value_proj_dim=4, num_heads=2, has_relative_attention_bias=True
        ),
        "T5 feedforward": lambda: T5LayerFF(T5DenseReluDense(8, 12), T5LayerNorm(8)),
        "text embeddings": lambda: blocks.TransformerEmbeddings(30, 8, 0, 16, 3, output_size=5),
        "image embeddings": lambda: blocks.ImageFeatureEmbeddings(7, 6),
        "stack": lambda: blocks.TransformerStack(
            2, hidden_size=8, intermediate_size=12, num_attention_heads=2
        ),
        "two streams": lambda: blocks.BiModalEncoder(**two_streams),
    }


ALLENNLP_MODELS = (
    "ELMo's LSTM",
    "augmented LSTM",
    "stacked LSTM",
    "gated CNN",
    "transformer",
    "CNN",
    "CNN highway",
    "highway",
    "maxout",
    "characters",
    "projected",
    "spans",
    "T5 attention",
    "T5 feedforward",
    "text embeddings",
    "image embeddings",
    "stack",
    "two streams",
)


@pytest.mark.parametrize("model", ALLENNLP_MODELS)
@pytest.mark.filterwarnings("ignore")
def test_allennlp_modules_are_told_apart_without_their_modules(model: str) -> None:
    built = allennlp_models()[model]()
    # A model holds its encoder under a name, beside layers with biases.
    state = {f"encoder.{name}": tensor for name, tensor in built.state_dict().items()}
    expected = {f"encoder.{name}": kind for name, kind in true_kinds(built).items()}
    kinds = infer_kinds(source_of(state))
    assert {name: kinds[name] for name in expected} == expected


def true_kinds(model: Any) -> dict[str, str]:
    """By the class of torch, and by the two that AllenNLP and transformers wrote themselves."""
    own = {"Embedding": "embedding", "Conv1D": "linear"}
    kinds = layer_kinds(model)
    for path, module in model.named_modules():
        if type(module).__name__ in own:
            kinds[f"{path}.weight" if path else "weight"] = own[type(module).__name__]
    return kinds


def hugging_face_model(name: str) -> Any:
    """A small model of transformers, from its configuration alone."""
    transformers = pytest.importorskip("transformers")
    width = {"vocab_size": 101, "hidden_size": 24, "num_hidden_layers": 1}
    bert = {**width, "num_attention_heads": 4, "intermediate_size": 36}
    gpt = {"vocab_size": 101, "n_embd": 24, "n_layer": 1, "n_head": 4}
    t5 = {"vocab_size": 101, "d_model": 24, "d_kv": 6, "d_ff": 36, "num_layers": 1, "num_heads": 4}
    bart = {
        **{"vocab_size": 101, "d_model": 24, "encoder_layers": 1, "decoder_layers": 1},
        **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
        **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 36),
    }
    classes = {
        "BertForMaskedLM": ("BertConfig", bert),
        "RobertaForMultipleChoice": ("RobertaConfig", bert),
        "AlbertModel": ("AlbertConfig", {**bert, "embedding_size": 16}),
        "DebertaModel": ("DebertaConfig", {**bert, "relative_attention": True}),
        "GPT2LMHeadModel": ("GPT2Config", gpt),
        "GPTJForCausalLM": ("GPTJConfig", {**gpt, "rotary_dim": 4}),
        "CTRLLMHeadModel": ("CTRLConfig", {**gpt, "dff": 36}),
        "T5ForConditionalGeneration": ("T5Config", {**t5, "tie_word_embeddings": False}),
        "BartForConditionalGeneration": ("BartConfig", bart),
        "DistilBertModel": (
            "DistilBertConfig",
            {"vocab_size": 101, "dim": 24, "hidden_dim": 36, "n_layers": 1, "n_heads": 4},
        ),
        "LongformerModel": ("LongformerConfig", {**bert, "attention_window": [4]}),
    }
    config, sizes = classes[name]
    return getattr(transformers, name)(getattr(transformers, config)(**sizes))


@pytest.mark.parametrize(
    "name",
    [
        "BertForMaskedLM",
        "RobertaForMultipleChoice",
        "AlbertModel",
        "DebertaModel",
        "GPT2LMHeadModel",
        "GPTJForCausalLM",
        "CTRLLMHeadModel",
        "T5ForConditionalGeneration",
        "BartForConditionalGeneration",
        "DistilBertModel",
        "LongformerModel",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_transformers_are_told_apart_without_their_modules(name: str) -> None:
    model = hugging_face_model(name)
    state = model.state_dict()
    expected = true_kinds(model)
    source = source_of(state)
    kinds = infer_kinds(source)
    tables = {source.tensors[n].storage for n, kind in expected.items() if kind == "embedding"}
    for parameter, kind in expected.items():
        tied = source.tensors[parameter].storage in tables
        assert kinds[parameter] == ("embedding" if tied else kind), parameter
