"""Trees of arrays that the package msgpack has packed as `flax.serialization` does."""

from pathlib import Path

import numpy as np
import pytest

from allennlp_analyze.sources.formats.registry import read_weights

pytestmark = pytest.mark.newest_python

msgpack = pytest.importorskip("msgpack", reason="make test-formats installs msgpack")


def packed(value: object) -> "msgpack.ExtType":
    assert isinstance(value, np.ndarray)
    parts = (value.shape, value.dtype.name, value.tobytes())
    return msgpack.ExtType(1, msgpack.packb(parts, use_bin_type=True))


def test_a_tree_is_read_as_it_was_packed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tree = {
        f"layer_{i}": {
            "kernel": rng.standard_normal((300, 20)).astype(np.float32),
            "bias": rng.standard_normal(20),
            "gain": rng.standard_normal(20).astype(np.float16),
            "empty": np.zeros((0, 5), np.int8),
        }
        for i in range(40)
    }
    content = msgpack.packb({"params": tree, "step": 7}, default=packed, strict_types=True)
    (tmp_path / "flax_model.msgpack").write_bytes(content)
    tensors = read_weights(tmp_path / "flax_model.msgpack", "m").tensors
    assert len(tensors) == 160
    for i, layer in enumerate(tree.values()):
        assert np.array_equal(tensors[f"layer_{i}.weight"].values(), layer["kernel"].T)
        assert np.array_equal(tensors[f"layer_{i}.bias"].values(), layer["bias"])
        assert tensors[f"layer_{i}.empty"].shape == (0, 5)
