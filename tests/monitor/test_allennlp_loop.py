"""`rank_monitor` in trainings by AllenNLP in this process: as the command, without its start."""

import json
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from tests.support.trainings import (
    ENCODER,
    EXAMPLE,
    MONITOR,
    OURS,
    PLUGIN,
    PREFIX,
    PROJECTION,
    SIGMA_MIN,
    metrics_of,
    numbers_of,
    overriding,
    watched,
)

pytest.importorskip("allennlp", reason="AllenNLP is not installed in this environment")


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., Any]:
    """Trains for 3 epochs and returns the metrics."""
    from allennlp.commands.train import TrainModel
    from allennlp.common import Params
    from allennlp.common.util import import_module_and_submodules, prepare_environment

    import_module_and_submodules(PLUGIN)
    import_module_and_submodules(OURS)

    def training(
        callbacks: list[Any],
        changes: Optional[dict[str, Any]] = None,
        prepared: Optional[Callable[[Any], None]] = None,
    ) -> dict[str, Any]:
        _, text = overriding(
            {f"{part}_data_path": str(EXAMPLE / name) for part, name in DATA.items()},
            {"trainer.num_epochs": 3},
            changes or {},
            callbacks=callbacks,
        )
        params = Params.from_file(EXAMPLE / "tagger.jsonnet", text)
        prepare_environment(params)
        (tmp_path / "out").mkdir(exist_ok=True)
        loop = TrainModel.from_params(
            params=params, serialization_dir=str(tmp_path / "out"), local_rank=0
        )
        if prepared is not None:
            prepared(loop.model)
        return loop.run()

    return training


DATA = {"train": "train.tsv", "validation": "dev.tsv"}


