"""Says what the keys of a training checkpoint mean: the model, its copies, and what is neither."""

from typing import Optional

from allennlp_analyze.text.words import words_of

# Keys that hold a model, the likeliest first; it keeps its own names if nothing else is one.
MODEL_KEYS = tuple(
    "model state_dict model_state_dict model_state module net network weights params model_weights"
    " params_ema state_dict_ema model_ema ema_state_dict ema_model ema".split()
)
_MAX_KEY = 200  # characters that are looked at
_COPY = frozenset("ema swa averaged average avg shadow".split())
OF_OPTIMIZER = "of the optimizer, not of the model"
_OPTIMIZERS = frozenset("optimizer optimizers optim optims opt".split())
_OF_OPTIMIZERS = frozenset("state states weights dict".split())
_TRAINING = "of the training, not of the model"
_GENERATOR = "a random generator's state, not of the model"
_GROUPS = (
    (_OPTIMIZERS, OF_OPTIMIZER),
    (
        frozenset("scheduler schedulers sched".split()),
        "of the learning-rate scheduler, not of the model",
    ),
    (frozenset(("rng",)), _GENERATOR),
    (frozenset("scaler amp".split()), "of the loss scaler, not of the model"),
    (
        frozenset("hyper hparams hyperparameters args cfg config opts options settings".split()),
        "of the settings, not of the model",
    ),
    (frozenset("callbacks loops trainer sampler dataloader datamodule".split()), _TRAINING),
)
_IN_TRAINING = frozenset(
    "epoch epochs step steps iteration iterations loss losses metric metrics history best log logs"
    " score scores progress train training state accuracy acc time version".split()
)


def _words(key: str) -> list[str]:
    return words_of(key[:_MAX_KEY])


def is_copy(key: str) -> bool:
    """Whether a model under this key is the average of the model beside it."""
    return bool(_COPY & set(_words(key)))


def is_optimizer_key(key: str) -> bool:
    """Whether only an optimizer's state has this key: `opt_state`, not `optimizer_gate`.

    For formats where names of layers may stand beside it.
    """
    words = _words(key)
    return bool(words) and words[0] in _OPTIMIZERS and _OF_OPTIMIZERS.issuperset(words[1:])


def why_not_model(key: str, is_optimizer: bool, has_matrices: bool) -> Optional[str]:
    """Returns the reason if what stands under `key` in a checkpoint is not of the model.

    `is_optimizer` says that it has the form of an optimizer's state, `has_matrices` that it holds
    tensors of two dimensions and more.
    """
    if is_optimizer:
        return OF_OPTIMIZER
    words = _words(key)
    if "random" in words and words[-1] in ("random", "state", "states"):
        return _GENERATOR
    for known, reason in _GROUPS:
        if known & set(words):
            return reason
    if not has_matrices and _IN_TRAINING & set(words):
        return _TRAINING
    return None
