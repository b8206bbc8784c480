"""The NER model of 2018: its sizes, parameters, configuration and vocabulary."""

from dataclasses import dataclass

ENTITIES = ("LOC", "MISC", "ORG", "PER")
ELMO = "text_field_embedder.token_embedder_elmo._elmo."
CHARACTERS = "text_field_embedder.token_embedder_token_characters."


@dataclass(frozen=True)
class Dimensions:
    """The sizes that the configuration of the model chooses; rows include padding and unknown."""

    tokens: int
    token_dim: int
    elmo_filters: tuple[int, ...]
    elmo_cell: int
    elmo_projection: int
    characters: int
    character_filters: int
    hidden: int
    character_dim: int = 16
    elmo_characters: int = 262

    @property
    def elmo_cnn(self) -> int:
        return sum(self.elmo_filters)

    @property
    def encoder_input(self) -> int:
        return self.token_dim + 2 * self.elmo_projection + self.character_filters


FULL = Dimensions(
    tokens=402,
    token_dim=50,
    elmo_filters=(32, 32, 64, 128, 256, 512, 1024),
    elmo_cell=4096,
    elmo_projection=512,
    characters=82,
    character_filters=128,
    hidden=200,
)


# Q as in the original wherever the size allows; M >= 20 for every Linear but the tag projection.
SMALL = Dimensions(
    tokens=102,
    token_dim=24,
    elmo_filters=(1, 1, 3, 5, 10, 20, 40),
    elmo_cell=160,
    elmo_projection=20,
    characters=82,
    character_filters=24,
    hidden=32,
)


def labels() -> list[str]:
    """The 17 tags of CoNLL 2003 in the BIOUL scheme."""
    return ["O", *(f"{position}-{entity}" for entity in ENTITIES for position in "BILU")]


def parameter_shapes(size: Dimensions) -> dict[str, tuple[int, ...]]:
    """Every parameter's shape, in state-dict order."""
    shapes: dict[str, tuple[int, ...]] = {
        "text_field_embedder.token_embedder_tokens.weight": (size.tokens, size.token_dim)
    }
    shapes.update(_elmo_shapes(size))
    shapes.update(_character_shapes(size))
    shapes.update(_encoder_shapes(size))
    tags = len(labels())
    shapes["tag_projection_layer._module.weight"] = (tags, 2 * size.hidden)
    shapes["tag_projection_layer._module.bias"] = (tags,)
    shapes["crf.transitions"] = (tags, tags)
    shapes["crf._constraint_mask"] = (tags + 2, tags + 2)
    return shapes


def _elmo_shapes(size: Dimensions) -> dict[str, tuple[int, ...]]:
    embedder = f"{ELMO}_elmo_lstm._token_embedder."
    shapes: dict[str, tuple[int, ...]] = {
        f"{embedder}_char_embedding_weights": (size.elmo_characters, size.character_dim)
    }
    for index, filters in enumerate(size.elmo_filters):
        shapes[f"{embedder}char_conv_{index}.weight"] = (filters, size.character_dim, index + 1)
        shapes[f"{embedder}char_conv_{index}.bias"] = (filters,)
    for index in range(2):
        shapes[f"{embedder}_highways._layers.{index}.weight"] = (2 * size.elmo_cnn, size.elmo_cnn)
        shapes[f"{embedder}_highways._layers.{index}.bias"] = (2 * size.elmo_cnn,)
    shapes[f"{embedder}_projection.weight"] = (size.elmo_projection, size.elmo_cnn)
    shapes[f"{embedder}_projection.bias"] = (size.elmo_projection,)
    gates, projection = 4 * size.elmo_cell, size.elmo_projection
    for index in range(2):
        for direction in ("forward", "backward"):
            layer = f"{ELMO}_elmo_lstm._elmo_lstm.{direction}_layer_{index}."
            shapes[f"{layer}input_linearity.weight"] = (gates, projection)
            shapes[f"{layer}state_linearity.weight"] = (gates, projection)
            shapes[f"{layer}state_linearity.bias"] = (gates,)
            shapes[f"{layer}state_projection.weight"] = (projection, size.elmo_cell)
    shapes[f"{ELMO}scalar_mix_0.gamma"] = (1,)
    shapes.update({f"{ELMO}scalar_mix_0.scalar_parameters.{index}": (1,) for index in range(3)})
    return shapes


