"""Which of several weights files is read, and what is said of the others."""

import re
from pathlib import Path

import numpy as np
import pytest

from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.directories.choosing import PREFERRED_WEIGHTS, choose, choose_member
from allennlp_analyze.sources.directories.contents import Listing
from allennlp_analyze.sources.opening import open_source

pytestmark = pytest.mark.newest_python
PRECISE = "the most precise form of one model"


def listing(*names: str, **others: "tuple[object, ...]") -> Listing:
    return Listing(weights=tuple(sorted(names)), **others)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "names, chosen",
    [
        (("model.safetensors", "pytorch_model.bin"), "model.safetensors"),
        (("best.th", "model_state_epoch_0.th", "weights.th"), "weights.th"),
        (("model.fp16.safetensors", "model.safetensors"), "model.safetensors"),
        (("unet.fp16.safetensors", "unet.safetensors", "unet.bin"), "unet.safetensors"),
        (("unet.fp16.safetensors", "unet.bin"), "unet.bin"),
        (("net.bf16.safetensors", "net.fp16.safetensors"), "net.bf16.safetensors"),
        (("adapter_model.bin", "adapter_model.safetensors"), "adapter_model.safetensors"),
        (("diffusion_pytorch_model.bin",), "diffusion_pytorch_model.bin"),
    ],
)
def test_the_rule_and_its_warning(names: "tuple[str, ...]", chosen: str) -> None:
    found, warnings = choose(listing(*names), None)
    assert found == chosen
    left = [x for x in sorted(names) if x != chosen and not x.startswith("model_state")]
    if not left:
        assert warnings == ()
    else:
        (said,) = warnings
        before, why, after = re.split(r" is read \((.+?)\), not ", said)
        assert before.endswith(chosen) and after.startswith(f"{', '.join(left)}; name another")
        usual = chosen in PREFERRED_WEIGHTS
        assert why == ("the first of the usual names" if usual else PRECISE)


def test_files_of_formats_that_are_not_read_are_said() -> None:
    found = listing("model.safetensors", unread=(("tf_model.h5", "is an HDF5 file"),))
    assert "not tf_model.h5;" in choose(found, None)[1][0]
    with pytest.raises(SourceError, match="no weights file that is read: a.h5 is an HDF5 file"):
        choose(Listing(unread=(("a.h5", "is an HDF5 file"),)), None)


def test_an_index_and_its_shards_are_one() -> None:
    shards = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    found = listing(*shards, indexes=("model.safetensors.index.json",))
    assert choose(found, None) == ("model.safetensors.index.json", ())
    beside = listing(*shards, "consolidated.safetensors", indexes=found.indexes)
    name, (said,) = choose(beside, None)
    assert name == "model.safetensors.index.json" and "not consolidated.safetensors;" in said
    halved = ("unet-00001-of-00002.fp16.safetensors", "unet-00002-of-00002.fp16.safetensors")
    index = "unet.safetensors.index.fp16.json"
    assert choose(listing(*halved, indexes=(index,)), None) == (index, ())


def test_different_models_are_the_users_choice() -> None:
    with pytest.raises(SourceError, match=r"several weights files \(a.pt, b.pt\); choose one with"):
        choose(listing("a.pt", "b.pt"), None)
    assert choose(listing("a.pt", "b.pt"), "b.pt") == ("b.pt", ())


def test_the_members_of_an_archive_are_chosen_without_those_of_a_trainer() -> None:
    members = ("optimizer.pt", "rng_state.pth", "net.pt")
    assert choose_member(members, None) == ("net.pt", ())
    assert choose_member(members, "optimizer.pt") == ("optimizer.pt", ())


def test_the_warning_reaches_the_report_and_a_choice_silences_it(tmp_path: Path) -> None:
    save_file = pytest.importorskip("safetensors.numpy").save_file
    for scale, name in enumerate(("model.safetensors", "model.fp16.safetensors"), start=1):
        save_file({"w": scale * np.eye(4, dtype=np.float32)}, tmp_path / name)
    (tmp_path / "config.json").write_text("{}")
    with open_source(str(tmp_path)) as source:
        assert source.tensors["w"].values()[0, 0] == 1
        assert (
            "model.safetensors is read (the first of the usual names), not model.fp16"
            in source.warnings[0]
        )
    with open_source(str(tmp_path), "model.fp16.safetensors") as source:
        assert source.tensors["w"].values()[0, 0] == 2 and source.warnings == ()


def test_a_second_name_of_the_same_file_is_no_second_file(tmp_path: Path) -> None:
    save_file = pytest.importorskip("safetensors.numpy").save_file
    save_file({"w": np.eye(4, dtype=np.float32)}, tmp_path / "model.safetensors")
    (tmp_path / "latest.safetensors").symlink_to("model.safetensors")
    with open_source(str(tmp_path)) as source:
        assert [x for x in source.warnings if "several" in x] == []


def test_the_choice_is_among_model_states_only(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(4, 3)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1).state_dict()
    for epoch in range(2):
        torch.save(module.state_dict(), tmp_path / f"model_state_epoch_{epoch}.th")
        torch.save({"optimizer": optimizer}, tmp_path / f"training_state_epoch_{epoch}.th")
    with pytest.raises(SourceError) as caught, open_source(str(tmp_path)):
        pass
    assert "(model_state_epoch_0.th, model_state_epoch_1.th); choose" in str(caught.value)
    (tmp_path / "model_state_epoch_1.th").unlink()
    with open_source(str(tmp_path)) as source:
        assert list(source.tensors) == ["weight", "bias"]
