"""What a sweep of the rank-collapse experiment makes of what is in its directories."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.errors import OutputError, SourceError
from allennlp_analyze.storage.files import TEMPORARY_SUFFIX
from scripts.rank_collapse import data, net
from scripts.rank_collapse import sweep as sweeps

pytestmark = [pytest.mark.newest_python, pytest.mark.study]
pytest.importorskip("torch")

TINY = net.Training(
    data="noise", l2=0.5, epochs=1, steps=1, batch_size=2, lr=0.01, momentum=0.9, channels=1, seed=3
)


@pytest.fixture(scope="module")
def images() -> Any:
    random = np.random.default_rng(0)
    x = random.standard_normal((4, 3, data.SIZE, data.SIZE)).astype(np.float32)
    return data.Images("noise", x[:3], np.arange(3), x[3:], np.arange(1))


def sweep(directory: Path, *trainings: Any) -> Any:
    return sweeps.Sweep(trainings or (TINY,), directory, None, 1, True)


def trained(images: Any, directory: Path) -> Path:
    """The directory of a finished training."""
    place = Path(sweep(directory).place(TINY))
    place.mkdir(parents=True)
    net.train(TINY, images, place)
    return place


def test_what_was_killed_before_its_first_log_is_gone_on_with(images: Any, tmp_path: Path) -> None:
    """Without a log there are weights of epoch 0, perhaps, and what was being written."""
    whole, killed = trained(images, tmp_path / "a"), trained(images, tmp_path / "b")
    for name in (net.LOG, net.epoch_file(killed, 1).name, "going-on-001.safetensors"):
        (killed / name).unlink()
    (killed / f".0123456789abcdef{TEMPORARY_SUFFIX}").write_bytes(b"half of the wei")
    sweeps.prepare(sweep(tmp_path / "b"), resume=True, force=False)
    assert [path.name for path in killed.iterdir()] == [net.epoch_file(killed, 0).name]
    assert net.train(TINY, images, killed) == net.read_log(TINY, whole)
    assert {p.name: p.read_bytes() for p in whole.iterdir()} == {
        p.name: p.read_bytes() for p in killed.iterdir()
    }


def test_another_trainings_log_is_refused_and_kept(images: Any, tmp_path: Path) -> None:
    place = trained(images, tmp_path)
    before = sorted(place.iterdir())
    other = sweep(tmp_path, dataclasses.replace(TINY, seed=4))
    with pytest.raises(OutputError, match="l2-0.5: contains a training with other options"):
        sweeps.prepare(other, resume=True, force=False)
    with pytest.raises(OutputError, match="l2-0.5: already exists"):
        sweeps.prepare(other, resume=False, force=False)
    assert sorted(place.iterdir()) == before
    sweeps.prepare(other, resume=False, force=True)
    assert list(place.iterdir()) == []


EPOCH = {"epoch": 0, "train_loss": None, "test_accuracy": 0.1}
LOG = {"training": dataclasses.asdict(TINY), "epochs": [EPOCH], "diverged": False}


@pytest.mark.parametrize(
    "contents, said",
    [
        ("", "is not valid JSON"),
        ('{"training": {', "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("\x00\xff", "is not valid JSON"),
        ("[]", "is not a log"),
        ("null", "is not a log"),
        *(
            (json.dumps({k: v for k, v in LOG.items() if k != name}), "is not a log")
            for name in LOG
        ),
        *(
            (json.dumps({**LOG, **change}), "is not a log")
            for change in (
                {"diverged": "no"},
                {"epochs": 3},
                {"epochs": [3]},
                {"epochs": [{**EPOCH, "loss": 1}]},
                {"epochs": [{**EPOCH, "epoch": 1}]},
                {"epochs": [EPOCH, EPOCH]},
                {"epochs": [EPOCH, {**EPOCH, "epoch": 1}]},
                {"epochs": [{**EPOCH, "test_accuracy": float("nan")}]},
                {"epochs": [{**EPOCH, "test_accuracy": "0.1"}]},
            )
        ),
    ],
)
def test_a_file_that_is_no_log_is_named(tmp_path: Path, contents: str, said: str) -> None:
    place = Path(sweep(tmp_path).place(TINY))
    place.mkdir()
    (place / net.LOG).write_bytes(contents.encode("latin-1"))
    with pytest.raises(SourceError) as caught:
        sweeps.prepare(sweep(tmp_path), resume=True, force=False)
    assert str(place / net.LOG) in str(caught.value) and said in str(caught.value)
    with pytest.raises(SourceError):
        net.read_log(TINY, place)
    sweeps.prepare(sweep(tmp_path), resume=False, force=True)
    assert list(place.iterdir()) == []


def test_a_log_as_it_should_be_is_read(tmp_path: Path) -> None:
    (tmp_path / net.LOG).write_text(json.dumps(LOG))
    assert net.read_log(TINY, tmp_path) == net.TrainingLog((net.TrainedEpoch(**EPOCH),))


def test_what_cannot_be_removed_is_named(tmp_path: Path) -> None:
    """A file, and a link, are no directories that can be removed with what is in them."""
    (tmp_path / "l2-0.5").write_bytes(b"")
    with pytest.raises(OutputError, match="l2-0.5: cannot be removed"):
        sweeps.prepare(sweep(tmp_path), resume=False, force=True)
    (tmp_path / "there").mkdir()
    os.symlink(tmp_path / "there", tmp_path / "l2-1")
    with pytest.raises(OutputError, match="l2-1: cannot be removed"):
        sweeps.prepare(sweep(tmp_path, dataclasses.replace(TINY, l2=1.0)), resume=False, force=True)


def test_what_cannot_be_cleaned_is_named(tmp_path: Path) -> None:
    (tmp_path / "l2-0.5" / f".0{TEMPORARY_SUFFIX}").mkdir(parents=True)
    with pytest.raises(OutputError, match="l2-0.5: cannot be gone on with"):
        sweeps.prepare(sweep(tmp_path), resume=True, force=False)


@given(st.lists(st.floats(0, 1e3), min_size=2, unique=True))
def test_names_that_are_equal_are_beside_each_other(penalties: "list[float]") -> None:
    """What the check of --l2 relies on."""
    names = [sweeps.place_name(l2) for l2 in sorted(penalties)]
    repeated = [one == other for one, other in zip(names, names[1:])]
    assert len(names) - sum(repeated) == len(set(names))