def _character_shapes(size: Dimensions) -> dict[str, tuple[int, ...]]:
    convolution = f"{CHARACTERS}_encoder._module.conv_layer_0."
    return {
        f"{CHARACTERS}_embedding._module.weight": (size.characters, size.character_dim),
        f"{convolution}weight": (size.character_filters, size.character_dim, 3),
        f"{convolution}bias": (size.character_filters,),
    }


def _encoder_shapes(size: Dimensions) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    gates = 4 * size.hidden
    for layer, inputs in enumerate((size.encoder_input, 2 * size.hidden)):
        for direction in ("", "_reverse"):
            suffix = f"l{layer}{direction}"
            shapes[f"encoder._module.weight_ih_{suffix}"] = (gates, inputs)
            shapes[f"encoder._module.weight_hh_{suffix}"] = (gates, size.hidden)
            shapes[f"encoder._module.bias_ih_{suffix}"] = (gates,)
            shapes[f"encoder._module.bias_hh_{suffix}"] = (gates,)
    return shapes


def configuration(size: Dimensions) -> dict[str, object]:
    """config.json in the schema of AllenNLP 0.4 and 0.5 (embedders directly by name)."""
    return {
        "dataset_reader": {
            "type": "conll2003",
            "tag_label": "ner",
            "coding_scheme": "BIOUL",
            "token_indexers": {
                "tokens": {"type": "single_id", "lowercase_tokens": True},
                "token_characters": {"type": "characters"},
                "elmo": {"type": "elmo_characters"},
            },
        },
        "train_data_path": "eng.train",
        "validation_data_path": "eng.testa",
        "test_data_path": "eng.testb",
        "model": {
            "type": "crf_tagger",
            "label_encoding": "BIOUL",
            "constraint_type": "BIOUL",
            "calculate_span_f1": True,
            "include_start_end_transitions": False,
            "dropout": 0.5,
            "text_field_embedder": _embedders(size),
            "encoder": {
                "type": "lstm",
                "input_size": size.encoder_input,
                "hidden_size": size.hidden,
                "num_layers": 2,
                "dropout": 0.5,
                "bidirectional": True,
            },
        },
        "iterator": {"type": "basic", "batch_size": 64},
        "trainer": {
            "optimizer": {"type": "adam", "lr": 0.001},
            "validation_metric": "+f1-measure-overall",
            "num_serialized_models_to_keep": 3,
            "num_epochs": 75,
            "patience": 25,
            "grad_norm": 5.0,
            "cuda_device": 0,
        },
    }


def _embedders(size: Dimensions) -> dict[str, object]:
    elmo = "https://s3-us-west-2.amazonaws.com/allennlp/models/elmo/2x4096_512_2048cnn_2xhighway"
    prefix = f"{elmo}/elmo_2x4096_512_2048cnn_2xhighway"
    return {
        "tokens": {"type": "embedding", "embedding_dim": size.token_dim, "trainable": True},
        "elmo": {
            "type": "elmo_token_embedder",
            "options_file": f"{prefix}_options.json",
            "weight_file": f"{prefix}_weights.hdf5",
            "do_layer_norm": False,
            "dropout": 0.0,
        },
        "token_characters": {
            "type": "character_encoding",
            "embedding": {"embedding_dim": size.character_dim},
            "encoder": {
                "type": "cnn",
                "embedding_dim": size.character_dim,
                "num_filters": size.character_filters,
                "ngram_filter_sizes": [3],
                "conv_layer_activation": "relu",
            },
        },
    }


def vocabulary(size: Dimensions) -> dict[str, list[str]]:
    """Lines of each file of vocabulary/: padding has a row in the model but no line in the file."""
    unknown = "@@UNKNOWN@@"
    words = [f"word{index}" for index in range(size.tokens - 2)]
    characters = [chr(ord("!") + index) for index in range(size.characters - 2)]
    return {
        "tokens": [unknown, *words],
        "token_characters": [unknown, *characters],
        "labels": labels(),
        "non_padded_namespaces": ["*labels", "*tags"],
    }
