"""A trainer's own files are told by name and by contents; a model is one whatever its name is."""

from pathlib import Path

import pytest

from allennlp_analyze.sources.directories.trainers import is_trainers_own

pytestmark = pytest.mark.newest_python
torch = pytest.importorskip("torch")


def net() -> "torch.nn.Module":
    return torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.ReLU(), torch.nn.Linear(6, 4))


def stepped(make: "type[torch.optim.Optimizer]") -> "dict[str, object]":
    module = net()
    optimizer = make(module.parameters(), lr=0.1)
    module(torch.ones(2, 8)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["optimizer.pt", "adam-of-mine.pth", "x.ckpt", "state_500.bin"])
def test_an_optimizer_is_a_trainers_whatever_its_name_is(
    tmp_path: Path, name: str, zipped: bool
) -> None:
    state = stepped(torch.optim.AdamW)
    torch.save(state, tmp_path / name, _use_new_zipfile_serialization=zipped)
    assert is_trainers_own(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["optimizer.pt", "scheduler.bin", "training_state_epoch_3.th", "model.pt"]
)
def test_a_model_is_none(tmp_path: Path, name: str) -> None:
    torch.save(net().state_dict(), tmp_path / name)
    assert not is_trainers_own(tmp_path / name)


def test_a_checkpoint_with_model_and_optimizer_is_a_model(tmp_path: Path) -> None:
    for name in ("a.pt", "training_state_epoch_1.th"):
        whole = {"state_dict": net().state_dict(), "optimizer": stepped(torch.optim.Adam)}
        torch.save(whole, tmp_path / name)
        assert not is_trainers_own(tmp_path / name)


@pytest.mark.parametrize(
    "name",
    [
        "optimizer.pt",
        "optimizer_1.bin",
        "scheduler.pt",
        "rng_state_3.pth",
        "random_states_0.pkl",
        "scaler.pt",
        "training_args.bin",
        "training_state_epoch_12.th",
        "training_state_e0_b100.th",
        "trainer_state.json",
        "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt",
    ],
)
def test_a_name_is_enough_for_what_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04not a pickle that anyone can read")
    assert is_trainers_own(tmp_path / name)


@pytest.mark.parametrize("name", ["model.pt", "best.th", "optimizer_notes.txt", "rng.pt", "w.pkl"])
def test_other_damaged_files_are_not(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04param_groups not a pickle that anyone can read")
    assert not is_trainers_own(tmp_path / name)


def test_states_of_schedulers_and_random_numbers(tmp_path: Path) -> None:
    torch.save({"last_epoch": 5, "_step_count": 6}, tmp_path / "cosine.pt")
    torch.save({"cpu": torch.get_rng_state()}, tmp_path / "rng_state.pth")
    torch.save({"bias": torch.ones(3)}, tmp_path / "vector.pt")
    assert is_trainers_own(tmp_path / "cosine.pt")
    assert is_trainers_own(tmp_path / "rng_state.pth")
    assert not is_trainers_own(tmp_path / "vector.pt")
