"""The same model as a file, as a state dict and as a module has the same layers and verdict."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from allennlp_analyze import analyze
from allennlp_analyze.report import Report

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.newest_python, pytest.mark.filterwarnings("ignore")]

BLOCKS = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
WIDTH = {**BLOCKS, "vocab_size": 101}
GROUPED = {**WIDTH, "num_key_value_heads": 2}
SEQUENCES = {
    **{"vocab_size": 101, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1},
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 48),
}
WAVES = {
    **{"conv_dim": [16, 16], "conv_kernel": [5, 3], "conv_stride": [2, 2]},
    **{"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4},
}
# Classes of transformers, and the smallest sizes that they take.
# fmt: off
MODELS: "dict[str, tuple[str, dict[str, Any]]]" = {
    "bert": ("BertForMaskedLM", {**WIDTH}),
    "roberta": ("RobertaForMaskedLM", {**WIDTH}),
    "electra": ("ElectraForPreTraining", {**WIDTH, "embedding_size": 16}),
    "albert": ("AlbertForMaskedLM", {**WIDTH, "embedding_size": 16}),
    "deberta-v2": ("DebertaV2ForMaskedLM", {**WIDTH, "relative_attention": True,
        "position_buckets": 8, "pos_att_type": ["p2c", "c2p"], "max_position_embeddings":
        20}),
    "distilbert": ("DistilBertForMaskedLM", {"vocab_size": 101, "dim": 32, "hidden_dim": 48,
        "n_layers": 2, "n_heads": 4}),
    "gpt2": ("GPT2LMHeadModel", {"vocab_size": 101, "n_embd": 32, "n_layer": 2, "n_head": 4,
        "n_positions": 40}),
    "gpt_neox": ("GPTNeoXForCausalLM", {**WIDTH}),
    "gpt_neo": ("GPTNeoForCausalLM", {"vocab_size": 101, "hidden_size": 32, "num_layers": 2,
        "num_heads": 4, "attention_types": [[["global", "local"], 1]],
        "max_position_embeddings": 40}),
    "gptj": ("GPTJForCausalLM", {"vocab_size": 101, "n_embd": 32, "n_layer": 2, "n_head": 4,
        "rotary_dim": 4}),
    "llama": ("LlamaForCausalLM", {**GROUPED}),
    "mistral": ("MistralForCausalLM", {**GROUPED}),
    "mixtral": ("MixtralForCausalLM", {**GROUPED, "num_local_experts": 3}),
    "qwen2": ("Qwen2ForCausalLM", {**GROUPED}),
    "qwen3": ("Qwen3ForCausalLM", {**GROUPED, "head_dim": 8}),
    "qwen2_moe": ("Qwen2MoeForCausalLM", {**GROUPED, "num_experts": 3, "num_experts_per_tok":
        2, "moe_intermediate_size": 24, "shared_expert_intermediate_size": 40,
        "decoder_sparse_step": 1}),
    "qwen3_moe": ("Qwen3MoeForCausalLM", {**GROUPED, "head_dim": 8, "num_experts": 3,
        "num_experts_per_tok": 2, "moe_intermediate_size": 24}),
    "t5": ("T5ForConditionalGeneration", {"vocab_size": 101, "d_model": 32, "d_kv": 8, "d_ff":
        48, "num_layers": 2, "num_heads": 4}),
    "bart": ("BartForConditionalGeneration", {**SEQUENCES, "max_position_embeddings": 40}),
    "marian": ("MarianMTModel", {**SEQUENCES, "max_position_embeddings": 40, "pad_token_id":
        0, "decoder_start_token_id": 0}),
    "whisper": ("WhisperForConditionalGeneration", {**SEQUENCES, "max_source_positions": 40,
        "max_target_positions": 30, "num_mel_bins": 8, "pad_token_id": 0, "bos_token_id": 1,
        "eos_token_id": 2, "decoder_start_token_id": 3}),
    "vit": ("ViTForImageClassification", {**BLOCKS, "image_size": 16, "patch_size": 4}),
    "deit": ("DeiTModel", {**BLOCKS, "image_size": 16, "patch_size": 4}),
    "clip": ("CLIPModel", {"projection_dim": 16, "text_config": {**WIDTH, "projection_dim":
        16, "max_position_embeddings": 20}, "vision_config": {**BLOCKS, "image_size": 16,
        "patch_size": 4, "projection_dim": 16}}),
    "siglip": ("SiglipModel", {"text_config": {**WIDTH, "max_position_embeddings": 20},
        "vision_config": {**BLOCKS, "image_size": 16, "patch_size": 4}}),
    "xlm": ("XLMWithLMHeadModel", {"vocab_size": 101, "emb_dim": 32, "n_layers": 2, "n_heads":
        4, "max_position_embeddings": 40}),
    "xlnet": ("XLNetLMHeadModel", {"vocab_size": 101, "d_model": 32, "n_layer": 2, "n_head":
        4, "d_inner": 48}),
    "opt": ("OPTForCausalLM", {"vocab_size": 101, "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "ffn_dim": 48, "word_embed_proj_dim": 16,
        "max_position_embeddings": 40}),
    "bloom": ("BloomForCausalLM", {"vocab_size": 101, "hidden_size": 32, "n_layer": 2,
        "n_head": 4}),
    "falcon": ("FalconForCausalLM", {"vocab_size": 101, "hidden_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 4}),
    "mpt": ("MptForCausalLM", {"vocab_size": 101, "d_model": 32, "n_layers": 2, "n_heads": 4,
        "max_seq_len": 40}),
    "phi": ("PhiForCausalLM", {**GROUPED}),
    "phi3": ("Phi3ForCausalLM", {**GROUPED, "pad_token_id": 0}),
    "gemma": ("GemmaForCausalLM", {**GROUPED, "head_dim": 8}),
    "gemma3": ("Gemma3ForCausalLM", {**GROUPED, "head_dim": 8}),
    "mamba": ("MambaForCausalLM", {"vocab_size": 101, "hidden_size": 32, "num_hidden_layers":
        2, "state_size": 8}),
    "mamba2": ("Mamba2ForCausalLM", {"vocab_size": 101, "hidden_size": 32,
        "num_hidden_layers": 2, "state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups":
        2}),
    "olmo": ("OlmoForCausalLM", {**GROUPED}),
    "olmo2": ("Olmo2ForCausalLM", {**GROUPED}),
    "olmoe": ("OlmoeForCausalLM", {**GROUPED, "num_experts": 3}),
    "deepseek_v3": ("DeepseekV3ForCausalLM", {**WIDTH, "num_key_value_heads": 4,
        "moe_intermediate_size": 24, "n_routed_experts": 4, "num_experts_per_tok": 2,
        "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1, "kv_lora_rank": 16,
        "q_lora_rank": 12, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8}),
    "gpt_oss": ("GptOssForCausalLM", {**GROUPED, "head_dim": 8, "num_local_experts": 3,
        "num_experts_per_tok": 2}),
    "llama4": ("Llama4ForCausalLM", {**GROUPED, "head_dim": 8, "num_local_experts": 3,
        "intermediate_size_mlp": 40, "pad_token_id": 0}),
    "granitemoe": ("GraniteMoeForCausalLM", {**GROUPED, "num_local_experts": 3,
        "num_experts_per_tok": 2}),
    "jamba": ("JambaForCausalLM", {**GROUPED, "num_experts": 3, "num_experts_per_tok": 2,
        "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2,
        "expert_layer_offset": 1, "use_mamba_kernels": False, "pad_token_id": 0}),
    "convnext": ("ConvNextForImageClassification", {"hidden_sizes": [8, 12, 16, 24], "depths":
        [1, 1, 1, 1], "image_size": 32}),
    "swin": ("SwinForImageClassification", {"image_size": 32, "patch_size": 4, "embed_dim":
        16, "depths": [1, 2], "num_heads": [2, 4], "window_size": 4}),
    "resnet": ("ResNetForImageClassification", {"embedding_size": 8, "hidden_sizes": [8, 12],
        "depths": [1, 1], "layer_type": "basic"}),
    "wav2vec2": ("Wav2Vec2ForCTC", {**WIDTH, **WAVES}),
    "hubert": ("HubertForCTC", {**WIDTH, **WAVES}),
    "funnel": ("FunnelForMaskedLM", {"vocab_size": 101, "d_model": 32, "n_head": 4, "d_head":
        8, "d_inner": 48, "block_sizes": [1, 1], "num_decoder_layers": 1}),
    "longformer": ("LongformerForMaskedLM", {**WIDTH, "attention_window": [4, 4]}),
    "m2m_100": ("M2M100ForConditionalGeneration", {**SEQUENCES, "max_position_embeddings":
        40}),
    "modernbert": ("ModernBertForMaskedLM", {**WIDTH, "pad_token_id": 0, "bos_token_id": 1,
        "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}),
    "segformer": ("SegformerForImageClassification", {"hidden_sizes": [8, 16, 16, 24],
        "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 2, 4], "decoder_hidden_size":
        16}),
    "speecht5": ("SpeechT5Model", {**WAVES, "vocab_size": 101, "hidden_size": 32,
        "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
        "num_mel_bins": 8, "speech_decoder_prenet_units": 16, "speech_decoder_postnet_units":
        16, "speaker_embedding_dim": 16}),
    "encodec": ("EncodecModel", {"num_filters": 4, "hidden_size": 16, "codebook_size": 32,
        "codebook_dim": 16, "upsampling_ratios": [2, 2], "target_bandwidths": [1.5],
        "sampling_rate": 800}),
    "vits": ("VitsModel", {"vocab_size": 38, "hidden_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "ffn_dim": 24, "flow_size": 16, "spectrogram_bins": 9,
        "upsample_initial_channel": 16, "upsample_rates": [2, 2], "upsample_kernel_sizes": [4,
        4], "resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1]],
        "prior_encoder_num_flows": 1, "posterior_encoder_num_wavenet_layers": 1,
        "prior_encoder_num_wavenet_layers": 1, "depth_separable_num_layers": 1}),
}
# fmt: on


def made(name: str) -> Any:
    class_name, sizes = MODELS[name]
    kind = getattr(transformers, class_name, None)
    if kind is None:
        pytest.skip(f"this transformers has no {class_name}")
    torch.manual_seed(0)
    return kind(kind.config_class(**sizes)).eval()


def rows(report: Report) -> "dict[str, tuple[object, ...]]":
    return {
        x.name: (x.shape, x.kind, x.verdict, x.singular_values.tobytes()) for x in report.layers
    }


def left_out(report: Report) -> "set[str]":
    return {x.parameter for x in report.skipped}


@pytest.mark.parametrize("name", MODELS)
def test_one_model_in_four_forms(name: str, tmp_path: Path) -> None:
    model = made(name)
    state = model.state_dict()
    model.config.save_pretrained(tmp_path)
    (tmp_path / "alone").mkdir()
    for path in (tmp_path / "pytorch_model.bin", tmp_path / "alone" / "model.pt"):
        torch.save(state, path)
    model.save_pretrained(tmp_path / "saved")

    of_module, of_directory = analyze(model), analyze(tmp_path / "pytorch_model.bin")
    assert rows(of_module) == rows(of_directory)
    assert left_out(of_module) == left_out(of_directory)
    assert of_module.summary == of_directory.summary

    # Without a configuration, some fused tensors cannot be divided.
    of_state, of_file = analyze(state), analyze(tmp_path / "alone" / "model.pt")
    assert rows(of_state) == rows(of_file)
    assert left_out(of_state) == left_out(of_file)
    assert of_state.summary == of_file.summary

    # transformers writes other names than its modules have.
    saved = analyze(tmp_path / "saved")
    facts = [Counter(x[:3] for x in rows(report).values()) for report in (of_module, saved)]
    assert facts[0] == facts[1]
    assert saved.summary.verdict == of_module.summary.verdict
    # The kinds do not depend on the configuration.
    both = rows(of_state).keys() & rows(of_module).keys()
    assert len(both) > 1
    assert {x: rows(of_state)[x] for x in both} == {x: rows(of_module)[x] for x in both}


def test_there_are_thirty_architectures() -> None:
    assert len(MODELS) >= 30
