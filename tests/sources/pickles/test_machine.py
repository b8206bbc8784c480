"""Pickles are read without being executed: plain values as pickle reads them, all else refused."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats.torch_file import read_checkpoint
from allennlp_analyze.sources.pickles.machine import unpickle
from tests.support.torch_files import FORMATS, legacy_file, save, text, zip_file


class Canary:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


HOSTILE = {
    "global": b"\x80\x02cposix\nsystem\n" + text("touch CANARY") + b"\x85R.",
    "stack_global": b"\x80\x04"
    + text("os")
    + text("system")
    + b"\x93"
    + text("touch CANARY")
    + b"\x85R.",
    "dotted": b"\x80\x04"
    + text("torch")
    + text("os.system")
    + b"\x93"
    + text("touch CANARY")
    + b"\x85R.",
    "dotted_allowed": b"\x80\x04"
    + text("torch._utils")
    + text("_rebuild_tensor.__globals__")
    + b"\x93.",
    "eval": b"\x80\x02cbuiltins\neval\n" + text("open('CANARY','w')") + b"\x85R.",
    "inst": b"(" + text("touch CANARY") + b"ios\nsystem\n.",
    "obj": b"(cos\nsystem\n" + text("touch CANARY") + b"o.",
    "newobj": b"\x80\x02cos\nsystem\n" + text("touch CANARY") + b"\x85\x81.",
    "build": b"\x80\x02ctorch._utils\n_rebuild_tensor\n}" + text("dump_patches") + b"\x88sb.",
    "module": b"\x80\x02("
    + text("module")
    + b"ctorch\nFloatStorage\n"
    + text("CANARY")
    + text("source")
    + b"tQ.",
    "ext": b"\x80\x02\x82\x01.",
    "nested_load": b"\x80\x02ctorch.storage\n_load_from_bytes\nC\x00\x85R.",
    "getattr": b"\x80\x02cbuiltins\ngetattr\n" + text("a") + text("b") + b"\x86R.",
    "callable_argument": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nNN}tR.",
    "persid": b"Pmodule\n.",
    "buffer": b"\x80\x05\x97.",
}


@pytest.mark.parametrize("wrap", [legacy_file, zip_file, bytes], ids=["legacy", "zip", "plain"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, wrap: object
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w").write_bytes(wrap(HOSTILE[name]))  # type: ignore[operator]
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(tmp_path / "w")
    message = str(caught.value)
    assert "\n" not in message
    assert "anyway" not in message
    assert [entry.name for entry in tmp_path.iterdir()] == ["w"]


@FORMATS
def test_a_real_exploit_does_not_run(tmp_path: Path, zipped: bool) -> None:
    canary = tmp_path / "canary"
    path = save({"w": torch.ones(2), "x": Canary(canary)}, tmp_path / "w", zipped)
    with pytest.raises(CheckpointError, match=r"posix\.system|nt\.system"):
        read_checkpoint(path)
    assert not canary.exists()


@FORMATS
@pytest.mark.filterwarnings("ignore")
def test_a_whole_module_is_read_without_its_class(tmp_path: Path, zipped: bool) -> None:
    found = read_checkpoint(save(torch.nn.Linear(2, 2), tmp_path / "w", zipped))
    assert list(found) == ["weight", "bias"]


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=500)
PLAIN = st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats(allow_nan=False)


NESTED = st.recursive(
    PLAIN | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@settings(max_examples=40, deadline=None)
@given(NESTED, st.integers(0, 5))
def test_plain_values_equal_those_of_pickle(value: object, protocol: int) -> None:
    pickled = pickle.dumps(value, protocol)
    result = unpickle(pickled)
    assert result.value == value
    assert result.end == len(pickled)


@given(st.binary(), st.integers(3, 5))
def test_bytes_equal_those_of_pickle(value: bytes, protocol: int) -> None:
    assert unpickle(pickle.dumps(value, protocol)).value == value
