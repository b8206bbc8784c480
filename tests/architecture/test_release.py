"""The release: the same sources give the same bytes, the sdist has all, the version is one."""

import datetime
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from allennlp_analyze._version import VERSION
from tests.support.commands import ROOT

pytestmark = pytest.mark.newest_python
EPOCH = 1_790_000_000
BUILD = "from setuptools import build_meta as b; b.build_sdist({0!r}); b.build_wheel({0!r})"
# What setuptools adds to the files of the repository.
MADE = {"PKG-INFO", "setup.cfg"}


def copied(folder: Path, seconds: int) -> Path:
    """A copy of the sources in `folder`, all files `seconds` after the epoch."""
    folder.mkdir(parents=True)
    kept = ("--exclude=.git", "--exclude=__pycache__", "--exclude=.*_cache", "--exclude=.venv*")
    pack = subprocess.run(
        ["tar", "-c", *kept, "--exclude=.hypothesis", "--exclude=./build", "--exclude=./dist", "."],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    subprocess.run(["tar", "-x"], cwd=folder, input=pack.stdout, check=True)
    for path in folder.rglob("*"):
        os.utime(path, (EPOCH + seconds, EPOCH + seconds))
    return folder


def build(sources: Path, out: Path) -> list[Path]:
    """The sdist and the wheel of a copy of the sources, made in `out`."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "-c", BUILD.format(str(out))],
        cwd=sources,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [*out.glob("*.tar.gz"), *out.glob("*.whl")]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    pytest.importorskip("setuptools")
    sources = copied(tmp_path_factory.mktemp("sources") / "a", 0)
    return build(sources, tmp_path_factory.mktemp("dist"))


def test_two_builds_are_the_same_bytes(
    built: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The other one made in another place, of files of another time."""
    sources = copied(tmp_path_factory.mktemp("sources") / "b" / "deeper", 86_400)
    again = build(sources, tmp_path_factory.mktemp("dist"))
    assert len(built) == len(again) == 2
    for one, other in zip(built, again):
        assert one.name == other.name and one.read_bytes() == other.read_bytes()


def test_the_archives_say_nothing_of_the_machine(built: list[Path]) -> None:
    sdist, wheel = built
    with tarfile.open(sdist) as archive:
        for member in archive:
            assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
            assert member.mtime == EPOCH and member.mode in (0o755, 0o644)
            assert not member.issym() and not member.islnk()
    with zipfile.ZipFile(wheel) as unzipped:
        moment = datetime.datetime.fromtimestamp(EPOCH, datetime.timezone.utc)
        assert {item.date_time[:3] for item in unzipped.infolist()} == {moment.timetuple()[:3]}


def test_the_sdist_has_every_file_of_the_repository(built: list[Path]) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout of git")
    # With files that are not added yet, so that the test is the same before and after a commit.
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    with tarfile.open(built[0]) as archive:
        files = [member.name.partition("/")[2] for member in archive if member.isfile()]
    found = {name for name in files if not name.startswith("allennlp_analyze.egg-info/")}
    assert found - MADE == wanted


def test_the_citation_is_of_this_version() -> None:
    yaml = pytest.importorskip("yaml")
    found: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    # What version 1.2.0 of the format requires.
    assert {"cff-version", "message", "title", "authors"} <= set(found)
    assert (found["cff-version"], found["type"]) == ("1.2.0", "software")
    assert (found["version"], found["license"]) == (VERSION, "Apache-2.0")
    assert newest() == f"## {VERSION} ({found['date-released']})"


def newest() -> str:
    """The first heading of a version in the list of changes."""
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith("## "))
