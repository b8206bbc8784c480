"""A directory or a glob: every model in it once, under a name and a group that say where it is."""

import glob
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from allennlp_analyze.errors import UsageError
from allennlp_analyze.sources.opening import open_source
from allennlp_analyze.zoo.manifest.reading import Manifest, read_manifest
from tests.support.commands import SMALL
from tests.support.corpus import Corpus

pytestmark = pytest.mark.newest_python


def names(manifest: Manifest) -> "list[str]":
    return [entry.name for entry in manifest.entries]


def groups(manifest: Manifest) -> "list[str]":
    return [entry.group for entry in manifest.entries]


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    return root


def unpacked(directory: Path) -> Path:
    """A serialization directory with real contents."""
    with tarfile.open(SMALL) as archive:
        for member in archive:
            archive.extract(member, directory)
    return directory


def sharded(directory: Path) -> Path:
    save_file = pytest.importorskip("safetensors.numpy").save_file
    directory.mkdir(parents=True)
    part = "model-00001-of-00001.safetensors"
    save_file({"w": np.eye(4, dtype=np.float32)}, directory / part)
    index = f'{{"weight_map": {{"w": "{part}"}}}}'
    (directory / "model.safetensors.index.json").write_text(index)
    return directory


def test_the_corpus_has_its_archives_in_a_group_for_each_release(corpus: Corpus) -> None:
    manifest = read_manifest(str(corpus.root))
    assert names(manifest) == sorted(name[: -len(".tar.gz")] for name in corpus.oracle)
    assert len(names(manifest)) == 58 and len(set(groups(manifest))) == 10
    for entry in manifest.entries:
        assert entry.archive == str(corpus.path(f"{entry.name}.tar.gz"))
        assert entry.group == entry.name.split("/")[0]
        assert Path(entry.archive).is_file()


@pytest.mark.parametrize("pattern", ["*/bidaf*", "v1.0.0/*", "**/core__*.tar.gz", "v[01].?.0/*__*"])
def test_a_glob_matches_what_python_matches(pattern: str, corpus: Corpus) -> None:
    manifest = read_manifest(str(corpus.root / pattern))
    expected = sorted(glob.glob(str(corpus.root / pattern), recursive=True))
    assert [entry.archive for entry in manifest.entries] == expected
    assert len(expected) > 1


def test_a_glob_names_from_where_its_wildcards_begin(corpus: Corpus) -> None:
    whole = read_manifest(str(corpus.root / "v*"))
    assert (names(whole), groups(whole)) == (
        names(read_manifest(str(corpus.root))),
        groups(read_manifest(str(corpus.root))),
    )
    assert whole.entries[0].name == "v0.2.3/bidaf" and whole.entries[0].group == "v0.2.3"
    assert read_manifest(str(corpus.root / "v0.2.3" / "*.tar.gz")).entries[0].name == "bidaf"


def test_a_serialization_directory_is_one_model(tmp_path: Path) -> None:
    inside = unpacked(tmp_path / "zoo" / "runs" / "Best.run")
    touch(inside, "best.th", "model_state_epoch_0.th", "model.tar.gz", "log/events.pt")
    touch(tmp_path / "zoo", "runs/other/weights.th")
    manifest = read_manifest(str(tmp_path / "zoo"))
    assert names(manifest) == ["runs/Best.run", "runs/other/weights"]
    assert groups(manifest) == ["runs", "runs"]
    assert manifest.title == "zoo"
    with open_source(manifest.entries[0].archive) as source:
        assert source.config is not None and len(source.tensors) > 10


def test_every_file_of_a_match_inside_a_matched_model_is_of_that_model(tmp_path: Path) -> None:
    unpacked(tmp_path / "run")
    assert names(read_manifest(str(tmp_path / "**" / "*"))) == ["run"]
    assert names(read_manifest(str(tmp_path / "**" / "*.th"))) == ["run/weights"]


