"""The command `compare` on real archives: what is broken is caught, and the exit code says so."""

import io
import json
import tarfile
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from allennlp_analyze.analysis.pipeline import analyze_archive
from allennlp_analyze.analysis.request import Reading
from allennlp_analyze.cli.gate import FAILED as WORSE
from allennlp_analyze.cli.main import main
from allennlp_analyze.compare.reports.json import comparison_schema
from allennlp_analyze.settings import Settings
from tests.support.changed_archives import LINEAR, LINEAR_NAME, flattened, rewritten
from tests.support.commands import SMALL, run_module
from tests.support.corpus import Corpus

pytestmark = pytest.mark.newest_python
run = partial(run_module, "allennlp_analyze", "compare")
BIDAF = "v0.9.0/bidaf.tar.gz"


def compared(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> Any:
    """The JSON that the command prints."""
    capsys.readouterr()  # what analyses before it have said
    assert main(["compare", *map(str, arguments), "--json"]) == code
    contents = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(comparison_schema()).validate(contents)
    return contents


def one(contents: Any) -> Any:
    (candidate,) = contents["candidates"]
    return candidate


def pair_of(candidate: Any, name: str = LINEAR_NAME) -> Any:
    (pair,) = [pair for pair in candidate["pairs"] if pair["baseline"] == name]
    return pair


def test_the_same_archive_twice(
    variants: "dict[str, Path]", capsys: pytest.CaptureFixture[str]
) -> None:
    candidate = one(compared(capsys, SMALL, SMALL, "--fail-on-collapse"))
    assert candidate["sentence"] == "B has the spectra of A: 36 layers, none changed."
    assert candidate["counts"]["same"] == len(candidate["pairs"]) == 36
    assert all(pair["spectral_distance"] == 0 for pair in candidate["pairs"])


@pytest.mark.parametrize("name", [BIDAF, "v2.10.1/generation__simple.tar.gz"])
def test_a_collapse_in_a_real_archive_is_caught_and_a_recovery_is_none(
    corpus: Corpus, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = corpus.path(name)
    report = analyze_archive(Reading(str(good)), Settings())
    (layer, *_) = [x for x in report.layers if x.verdict == "full_rank" and x.part is None]
    bad = rewritten(good, tmp_path / "bad.tar.gz", flattened(layer.parameter, layer.M - 1))
    assert main(["compare", str(good), str(bad)]) == 0
    capsys.readouterr()
    assert main(["compare", str(good), str(bad), "--fail-on-collapse"]) == WORSE == 3
    said = capsys.readouterr()
    assert f"failed: B: {layer.name}: from full_rank to collapsed, rank loss" in said.err
    assert said.err.count("\n") == 1
    assert "B is worse than A: 1 layer collapsed" in " ".join(said.out.split())
    assert main(["compare", str(bad), str(good), "--fail-on-collapse"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "B is better than A: 1 layer recovered" in " ".join(said.out.split())


def test_fine_tuning_moves_everything_by_no_more_than_the_weights_moved(
    variants: "dict[str, Path]", capsys: pytest.CaptureFixture[str]
) -> None:
    candidate = one(compared(capsys, SMALL, variants["tuned"], "--fail-on-collapse"))
    assert candidate["counts"]["same"] == 36 and not candidate["failures"]
    states = []
    for path in (SMALL, variants["tuned"]):
        with tarfile.open(path) as archive:
            file = archive.extractfile("weights.th")
            assert file is not None
            states.append(torch.load(io.BytesIO(file.read())))
    before, after = states[0][LINEAR], states[1][LINEAR]
    change = float((after - before).norm() / before.norm())
    assert 0 < pair_of(candidate)["spectral_distance"] <= change


@pytest.mark.parametrize(
    "name, code",
    [("same", 0), ("collapsed", 3), ("nan", 3), ("renamed", 0), ("larger", 0), ("smaller", 3),
     ("resized", 0), ("hostile", 0)],
)  # fmt: skip
def test_as_a_check(
    variants: "dict[str, Path]",
    small_report: Path,
    name: str,
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # What is printed does not decide: that is shown with one of each outcome.
    for fmt in ([], ["--json"], ["--quiet"]) if name in ("same", "collapsed") else ([],):
        done = main(["compare", str(small_report), str(variants[name]), "--fail-on-collapse", *fmt])
        said = capsys.readouterr()
        assert done == code, said.err
        assert said.err.startswith("failed: B: tag_projection") if code else said.err == ""
        assert (said.out == "") == (fmt == ["--quiet"])


def test_an_allowance_for_layers_that_had_lost_rank_before(variants: "dict[str, Path]") -> None:
    """From 7 to 9 of 17 directions lost: 11.8 percentage points."""
    operands = [str(variants[name]) for name in ("collapsed", "worse")]
    arguments = ["compare", *operands, "--quiet", "--layers", "^tag"]
    assert main([*arguments, "--fail-on-collapse"]) == 3
    assert main([*arguments, "--fail-on-collapse", "--allow-rank-loss", "11"]) == 3
    assert main([*arguments, "--fail-on-collapse", "--allow-rank-loss", "12"]) == 0
    assert main([*arguments, "--allow-rank-loss", "0"]) == 0


def test_renamed_parameters(
    variants: "dict[str, Path]", small_report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candidate = one(compared(capsys, small_report, variants["wrapped"]))
    assert len(candidate["pairs"]) == 36
    assert {pair["matched_by"] for pair in candidate["pairs"]} == {"name without prefix"}
    assert candidate["counts"]["same"] == 36
    candidate = one(compared(capsys, small_report, variants["renamed"]))
    assert {pair["matched_by"] for pair in candidate["pairs"]} == {"name", "order and shape"}
    assert all(pair["spectral_distance"] == 0 for pair in candidate["pairs"])
    assert len(candidate["pairs"]) == 36 and not candidate["missing"]


def test_names_that_say_nothing(
    variants: "dict[str, Path]", small_report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The kinds are gone with the names, and how convolutions unfold with the kinds."""
    candidate = one(compared(capsys, small_report, variants["scrambled"]))
    two_dimensional = [p for p in candidate["pairs"] if p["kind"] != "convolution"]
    assert len(two_dimensional) == 28
    assert all(pair["spectral_distance"] == 0 for pair in two_dimensional)
    assert {layer["kind"] for layer in candidate["missing"]} <= {"convolution"}


def test_extra_missing_and_resized_layers(
    variants: "dict[str, Path]", small_report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candidate = one(compared(capsys, small_report, variants["larger"]))
    (added,) = candidate["added"]
    assert (added["name"], added["shape"], added["reason"]) == ("extra", [9, 5], None)
    candidate = one(compared(capsys, small_report, variants["smaller"]))
    (missing,) = candidate["missing"]
    assert missing["name"] == LINEAR_NAME and missing["verdict"] == "full_rank"
    pair = pair_of(one(compared(capsys, small_report, variants["resized"])))
    assert pair["matched_by"] == "name" and not pair["same_size"]
    assert pair["differences"]["frobenius_norm"]["difference"] is None
    assert pair["differences"]["alpha"]["difference"] is not None
    candidate = one(compared(capsys, small_report, variants["nan"]))
    (missing,) = candidate["missing"]
    assert missing["invalid"] and "1 entry is not finite" in missing["reason"]
    assert candidate["model"]["verdict"] == "invalid"


def test_reports_archives_and_three_operands_mixed(
    variants: "dict[str, Path]", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([str(variants["tuned"]), "--output-dir", str(out), "--no-plots", "--quiet"]) == 0
    operands = [SMALL, out, variants["collapsed"], out / "report.json", variants["tuned"]]
    contents = compared(capsys, *operands, "--fail-on-collapse", code=3)
    first, second, third, fourth = contents["candidates"]
    assert [c["letter"] for c in contents["candidates"]] == list("BCDE")
    assert [c["model"]["label"] for c in contents["candidates"]] == list(map(str, operands[1:]))
    assert first["pairs"] == third["pairs"] == fourth["pairs"]
    assert pair_of(second)["change"] == "collapsed" and not first["failures"]
    assert pair_of(second)["differences"]["rank_loss_percent_rounding"]["difference"] == (
        pytest.approx(100 * 7 / 17)
    )


def test_kinds_and_layers_are_those_of_reports_too(
    small_report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = small_report
    choice = ["--kinds", "linear", "--layers", "state"]
    candidate = one(compared(capsys, SMALL, out, *choice))
    assert len(candidate["pairs"]) == 8 and not candidate["missing"]
    assert candidate["warnings"] == ["A and B are the same file"]
    assert {pair["kind"] for pair in candidate["pairs"]} == {"linear"}
    gates = one(compared(capsys, out, SMALL, "--kinds", "recurrent", "--split-gates"))
    assert len(gates["pairs"]) == 8 and len(gates["added"]) == 32
    assert any("split_gates was off for A and on for B" in w for w in gates["warnings"])


def test_different_settings_are_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = [str(SMALL), "--output-dir", str(out), "--no-plots", "--quiet"]
    assert main([*arguments, "--kinds", "linear"]) == 0
    assert main(["compare", str(SMALL), str(out)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Warning: kinds was not given for A and linear for B" in shown
    assert "Only in A, not in B (20)" in shown and "and 10 more" in shown


def test_hostile_names_stay_text(
    variants: "dict[str, Path]", capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(SMALL), str(variants["hostile"])]) == 0
    shown = capsys.readouterr().out
    assert not set(shown) & set("\x1b\r\u202e")
    assert "\\x1b[31m[red]\\nx\\u202e" in shown
    arguments = ["compare", str(variants["hostile"]), str(SMALL), "--fail-on-collapse"]
    assert main(arguments) == 3
    assert capsys.readouterr().err.startswith("failed: B: \\x1b[31m[red]")
