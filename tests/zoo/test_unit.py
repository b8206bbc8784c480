"""One model of a zoo: its outcome whatever happens, and the digests that tell models apart."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from allennlp_analyze.options.choices import laid_over
from allennlp_analyze.reports.loader import load_report
from allennlp_analyze.zoo.manifest.reading import Choices, ZooEntry
from allennlp_analyze.zoo.outcome import read_outcome
from allennlp_analyze.zoo.unit import analyze_unit, failure, make_unit, weights_digest
from tests.support.zoo_archives import write_archive

pytestmark = pytest.mark.newest_python


def unit(archive, directory, **options):
    entry = ZooEntry("m", str(archive), sha256=options.pop("sha256", None))
    resume = options.pop("resume", True)
    return make_unit(entry, laid_over(Choices(), options), directory, resume)


@pytest.fixture
def weights():
    generator = np.random.default_rng(0)
    return {
        "a.weight": generator.standard_normal((30, 20)).astype(np.float32),
        "b.weight": generator.standard_normal((20, 20)).astype(np.float32),
        "a.bias": np.zeros(30, np.float32),
    }


def digest(path, directory):
    return analyze_unit(unit(path, directory)).weights


def test_the_same_weights_are_known_in_every_container(weights, tmp_path):
    save_file(weights, tmp_path / "m.safetensors")
    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
    torch.save(tensors, tmp_path / "zip.th")
    torch.save(tensors, tmp_path / "old.th", _use_new_zipfile_serialization=False)
    found = {
        digest(tmp_path / name, tmp_path / f"out-{name}")
        for name in ("m.safetensors", "zip.th", "old.th")
    }
    assert len(found) == 1


@pytest.mark.parametrize("change", ["value", "name", "shape", "scale", "fewer"])
def test_other_weights_are_other_weights(weights, tmp_path, change):
    save_file(weights, tmp_path / "one.safetensors")
    other = dict(weights)
    if change == "value":
        other["a.weight"] = weights["a.weight"] + np.float32(0.001) * np.eye(30, 20, dtype="f")
    elif change == "name":
        other["c.weight"] = other.pop("b.weight")
    elif change == "shape":
        other["b.weight"] = np.ascontiguousarray(weights["b.weight"][:, :19])
    elif change == "scale":
        other["a.weight"] = weights["a.weight"] * np.float32(1.0001)
    else:
        del other["b.weight"]
    save_file(other, tmp_path / "two.safetensors")
    one, two = (digest(tmp_path / f"{n}.safetensors", tmp_path / n) for n in ("one", "two"))
    assert one != two


def test_the_digest_does_not_hang_on_the_last_bits(weights, tmp_path):
    """What another processor may compute otherwise."""
    save_file(weights, tmp_path / "m.safetensors")
    analyze_unit(unit(tmp_path / "m.safetensors", tmp_path / "out"))
    layers = []
    for layer in load_report(tmp_path / "out").layers:
        norm = layer.frobenius_norm * (1 + 1e-12)
        layers.append(replace(layer, metrics={**layer.metrics, "frobenius_norm": norm}))
    assert weights_digest(layers) == read_outcome(tmp_path / "out").weights


def test_the_outcome_holds_the_numbers_of_the_report(tmp_path):
    outcome = analyze_unit(unit(write_archive(tmp_path / "m.tar.gz", 0), tmp_path / "out"))
    report = load_report(tmp_path / "out")
    assert outcome == read_outcome(tmp_path / "out")
    assert outcome.status == "done" and outcome.seconds > 0
    assert outcome.sha256 == report.source.sha256 and outcome.summary == report.summary
    assert len(outcome.layers) == len(report.layers) == 2
    for ours, theirs in zip(outcome.layers, report.layers):
        assert ours.name == theirs.name and ours.Q == theirs.Q
        assert ours.min_singular_value == theirs.min_singular_value
        assert ours.alpha == (theirs.power_law.alpha if theirs.power_law else None)
        assert ours.rank_loss_percent == theirs.rank_loss_percent["rounding"]


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b\x08\x00nothing", b"\x80\x02."])
def test_a_failure_is_an_outcome_of_one_line(tmp_path, content):
    (tmp_path / "m.tar.gz").write_bytes(content)
    outcome = analyze_unit(unit(tmp_path / "m.tar.gz", tmp_path / "out"))
    assert outcome == read_outcome(tmp_path / "out")
    assert outcome.status == "failed"
    assert "m.tar.gz" in outcome.reason and "\n" not in outcome.reason
    assert outcome.layers == () and outcome.summary is None
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"outcome.json"}


def test_an_outcome_that_cannot_be_written_is_a_failure(tmp_path):
    (tmp_path / "out").write_text("a file where the directory belongs")
    outcome = analyze_unit(unit(write_archive(tmp_path / "m.tar.gz", 0), tmp_path / "out"))
    assert outcome.status == "failed" and "out" in outcome.reason


def test_a_reason_is_one_line():
    assert failure("d", "first\n  second\r\nthird").reason == "first second third"


def digest_of(archive, **options):
    return unit(archive, archive.parent / "out", **options).digest


def test_what_changes_the_reports_changes_the_request(tmp_path):
    archive = write_archive(tmp_path / "m.tar.gz", 0)
    plain = digest_of(archive)
    assert digest_of(archive) == plain
    for immaterial in ({"timeout": 1.0}, {"resume": False}, {"jobs": 7}):
        assert digest_of(archive, **immaterial) == plain
    for material in (
        {"layers": "x"},
        {"kinds": ("linear",)},
        {"loose_tolerance": 0.1},
        {"weights_file": "other.th"},
        {"key": "ema"},
        {"sha256": "0" * 64},
        {"reference": "ner-2018"},
        {"build_model": True},
        {"plots": True},
        {"plot_format": "svg"},
        {"max_unpacked_size": "1G"},
    ):
        assert digest_of(archive, **material) != plain
    write_archive(archive, 1)
    assert digest_of(archive) != plain


def test_a_changed_file_of_a_directory_is_seen(tmp_path):
    folder = tmp_path / "serialization"
    folder.mkdir()
    torch.save({"w": torch.eye(3)}, folder / "weights.th")
    (folder / "config.json").write_text(json.dumps({}))
    before = digest_of(folder)
    torch.save({"w": torch.eye(4)}, folder / "weights.th")
    assert digest_of(folder) != before
