"""The checkpoints of a training are found, in the order in which they were written."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from allennlp_analyze.errors import UsageError
from allennlp_analyze.series.finding import find_series
from tests.support.downloads import legacy_weights

WEIGHTS = {"a.weight": np.eye(3, 2, dtype=np.float32)}


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(WEIGHTS, path)


def labels(*arguments: str) -> "list[str]":
    return [x.label for x in find_series(arguments).checkpoints]


@pytest.mark.parametrize(
    "names",
    [
        ["model_0.safetensors", "model_200.safetensors", "model_1000.safetensors"],
        ["step_5/model.safetensors", "step_40/model.safetensors", "step_300/model.safetensors"],
        [
            "checkpoints/epoch=0-step=10-loss=0.9.safetensors",
            "checkpoints/epoch=1-step=20-loss=0.10.safetensors",
            "checkpoints/epoch=10-step=110-loss=0.03.safetensors",
        ],
        ["v2/ckpt-9.safetensors", "v2/ckpt-10.safetensors", "v2/ckpt-100.safetensors"],
    ],
)
def test_numbers_are_sorted_by_their_values(names: "list[str]", tmp_path: Path) -> None:
    write(tmp_path, *reversed(names))
    found = find_series([str(tmp_path)])
    assert [x.label for x in found.checkpoints] == [
        x.replace("/model.safetensors", "") for x in names
    ]
    assert found.left_out == ()


def test_names_say_epoch_and_step(tmp_path: Path) -> None:
    write(tmp_path, "epoch=3-step=1200.safetensors", "epoch=4-step=1600.safetensors")
    found = find_series([str(tmp_path)]).checkpoints
    assert [(x.epoch, x.step) for x in found] == [(3, 1200), (4, 1600)]
    other = tmp_path / "other"
    write(other, "model_7.safetensors", "model_8.safetensors")
    assert [(x.epoch, x.step) for x in find_series([str(other)]).checkpoints] == [
        (None, 7),
        (None, 8),
    ]


def test_models_without_a_number_are_left_out_and_named(tmp_path: Path) -> None:
    write(tmp_path, "m-1.safetensors", "m-2.safetensors", "last.safetensors")
    found = find_series([str(tmp_path)])
    assert [x.label for x in found.checkpoints] == ["m-1.safetensors", "m-2.safetensors"]
    assert found.left_out == ("last.safetensors: no number in its name",)


def test_the_directory_of_allennlp_is_a_copy_of_a_state(tmp_path: Path) -> None:
    """The line is read by people who do not know that `.` is the directory."""
    for name in ("model_state_e0_b0.th", "model_state_e1_b0.th", "weights.th"):
        (tmp_path / name).write_bytes(legacy_weights())
    (tmp_path / "config.json").write_text("{}")
    found = find_series([str(tmp_path)])
    assert [x.label for x in found.checkpoints] == ["model_state_e0_b0.th", "model_state_e1_b0.th"]
    assert found.left_out == (
        f"{tmp_path.name} (the directory itself): AllenNLP's copy of one of its states",
    )


def test_shards_are_no_checkpoints(tmp_path: Path) -> None:
    for step in (1, 2):
        folder = f"checkpoint-{step}"
        write(tmp_path, *(f"{folder}/model-0000{i}-of-00002.safetensors" for i in (1, 2)))
        (tmp_path / folder / "config.json").write_text("{}")
    assert labels(str(tmp_path)) == ["checkpoint-1", "checkpoint-2"]


def test_the_finished_model_comes_last(tmp_path: Path) -> None:
    """Hugging Face saves it into the directory of its checkpoints."""
    write(tmp_path, "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    for step in (500, 1000, 90):
        write(tmp_path, f"checkpoint-{step}/model.safetensors")
        (tmp_path / f"checkpoint-{step}" / "config.json").write_text("{}")
    assert labels(str(tmp_path)) == ["checkpoint-90", "checkpoint-500", "checkpoint-1000", "final"]


def test_given_files_are_sorted_only_if_numbers_tell_them_apart(tmp_path: Path) -> None:
    write(tmp_path, "m-10.safetensors", "m-9.safetensors", "base.safetensors", "tuned.safetensors")
    paths = [str(tmp_path / x) for x in ("m-10.safetensors", "m-9.safetensors")]
    assert labels(*paths) == ["m-9.safetensors", "m-10.safetensors"]
    paths = [str(tmp_path / x) for x in ("tuned.safetensors", "base.safetensors")]
    assert labels(*paths) == ["tuned.safetensors", "base.safetensors"]


def test_two_models_of_one_epoch_have_names_of_their_own(tmp_path: Path) -> None:
    names = ("epoch_1/model.safetensors", "epoch_1/ema.safetensors", "epoch_2/model.safetensors")
    write(tmp_path, *names)
    found = labels(*(str(tmp_path / name) for name in names))
    assert found == [names[0], names[1], "epoch_2"]


def test_several_trainings_are_not_mixed(tmp_path: Path) -> None:
    write(tmp_path, *(f"run{run}/step-{n}.safetensors" for run in "AB" for n in (1, 2)))
    with pytest.raises(
        UsageError, match=r"several trainings: runA/step-#.safetensors \(2 models\)"
    ):
        find_series([str(tmp_path)])
    assert len(labels(str(tmp_path / "runA"))) == 2


def test_bad_arguments(tmp_path: Path) -> None:
    write(tmp_path, "m-1.safetensors")
    one = str(tmp_path / "m-1.safetensors")
    for arguments, text in (
        ([one], "expected the directory of a training, or several checkpoints"),
        ([one, one], "given twice"),
        ([one, str(tmp_path / "none")], "none: no such file or directory"),
        (["https://me:secret@host/x"], "https://host/x: expected the directory"),
    ):
        with pytest.raises(UsageError) as caught:
            find_series(arguments)
        assert text in str(caught.value) and "secret" not in str(caught.value)
