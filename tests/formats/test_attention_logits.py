"""The largest logits are reached by the attention of transformers itself, and not passed."""

import inspect
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allennlp_analyze import analyze
from allennlp_analyze.results.attention import AttentionLogits

pytestmark = pytest.mark.newest_python
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
D, HEADS, KEYS, LAYERS = 32, 4, 2, 2
SIZE = D // HEADS


def llama() -> Any:
    config = transformers.LlamaConfig(
        hidden_size=D, intermediate_size=48, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        num_key_value_heads=KEYS, vocab_size=50, initializer_range=0.1,
    )  # fmt: skip
    return transformers.LlamaForCausalLM._from_config(config, attn_implementation="eager")


def gpt_neox() -> Any:
    config = transformers.GPTNeoXConfig(
        hidden_size=D, intermediate_size=48, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        vocab_size=50, initializer_range=0.1,
    )  # fmt: skip
    return transformers.GPTNeoXForCausalLM._from_config(config, attn_implementation="eager")


def gpt2() -> Any:
    config = transformers.GPT2Config(
        n_embd=D, n_layer=LAYERS, n_head=HEADS, vocab_size=50, initializer_range=0.1
    )
    return transformers.GPT2LMHeadModel._from_config(config, attn_implementation="eager")


def bert() -> Any:
    config = transformers.BertConfig(
        hidden_size=D, intermediate_size=48, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        vocab_size=50, initializer_range=0.1,
    )  # fmt: skip
    return transformers.BertModel._from_config(config, attn_implementation="eager")


def layer_of(model: Any) -> "tuple[Any, Any, np.ndarray, np.ndarray]":
    """The normalization and the attention of layer 1, and W_q and W_k of each head."""
    if hasattr(model, "gpt_neox"):
        layer = model.gpt_neox.layers[1]
        fused = layer.attention.query_key_value.weight.detach().numpy().reshape(HEADS, 3, SIZE, D)
        return layer.input_layernorm, layer.attention, fused[:, 0], fused[:, 1]
    if hasattr(model, "transformer"):
        layer = model.transformer.h[1]
        fused = layer.attn.c_attn.weight.detach().numpy().T.reshape(3, HEADS, SIZE, D)
        return layer.ln_1, layer.attn, fused[0], fused[1]
    if hasattr(model, "encoder"):
        own = model.encoder.layer[1].attention.self
        q, k = (x.weight.detach().numpy().reshape(-1, SIZE, D) for x in (own.query, own.key))
        return model.encoder.layer[0].output.LayerNorm, own, q, k
    layer = model.model.layers[1]
    q, k = (
        x.weight.detach().numpy().reshape(-1, SIZE, D)
        for x in (layer.self_attn.q_proj, layer.self_attn.k_proj)
    )
    return layer.input_layernorm, layer.self_attn, q, k


def attended(attention: Any, states: Any) -> Any:
    """The weights (heads, tokens, tokens) of attention, with all tokens at the same place."""
    here = torch.zeros(1, len(states), SIZE, dtype=torch.float64)
    more = {}
    if "position_embeddings" in inspect.signature(attention.forward).parameters:
        more["position_embeddings"] = (torch.ones_like(here), here)
    return attention(hidden_states=states[None], attention_mask=None, **more)[1][0].detach()


@pytest.mark.parametrize("build", [llama, gpt_neox, gpt2, bert])
def test_attention_reaches_them(build: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build().double().eval()
    norm, attention, queries, keys = layer_of(model)
    torch.nn.init.normal_(norm.weight, 1, 0.3)
    model.save_pretrained(tmp_path)
    blocks = analyze(tmp_path).attention
    assert len(blocks) == LAYERS and not any(block.reason for block in blocks)
    block: AttentionLogits = blocks[1]
    assert block.max_logits is not None and len(block.max_logits) == HEADS
    gain = norm.weight.detach().numpy()
    centre = np.eye(D) - (1 / D if hasattr(norm, "bias") else 0)
    for head, found in enumerate(block.max_logits):
        own = keys[head * len(keys) // HEADS]
        left, _, right = np.linalg.svd(
            centre @ (gain[:, None] * (queries[head].T @ own) * gain) @ centre
        )
        # The weights on y and -y differ by twice the logit of x and y. Without the scale of the
        # gain they would be beyond float32, in which transformers computes the softmax.
        states = norm(torch.tensor(np.stack([right[0], -right[0], left[:, 0]])))
        small = states * math.sqrt(10 / found)
        weights = attended(attention, small)[head][2]
        logit = float(torch.log(weights[0] / weights[1])) / 2 * found / 10
        assert logit == pytest.approx(found, rel=1e-3)
