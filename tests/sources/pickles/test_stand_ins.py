"""Objects that no tensor needs are stand-ins: they do nothing, cost little, and deny no file."""

import argparse
import collections
import datetime
import decimal
import enum
import functools
import io
import os
import pathlib
import pickle
import random
import re
import subprocess
import sys
import types
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats import state_dict
from allennlp_analyze.sources.formats.torch_file import read_torch
from allennlp_analyze.sources.pickles.description import StandIn
from allennlp_analyze.sources.pickles.machine import unpickle
from tests.support.hostile import called, text, zip_file
from tests.support.torch_files import FORMATS, assert_same, save


class Colour(enum.Enum):
    RED = 1


@dataclass
class Config:
    size: int
    weights: Any = None


class Names(dict):
    pass


class Slots:
    __slots__ = ("a",)

    def __init__(self) -> None:
        self.a = torch.ones(2)


class Odd:
    def __init__(self, value: int) -> None:
        self.value = value

    def __getnewargs_ex__(self) -> "tuple[tuple[int], dict[str, int]]":
        return (1,), {"key": 2}


OBJECTS = {
    "bytes": io.BytesIO(b"abc"),
    "text": io.StringIO("abc"),
    "namespace": argparse.Namespace(lr=0.1, path=Path("x")),
    "simple": types.SimpleNamespace(a=1),
    "path": pathlib.PurePosixPath("a/b"),
    "time": datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),
    "difference": datetime.timedelta(3),
    "config": Config(3),
    "names": Names(a=1),
    "enum": Colour.RED,
    "class": Config,
    "function": torch.nn.functional.relu,
    "partial": functools.partial(torch.nn.LayerNorm, eps=1e-3),
    "set": {1, 2},
    "frozen": frozenset({"a"}),
    "deque": collections.deque([1, 2]),
    "counter": collections.Counter("aab"),
    "ordered": collections.OrderedDict(a=1),
    "default": collections.defaultdict(list, a=[1]),
    "decimal": decimal.Decimal("1.5"),
    "uuid": uuid.UUID(int=7),
    "expression": re.compile("a+"),
    "complex": 1 + 2j,
    "bytearray": bytearray(b"abc"),
    "range": range(3),
    "slice": slice(1, 2),
    "numpy scalar": np.float64(3),
    "dtype": np.dtype("f4"),
    "torch dtype": torch.float16,
    "device": torch.device("cpu"),
    "size": torch.Size([1, 2]),
    "generator": np.random.RandomState(1),
    "new generator": np.random.default_rng(1),
    "python random": random.Random(1),
    "tuple keys": {(1, 2): 3, Colour.RED: 4, None: 5, 1.5: 6},
    "optimizer": torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1),
    "keywords": Odd(1),
}


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("name", OBJECTS)
def test_what_no_tensor_needs_denies_no_file(name: str, protocol: int, tmp_path: Path) -> None:
    value = {"state_dict": {"w": torch.eye(3)}, "hyper_parameters": {"x": OBJECTS[name]}}
    if name == "keywords" and protocol < 4:
        pytest.skip("protocol 2 writes them by getattr")
    for zipped in (False, True):
        path = tmp_path / "w"
        torch.save(value, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
        found = read_torch(path)
        assert list(found.tensors) == ["w"]
        assert_same(found.tensors["w"].values(), torch.eye(3))


@FORMATS
def test_tensors_within_objects_are_found(tmp_path: Path, zipped: bool) -> None:
    value = {
        "w": torch.eye(3),
        "config": Config(2, torch.ones(2, 2)),
        "slots": Slots(),
        "names": Names(inner=torch.ones(4)),
        "set": {torch.ones(5)},
        "partial": functools.partial(print_nothing, torch.ones(6)),
    }
    found = read_torch(save(value, tmp_path / "w", zipped))
    sizes = {name: x.shape for name, x in found.tensors.items()}
    sizes.update((x.name, x.shape) for x in found.left_out)
    assert sorted(sizes.values()) == [(2,), (2, 2), (3, 3), (4,), (5,), (6,)]
    assert sizes["slots.a"] == (2,)


class Parent:
    def __init__(self) -> None:
        self.weight = torch.ones(3, 2)
        self.children = [Child(self), Child(self)]


class Child:
    def __init__(self, parent: Parent) -> None:
        self.parent = parent
        self.bias = torch.ones(3)


@FORMATS
def test_objects_that_refer_to_each_other(tmp_path: Path, zipped: bool) -> None:
    found = read_torch(save({"agent": Parent()}, tmp_path / "w", zipped))
    assert list(found.tensors) == [
        "agent.weight",
        "agent.children.0.bias",
        "agent.children.1.bias",
    ]


def print_nothing(*_: object) -> None:
    raise AssertionError("called")


def test_old_classes_and_opcodes() -> None:
    for made in (b"(imine\nThing\n.", b"(cmine\nThing\nK\x01o.", b"cmine\nThing\n(K\x01tR."):
        value = unpickle(made).value
        assert isinstance(value, StandIn) and value.name == "mine.Thing"
    copied = b"ccopy_reg\n_reconstructor\n(cmine\nThing\nc__builtin__\nobject\nNtR."
    value = unpickle(copied).value
    assert isinstance(value, StandIn) and value.name == "mine.Thing"


def test_what_an_unknown_function_makes_does_nothing() -> None:
    """It may be called again, have items, attributes and keys: they are kept, no more."""
    pickled = b"\x80\x02" + called("mine", "factory", b"K\x01") + b")R"
    pickled += b"(K\x01K\x02e(K\x01K\x02u}" + text("a") + b"K\x01sb."
    value = unpickle(pickled).value
    assert isinstance(value, StandIn)
    assert value.items == [1, 2] and value.state == {"a": 1} and len(value.entries or {}) == 1


REFUSED = [
    ("os", "system"),
    ("posix", "popen"),
    ("subprocess", "Popen"),
    ("builtins", "eval"),
    ("__builtin__", "execfile"),
    ("importlib", "import_module"),
    ("operator", "attrgetter"),
    ("pickle", "loads"),
    ("marshal", "loads"),
    ("torch", "load"),
    ("torch.hub", "load_state_dict_from_url"),
    ("torch.utils.cpp_extension", "load"),
    ("numpy", "load"),
    ("numpy.lib.npyio", "load"),
    ("joblib", "load"),
    ("pandas", "eval"),
    ("ctypes", "CDLL"),
    ("socket", "socket"),
    ("shutil", "rmtree"),
    ("types", "FunctionType"),
    ("types", "CodeType"),
    ("code", "interact"),
    ("webbrowser", "open"),
    ("pip", "main"),
    ("torch.nn", "Module.__init__.__globals__"),
    ("mine", "Outer.os.Inner"),
]


@pytest.mark.parametrize("module, name", REFUSED)
def test_what_runs_code_is_refused_even_where_it_is_not_used(module: str, name: str) -> None:
    pickled = b"\x80\x04}" + text("x") + text(module) + text(name) + b"\x93s."
    with pytest.raises(CheckpointError, match=re.escape(f"asks for {module}.{name}, with which")):
        unpickle(pickled)
    with pytest.raises(CheckpointError, match=re.escape(f"{module}.{name}")):
        unpickle(f"c{module}\n{name}\n.".encode())


def test_a_long_name_is_refused() -> None:
    with pytest.raises(CheckpointError, match="more than 1000 characters"):
        unpickle(b"\x80\x04" + text("m" * 900) + text("n" * 200) + b"\x93.")


def test_a_tensor_that_needs_a_stand_in_is_no_tensor(tmp_path: Path) -> None:
    made = called("mine", "storage")
    pickled = b"\x80\x02}" + text("w")
    pickled += called("torch._utils", "_rebuild_tensor", made, b"K\x00", b")", b")") + b"s."
    (tmp_path / "w").write_bytes(zip_file(pickled))
    with pytest.raises(CheckpointError, match="a tensor has no storage"):
        read_torch(tmp_path / "w")


def shared(levels: int, leaf: bytes) -> bytes:
    """2^levels paths to one leaf: tuples, lists, dictionaries and objects in turn."""
    made = leaf + b"q\x000"
    for index in range(levels):
        made += (
            b"h\x00h\x00\x86q\x00",
            b"]q\x01(h\x00h\x00e0h\x01q\x00",
            b"}q\x01(U\x01ah\x00U\x01bh\x00u0h\x01q\x00",
            b"cmine\nThing\n)\x81q\x01}(U\x01ah\x00U\x01bh\x00ub0h\x01q\x00",
        )[index % 4] + b"0"
    return made + b"h\x00"


TENSOR = called(
    "torch._utils",
    "_rebuild_tensor",
    b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x04tQ",
    b"K\x00",
    b"K\x04\x85",
    b"K\x01\x85",
)
BOMBS = {
    "paths without a tensor": shared(4000, b"K\x01"),
    "paths to a tensor": shared(60, TENSOR),
    "deep paths to a tensor": shared(4000, TENSOR),
    "an object within itself": (
        b"cmine\nThing\n)\x81q\x00}(" + text("a") + b"h\x00" + text("b") + TENSOR + b"ub"
    ),
    "a module within itself": (
        b"cmine\nNet\n)\x81q\x00}("
        + text("_parameters")
        + b"}"
        + text("w")
        + TENSOR
        + b"s"
        + text("_modules")
        + b"}"
        + text("again")
        + b"h\x00su"
        + b"b"
    ),
    "many objects": b"]" + b"cmine\nThing\n)\x81a" * 30_000,
    "objects made by objects": b"cmine\nThing\n" + b")R" * 50_000,
    "many states": b"cmine\nThing\n)\x81" + b"}b" * 50_000,
    "long names under long names": (
        b"}" + b"".join(text(f"{i:04}" * 2000) + b"}" for i in range(150)) + text("w") + TENSOR
        + b"s" * 151
    ),
    "arrays of one text": (
        text("\xff" * 1_000_000) + b"q\x000]"
        + (b"c_codecs\nencode\n(h\x00" + text("latin1") + b"tRa") * 5_000
    ),
}  # fmt: skip


@pytest.mark.newest_python
@pytest.mark.parametrize("name", BOMBS)
def test_stand_ins_take_little_memory(name: str, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    pickled = b"\x80\x02}" + text("model") + BOMBS[name] + b"s."
    (tmp_path / "w").write_bytes(zip_file(pickled, {"data/0": bytes(16)}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = ""
    try:
        read_torch(tmp_path / "w")
    except CheckpointError as error:
        said = str(error)
    assert "\n" not in said and len(said) < 500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KiB


@pytest.mark.newest_python
def test_a_long_list_in_many_objects_is_counted_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds one tensor, so that it is looked through for each object: 800,000 parts."""
    monkeypatch.setattr(state_dict, "MAX_STEPS", 20_000)
    entries = b"](" + b"N" * 2_000 + b"e" + TENSOR + b"aq\x000]" + b"h\x00\x85a" * 400
    pickled = b"\x80\x02}" + text("model") + entries + b"s."
    (tmp_path / "w").write_bytes(zip_file(pickled, {"data/0": bytes(16)}))
    calls = 0

    def seen(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(seen)
    try:
        with pytest.raises(CheckpointError, match="more than 20000 entries"):
            read_torch(tmp_path / "w")
    finally:
        sys.setprofile(None)
    assert calls < 400_000, calls


def test_nothing_of_the_machine_runs_what_it_reads(tmp_path: Path) -> None:
    """The same file with Python's pickle runs a command."""

    class Attack:
        def __reduce__(self) -> "tuple[object, tuple[list[str]]]":
            return subprocess.check_call, (["touch", str(tmp_path / "canary")],)

    pickled = pickle.dumps({"w": 1, "x": Attack()}, 2)
    pickle.loads(pickled)
    assert (tmp_path / "canary").exists()
    os.remove(tmp_path / "canary")
    with pytest.raises(CheckpointError, match=r"asks for .*check_call"):
        unpickle(pickled)
    assert not (tmp_path / "canary").exists()
