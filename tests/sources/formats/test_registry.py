"""Every weights format is known by its first bytes and its endings, and by nothing else."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.archive import is_weights
from allennlp_analyze.sources.formats.registry import (
    FORMATS,
    MODEL_ENDINGS,
    WEIGHTS_ENDINGS,
    WeightsFormat,
    head,
    read_weights,
)
from allennlp_analyze.zoo.manifest.scan import is_model_file
from tests.support.commands import ROOT
from tests.support.format_savers import SAVERS

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

WEIGHTS = torch.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: type(known).__name__)
def test_a_file_is_read_by_its_first_bytes_whatever_it_is_called(
    tmp_path: Path, known: WeightsFormat
) -> None:
    for name in ("weights", "weights.th", f"weights{(*known.endings, '')[0]}"):
        SAVERS[type(known)]({"a.weight": WEIGHTS}, tmp_path / name)
        begins = head(tmp_path / name, name)
        assert next(x for x in FORMATS if x.recognizes(begins)) is known
        (tensor,) = read_weights(tmp_path / name, name).tensors.values()
        assert np.array_equal(tensor.values(), WEIGHTS.numpy())


def test_an_ending_says_what_a_damaged_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match="^m.safetensors: is not a valid safetensors file"):
        read_weights(tmp_path / "w", "m.safetensors")
    with pytest.raises(CheckpointError, match="^m.th: is not a file written by torch.save"):
        read_weights(tmp_path / "w", "m.th")


def test_the_last_format_takes_what_no_other_knows() -> None:
    *others, last = (known.recognizes(b"nothing of the kind") for known in FORMATS)
    assert last and not any(others)


def test_endings_are_distinct_and_known_wherever_they_count() -> None:
    assert len(set(MODEL_ENDINGS)) == len(MODEL_ENDINGS)
    assert all(ending == ending.lower() for ending in MODEL_ENDINGS)
    assert all(is_weights(f"model{ending}") for ending in WEIGHTS_ENDINGS)
    assert all(is_model_file(f"model{ending}") for ending in MODEL_ENDINGS)
    page = (ROOT / "docs" / "reference" / "formats.md").read_text(encoding="utf-8")
    assert [ending for ending in MODEL_ENDINGS if f"`{ending}`" not in page] == []


def test_the_commands_help_names_them_without_numpy() -> None:
    code = (
        "import argparse, sys; from allennlp_analyze.cli.options import add_arguments;"
        "parser = argparse.ArgumentParser(); add_arguments(parser); print(parser.format_help());"
        "assert 'numpy' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    printed = " ".join(done.stdout.split())
    assert f"({', '.join(WEIGHTS_ENDINGS)})" in printed