def test_sharded_weights_are_one_model(tmp_path: Path) -> None:
    directory = sharded(tmp_path / "a" / "b")
    touch(tmp_path, "a/parts/m-00001-of-00002.bin", "a/parts/m-00002-of-00002.bin")
    manifest = read_manifest(str(tmp_path))
    assert names(manifest) == ["a/b", "a/parts"]
    with open_source(manifest.entries[0].archive) as source:
        assert set(source.tensors) == {"w"}
    (alone,) = read_manifest(str(directory)).entries
    assert (alone.name, alone.group, Path(alone.archive)) == ("b", "", directory)


def test_files_of_one_stem_keep_their_endings(tmp_path: Path) -> None:
    touch(
        tmp_path, "m.tar.gz", "m.pt", "m.TGZ", "n.safetensors", "notes.txt", "m.csv", "x.tar.gz.pt"
    )
    touch(tmp_path, "x.tar.gz", "x.pt")
    expected = ["m.TGZ", "m.pt", "m.tar.gz", "n", "x.pt", "x.tar.gz", "x.tar.gz.pt"]
    assert names(read_manifest(str(tmp_path))) == expected


def test_hidden_files_do_not_count(tmp_path: Path) -> None:
    touch(tmp_path, ".a.pt", ".git/a.pt", "b/.c/a.pt", "b/a.pt", "b/._a.pt")
    assert names(read_manifest(str(tmp_path))) == ["b/a"]
    assert names(read_manifest(str(tmp_path / "**" / "*.pt"))) == ["b/a"]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="this system has no symbolic links")
def test_links_are_followed_and_never_in_a_circle(tmp_path: Path) -> None:
    zoo = touch(tmp_path / "zoo", "real/deep/a.pt", "b.pt")
    outside = touch(tmp_path / "outside", "c.pt")
    (zoo / "real" / "deep" / "up").symlink_to(zoo)
    (zoo / "real" / "across").symlink_to(zoo / "real" / "deep")
    (zoo / "a-link").symlink_to(zoo / "real")
    (zoo / "far").symlink_to(outside)
    (zoo / "file.pt").symlink_to(outside / "c.pt")
    (zoo / "nowhere.pt").symlink_to(tmp_path / "nothing")
    (zoo / "self.pt").symlink_to(zoo / "self.pt")
    assert names(read_manifest(str(zoo))) == ["b", "far/c", "file", "real/deep/a"]
    deep = read_manifest(str(zoo / "**" / "a.pt"))
    assert len(deep.entries) == 1
    assert names(read_manifest(str(tmp_path / "**" / "**" / "c.pt"))) == ["outside/c"]


def test_nothing_to_analyze_is_said(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt", "model/config.json")
    for text in (str(tmp_path), str(tmp_path / "*"), str(tmp_path / "none" / "*.pt")):
        with pytest.raises(UsageError) as caught:
            read_manifest(text)
        assert str(caught.value).startswith(f"{text}: contains no model") and "\n" not in str(
            caught.value
        )


def test_paths_are_those_that_the_user_would_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(SMALL, touch(tmp_path, "zoo/x/empty.pt") / "zoo" / "x" / "small.tar.gz")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [e.archive for e in read_manifest("zoo").entries] == [
        "zoo/x/empty.pt",
        "zoo/x/small.tar.gz",
    ]
    assert [e.archive for e in read_manifest("zoo/*/s*").entries] == ["zoo/x/small.tar.gz"]
    assert [e.archive for e in read_manifest("*/x").entries] == [
        "zoo/x/empty.pt",
        "zoo/x/small.tar.gz",
    ]
    home = read_manifest("~/zoo/*/s*")
    assert [e.archive for e in home.entries] == [str(tmp_path / "zoo/x/small.tar.gz")]
    assert home.source == "~/zoo/*/s*"
    with open_source(read_manifest("zoo/*/s*").entries[0].archive) as source:
        assert source.tensors
