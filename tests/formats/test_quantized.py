"""Dequantized weights against the dequantization of the libraries that quantized them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from allennlp_analyze.sources.formats.safetensors import read_safetensors
from allennlp_analyze.sources.quantized.joining import join_quantized
from allennlp_analyze.sources.tensor import StoredTensor

pytestmark = pytest.mark.newest_python

WEIGHT = "model.layers.0.mlp.up_proj."


def joined(
    path: Path, tensors: Mapping[str, torch.Tensor], config: Optional[Mapping[str, Any]] = None
) -> Mapping[str, StoredTensor]:
    """The tensors of a file with `tensors` as they are read."""
    contiguous = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    save_file(contiguous, str(path / "model.safetensors"))
    return join_quantized(read_safetensors(path / "model.safetensors"), config or {})


def the_weight(found: Mapping[str, StoredTensor], name: str = WEIGHT + "weight") -> np.ndarray:
    tensor = found[name]
    assert tensor.unsupported is None, tensor.unsupported
    others = [other for other in found.values() if other.name != name]
    assert all(other.joined for other in others), others
    assert tensor.noise is not None
    values = tensor.values()
    assert values.shape == tensor.shape and values.dtype == np.float32
    return values


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.02


@pytest.mark.parametrize("shape", [(48, 128), (33, 50), (7, 9)])
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("storage", [torch.uint8, torch.bfloat16])
def test_bitsandbytes_4_bits(
    tmp_path: Path, shape: "tuple[int, int]", kind: str, nested: bool, storage: torch.dtype
) -> None:
    functional = pytest.importorskip(
        "bitsandbytes.functional", reason="bitsandbytes is not installed"
    )
    if storage is torch.bfloat16 and shape[0] * shape[1] % 4:
        pytest.skip("does not fill numbers of 16 bits")
    packed, state = functional.quantize_4bit(
        normal(*shape), blocksize=64, quant_type=kind, compress_statistics=nested,
        quant_storage=storage,
    )  # fmt: skip
    parts = {f"{WEIGHT}weight.{key}": value for key, value in state.as_dict(packed=True).items()}
    found = the_weight(joined(tmp_path, {WEIGHT + "weight": packed, **parts}))
    expected = functional.dequantize_4bit(packed, state).numpy()
    assert found.shape == shape
    # The order of one addition and one product may differ.
    np.testing.assert_allclose(found, expected, rtol=3e-7 if nested else 0)


def test_bitsandbytes_int8(tmp_path: Path) -> None:
    functional = pytest.importorskip(
        "bitsandbytes.functional", reason="bitsandbytes is not installed"
    )
    codes, scale, _ = functional.int8_vectorwise_quant(normal(40, 64).half())
    layout = torch.tensor(0, dtype=torch.uint8)
    parts = {"weight": codes, "SCB": scale, "weight_format": layout}
    found = the_weight(joined(tmp_path, {WEIGHT + name: part for name, part in parts.items()}))
    expected = functional.int8_vectorwise_dequant(codes, scale).numpy()
    np.testing.assert_allclose(found, expected, rtol=3e-7)


def compressed(
    path: Path, compressor: str, weights: "dict[str, Any]", weight: torch.Tensor,
    more: "Optional[dict[str, torch.Tensor]]" = None,
) -> "tuple[np.ndarray, np.ndarray]":  # fmt: skip
    """What is read of a weight that compressed-tensors wrote, and what it reads itself."""
    library = pytest.importorskip("compressed_tensors", reason="compressed-tensors is missing")
    from compressed_tensors.compressors.base import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from compressed_tensors.quantization.utils import calculate_qparams

    assert library
    arguments = QuantizationArgs(**weights)
    scheme = QuantizationScheme(targets=["Linear"], weights=arguments, format=compressor)
    state = {"weight": weight, **(more or {})}
    if "weight_scale" not in state:
        size = arguments.group_size or weight.shape[1]
        groups = weight.reshape(weight.shape[0], -1, size)
        scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), arguments)
        state["weight_scale"] = scale
        if not arguments.symmetric:
            state["weight_zero_point"] = zero
    chosen = BaseCompressor.get_value_from_registry(compressor)
    stored = chosen.compress(state, scheme)
    config = {
        "quantization_config": {
            "quant_method": "compressed-tensors",
            "config_groups": {"group_0": {"weights": {"num_bits": arguments.num_bits}}},
        }
    }
    for known in (config, {}):
        found = the_weight(joined(path, {WEIGHT + k: v for k, v in stored.items()}, known))
    return found, chosen.decompress(stored, scheme)["weight"].float().numpy()


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("shape", [(48, 128), (33, 64)])
def test_compressed_tensors_packed(
    tmp_path: Path, bits: int, symmetric: bool, shape: "tuple[int, int]"
) -> None:
    weights = {
        "num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": "group",
        "group_size": 32,
    }  # fmt: skip
    found, expected = compressed(tmp_path, "pack-quantized", weights, normal(*shape))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", ["int", "float"])
def test_compressed_tensors_8_bits(tmp_path: Path, kind: str) -> None:
    weights = {"num_bits": 8, "type": kind, "symmetric": True, "strategy": "channel"}
    found, expected = compressed(tmp_path, f"{kind}-quantized", weights, normal(48, 64))
    np.testing.assert_array_equal(found, expected)


def test_compressed_tensors_nvfp4(tmp_path: Path) -> None:
    weight = normal(48, 64)
    whole = torch.tensor([448.0 * 6.0]) / weight.abs().max()
    scale = (weight.reshape(48, 4, 16).abs().amax(-1) / 6.0 * whole).to(torch.float8_e4m3fn)
    weights = {
        "num_bits": 4, "type": "float", "symmetric": True, "strategy": "tensor_group",
        "group_size": 16,
    }  # fmt: skip
    parts = {"weight_scale": scale.float(), "weight_global_scale": whole}
    found, expected = compressed(tmp_path, "nvfp4-pack-quantized", weights, weight, parts)
    np.testing.assert_allclose(found, expected, rtol=4e-3)  # it decodes to bfloat16
    assert np.abs(found - weight.numpy()).max() < 0.02


def test_mxfp4_of_transformers(tmp_path: Path) -> None:
    module = pytest.importorskip("transformers.integrations.mxfp4", reason="no transformers")
    random = torch.Generator().manual_seed(3)
    blocks = torch.randint(0, 256, (3, 64, 2, 16), dtype=torch.uint8, generator=random)
    scales = torch.randint(110, 126, (3, 64, 2), dtype=torch.uint8, generator=random)
    name = "model.layers.0.mlp.experts.gate_up_proj"
    found = joined(tmp_path, {name + "_blocks": blocks, name + "_scales": scales})[name]
    expected = module.convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
    stack = found.stored()
    assert found.shape == tuple(expected.shape) == (3, 64, 64)
    for index in range(3):
        np.testing.assert_array_equal(stack[index], expected[index].numpy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fp8_blocks_of_transformers(tmp_path: Path, dtype: torch.dtype) -> None:
    module = pytest.importorskip("transformers.integrations.finegrained_fp8", reason="none")
    weight = normal(256, 384).to(torch.float8_e4m3fn)
    scale = (torch.rand(2, 3, generator=torch.Generator().manual_seed(2)) * 0.01).to(dtype)
    parts = {WEIGHT + "weight": weight, WEIGHT + "weight_scale_inv": scale}
    found = the_weight(joined(tmp_path, parts))

    operation = module.Fp8Dequantize(None)
    expected = operation._dequantize_one(weight, scale.float())
    np.testing.assert_array_equal(found, expected.numpy())


@pytest.mark.skipif(not hasattr(torch, "float8_e8m0fnu"), reason="this torch has no float8_e8m0fnu")
def test_fp4_pairs_of_transformers(tmp_path: Path) -> None:
    module = pytest.importorskip("transformers.integrations.finegrained_fp8", reason="none")
    random = torch.Generator().manual_seed(3)
    weight = torch.randint(-128, 128, (24, 64), dtype=torch.int8, generator=random)
    powers = torch.randint(110, 126, (24, 4), dtype=torch.uint8, generator=random)
    parts = {WEIGHT + "weight": weight, WEIGHT + "scale": powers.view(torch.float8_e8m0fnu)}
    found = the_weight(joined(tmp_path, parts))
    expected = module.Fp8Dequantize(None)._dequantize_one(weight, powers, torch.float32)
    np.testing.assert_array_equal(found, expected.numpy())


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("size", [32, 64, 128])
def test_mlx(tmp_path: Path, bits: int, size: int) -> None:
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed")
    weight = mx.array(normal(24, 256).numpy())
    codes, scales, biases = mx.quantize(weight, group_size=size, bits=bits)
    parts = {"weight": torch.from_numpy(np.array(codes)), "scales": np.array(scales)}
    parts = {"weight": parts["weight"], "scales": torch.from_numpy(parts["scales"]),
             "biases": torch.from_numpy(np.array(biases))}  # fmt: skip
    config = {"quantization": {"group_size": size, "bits": bits}}
    found = the_weight(joined(tmp_path, {WEIGHT + k: v for k, v in parts.items()}, config))
    expected = np.array(mx.dequantize(codes, scales, biases, group_size=size, bits=bits))
    np.testing.assert_allclose(found, expected, atol=1e-8)
    if size == 64:
        alone = the_weight(joined(tmp_path, {WEIGHT + k: v for k, v in parts.items()}))
        np.testing.assert_array_equal(alone, found)


@pytest.mark.parametrize("mode", ["mxfp4", "nvfp4"])
def test_mlx_floats(tmp_path: Path, mode: str) -> None:
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed")
    codes, scales = mx.quantize(mx.array(normal(24, 256).numpy()), mode=mode)[:2]
    parts = {
        WEIGHT + "weight": torch.from_numpy(np.array(codes)),
        WEIGHT + "scales": torch.from_numpy(np.array(scales)),
    }
    found = the_weight(joined(tmp_path, parts))
    expected = np.array(mx.dequantize(codes, scales, mode=mode).astype(mx.float32))
    np.testing.assert_allclose(found, expected, rtol=4e-3)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("axis", [0, 1])
def test_hqq(tmp_path: Path, bits: int, axis: int) -> None:
    core = pytest.importorskip("hqq.core.quantize", reason="hqq is not installed")
    weight = normal(48, 128)
    codes, meta = core.Quantizer.quantize(
        weight, nbits=bits, axis=axis, group_size=64, optimize=False, device="cpu",
        compute_dtype=torch.float32,
    )  # fmt: skip
    parts = {
        "W_q": codes, "scale": meta["scale"], "zero": meta["zero"],
        "shape": torch.tensor(meta["shape"]), "nbits": torch.tensor(bits, dtype=torch.int32),
        "axis": torch.tensor(axis, dtype=torch.int32),
    }  # fmt: skip
    found = the_weight(joined(tmp_path, {WEIGHT + k: v for k, v in parts.items()}))
    expected = core.Quantizer.dequantize(codes, meta).float().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
