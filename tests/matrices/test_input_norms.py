"""The normalization before an attention is found where names fix it, and nowhere else."""

from typing import Optional

import numpy as np
import pytest

from allennlp_analyze.matrices.input_norms import gain_before
from tests.support.torch_sources import numpy_source

pytestmark = pytest.mark.newest_python
D = 8


@pytest.mark.parametrize(
    ("attention", "norms", "config", "expected"),
    [
        ("model.layers.3.self_attn", ["model.layers.3.input_layernorm"], {}, 0),
        ("h.0.attn", ["h.0.ln_1", "h.0.ln_2"], {"model_type": "gpt2"}, 0),
        ("blk.0", ["blk.0.attn_norm"], {}, 0),
        ("layer.0.SelfAttention", ["layer.0.layer_norm"], {}, 0),
        ("layer.1.EncDecAttention", ["layer.1.layer_norm"], {}, None),
        ("blocks.0.attn", ["blocks.0.norm1"], {}, 0),
        ("layers.0.self_attn", ["layers.0.norm1"], {}, None),  # torch's own: before or after?
        ("l.0.self_attn", ["l.0.self_attn_layer_norm"], {"model_type": "whisper"}, 0),
        ("l.0.self_attn", ["l.0.self_attn_layer_norm"], {"model_type": "bart"}, None),
        ("l.0.encoder_attn", ["l.0.input_layernorm"], {}, None),
        (
            "bert.encoder.layer.1.attention.self",
            ["bert.encoder.layer.0.output.LayerNorm", "bert.encoder.layer.1.output.LayerNorm",
             "bert.encoder.layer.1.attention.output.LayerNorm"],
            {},
            0,
        ),
        (
            "bert.encoder.layer.0.attention.self",
            ["bert.embeddings.LayerNorm", "bert.encoder.layer.0.output.LayerNorm",
             "bert.encoder.layer.0.attention.output.LayerNorm"],
            {},
            0,
        ),
        ("x.attn", [], {}, None),
    ],
)  # fmt: skip
def test_the_normalization_before(
    attention: str,
    norms: "list[str]",
    config: "dict[str, str]",
    expected: "Optional[int]",
) -> None:
    tensors = {f"{norm}.weight": np.ones(D) for norm in norms}
    source = numpy_source(tensors)
    source = type(source)(**{**vars(source), "config": config})
    found = gain_before(source, attention, D)
    name = None if found is None else found.tensor.name
    assert name == (None if expected is None else f"{norms[expected]}.weight")
    assert gain_before(source, attention, D + 1) is None
