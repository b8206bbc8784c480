"""Archives, serialization directories and weights files opened by `open_source`."""

import hashlib
import json
import os
import tarfile
import tempfile
from pathlib import Path
from typing import Optional

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.errors import CheckpointError, UsageError
from allennlp_analyze.sources.archive import count_lines
from allennlp_analyze.sources.opening import open_source
from tests.support.corpus import Corpus, corpus_names
from tests.support.tar_archives import CONFIG, archive, config, member, refused, weights

pytestmark = pytest.mark.usefixtures("temporary")


@pytest.mark.parametrize("name", corpus_names())
def test_corpus(corpus: Corpus, name: str, tmp_path: Path) -> None:
    path, oracle = corpus.path(name), corpus.oracle[name]
    with tarfile.open(path) as tar_file:
        tar_file.extractall(tmp_path)
    with open_source(str(path)) as source:
        assert {n: list(t.shape) for n, t in source.tensors.items()} == oracle["parameters"]
        assert source.sha256 == oracle["sha256"]
        vocabulary = {
            file.stem: len(file.read_text(encoding="utf-8").split("\n")[:-1])
            for file in (tmp_path / "vocabulary").glob("*.txt")
        }
        non_padded = vocabulary.pop("non_padded_namespaces", None)
        assert dict(source.vocabulary) == vocabulary
        assert len(source.non_padded) == (non_padded or 0)
        assert source.config == json.loads((tmp_path / "config.json").read_text())
        assert source.warnings == ()
    with open_source(str(tmp_path)) as directory:
        assert list(directory.tensors) == list(source.tensors)
        assert directory.vocabulary == source.vocabulary
        assert directory.sha256 is None


def test_members_with_and_without_dot(tmp_path: Path) -> None:
    name = archive(
        tmp_path,
        member("./", kind=tarfile.DIRTYPE),
        member("./config.json", json.dumps(CONFIG).encode()),
        member("./weights.th", weights()),
        member("./vocabulary/tokens.txt", b"@@UNKNOWN@@\nthe\n\xc2\x85\n"),
        member("./vocabulary/labels.txt", b"A\r\nB"),
        member("./vocabulary/non_padded_namespaces.txt", b"*tags\n*labels\n"),
        member("./vocabulary/.lock"),
        member("vocabulary/deep/er.txt", b"x\n"),
        member("fta/pickled", b"x"),
    )
    with open_source(name) as source:
        assert dict(source.vocabulary) == {"tokens": 3, "labels": 2}
        assert source.non_padded == ("*tags", "*labels")
        assert source.model_type == "tagger"
        assert source.weights_file == "weights.th"
        assert source.sha256 == hashlib.sha256(Path(name).read_bytes()).hexdigest()
        assert source.tensors["w"].values().tolist() == [[1.0, 1.0]] * 3


def test_values_outlive_the_temporary_directory(tmp_path: Path) -> None:
    with open_source(archive(tmp_path, config(), member("weights.th", weights()))) as source:
        tensor = source.tensors["w"]
    assert list(Path(tempfile.gettempdir()).iterdir()) == []
    assert tensor.values().sum() == 6


@given(st.text("ab\r\n\u2028\x85", max_size=30), st.integers(1, 5))
def test_lines_are_counted_as_allennlp_does(text: str, size: int) -> None:
    import re

    lines = re.split(r"\n|\r\n", text)  # allennlp.data.vocabulary.Vocabulary.set_from_file
    expected = len(lines[:-1] if lines[-1] == "" else lines)
    data = text.encode()
    assert count_lines(iter([data[i : i + size] for i in range(0, len(data), size)])) == expected


def test_weights_file_by_member_by_path_and_missing(tmp_path: Path) -> None:
    name = archive(
        tmp_path, config(), member("weights.th", weights()), member("best.th", weights(2.0))
    )
    with open_source(name, "best.th") as source:
        assert source.tensors["w"].values().max() == 2.0
        assert source.weights_file == "best.th"
    outside = tmp_path / "other.th"
    outside.write_bytes(weights(3.0))
    with open_source(name, str(outside)) as source:
        assert source.tensors["w"].values().max() == 3.0
        assert source.model_type == "tagger"
    message = refused(name, "none.th")
    assert "weights.th" in message
    assert "best.th" in message


def test_a_single_weights_member_of_another_name(tmp_path: Path) -> None:
    with open_source(archive(tmp_path, config(), member("m.pt", weights()))) as source:
        assert source.weights_file == "m.pt"
        assert list(source.tensors) == ["w"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "config.json is missing"),
        ('{"model": {}, // comment\n}', "not plain JSON"),
        ("[1]", "is not a JSON object"),
        ("[" * 100_000, "not plain JSON"),
        ("local x = import '/etc/passwd'; {}", "not plain JSON"),
    ],
)
def test_config_that_is_missing_or_not_json(
    tmp_path: Path, text: Optional[str], words: str
) -> None:
    members = [] if text is None else [config(text)]
    with open_source(archive(tmp_path, *members, member("weights.th", weights()))) as source:
        assert source.config == {}
        assert source.model_type is None
        assert words in source.warnings[0]


def test_serialization_directory(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "vocabulary").mkdir()
    (tmp_path / "vocabulary" / "tokens.txt").write_text("a\nb\n")
    archive(tmp_path, config(), member("weights.th", weights(5.0)))
    with open_source(str(tmp_path)) as source:
        assert source.tensors["w"].values().max() == 5.0
    for value, name in [(4.0, "other.bin"), (3.0, "best.th"), (2.0, "weights.th")]:
        (tmp_path / name).write_bytes(weights(value))
        with open_source(str(tmp_path)) as source:
            assert source.tensors["w"].values().max() == value
            assert source.weights_file == str(tmp_path / name)
            assert dict(source.vocabulary) == {"tokens": 2}
    with open_source(str(tmp_path), "best.th") as source:
        assert source.tensors["w"].values().max() == 3.0


def test_directory_whose_weights_are_ambiguous_or_missing(tmp_path: Path) -> None:
    assert "contains no weights" in refused(str(tmp_path))
    os.mkfifo(tmp_path / "weights.th")
    assert "contains no weights" in refused(str(tmp_path))
    for name in ("model_state_epoch_0.th", "model_state_epoch_1.th"):
        (tmp_path / name).write_bytes(weights())
    assert "model_state_epoch_0.th, model_state_epoch_1.th" in refused(str(tmp_path))


@pytest.mark.parametrize("suffix", [".th", ".pt", ".pth", ".bin", ".safetensors", ""])
def test_bare_weights_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    if suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file({"w": torch.ones(3, 2)}, str(path))
    else:
        path.write_bytes(weights())
    with open_source(str(path)) as source:
        assert source.tensors["w"].values().sum() == 6
        assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert source.config == {}
    assert "is already a weights file; remove weights_file" in refused(str(path), "best.th")


def test_bare_file_that_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "m.th").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"m\.th"), open_source(str(tmp_path / "m.th")):
        pass


@pytest.mark.parametrize(
    "name", ["", "no/such/model.tar.gz", "ftp://host/model.tar.gz", "file:///x"]
)
def test_usage_errors(name: str) -> None:
    with pytest.raises(UsageError), open_source(name):
        pass
