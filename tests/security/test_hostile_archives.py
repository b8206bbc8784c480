"""Archives that want to write elsewhere, take all memory, or be taken for others."""

import gzip
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import tracemalloc
from pathlib import Path
from typing import Optional

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allennlp_analyze.cli.main import main
from allennlp_analyze.errors import SourceError
from allennlp_analyze.sources.opening import open_source
from allennlp_analyze.sources.streams import tar as tar_stream
from tests.support.commands import ROOT, run_module


def weights() -> bytes:
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(3, 2)}, buffer)
    return buffer.getvalue()


GOOD = weights()


def member(
    name: str,
    content: bytes = b"",
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
    pax: "Optional[dict[str, str]]" = None,
) -> "tuple[tarfile.TarInfo, bytes]":
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, link
    info.pax_headers = pax or {}
    return info, content


def write(path: Path, *members: "tuple[tarfile.TarInfo, bytes]", level: int = 1) -> Path:
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape"
    ) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    path.write_bytes(gzip.compress(buffer.getvalue(), level))
    return path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything that may be written to is below: the archive's folder, the working directory, the
    home, and the one for temporary files."""
    for name in ("here", "work", "home", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "here"


def everything(place: Path) -> "list[str]":
    return sorted(path.relative_to(place.parent).as_posix() for path in place.parent.rglob("*"))


def refusal(path: Path, **options: int) -> str:
    def read() -> None:
        with open_source(str(path), **options) as source:  # type: ignore[arg-type]
            for tensor in source.tensors.values():
                tensor.values()

    with pytest.raises(SourceError) as caught:
        read()
    message = str(caught.value)
    assert message.isprintable(), message
    assert len(message) < 500
    assert message.startswith(str(path))
    return message


ESCAPES = {
    "above": member("../../canary", b"x"),
    "above, by dots inside": member("vocabulary/../../canary", b"x"),
    "absolute": member("/tmp/canary", b"x"),
    "absolute, twice": member("//tmp/canary", b"x"),
    "a link out": member("out", kind=tarfile.SYMTYPE, link="/"),
    "a link, and a member through it": member("out/canary", b"x"),
    "a hard link out": member("hard", kind=tarfile.LNKTYPE, link="/etc/passwd"),
    "a vocabulary that is a link": member("vocabulary", kind=tarfile.SYMTYPE, link="/tmp"),
    "a device": member("device", kind=tarfile.CHRTYPE),
    "a pipe": member("pipe", kind=tarfile.FIFOTYPE),
    "a name with a newline": member("two\nlines", b"x"),
    "a name of control characters": member("\x1b[31m\x07\r", b"x"),
    "a name that is not UTF-8": member("\udcff\udcfe", b"x"),
    "a long name": member("n" * 5000, b"x"),
    "a file of another owner": member("setuid", b"x"),
    "another archive": member("inner.tar.gz", gzip.compress(bytes(10240))),
    "Windows": member("..\\..\\canary", b"x"),
}


@pytest.mark.parametrize("name", ESCAPES)
def test_only_what_is_needed_is_taken(name: str, place: Path) -> None:
    """The archive is good but for this one member, which comes before and after the weights."""
    path = write(place / "model.tar.gz", ESCAPES[name], member("weights.th", GOOD), ESCAPES[name])
    before = everything(place)
    with open_source(str(path)) as source:
        assert list(source.tensors) == ["w"]
        kept = set(everything(place)) - set(before)
        assert all(entry.startswith("tmp/allennlp-analyze-") for entry in kept)
        assert {Path(entry).name for entry in kept if entry.count("/") != 1} == {
            ".lock",
            "weights",
        }
    assert everything(place) == before


@pytest.mark.parametrize(
    "link", ["canary", "../canary", "/etc/passwd", "a/" * 100 + "b", "two\nlines\x1b[31m"]
)
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("name", ["weights.th", "./weights.th", "config.json", "vocabulary/a.txt"])
def test_links_in_place_of_what_is_needed_are_refused(
    name: str, kind: bytes, link: str, place: Path
) -> None:
    path = write(
        place / "model.tar.gz", member(name, kind=kind, link=link), member("weights.th", GOOD)
    )
    before = everything(place)
    assert "a link to" in refusal(path)
    assert everything(place) == before


def test_a_chain_of_links_deeper_than_paths_may_be(place: Path) -> None:
    """As in CVE-2025-4517, where each step is short and their expansion is not."""
    folder, members = "", []
    for step in "abcdefghijklmnop":
        members.append(member(f"{folder}{'d' * 200}", kind=tarfile.DIRTYPE))
        members.append(member(f"{folder}{step}", kind=tarfile.SYMTYPE, link="d" * 200))
        folder += f"{step}/"
    members.append(member(f"{folder}l", kind=tarfile.SYMTYPE, link="../" * 16))
    members.append(member("escape", kind=tarfile.SYMTYPE, link=f"{folder}l/../../canary"))
    members.append(member("weights.th", kind=tarfile.LNKTYPE, link="escape"))
    members.append(member("weights.th", b"overwritten"))
    before_path = write(place / "model.tar.gz", *members)
    before = everything(place)
    assert "a link to escape" in refusal(before_path)
    assert everything(place) == before


def test_two_members_of_one_name_are_refused_wherever_they_are(place: Path) -> None:
    for name in ("weights.th", "config.json", "vocabulary/a.txt"):
        twice = [member(name, GOOD if name == "weights.th" else b"{}")] * 2
        path = write(place / "model.tar.gz", *twice, member("weights.th", GOOD))
        assert "twice" in refusal(path)


def test_an_archive_in_an_archive_is_not_opened(place: Path) -> None:
    inner = write(place / "inner.tar.gz", member("weights.th", GOOD)).read_bytes()
    path = write(place / "model.tar.gz", member("model.tar.gz", inner))
    assert "contains no weights" in refusal(path)
    path = write(place / "model.tar.gz", member("weights.th", inner))
    assert "weights.th: is a gzip file" in refusal(path)


def test_sharded_weights_in_an_archive_are_refused_by_name(place: Path) -> None:
    shards = [member(f"pytorch_model-0000{n}-of-00002.bin", GOOD) for n in (1, 2)]
    message = refusal(write(place / "model.tar.gz", *shards))
    assert "pytorch_model-00001-of-00002.bin, pytorch_model-00002-of-00002.bin" in message


def test_pax_headers_that_lie_about_a_size(place: Path) -> None:
    for size in ("-1", "99999999999999999999", "1e9", "many"):
        path = write(
            place / "model.tar.gz",
            member("weights.th", GOOD, pax={"size": size}),
            member("config.json", b"{}"),
        )
        refusal(path)


def test_a_sparse_member_that_claims_a_tebibyte(place: Path) -> None:
    pax = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.size": str(2**40),
        "GNU.sparse.numblocks": "1",
        "GNU.sparse.map": "0,10",
    }
    path = write(place / "model.tar.gz", member("weights.th", GOOD[:10], pax=pax))
    assert "a sparse file" in refusal(path)


def test_a_pax_header_bomb(place: Path) -> None:
    pax = {f"comment.{number}": "x" * 1000 for number in range(3000)}
    path = write(place / "model.tar.gz", member("other", pax=pax), member("weights.th", GOOD))
    assert "tar headers of more than 1 MiB" in refusal(path)


@pytest.mark.newest_python
def test_too_many_members(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 100,000 reading takes ten seconds."""
    monkeypatch.setattr(tar_stream, "MAX_MEMBERS", 1000)
    header = tarfile.TarInfo("x").tobuf()
    for number, said in ((1001, "more than 1000 members"), (999, "contains no weights file")):
        (place / "model.tar.gz").write_bytes(gzip.compress(header * number, 1))
        assert said in refusal(place / "model.tar.gz")