def test_moving_averages_are_what_is_measured(trained: Callable[..., Any], tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    average = {"trainer.moving_average": {"type": "exponential", "decay": 0.99}}
    metrics = trained([MONITOR], average)
    assert metrics["best_epoch"] == metrics["epoch"] == 2
    saved = torch.load(tmp_path / "out" / "best.th")
    assert watched(metrics) == numbers_of(saved)
    # The weights that it trains on are others.
    raw = torch.load(tmp_path / "out" / "model_state_e3_b0.th")
    assert not torch.equal(raw[f"{ENCODER}.weight"], saved[f"{ENCODER}.weight"])
    assert watched(metrics) != numbers_of(raw)


def with_spare(model: Any) -> None:
    """Give the model a layer that it does not use."""
    import torch

    model.spare = torch.nn.Linear(30, 20)


def test_numbers_that_are_no_longer_true_do_not_stay(
    trained: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoiler = {"type": "spoiler", "epoch": 0}
    metrics = trained([MONITOR, spoiler], prepared=with_spare)
    spare = f"{PREFIX}spare/min_singular_value"
    assert spare in metrics_of(tmp_path, epoch=0)
    for later in (metrics_of(tmp_path, epoch=1), metrics_of(tmp_path, epoch=2), metrics):
        assert spare not in later and SIGMA_MIN in later
    # Taken up again it is not told of the same layer.
    trained([MONITOR, spoiler], {"trainer.num_epochs": 4}, with_spare)
    assert spare not in metrics_of(tmp_path, epoch=3)
    assert [r.getMessage() for r in caplog.records if "NaN" in r.getMessage()] == [
        "spare: contains NaN or infinity"
    ]


def test_two_monitors_leave_each_other_s_numbers(
    trained: Callable[..., Any], tmp_path: Path
) -> None:
    callbacks = [{**MONITOR, "layers": part} for part in ("^encoder", "^tag")]
    trained(callbacks)
    names = {key.split("/")[1] for key in watched(metrics_of(tmp_path, epoch=2))}
    assert names == {ENCODER, PROJECTION}


def test_taken_up_by_a_training_that_was_not_watched_so_far(
    trained: Callable[..., Any], tmp_path: Path
) -> None:
    trained(["recorder"])
    metrics = trained(["recorder", MONITOR], {"trainer.num_epochs": 4})
    lines = (tmp_path / "out" / "recorded.jsonl").read_text().splitlines()
    records = [r for r in map(json.loads, lines) if watched(r["scalars"])]
    assert [(r["epoch"], r["batches"]) for r in records] == [(2, 120), (3, 160)]
    assert watched(records[1]["scalars"]) == watched(metrics)


def test_a_writer_that_fails_does_not_end_the_training(
    trained: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = trained(["broken_writer", MONITOR, "recorder"])
    assert metrics["epoch"] == 2 and SIGMA_MIN in metrics
    assert [r.getMessage() for r in caplog.records if "failed" in r.getMessage()] == [
        "rank_monitor: writing to BrokenWriter failed (OSError: no space left); training continues"
    ]
    recorded = (tmp_path / "out" / "recorded.jsonl").read_text().splitlines()
    assert sum(SIGMA_MIN in json.loads(line)["scalars"] for line in recorded) == 4


def test_a_model_in_which_nothing_was_chosen_is_refused_before_training(
    trained: Callable[..., Any],
) -> None:
    from allennlp.common.checks import ConfigurationError

    with pytest.raises(
        ConfigurationError, match="^rank_monitor: .*none of its 3 matrices"
    ) as caught:
        trained([{**MONITOR, "layers": "decoder"}])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "choice, reason",
    [
        ({"layers": "("}, "layers: '(' is not a regular expression"),
        ({"layers": 3}, "layers: "),
        ({"kinds": ["dense"]}, "kinds: unknown kind 'dense'"),
        ({"kinds": []}, "kinds: [] names no kind"),
        ({"max_seconds": 0}, "max_seconds: 0 must be a finite number > 0"),
        ({"max_seconds": float("nan")}, "max_seconds: nan must be a finite number > 0"),
        ({"max_seconds": True}, "max_seconds: True must be a finite number > 0"),
        ({"max_seconds": "five"}, "max_seconds: 'five' must be a finite number > 0"),
        ({"every_batches": 0}, "every_batches: 0 is not a number >= 1"),
        ({"every_batches": 2.5}, "every_batches: 2.5 is not a whole number"),
        ({"stop": "maybe"}, "stop: 'maybe' must be true or false"),
        ({"every_epoch": 2}, "Extra parameters passed to RankMonitorCallback"),
    ],
)
def test_bad_values_are_one_line_before_training(
    choice: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    from allennlp.common import Params
    from allennlp.common.checks import ConfigurationError
    from allennlp.training.callbacks import TrainerCallback

    import allennlp_analyze.plugin  # noqa: F401

    params = Params({"type": "rank_monitor", **choice})
    with pytest.raises(ConfigurationError) as caught:
        TrainerCallback.from_params(params, serialization_dir=str(tmp_path))
    text = str(caught.value)
    assert reason in text and "\n" not in text


def test_penalties_are_those_that_allennlp_adds_to_the_loss() -> None:
    torch = pytest.importorskip("torch")
    from allennlp.nn.regularizers import L1Regularizer, L2Regularizer, RegularizerApplicator

    from allennlp_analyze.monitor.allennlp import _penalty

    class Model(torch.nn.Sequential):
        _regularizer: Any = None

    model = Model(torch.nn.Linear(5, 4), torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
    assert _penalty(model) is None
    model._regularizer = RegularizerApplicator(
        [("0.weight", L2Regularizer(0.3)), ("^[01]", L2Regularizer(0.02))]
    )
    penalty = _penalty(model)
    assert penalty is not None
    ours = sum(float(penalty(n) * (p**2).sum()) for n, p in model.named_parameters())
    assert ours == pytest.approx(float(model._regularizer(model)))
    assert [penalty(name) for name in ("0.weight", "1.weight", "2.weight")] == [0.3, 0.02, 0.0]
    model._regularizer = RegularizerApplicator([("0", L1Regularizer(0.3))])
    assert [_penalty(model)(name) for name in ("0.weight", "1.weight")] == [None, 0.0]
