"""No false alarm at step 0: architectures of transformers, timm and torchvision as they start.

Each is small, built from its configuration, with the weights that its library draws. Nothing is
downloaded. What is not installed is skipped.
"""

import warnings
from typing import Any, Callable

import pytest

from allennlp_analyze import RankMonitor

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.newest_python
SMALL = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 200,
}
DECODER = {**SMALL, "num_key_value_heads": 2, "max_position_embeddings": 64}
SEQUENCES = {
    "d_model": 48,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 96,
    "vocab_size": 200,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
IMAGES = {**SMALL, "image_size": 32, "patch_size": 8}
# The class of the model, and of its configuration what makes it small.
TRANSFORMERS: "dict[str, dict[str, Any]]" = {
    "BertForSequenceClassification": SMALL,
    "RobertaForMaskedLM": SMALL,
    "ElectraForSequenceClassification": {**SMALL, "embedding_size": 48},
    "AlbertModel": {**SMALL, "embedding_size": 32},
    "DebertaV2Model": SMALL,
    "DistilBertForMaskedLM": {"dim": 48, "hidden_dim": 96, "n_layers": 2, "n_heads": 4},
    "GPT2LMHeadModel": {"n_embd": 48, "n_layer": 2, "n_head": 4, "vocab_size": 200},
    "GPTNeoXForCausalLM": SMALL,
    "LlamaForCausalLM": DECODER,
    "Qwen2ForCausalLM": DECODER,
    "MixtralForCausalLM": {**DECODER, "num_local_experts": 4},
    "MambaForCausalLM": {"hidden_size": 48, "num_hidden_layers": 2, "vocab_size": 200},
    "T5ForConditionalGeneration": {
        "d_model": 48,
        "d_kv": 12,
        "d_ff": 96,
        "num_layers": 2,
        "num_heads": 4,
        "vocab_size": 200,
    },
    "BartForConditionalGeneration": SEQUENCES,
    "WhisperForConditionalGeneration": {
        **SEQUENCES,
        "max_source_positions": 50,
        "max_target_positions": 50,
    },
    "ViTForImageClassification": IMAGES,
    "ConvNextForImageClassification": {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 1, 1]},
    "ViTMAEForPreTraining": {**IMAGES, "decoder_hidden_size": 32, "decoder_num_hidden_layers": 1},
}
TIMM = {
    "vit_tiny_patch16_224": {"embed_dim": 48, "depth": 2, "num_heads": 3},
    "regnetx_002": {},
    "convnext_atto": {"depths": (1, 1, 1, 1), "dims": (16, 32, 48, 64)},
    "resnet18": {"layers": (1, 1, 1, 1), "channels": (16, 24, 32, 48)},
    "mobilenetv3_small_050": {},
}
TORCHVISION = ("squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v3_small")


def of_transformers(name: str) -> Callable[[], Any]:
    def make() -> Any:
        transformers = pytest.importorskip("transformers", reason="needs transformers")
        architecture = getattr(transformers, name, None)
        if architecture is None:
            pytest.skip(f"transformers {transformers.__version__} has no {name}")
        return architecture(architecture.config_class(**TRANSFORMERS[name]))

    return make


def of_timm(name: str) -> Callable[[], Any]:
    def make() -> Any:
        timm = pytest.importorskip("timm", reason="needs timm")
        return timm.create_model(name, pretrained=False, num_classes=10, **TIMM[name])

    return make


def of_torchvision(name: str) -> Callable[[], Any]:
    def make() -> Any:
        try:
            from torchvision import models
        except (ImportError, RuntimeError) as error:  # one of another build of torch
            pytest.skip(f"needs torchvision ({error})")
        return getattr(models, name)(weights=None, num_classes=10)

    return make


ALL = {
    **{name: of_transformers(name) for name in TRANSFORMERS},
    **{f"timm {name}": of_timm(name) for name in TIMM},
    **{f"torchvision {name}": of_torchvision(name) for name in TORCHVISION},
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.no_cover
def test_no_alarm_at_the_start(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        model = ALL[name]()
    check = RankMonitor(model, stop=True, max_seconds=60).step(0)
    assert len(check.readings) > 5 and not check.put_off
    assert [one.sentence for one in check.collapses] == []
    assert not check.stop and not check.invalid
    assert [x.getMessage() for x in caplog.records if "monitor" in x.name] == []
