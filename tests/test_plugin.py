import json
from functools import partial
from pathlib import Path

import pytest

from allennlp_analyze.analysis.pipeline import analyze_archive
from allennlp_analyze.analysis.request import Building, Reading
from allennlp_analyze.results.layer import ModelReport
from allennlp_analyze.settings import Settings
from tests.support.commands import ROOT, SMALL, run_module
from tests.support.corpus import Corpus, corpus_names

pytest.importorskip("allennlp", reason="AllenNLP is not installed in this environment")

allennlp = partial(run_module, "allennlp")
ours = partial(run_module, "allennlp_analyze")


def test_subcommand_gives_what_the_other_front_door_gives(tmp_path: Path) -> None:
    options = ["--table", "2018", "--no-plots"]
    one = allennlp("analyze", str(SMALL), "--output-dir", str(tmp_path / "a"), *options)
    other = ours(str(SMALL), "--output-dir", str(tmp_path / "b"), *options)
    assert one.returncode == other.returncode == 0, one.stderr
    assert one.stdout == other.stdout
    reports = [json.loads((tmp_path / d / "report.json").read_text()) for d in "ab"]
    for report in reports:
        del report["timing"]
    assert reports[0] == reports[1]


def test_exit_codes_reach_the_shell(tmp_path: Path) -> None:
    assert allennlp("analyze", "missing.tar.gz").returncode == 2
    assert allennlp("analyze", str(ROOT / "setup.py")).returncode == 1


def test_found_everywhere_after_install_plugin(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}  # where nothing names the plugin yet
    assert ours("--install-plugin", **home).returncode == 0
    assert "analyze" in allennlp("--help", cwd=tmp_path, **home).stdout


def built(path: Path) -> ModelReport:
    return analyze_archive(Reading(str(path)), Settings(), Building(build_model=True))


# AllenNLP's own models; the others need allennlp-models or files of the machine they came from.
OWN_MODELS = [
    name
    for name in corpus_names()
    if name.startswith(("v1.", "v2."))
    and "/core__" in name
    and not name.endswith(("_with_elmo.tar.gz", "_from_archive_serialization.tar.gz"))
]


@pytest.mark.parametrize("name", OWN_MODELS)
def test_built_modules_tell_classes_and_indices(corpus: Corpus, name: str) -> None:
    oracle = corpus.oracle[name]
    report = built(corpus.path(name))
    assert report.source.walk == "modules", report.warnings
    for layer in report.layers:
        if layer.kind_source == "module":
            assert oracle["module_class"][layer.parameter] == layer.module_class
    indices = {layer.name: layer.module_index for layer in report.layers}
    for index, layer_name, *_ in oracle["linear"]:
        assert indices[layer_name] == index


def test_values_come_from_the_safe_reader_all_the_same(corpus: Corpus) -> None:
    path = corpus.path("v2.10.1/core__simple_tagger__serialization_full.tar.gz")
    plain = analyze_archive(Reading(str(path)), Settings())
    report = built(path)
    assert report.source.walk == "modules"
    assert [x.min_singular_value for x in report.layers] == [
        x.min_singular_value for x in plain.layers
    ]


@pytest.mark.parametrize(
    "name", ["v0.2.3/bidaf.tar.gz", "v1.0.0/core__simple_tagger_with_elmo.tar.gz"]
)
def test_model_that_cannot_be_built_is_one_warning(corpus: Corpus, name: str) -> None:
    report = built(corpus.path(name))
    assert report.source.walk == "weights"
    assert report.layers
    (warning,) = [w for w in report.warnings if w.startswith("failed to build the modules: ")]
    assert "\n" not in warning
