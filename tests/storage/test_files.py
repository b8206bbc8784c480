"""Files appear whole or not at all."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

import pytest

from allennlp_analyze.errors import OutputError
from allennlp_analyze.storage.files import (
    check_directory,
    make_directory,
    open_own,
    write_atomically,
)


def put(file: BinaryIO) -> None:
    file.write(b"new")


def test_the_file_is_replaced_and_has_the_usual_permissions(tmp_path: Path) -> None:
    usual, path = tmp_path / "usual", tmp_path / "report"
    usual.write_bytes(b"")
    path.write_bytes(b"old and longer")
    write_atomically(path, put)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report", "usual"]


@pytest.mark.parametrize(
    "error", [ValueError("bad"), KeyboardInterrupt(), OSError(28, "disk full")]
)
def test_an_error_leaves_the_old_file_and_nothing_else(
    error: BaseException, tmp_path: Path
) -> None:
    path = tmp_path / "report"
    path.write_bytes(b"old")

    def fail(file: BinaryIO) -> None:
        file.write(b"half")
        assert path.read_bytes() == b"old"
        raise error

    with pytest.raises(OutputError if isinstance(error, OSError) else type(error)):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["report"]


def test_the_message_is_one_line_with_path_and_reason(tmp_path: Path) -> None:
    target = tmp_path / "directory"
    target.mkdir()
    for path in (target, tmp_path / "absent" / "x"):
        with pytest.raises(OutputError) as caught:
            write_atomically(path, put)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["directory"]


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    assert make_directory(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="file"):
        make_directory(tmp_path / "file" / "below")


def test_what_is_in_the_way_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").write_bytes(b"")
    (tmp_path / "link").symlink_to("a")
    check_directory(tmp_path, files=("b", "link", "absent"), folders=("a", "link", "absent"))
    write_atomically(tmp_path / "link", lambda file: None)
    assert not (tmp_path / "link").is_symlink()
    with pytest.raises(OutputError, match=f"^{tmp_path}/a: is a directory, not a file; choose"):
        check_directory(tmp_path, files=("b", "a"))
    with pytest.raises(OutputError, match=f"^{tmp_path}/b: is a file, not a directory; choose"):
        check_directory(tmp_path, folders=("a", "b"))


def test_a_name_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 300)
    with pytest.raises(OutputError) as caught:
        check_directory(path)
    assert str(caught.value) == (
        f"{path}: cannot be written (File name too long); choose another directory"
    )


def test_own_files_are_opened_and_made(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    for text in (b"one", b"two"):
        with open_own(path) as file:
            file.write(text)
    assert path.read_bytes() == b"onetwo"


@pytest.mark.parametrize("exists", [False, True])
def test_a_planted_link_is_not_followed(tmp_path: Path, exists: bool) -> None:
    target, link = tmp_path / "target", tmp_path / "journal"
    if exists:
        target.write_text("precious")
    link.symlink_to(target)
    with pytest.raises(OutputError, match="is a link, which is not followed"):
        open_own(link)
    assert (target.read_text() if exists else target.exists()) == ("precious" if exists else False)


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "journal")
    with pytest.raises(OutputError, match="is not a regular file"):
        open_own(tmp_path / "journal")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.touch()
    os.chown(path, 12345, 12345)
    with pytest.raises(OutputError, match="belongs to another user"):
        open_own(path)
