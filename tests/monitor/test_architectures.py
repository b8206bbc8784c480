"""No false alarm at step 0 and in 20 steps of architectures of transformers, timm and torchvision.

Each has the weights that its library draws. Nothing is downloaded. What is not installed is
skipped: `make test` has timm, and torchvision of torch 1.12; `make test-formats` has transformers.
"""

import itertools
import warnings
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Callable

import pytest

from allennlp_analyze import RankMonitor
from allennlp_analyze.monitor.results import Check
from tests.support.torch_trainings import one_thread

torch = pytest.importorskip("torch")
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
        "decoder_start_token_id": 0,
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
SMALL_VIT = {"depth": 1, "img_size": 32, "patch_size": 8}
# Of their usual width (matrices of up to 1280), and most of them of their usual depth.
TIMM: "dict[str, dict[str, Any]]" = {
    "vit_tiny_patch16_224": SMALL_VIT,
    "deit3_small_patch16_224": SMALL_VIT,
    "beit_base_patch16_224": SMALL_VIT,
    "swin_tiny_patch4_window7_224": {"depths": (1, 1, 1, 1), "img_size": 56},
    "convnext_atto": {"depths": (1, 1, 1, 1)},
    "resnet18": {},
    "regnetx_002": {},
    "repvgg_a0": {},
    "densenet121": {"block_config": (2, 2, 2, 2)},
    "mobilenetv3_small_050": {},
    "efficientnet_b0": {},
    "edgenext_xx_small": {},
    "levit_128s": {},
    "mobilevit_xxs": {},
}
TORCHVISION = (
    "squeezenet1_1",
    "shufflenet_v2_x0_5",
    "mobilenet_v3_small",
    "mnasnet0_5",
    "regnet_y_400mf",
    "resnet18",
)


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
        if find_spec("timm") is None:
            pytest.skip("make test installs timm")
        timm = import_module("timm")
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
WORDS = torch.arange(2 * 24).reshape(2, 24) % 200
# What 20 steps of training take, by architecture.
INPUTS: "dict[str, dict[str, Any]]" = {
    "BertForSequenceClassification": {"input_ids": WORDS, "labels": torch.tensor([0, 1])},
    "GPT2LMHeadModel": {"input_ids": WORDS, "labels": WORDS},
    "LlamaForCausalLM": {"input_ids": WORDS, "labels": WORDS},
    "MixtralForCausalLM": {"input_ids": WORDS, "labels": WORDS},
    "T5ForConditionalGeneration": {"input_ids": WORDS, "labels": WORDS},
}
IMAGE_SIZES = {
    "timm vit_tiny_patch16_224": 32,
    "timm convnext_atto": 32,
    "timm mobilenetv3_small_050": 64,
    "torchvision shufflenet_v2_x0_5": 64,
    "torchvision squeezenet1_1": 64,
}
OPTIMIZERS: "dict[str, Callable[[Any], Any]]" = {
    "SGD": lambda trained: torch.optim.SGD(trained, lr=0.01, momentum=0.9, weight_decay=1e-4),
    "AdamW": lambda trained: torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.05),
}


def made(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        return ALL[name]()


def cases() -> "list[Any]":
    """What is of transformers is the same with every Python; AllenNLP has an old one."""
    newest = pytest.mark.newest_python
    return [pytest.param(x, marks=[newest] if x in TRANSFORMERS else []) for x in ALL]


@pytest.mark.no_cover
@pytest.mark.parametrize("name", cases())
def test_no_alarm_at_the_start(name: str, caplog: pytest.LogCaptureFixture) -> None:
    check = RankMonitor(made(name), stop=True, max_seconds=60).step(0)
    assert len(check.readings) > 5 and not check.put_off
    assert_quiet(check, caplog)


def test_these_are_enough() -> None:
    assert len(ALL) >= 20 and min(len(TRANSFORMERS), len(TIMM)) >= 10
    assert {*INPUTS, *IMAGE_SIZES} <= ALL.keys()


def trained() -> "list[Any]":
    """Each of the architectures with one of the optimizers, in turn."""
    pairs = zip((*INPUTS, *IMAGE_SIZES), itertools.cycle(OPTIMIZERS))
    newest = pytest.mark.newest_python
    return [pytest.param(x, how, marks=[newest] if x in INPUTS else []) for x, how in pairs]


@pytest.mark.no_cover
@pytest.mark.parametrize(("name", "how"), trained())
def test_no_alarm_in_the_first_steps(name: str, how: str, caplog: pytest.LogCaptureFixture) -> None:
    """Random data: nothing to learn, and no layer collapses from 20 steps of it."""
    model = made(name).train()
    size = IMAGE_SIZES.get(name, 0)
    images, labels = torch.randn(8, 3, size, size), torch.arange(8)
    optimizer = OPTIMIZERS[how](model.parameters())
    monitor = RankMonitor(model, optimizer=optimizer, stop=True, max_seconds=60)
    checks = [monitor.step(0, 0)]
    before = {layer.layer: layer.spectrum for layer in checks[0].readings}
    with one_thread():
        for _ in range(20):
            optimizer.zero_grad()
            if name in INPUTS:
                loss = model(**INPUTS[name]).loss
            else:
                loss = torch.nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
    checks.append(monitor.step(1, 20))
    assert torch.isfinite(loss)
    assert before != {layer.layer: layer.spectrum for layer in checks[1].readings}
    for check in checks:
        assert_quiet(check, caplog)


def assert_quiet(check: Check, caplog: pytest.LogCaptureFixture) -> None:
    assert [one.sentence for one in check.collapses] == []
    assert not check.stop and not check.invalid
    assert [x.getMessage() for x in caplog.records if "monitor" in x.name] == []
