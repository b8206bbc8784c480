"""ImageNet's models: the published rows beside ours, from files, and with random weights."""

import csv
import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allennlp_analyze.errors import UsageError
from allennlp_analyze.reference.published import imagenet_matrices
from allennlp_analyze.results.layer import Comparison
from allennlp_analyze.zoo.manifest.reading import ZooEntry, read_manifest
from scripts.study import analyze_imagenet
from scripts.study import claims as study
from scripts.study import imagenet_table as table
from scripts.study.analyze_imagenet import draw
from tests.support.references import PUBLISHED, layer
from tests.support.scripts import error_line, run_main, run_script

pytestmark = [pytest.mark.newest_python, pytest.mark.study]
SCRIPT = "scripts.study.analyze_imagenet"


def published(model: str) -> "list[dict[str, str]]":
    with (PUBLISHED / "imagenet_2018_alpha.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["model"] == model]


def rows_of(directory: Path) -> "list[dict[str, str]]":
    with (directory / "imagenet.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def save(path: Path, **tensors: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(values) for name, values in tensors.items()}
    torch.save(state, path)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A directory with a ResNet-18 whose classifier has rank 511, an Inception, a SqueezeNet."""
    directory = tmp_path_factory.mktemp("weights")
    rng = np.random.default_rng(0)
    classifier = rng.standard_normal((1000, 512)).astype(np.float32)
    classifier[:, 0] = classifier[:, 1]
    inception = {
        "AuxLogits.fc.weight": rng.standard_normal((1000, 768)).astype(np.float32),
        "fc.weight": rng.standard_normal((1000, 2048)).astype(np.float32),
    }
    kernel = rng.standard_normal((64, 16, 1, 1)).astype(np.float32)
    save(directory / "resnet18-mine.pth", **{"conv1.weight": kernel, "fc.weight": classifier})
    save(directory / "inception_v3_google-0cc3c7bd.pth", **inception)
    save(directory / "squeezenet1_0.pth", **{"features.3.squeeze.weight": kernel})
    return SimpleNamespace(directory=directory, resnet18=classifier, **inception)


@pytest.fixture(scope="module")
def analyzed(weights: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    output = tmp_path_factory.mktemp("imagenet") / "new"
    done = run_script(
        SCRIPT,
        *("--weights-dir", weights.directory, "--output-dir", output),
        *("--models", "squeezenet1_0,resnet18,inception_v3"),
    )
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(output=output, stdout=done.stdout, rows=rows_of(output))


def test_every_matrix_is_beside_its_published_row(weights: Any, analyzed: Any) -> None:
    inception, resnet = published("inception_v3"), published("resnet18")
    assert [row["module_index"] for row in analyzed.rows] == ["226", "302", "67"]
    matrices = (weights.__dict__["AuxLogits.fc.weight"], weights.__dict__["fc.weight"])
    for row, theirs, matrix in zip(
        analyzed.rows, [*inception, *resnet], (*matrices, weights.resnet18)
    ):
        assert (row["model"], row["M"], row["N"]) == (theirs["model"], theirs["M"], theirs["N"])
        assert float(row["published_alpha"]) == float(theirs["alpha"])
        assert float(row["published_D"]) == float(theirs["D"])
        assert row["published_best_fit"] == theirs["best_fit"]
        assert row["best_fit"] in ("PL", "TPL")
        assert row["agreement"] == "differs"
        values = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
        assert float(row["min_singular_value"]) == pytest.approx(values[-1], abs=1e-7 * values[0])
        assert float(row["Q"]) == pytest.approx(int(theirs["N"]) / int(theirs["M"]))
    assert float(analyzed.rows[2]["rank_loss_percent"]) == pytest.approx(100 / 512)
    assert float(analyzed.rows[0]["rank_loss_percent"]) == 0


def test_the_open_question_of_2018_a_cause_beside_each_near_zero_layer(tmp_path: Path) -> None:
    """The two hypotheses: DenseNet's classifiers lack the constant, VGG-bn's first layers units."""
    rng = np.random.default_rng(1)
    head = rng.standard_normal((1000, 1024)).astype(np.float32)
    head -= head.mean(axis=0) * np.float32(1 - 1e-4)
    first = rng.standard_normal((64, 98)).astype(np.float32)
    first[[5, 6]] *= 1e-6
    last = rng.standard_normal((10, 64)).astype(np.float32)
    last[:, [5, 6]] *= 1e-6
    kernel = rng.standard_normal((32, 3, 3, 3)).astype(np.float32)
    zeros = {"classifier.bias": np.zeros(1000, np.float32)}
    dense = {"features.conv0.weight": kernel, "classifier.weight": head, **zeros}
    save(tmp_path / "densenet121.pth", **dense)
    vgg = {"classifier.0.weight": first, "classifier.6.weight": last}
    biases = {
        name.replace("weight", "bias"): np.zeros(len(w), np.float32) for name, w in vgg.items()
    }
    save(tmp_path / "vgg11_bn.pth", **{"features.0.weight": kernel, **vgg, **biases})
    models = ("--models", "densenet121,vgg11_bn")
    output = tmp_path / "out"
    done = run_script(SCRIPT, "--weights-dir", tmp_path, "--output-dir", output, *models)
    lines = done.stdout.splitlines()
    assert (
        "densenet121: classifier: 1 of 1000 directions, the constant over classes: softmax does not"
        " see it; harmless"
    ) in lines
    assert "vgg11_bn: classifier.0: 2 of 64 directions, dead units 5, 6" in lines
    (dead,) = [line for line in lines if line.startswith("vgg11_bn: classifier.6: ")]
    assert "dead inputs 5, 6, no direction lost (the dead units of classifier.0)" in dead
    found = {row["layer"]: row["reason"] for row in rows_of(output) if row["layer"]}
    assert "softmax" in found["classifier"] and "dead units 5, 6" in found["classifier.0"]


def test_json_holds_the_same_and_the_claims(analyzed: Any) -> None:
    found = json.loads((analyzed.output / "imagenet.json").read_text(encoding="utf-8"))
    assert found["weights"] == "pretrained"
    assert [row["layer"] for row in found["rows"]] == [row["layer"] for row in analyzed.rows]
    for row, line in zip(found["rows"], analyzed.rows):
        for column, value in row.items():
            assert line[column] == ("" if value is None else str(value))
    fits, alphas, near, square, numbers = found["claims"]
    assert near["claim"].startswith("6 of the 24 ")
    assert near["note"] == "3 of the 24 matrices are here"
    assert near["ours"].startswith("1 of 3 below 0.01 ")
    assert square["verdict"] == "not run"
    assert numbers["ours"] == "0 of 3 rows agree or are within 1%"
    assert (fits["verdict"], alphas["verdict"]) == ("does not hold", "does not hold")
    statuses = {model["name"]: model["status"] for model in found["models"]}
    assert statuses == dict.fromkeys(("inception_v3", "resnet18", "squeezenet1_0"), "done")


def test_what_is_printed(analyzed: Any) -> None:
    lines = analyzed.stdout.splitlines()
    assert lines[0].split()[:5] == ["model", "module", "N", "M", "Q"]
    for line, row in zip(lines[1:4], analyzed.rows):
        shown = line.split()
        assert shown[:4] == [row["model"], row["module_index"], row["N"], row["M"]]
        assert shown[6] == f"{float(row['published_alpha']):.2f}"
    assert "resnet18: fc: 1 of 512 directions, copies of inputs 0, 1" in lines
    assert "Without a fully connected layer: squeezenet1_0." in lines
    assert str(analyzed.output / "imagenet.csv") in analyzed.stdout
    assert (analyzed.output / "index.html").is_file()
    assert list((analyzed.output / "plots").iterdir())


def test_only_resume_or_force_go_into_it_again(weights: Any, analyzed: Any) -> None:
    options = ("--weights-dir", weights.directory, "--output-dir", analyzed.output)
    options = (*options, "--models", "squeezenet1_0,resnet18,inception_v3")
    assert "--resume" in error_line(run_script(SCRIPT, *options), 1)
    reports = sorted(analyzed.output.glob("models/*/report.json"))
    before = [path.stat().st_mtime_ns for path in reports]
    assert len(before) == 3
    done = run_script(SCRIPT, *options, "--resume", "--quiet")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert [path.stat().st_mtime_ns for path in reports] == before
    assert rows_of(analyzed.output) == analyzed.rows


def test_random_weights_are_not_judged(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchvision", reason="torchvision (an extra) is not installed")
    options = ("--untrained", "--models", "resnet18,squeezenet1_1", "--output-dir", tmp_path)
    done = run_script(SCRIPT, *options)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "imagenet.json").read_text(encoding="utf-8"))
    assert found["weights"] == "random"
    assert {claim["verdict"] for claim in found["claims"]} == {"not run"}
    assert all("random" in claim["note"] for claim in found["claims"])
    (row,) = found["rows"]
    assert row["agreement"] == "random weights"
    (path,) = (tmp_path / "untrained").glob("resnet18-*.pth")
    matrix = torch.load(path, map_location="cpu")["fc.weight"].double().numpy()
    values = np.linalg.svd(matrix, compute_uv=False)
    assert row["min_singular_value"] == pytest.approx(values[-1], abs=1e-7 * values[0])


def test_a_seed_draws_the_same_weights_every_time(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchvision", reason="torchvision (an extra) is not installed")
    drawn = []
    for place, seed in enumerate((7, 7, 8)):
        draw("squeezenet1_1", tmp_path / str(place), seed)
        drawn.append(torch.load(tmp_path / str(place), map_location="cpu"))
    one, same, other = (state["classifier.1.weight"].numpy() for state in drawn)
    assert (one == same).all()
    assert (one != other).all()


def test_untrained_needs_torchvision(tmp_path: Path) -> None:
    if find_spec("torchvision") is not None:
        pytest.skip("torchvision is installed")
    done = run_script(SCRIPT, "--untrained", "--output-dir", tmp_path / "out")
    assert "torchvision is not installed" in error_line(done, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--models", "resnet18,resnet2"), "unknown model resnet2; choose from alexnet, "),
        (("--untrained", "--weights-dir", "."), "omit --weights-dir"),
        (("--weights-dir", "missing"), "missing: no such directory"),
        (("--weights-dir", "docs"), "contains none of the files (alexnet-owt-"),
        (("--manifest", "missing.yaml"), "missing.yaml"),
        (("--workers", "0"), "--workers: 0"),
    ],
)
def test_what_cannot_be_is_one_line(options: "tuple[str, ...]", said: str, tmp_path: Path) -> None:
    done = run_main(analyze_imagenet.main, *options, "--output-dir", tmp_path / "out")
    assert said in error_line(done, 2)
    assert not (tmp_path / "out").exists()


def test_published_numbers_come_out_again() -> None:
    """Layers with exactly the published numbers; and with one of them changed."""
    rows: list[Any] = []
    theirs: dict[str, list[Any]] = {}
    for row in imagenet_matrices():
        theirs.setdefault(row.model, []).append(row)
    for model, matrices in theirs.items():
        layers = [
            layer(m.M, m.N, m.alpha, m.D, m.min_singular_value or 1e-3, f"fc{i}")
            for i, m in enumerate(matrices)
        ]
        rows += table._beside(model, matrices, layers, False)
    assert len(rows) == 32
    assert [row.published for row in rows] == list(imagenet_matrices())
    assert {row.agreement for row in rows} == {"agrees"}
    claim = table.rows_claim(rows)
    assert (claim.verdict, claim.published) == ("holds", "32 rows")
    fit = replace(rows[0].layer.power_law, alpha=1.02 * rows[0].layer.power_law.alpha)
    layers = [replace(rows[0].layer, power_law=fit), *(row.layer for row in rows[1:3])]
    (changed, *_) = table._beside("alexnet", theirs["alexnet"], layers, False)
    assert changed.agreement == "differs"
    assert table.rows_claim([changed, *rows[1:]]).verdict == "does not hold"


def test_a_model_without_its_layer_does_not_come_out_again() -> None:
    alexnet = [row for row in imagenet_matrices() if row.model == "alexnet"]
    layers = [layer(m.M, m.N, m.alpha, m.D, m.min_singular_value or 1.0) for m in alexnet[1:]]
    rows = list(table._beside("alexnet", alexnet, layers, False))
    assert sorted(row.agreement for row in rows).count("missing") == 1
    assert table.rows_claim(rows).verdict == "does not hold"
    without = list(table._beside("alexnet", alexnet, (), False))
    assert [row.agreement for row in without] == ["missing"] * 3
    assert table.rows_claim(without).verdict == "not run"


@given(
    ratio=st.none() | st.floats(-5, 5),
    p=st.none() | st.floats(0, 1),
)
def test_best_fit_is_truncated_only_when_that_is_significant(ratio: Any, p: Any) -> None:
    one = layer(10, 20, 3.0)
    assert one.power_law is not None
    fit = replace(one.power_law, comparisons={"truncated_power_law": Comparison(ratio, p)})
    found = table.best_fit(replace(one, power_law=fit))
    if ratio is None or p is None:
        assert found is None
    else:
        assert found == ("TPL" if ratio < 0 and p < 0.1 else "PL")
    assert table.best_fit(one) is None
    assert table.best_fit(replace(one, power_law=None)) is None


def test_files_belong_to_the_longest_name(tmp_path: Path) -> None:
    entries = read_manifest("torchvision-2018").entries
    for name in ("vgg11_bn-1.pth", "vgg16-397923af.pth", "vgg16.pth", "notes.txt"):
        (tmp_path / name).touch()
    found = study.here_instead(entries, tmp_path, "--weights-dir")
    here = {e.name: Path(e.archive).name for e in found if Path(e.archive).is_file()}
    assert here == {"vgg11_bn": "vgg11_bn-1.pth", "vgg16": "vgg16-397923af.pth"}
    assert [e.name for e in found] == [e.name for e in entries]
    others = [(e, f) for e, f in zip(entries, found) if e.name not in here]
    assert all(before == after for before, after in others)
    (tmp_path / "vgg11_bn-2.pth").touch()
    with pytest.raises(
        UsageError, match=r"several files for vgg11_bn: vgg11_bn-1\.pth, vgg11_bn-2"
    ):
        study.here_instead(entries, tmp_path, "--weights-dir")


texts = st.text(min_size=1, max_size=20).filter(str.strip)


@settings(max_examples=20)
@given(st.lists(texts, min_size=1, max_size=4, unique=True), texts)
def test_a_manifest_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, names: "list[str]", title: str
) -> None:
    entries = [
        ZooEntry(name, "https://host/a.tar.gz", name, "0" * 64, {"kinds": ("linear",)})
        for name in names
    ]
    path = tmp_path_factory.mktemp("manifest") / "models.yaml"
    study.write_manifest(path, title, entries)
    back = read_manifest(str(path))
    assert back.entries == tuple(entries)
    assert back.title == title


def test_paths_mean_the_same_from_the_written_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("model.tar.gz", "mine.csv"):
        (tmp_path / name).write_text("M,N,alpha\n10,20,3.0\n")
    options = {"reference": "mine.csv"}
    entries = [
        ZooEntry("one", "model.tar.gz", options=options),
        ZooEntry("two", "https://host/model.tar.gz", options={"reference": "ner-2018"}),
    ]
    study.write_manifest(tmp_path / "deep" / "models.yaml", "title", entries)
    one, two = read_manifest("deep/models.yaml").entries
    assert one.archive == str(tmp_path / "model.tar.gz")
    assert one.options["reference"] == str(tmp_path / "mine.csv")
    assert two == entries[1]
