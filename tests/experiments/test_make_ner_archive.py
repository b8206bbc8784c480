"""The archive of the NER model of 2018: names and shapes as published, readable by torch."""

import gzip
import io
import json
import tarfile

import numpy as np
import pytest

from scripts.study import make_ner_archive, ner_model
from tests.support.commands import ROOT

FIXTURE = ROOT / "fixtures" / "ner-small.tar.gz"
PUBLISHED = ROOT / "allennlp_analyze" / "data" / "published" / "ner_2018_parameters.json"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    pytest.importorskip("torch")
    path = tmp_path_factory.mktemp("ner") / "ner.tar.gz"
    assert make_ner_archive.main([str(path), "--small"]) == 0
    return path


def members(path):
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def load(weights):
    """The state dict, read by torch itself."""
    torch = pytest.importorskip("torch")
    try:
        return torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    except TypeError:  # torch 1.12
        return torch.load(io.BytesIO(weights), map_location="cpu")


def test_full_size_has_the_published_names_and_shapes():
    published = json.loads(PUBLISHED.read_text())
    found = ner_model.parameter_shapes(ner_model.FULL)
    assert list(found) == list(published)
    assert {name: list(shape) for name, shape in found.items()} == published


def test_full_size_is_about_390_megabytes():
    shapes = ner_model.parameter_shapes(ner_model.FULL).values()
    assert 4 * sum(int(np.prod(shape)) for shape in shapes) == pytest.approx(390e6, rel=0.03)


def test_small_has_the_published_names_and_ranks():
    published = json.loads(PUBLISHED.read_text())
    found = ner_model.parameter_shapes(ner_model.SMALL)
    assert list(found) == list(published)
    assert [len(shape) for shape in found.values()] == [len(s) for s in published.values()]


def test_small_keeps_the_aspect_ratios_of_elmo():
    small, full = (ner_model.parameter_shapes(size) for size in (ner_model.SMALL, ner_model.FULL))
    marks = ("linearity.weight", "state_projection.weight", "_highways", "_projection.weight")
    for name, shape in small.items():
        if "_elmo_lstm" in name and any(mark in name for mark in marks) and len(shape) == 2:
            assert shape[0] / shape[1] == full[name][0] / full[name][1]
            assert min(shape) >= 20


def test_torch_reads_what_was_written(written):
    state = load(members(written)["weights.th"])
    shapes = ner_model.parameter_shapes(ner_model.SMALL)
    assert [(name, tuple(t.shape)) for name, t in state.items()] == list(shapes.items())
    rng = np.random.Generator(np.random.PCG64(2018))
    for name, tensor in state.items():
        expected = make_ner_archive.values_of(name, shapes[name], rng)
        np.testing.assert_array_equal(tensor.numpy(), expected, err_msg=name)


def test_weights_are_in_the_serialization_of_2018(written):
    weights = members(written)["weights.th"]
    assert not weights.startswith(b"PK")
    assert weights[:2] == b"\x80\x02"  # pickle protocol 2, as torch 0.4 wrote


def test_the_same_seed_gives_the_same_bytes(written, tmp_path):
    make_ner_archive.main([str(tmp_path / "again.tar.gz"), "--small"])
    assert (tmp_path / "again.tar.gz").read_bytes() == written.read_bytes()
    make_ner_archive.main([str(tmp_path / "other.tar.gz"), "--small", "--seed", "1"])
    assert members(tmp_path / "other.tar.gz")["weights.th"] != members(written)["weights.th"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.tar.gz", "other.tar.gz"]


def test_the_fixture_is_what_the_script_writes(written):
    # The tar inside: how gzip compresses differs between builds of zlib.
    assert gzip.decompress(FIXTURE.read_bytes()) == gzip.decompress(written.read_bytes())
    assert FIXTURE.stat().st_size < 1e6


def test_the_configuration_and_vocabulary_fit_the_weights():
    content = members(FIXTURE)
    model = json.loads(content["config.json"])["model"]
    state = load(content["weights.th"])
    embedders = model["text_field_embedder"]
    prefix = "text_field_embedder.token_embedder_"
    lines = {
        name[len("vocabulary/") : -len(".txt")]: text.decode().splitlines()
        for name, text in content.items()
        if name.startswith("vocabulary/")
    }
    # Padding has a row of the embedding and no line in the file.
    assert len(set(lines["tokens"])) + 1 == state[f"{prefix}tokens.weight"].shape[0]
    assert embedders["tokens"]["embedding_dim"] == state[f"{prefix}tokens.weight"].shape[1]
    characters = state[f"{prefix}token_characters._embedding._module.weight"]
    assert len(set(lines["token_characters"])) + 1 == characters.shape[0]
    assert len(set(lines["labels"])) == state["crf.transitions"].shape[0] == 17
    encoder = model["encoder"]
    assert state["encoder._module.weight_ih_l0"].shape == (
        4 * encoder["hidden_size"],
        encoder["input_size"],
    )
    filters = embedders["token_characters"]["encoder"]["num_filters"]
    elmo = 2 * state[f"{prefix}elmo._elmo._elmo_lstm._token_embedder._projection.bias"].shape[0]
    assert encoder["input_size"] == embedders["tokens"]["embedding_dim"] + elmo + filters


def test_every_linear_layer_has_full_rank_and_a_heavy_tail():
    powerlaw = pytest.importorskip("powerlaw")
    state = load(members(FIXTURE)["weights.th"])
    marks = ("linearity.weight", "projection.weight", "_highways", "tag_projection")
    linear = {
        name: tensor.numpy()
        for name, tensor in state.items()
        if tensor.ndim == 2 and any(mark in name for mark in marks)
    }
    assert len(linear) == 16
    for name, weights in linear.items():
        values = np.linalg.svd(weights.astype(np.float64), compute_uv=False)
        assert values[-1] > 1e-2 * values[0], name
        fit = powerlaw.Fit(values**2, verbose=False)
        assert 1.5 < fit.power_law.alpha < 8, name


@pytest.mark.parametrize(
    ("start", "stop", "allowed"),
    [
        ("O", "B-PER", 1),
        ("O", "I-PER", 0),
        ("B-PER", "L-PER", 1),
        ("B-PER", "L-LOC", 0),
        ("I-ORG", "I-ORG", 1),
        ("I-ORG", "O", 0),
        ("L-ORG", "U-LOC", 1),
        ("U-LOC", "L-LOC", 0),
    ],
)
def test_constraint_mask_allows_bioul_transitions_only(start, stop, allowed):
    tags = ner_model.labels()
    assert make_ner_archive.constraint_mask()[tags.index(start), tags.index(stop)] == allowed
