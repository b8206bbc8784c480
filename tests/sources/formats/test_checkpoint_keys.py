"""Which keys of a training checkpoint hold the model, and which the state of its optimizer."""

import pytest

from allennlp_analyze.sources.formats.checkpoint_keys import MODEL_KEYS, is_copy, is_optimizer_key

pytestmark = pytest.mark.newest_python


@pytest.mark.parametrize(
    "key",
    # Of torch, torch.distributed, Keras 3, Keras 2, Flax, Lightning, accelerate.
    [
        *("optimizer", "optimizers", "optim", "opt", "opt_state", "optimizer_states"),
        *("optimizer_state_dict", "optimizer_weights"),
    ],
)
def test_keys_of_an_optimizer(key: str) -> None:
    assert is_optimizer_key(key)


@pytest.mark.parametrize("key", ["", "optimizer_gate", "model", "opt_125m", "optic", "state", "7"])
def test_layers_are_no_optimizers(key: str) -> None:
    assert not is_optimizer_key(key)


def test_the_model_itself_comes_before_its_averages() -> None:
    copies = [is_copy(key) for key in MODEL_KEYS]
    assert copies == sorted(copies) and not copies[0] and copies[-1]
