"""Nothing in a weights file executes, whatever it asks for and whatever carries it."""

import contextlib
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from allennlp_analyze.errors import CheckpointError, SourceError
from allennlp_analyze.sources.formats.torch_file import read_checkpoint
from allennlp_analyze.sources.opening import open_source
from tests.support.commands import ROOT, run_module
from tests.support.hostile import ATTACKS, FORMATS, archive, called, legacy_file, text, zip_file

BITING = [name for name, attack in ATTACKS.items() if attack.bites]


def refusal(path: Path) -> str:
    def read() -> None:
        with open_source(str(path)) as source:
            for tensor in source.tensors.values():
                tensor.values()

    with pytest.raises(SourceError) as caught:
        read()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    assert "weights_only" not in message and "anyway" not in message
    return message


@pytest.mark.parametrize("name", BITING)
def test_the_attack_would_bite(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of Python's own pickle: so the next tests can fail."""
    canary = tmp_path / "canary"
    with contextlib.suppress(Exception):  # what follows the bite
        pickle.loads(ATTACKS[name].pickled(canary))
    assert canary.exists()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_bites_here(
    name: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack, canary = ATTACKS[name], tmp_path / "canary"
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    hostile = FORMATS[form](attack.pickled(canary))
    (tmp_path / "weights.th").write_bytes(hostile)
    (tmp_path / "model.tar.gz").write_bytes(
        archive([("config.json", b"{}"), ("weights.th", hostile)])
    )
    for carrier in ("weights.th", "model.tar.gz"):
        message = refusal(tmp_path / carrier)
        if form in ("legacy", "zip"):
            assert attack.names in message, message
        elif form == "tar":
            assert "torch's tar format" in message
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "model.tar.gz", "weights.th"]
    assert list((tmp_path / "empty").iterdir()) == []


def test_the_command_ends_in_one_line(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    hostile = zip_file(ATTACKS["getattr chain"].pickled(canary))
    (tmp_path / "model.tar.gz").write_bytes(
        archive([("config.json", b"{}"), ("weights.th", hostile)])
    )
    done = run_module("allennlp_analyze", "model.tar.gz", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: model.tar.gz: weights.th: ")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model.tar.gz"]


def test_torchscript_is_not_given_to_torch(tmp_path: Path) -> None:
    for records in ({"constants.pkl": b"\x80\x02)."}, {"code/x.py": b"import os"}):
        (tmp_path / "weights.th").write_bytes(zip_file(b"\x80\x02}.", records))
        assert "TorchScript" in refusal(tmp_path / "weights.th")


def storage_id(key: bytes, size: int, *more: bytes, kind: str = "FloatStorage") -> bytes:
    number = b"\x8a\x09" + size.to_bytes(9, "little", signed=True)
    parts = text("storage") + f"ctorch\n{kind}\n".encode() + key + text("cpu") + number
    return b"(" + parts + b"".join(more) + b"tQ"


def numbers(*values: int) -> bytes:
    return pickle.dumps(values, 2)[2:-1]


def tensor(storage: bytes, offset: bytes, shape: bytes, stride: bytes) -> bytes:
    return called("torch._utils", "_rebuild_tensor", storage, offset, shape, stride)


def one(
    storage: bytes, offset: int = 0, shape: bytes = b"K\x04\x85", stride: bytes = b"K\x01\x85"
) -> bytes:
    """A state dict of one tensor."""
    number = b"\x8a\x09" + offset.to_bytes(9, "little", signed=True)
    return b"\x80\x02}" + text("w") + tensor(storage, number, shape, stride) + b"s."


EIGHT = struct.pack("<q", 4) + bytes(16)  # four float32 of the legacy format
KEY = text("0")
FAULTS = {
    "more than the record": (one(storage_id(KEY, 1000), 0, b"M\xe8\x03\x85"), "storage"),
    "more than the file": (one(storage_id(KEY, 2**40), 0), "storage|is truncated|bytes"),
    "more than 64 bits": (one(storage_id(KEY, 2**63)), "64 bits"),
    "a negative size": (one(storage_id(KEY, -1)), "64 bits"),
    "an offset outside": (one(storage_id(KEY, 4), 1), "outside its storage"),
    "an offset of 2^62": (one(storage_id(KEY, 4), 2**62), "outside its storage"),
    "a negative offset": (one(storage_id(KEY, 4), -1), "offset"),
    "a stride outside": (
        one(storage_id(KEY, 4), 0, b"K\x04\x85", b"K\x02\x85"),
        "outside its storage",
    ),
    "a key that is not there": (
        one(storage_id(text("9"), 4)),
        "storage 9|is missing|not used by any tensor",
    ),
    "a key that is a tuple": (one(storage_id(b")", 4)), "type and key"),
    "a type that is text": (
        b"\x80\x02}"
        + text("w")
        + b"("
        + text("storage")
        + text("f")
        + KEY
        + text("cpu")
        + b"K\x04tQs.",
        "type and key",
    ),
    "a view that leaves it": (
        one(storage_id(KEY, 4, b"(" + text("v") + b"K\x03K\x02t")),
        "outside|storage v",
    ),
    "a view of two parts": (one(storage_id(KEY, 4, b"K\x01K\x02\x86")), "three parts"),
    "too few parts": (b"\x80\x02}" + text("w") + b"(" + text("storage") + b"tQs.", "storage"),
    "no tuple": (b"\x80\x02}" + text("w") + text("storage") + b"Qs.", "object"),
    "no storage at all": (
        b"\x80\x02}" + text("w") + tensor(b"N", b"K\x00", b")", b")") + b"s.",
        "no storage",
    ),
}


@pytest.mark.parametrize("form", ["legacy", "zip"])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_tensor_claims_is_checked(fault: str, form: str, tmp_path: Path) -> None:
    pickled, words = FAULTS[fault]
    whole = {
        "legacy": legacy_file(pickled, ("0",), EIGHT),
        "zip": zip_file(pickled, {"data/0": bytes(16)}),
    }
    (tmp_path / "weights.th").write_bytes(whole[form])
    message = refusal(tmp_path / "weights.th")
    assert any(word in message for word in (*words.split("|"), "expected")), message


def test_the_pattern_of_those_files_is_read_where_nothing_is_wrong(tmp_path: Path) -> None:
    pickled = one(storage_id(KEY, 4))
    for content in (legacy_file(pickled, ("0",), EIGHT), zip_file(pickled, {"data/0": bytes(16)})):
        (tmp_path / "weights.th").write_bytes(content)
        assert read_checkpoint(tmp_path / "weights.th")["w"].values().tolist() == [0.0] * 4


@pytest.mark.parametrize("place", ["cuda:0", "cuda:7", "mps", "xla:1", "meta", "nowhere"])
def test_where_the_storage_once_was_does_not_matter(place: str, tmp_path: Path) -> None:
    pickled = one(storage_id(KEY, 4)).replace(text("cpu"), text(place))
    for content in (legacy_file(pickled, ("0",), EIGHT), zip_file(pickled, {"data/0": bytes(16)})):
        (tmp_path / "weights.th").write_bytes(content)
        assert read_checkpoint(tmp_path / "weights.th")["w"].values().tolist() == [0.0] * 4


@pytest.mark.parametrize("keys", [("0", "0"), ("0", "1"), ()])
def test_a_list_of_storages_that_does_not_fit(keys: "tuple[str, ...]", tmp_path: Path) -> None:
    content = legacy_file(one(storage_id(KEY, 4)), keys, EIGHT * len(keys))
    (tmp_path / "weights.th").write_bytes(content)
    assert "storage" in refusal(tmp_path / "weights.th")


def test_storages_of_one_record_do_not_see_each_other_s_bytes(tmp_path: Path) -> None:
    """Two types of one key: the larger would read beyond the smaller."""
    small, large = storage_id(KEY, 4), storage_id(KEY, 4, kind="DoubleStorage")
    state = b"\x80\x02}" + b"".join(
        text(name) + tensor(s, b"K\x00", b"K\x04\x85", b"K\x01\x85") + b"s"
        for name, s in (("a", small), ("b", large))
    )
    (tmp_path / "weights.th").write_bytes(zip_file(state + b".", {"data/0": bytes(16)}))
    assert "b: expected a storage of 32 bytes, got 16" in refusal(tmp_path / "weights.th")


def test_an_expanded_view_is_described_and_takes_no_memory(tmp_path: Path) -> None:
    huge = one(storage_id(KEY, 4), 0, numbers(2**20, 2**20), numbers(0, 0))
    (tmp_path / "weights.th").write_bytes(zip_file(huge, {"data/0": bytes(16)}))
    found = read_checkpoint(tmp_path / "weights.th")["w"]
    assert found.shape == (2**20, 2**20)
    assert "expanded view" in (found.unsupported or "")


def long(size: int) -> bytes:
    return b"\x8b" + struct.pack("<i", size)


PLAIN = tensor(storage_id(KEY, 4), b"K\x00", b"K\x04\x85", b"K\x01\x85")
DEEP = b")" + b"2\x86" * 200  # a tuple of 2^200 empty tuples, two and two the same
COLLIDING = [(i * (2**61 - 1)).to_bytes(11, "little", signed=True) for i in range(1, 30_000)]


def many_of_one_shape() -> bytes:
    shape = b"(" + b"K\x01" * 100_000 + b"tq\x00" + storage_id(KEY, 4) + b"q\x010}"
    made = called("torch._utils", "_rebuild_tensor", b"h\x01K\x00h\x00h\x00") + b"s"
    return b"\x80\x02" + shape + b"".join(b"U\x06%06d" % i + made for i in range(20_000)) + b"."


BOMBS = {
    "doubled tuples": b"\x80\x02)" + b"2\x86" * 20_000 + b".",
    "doubled lists": b"\x80\x02]q\x00" + b"(h\x00h\x00e" * 20_000 + b".",
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
    "a list extended by itself": b"\x80\x02]q\x00" + b"(h\x00h\x00le" * 50_000 + b".",
    "shared dictionaries": b"\x80\x02}q\x00" + b"}q\x01U\x01ah\x00sq\x00" * 10_000 + b".",
    "a tuple as a storage": b"\x80\x02" + DEEP + b"\x85Q.",
    "a tuple as a shape": b"\x80\x02}"
    + text("w")
    + tensor(storage_id(KEY, 4), b"K\x00", DEEP, b")")
    + b"s.",
    "a tuple as a key": b"\x80\x02}" + DEEP + b"Ns.",
    "colliding keys": b"\x80\x02}(" + b"".join(b"\x8a\x0b" + k + b"N" for k in COLLIDING) + b"u.",
    "many marks": b"\x80\x02" + b"(" * 3_000_000 + b".",
    "deep lists": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "deep tuples": b"\x80\x02)" + b"\x85" * 200_000 + b".",
    "memo of everything": b"\x80\x04]" + b"\x94" * 2_900_000 + b".",
    "a memo far away": b"\x80\x02]r\xff\xff\xff\xff.",
    "a memo farther away": b"]p" + b"9" * 60 + b"\n.",
    "bytes that are not there": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b".",
    "text that is not there": b"\x80\x04\x8d" + struct.pack("<Q", 2**63 + 5) + b".",
    "a frame that is not there": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"}.",
    "a long number": b"\x80\x02" + long(2**31 - 1) + b".",
    "a number of negative length": b"\x80\x02" + long(-5) + b".",
    "a number in digits": b"L" + b"7" * 10_000 + b"L\n.",
    "endless nothing": b"\x80\x02" + b"N0" * 3_000_000 + b".",
    "many tensors of one long shape": many_of_one_shape(),
    "a long name": b"\x80\x02}" + text("n" * 5_000_000) + PLAIN + b"s.",
    "a long module": b"\x80\x04" + text("m" * 5_000_000) + text("n" * 5_000_000) + b"\x93.",
    "half a surrogate": b"\x80\x02}V\\ud800\n" + PLAIN + b"s.",
    "nested wrappers": b"\x80\x02" + (b"}" + text("model")) * 10_000 + b"}" + b"s" * 10_000 + b".",
    "two pickles in a row": b"\x80\x02}." * 3,
}
BOUND = """
import resource, sys, time
from pathlib import Path
from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.formats.registry import read_weights
from allennlp_analyze.sources.formats import torch_file  # imported before memory is limited
for path in sorted(Path(sys.argv[1]).iterdir()):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), resource.RLIM_INFINITY))
    started, said = time.process_time(), "nothing"
    try:
        for tensor in read_weights(path, path.name).tensors.values():
            tensor.values()
    except CheckpointError as error:
        said = str(error)
    said = said.replace(chr(10), "NEWLINE")[:600]
    print(path.name, round(time.process_time() - started, 1), said, sep="|")
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


# The machine that reads them is the same in both forms, so what is large is read in one.
LARGE = 100_000


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited as on Linux")
@pytest.mark.newest_python
def test_bombs_take_little_memory_and_time(tmp_path: Path) -> None:
    """A gibibyte of address space and seconds, in one process for all."""
    expected = set()
    for name, pickled in BOMBS.items():
        contents = {"zip": zip_file(pickled, {"data/0": bytes(16)})}
        if len(pickled) < LARGE:
            contents["legacy"] = legacy_file(pickled, ("0",), EIGHT)
        for form, content in contents.items():
            (tmp_path / f"{form}, {name}").write_bytes(content)
            expected.add(f"{form}, {name}")
    done = subprocess.run(
        [sys.executable, "-c", BOUND, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = dict(line.split("|", 1) for line in done.stdout.splitlines())
    assert set(found) == expected
    for name, outcome in found.items():
        seconds, said = outcome.split("|", 1)
        assert float(seconds) < 60, name  # of exponential ones, hours
        assert "NEWLINE" not in said and len(said) < 600
        if name not in HARMLESS:
            assert said != "nothing", name


HARMLESS = {"zip, two pickles in a row", "zip, a memo far away"}


def test_an_empty_state_dict_behind_which_more_follows(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(legacy_file(b"\x80\x02}.") + b"more")
    with pytest.raises(CheckpointError, match="4 bytes follow"):
        read_checkpoint(tmp_path / "w")