def test_a_bomb_is_stopped_before_it_is_inflated(place: Path) -> None:
    """4 GiB of zeros in 4 MB: all of it is only counted, or refused at the limit that is set."""
    header = tarfile.TarInfo("weights.th")
    header.size = 2**32
    compressor_input = header.tobuf() + bytes(2**24)
    path = place / "model.tar.gz"
    path.write_bytes(gzip.compress(compressor_input, 1))
    tracemalloc.start()
    message = refusal(path, max_unpacked_size=2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "unpacks to more than 1M" in message
    assert "max_unpacked_size" in message
    assert peak < 2**24


def test_members_that_are_not_needed_count_too(place: Path) -> None:
    path = write(place / "model.tar.gz", member("other", bytes(2**22)), member("weights.th", GOOD))
    assert "unpacks to more than" in refusal(path, max_unpacked_size=2**21)


def test_names_do_not_break_the_one_line_of_the_command(tmp_path: Path) -> None:
    odd = "weights\n\x1b[31m\udcff.th"
    write(tmp_path / "model.tar.gz", member(odd, GOOD), member("x" + odd, GOOD))
    done = run_module("allennlp_analyze", "model.tar.gz", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr
    assert "contains several weights files" in done.stderr


@pytest.mark.newest_python
@pytest.mark.parametrize("name", ["model\n.tar.gz", "modèle.tar.gz", "-model.tar.gz"])
def test_the_archive_s_own_name_may_be_odd(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / name, member("weights.th", b"junk"))
    monkeypatch.chdir(tmp_path)
    assert main(["--", name]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "weights.th: is not a file written by torch.save" in said


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("fuzz") / "model.tar.gz"
    config = member("config.json", b'{"model": {"type": "x"}}')
    vocabulary = member("vocabulary/tokens.txt", b"a\nb\n")
    return write(path, config, vocabulary, member("weights.th", GOOD)).read_bytes()


def spoiled(content: bytes, data: st.DataObject) -> bytes:
    spoilt = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["flip", "cut", "splice", "insert", "double"]))
        at = data.draw(st.integers(0, max(len(spoilt) - 1, 0)))
        if kind == "flip" and spoilt:
            spoilt[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del spoilt[at:]
        elif kind == "splice":
            spoilt[at : at + data.draw(st.integers(1, 600))] = spoilt[
                : data.draw(st.integers(0, 600))
            ]
        elif kind == "double":
            spoilt[at:at] = spoilt[at : at + data.draw(st.integers(0, 1024))]
        else:
            spoilt[at:at] = data.draw(st.binary(max_size=12))
    return bytes(spoilt)


@pytest.mark.parametrize("layer", ["gzip", "tar"])
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_only_source_errors_escape(
    layer: str, whole: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = spoiled(whole if layer == "gzip" else gzip.decompress(whole), data)
    path = tmp_path_factory.getbasetemp() / "spoiled.tar.gz"
    path.write_bytes(content if layer == "gzip" else gzip.compress(content, 1))
    said = "fine"
    try:
        with open_source(str(path), max_unpacked_size=2**22) as source:
            for tensor in source.tensors.values():
                tensor.values()
    except SourceError as error:
        said = str(error)
    assert said.isprintable()


def test_nothing_is_left_of_a_process_that_is_killed_while_it_unpacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But what the next one removes."""
    code = (
        "import sys, os, signal\n"
        "from allennlp_analyze.sources import archive\n"
        "from allennlp_analyze.sources.opening import open_source\n"
        "archive._Taking.contents = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "with open_source(sys.argv[1]): pass\n"
    )
    path = write(tmp_path / "model.tar.gz", member("weights.th", GOOD))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, env=environment)
    assert killed.returncode == -9
    assert len(list(temporary.iterdir())) == 1
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(tmp_path)
    assert main([str(path), "--quiet", "--no-plots"]) == 0
    assert list(temporary.iterdir()) == []
