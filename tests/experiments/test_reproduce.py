"""The whole study repeated: from a server, from files, and where nothing can be reached."""

import json
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.errors import AnalyzeError, SourceError
from allennlp_analyze.zoo.claims import CollapseRun, collapse_claim
from scripts.rank_collapse.runs import read_runs
from scripts.study import reproduce_2018
from tests.support.commands import SMALL
from tests.support.html_elements import Elements, words
from tests.support.http_server import File, HttpServer
from tests.support.scripts import error_line, run_main, run_script

pytestmark = [pytest.mark.newest_python, pytest.mark.study]
SCRIPT = "scripts.study.reproduce_2018"
SECTIONS = [
    "AllenNLP's models",
    "AllenNLP's models, row by row",
    "ImageNet's models",
    "Over-regularization",
]
RUNS = {"runs": [{"l2": 0, "collapsed": False}, {"l2": 0.001, "collapsed": True, "epochs": 20}]}


def claims_of(directory: Path) -> "list[dict[str, Any]]":
    contents = json.loads((directory / "claims.json").read_text(encoding="utf-8"))
    claims: list[dict[str, Any]] = contents["claims"]
    return claims


def manifests(directory: Path, server: HttpServer) -> "tuple[str, ...]":
    """Of two AllenNLP archives and two ImageNet models, of which the server has one each."""
    archives = directory / "archives.csv"
    archives.write_text(
        "name,url,reference\n"
        f"ner,{server.url('ner.tar.gz')},ner-2018\n"
        f"lost,{server.url('lost.tar.gz')},srl-2018\n"
    )
    models = directory / "models.csv"
    models.write_text(
        f"name,url\nresnet18,{server.url('resnet18.pth')}\nresnet50,{server.url('resnet50.pth')}\n"
    )
    return "--allennlp-manifest", str(archives), "--imagenet-manifest", str(models)


@pytest.fixture(scope="module")
def classifier() -> np.ndarray:
    matrix = np.random.default_rng(0).standard_normal((1000, 512)).astype(np.float32)
    matrix[:, 0] = matrix[:, 1]
    return matrix


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory, classifier: np.ndarray) -> Any:
    """The script run twice against a server on this machine."""
    torch = pytest.importorskip("torch")
    directory = tmp_path_factory.mktemp("study")
    torch.save({"fc.weight": torch.from_numpy(classifier)}, directory / "resnet18.pth")
    (directory / "runs.json").write_text(json.dumps(RUNS))
    server = HttpServer()
    server.pages["ner.tar.gz"] = File(SMALL.read_bytes())
    server.pages["resnet18.pth"] = File((directory / "resnet18.pth").read_bytes())
    options = (
        *manifests(directory, server),
        *("--output-dir", directory / "out", "--rank-collapse", directory / "runs.json"),
    )
    cache = {"ALLENNLP_CACHE_ROOT": str(directory / "cache")}
    first = run_script(SCRIPT, *options, **cache)
    got = [request.path for request in server.sent("GET")]
    claims = claims_of(directory / "out")
    reports = sorted((directory / "out").glob("*/models/*/report.json"))
    written = [path.stat().st_mtime_ns for path in reports]
    second = run_script(SCRIPT, *options, "--quiet", **cache)
    server.close()
    return SimpleNamespace(
        out=directory / "out",
        first=first,
        second=second,
        claims=claims,
        got=got,
        got_again=[request.path for request in server.sent("GET")][len(got) :],
        written=written,
        written_again=[path.stat().st_mtime_ns for path in reports],
    )


def test_every_claim_is_a_row(repeated: Any) -> None:
    assert repeated.first.returncode == 0, repeated.first.stderr
    assert list(dict.fromkeys(claim["section"] for claim in repeated.claims)) == SECTIONS
    for claim in repeated.claims:
        assert claim["verdict"] in ("holds", "does not hold", "not run")
        assert claim["claim"] and claim["published"] and claim["note"]
        assert claim["data"] is None or (repeated.out / claim["data"]).is_file()
        assert claim["claim"] in repeated.first.stdout


def test_what_could_be_reached_is_judged(repeated: Any) -> None:
    fits, _, kept, _, ner, lost, *_ = repeated.claims
    # 16 linear layers, two with M >= 50, as the README's output of the same archive has it.
    assert fits["ours"] == "2 of 2 (100%)"
    assert fits["note"].endswith("Judged on 1 of the 2 models.")
    assert kept["ours"] == "0 of 16 below 0.01, the smallest 0.225"
    assert kept["verdict"] == "holds"
    # The demo archive has the layers of that model, shrunk.
    assert ner["note"].startswith("Not comparable: none of the rows of ner-2018 has a layer")
    assert ner["verdict"] == "not run"
    assert ner["data"] == "allennlp/models/ner/report.html"
    assert (lost["published"], lost["verdict"]) == ("32 rows (srl-2018)", "not run")
    assert all(claim["note"].count("Judged on") <= 1 for claim in repeated.claims)
    assert "lost.tar.gz" in lost["note"] and "404" in lost["note"]


def test_imagenets_part(repeated: Any) -> None:
    near = next(claim for claim in repeated.claims if claim["claim"].startswith("6 of the 24"))
    assert near["ours"].startswith("1 of 1 below 0.01 (up to ")
    assert (near["verdict"], near["note"]) == ("not run", "1 of the 24 matrices are here")
    assert near["data"] == "imagenet/imagenet.csv"


def test_the_experiments_results(repeated: Any) -> None:
    collapse = repeated.claims[-1]
    assert collapse["verdict"] == "holds"
    assert collapse["ours"] == "collapsed: 0 of 1 with L2 = 0, 1 of 1 with L2 = 0.001"
    kept = json.loads((repeated.out / collapse["data"]).read_text())
    assert [run["l2"] for run in kept["runs"]] == [0, 0.001]


def test_run_again_it_goes_on(repeated: Any) -> None:
    assert (repeated.second.returncode, repeated.second.stdout) == (0, "")
    assert repeated.got.count("ner.tar.gz") == 1
    assert not {"ner.tar.gz", "resnet18.pth"} & set(repeated.got_again)
    assert len(repeated.written) == 2
    assert repeated.written_again == repeated.written
    assert claims_of(repeated.out) == repeated.claims


def test_the_page_shows_every_row_and_its_links_lead_somewhere(repeated: Any) -> None:
    page = (repeated.out / "index.html").read_text(encoding="utf-8")
    text = words(page)
    for claim in repeated.claims:
        for said in (claim["claim"], claim["published"], claim["ours"], claim["note"]):
            assert " ".join(said.split()) in text
    links = [attributes.get("href") or "" for tag, attributes in Elements(page).tags if tag == "a"]
    local = [link for link in links if not link.startswith(("#", "http"))]
    assert {"allennlp/index.html", "imagenet/index.html", "rank-collapse.json"} <= set(local)
    assert "imagenet/models/resnet18/report.html" in local
    assert not [link for link in local if not (repeated.out / link).is_file()]


def test_without_network_everything_says_why(tmp_path: Path) -> None:
    server = HttpServer()
    server.close()  # its port refuses connections
    options = (*manifests(tmp_path, server), "--output-dir", tmp_path / "out")
    done = run_script(SCRIPT, *options, ALLENNLP_CACHE_ROOT=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    claims = claims_of(tmp_path / "out")
    assert {claim["verdict"] for claim in claims} == {"not run"}
    assert all("\n" not in claim["note"] for claim in claims)
    for claim in claims[:4]:
        assert claim["note"].startswith("none of the 2 models could be analyzed; the first: http")
        assert claim["published"] and not claim["ours"]
    assert "scripts.rank_collapse" in claims[-1]["note"]
    assert done.stdout.count("none of the 2 models") == 2  # once in each section


def test_files_of_the_user(tmp_path: Path, classifier: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    server = HttpServer()
    server.close()
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / "ner.tar.gz").write_bytes(SMALL.read_bytes())
    (tmp_path / "weights").mkdir()
    torch.save({"fc.weight": torch.from_numpy(classifier)}, tmp_path / "weights" / "resnet18.pth")
    done = run_script(
        SCRIPT,
        *manifests(tmp_path, server),
        *("--archives-dir", tmp_path / "archives", "--weights-dir", tmp_path / "weights"),
        *("--imagenet-models", "resnet18", "--output-dir", tmp_path / "out"),
    )
    assert done.returncode == 0, done.stderr
    claims = claims_of(tmp_path / "out")
    assert claims[0]["ours"] == "2 of 2 (100%)"
    (numbers,) = [claim for claim in claims if claim["claim"].startswith("The numbers of ImageNet")]
    assert numbers["verdict"] == "does not hold"
    assert not server.requests


def test_random_weights_are_not_judged(tmp_path: Path) -> None:
    pytest.importorskip("torchvision", reason="torchvision (an extra) is not installed")
    server = HttpServer()
    server.close()
    options = (*manifests(tmp_path, server), "--untrained", "--imagenet-models", "resnet18")
    done = run_script(SCRIPT, *options, "--output-dir", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    claims = [c for c in claims_of(tmp_path / "out") if c["section"] == "ImageNet's models"]
    assert [claim["verdict"] for claim in claims] == ["not run"] * 5
    assert all("random" in claim["note"] for claim in claims)
    assert claims[2]["ours"].startswith("0 of 1 below 0.01")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--archives-dir", "missing"), "--archives-dir: missing: no such directory"),
        (("--archives-dir", "docs"), "contains none of the files (ner-model-2018.04.26.tar.gz"),
        (("--weights-dir", "docs"), "--weights-dir: docs: contains none of the files"),
        (("--weights-dir", "docs", "--untrained"), "omit --weights-dir"),
        (("--imagenet-models", "lenet"), "unknown model lenet"),
        (("--rank-collapse", "missing.json"), "missing.json: no such file"),
        (("--allennlp-manifest", "missing.yaml"), "missing.yaml"),
    ],
)
def test_what_cannot_be_is_one_line_before_any_work(
    options: "tuple[str, ...]", said: str, tmp_path: Path
) -> None:
    done = run_main(reproduce_2018.main, *options, "--output-dir", tmp_path / "out")
    assert said in error_line(done, 2)
    assert not (tmp_path / "out").exists()


def test_untrained_needs_torchvision(tmp_path: Path) -> None:
    if find_spec("torchvision") is not None:
        pytest.skip("torchvision is installed")
    done = run_script(SCRIPT, "--untrained", "--output-dir", tmp_path / "out")
    assert "torchvision is not installed" in error_line(done, 2)
    assert not (tmp_path / "out").exists()


runs = st.lists(st.builds(CollapseRun, st.floats(0, 10), st.booleans()))


@given(runs)
def test_runs_are_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, some: "list[CollapseRun]"
) -> None:
    path = tmp_path_factory.mktemp("runs") / "runs.json"
    path.write_text(json.dumps({"runs": [run.__dict__ for run in some], "seed": 1}))
    assert read_runs(path) == tuple(some)


def test_runs_that_diverged_are_left_out(tmp_path: Path) -> None:
    """A network that went to infinity did not stay well: the claim is on the others."""
    read = [
        {"l2": 0, "collapsed": False, "diverged": False},
        {"l2": 0.01, "collapsed": True},
        {"l2": 9, "collapsed": False, "diverged": True},
    ]
    (tmp_path / "runs.json").write_text(json.dumps({"runs": read}))
    found = read_runs(tmp_path / "runs.json")
    assert found == (CollapseRun(0, False), CollapseRun(0.01, True))
    assert collapse_claim(found).verdict == "holds"


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ('{"runs": [{"l2": 0, "collapsed": true, "diverged": 1}]}', "run 1: 'diverged' must be"),
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[]", "contains no list of runs"),
        ('{"runs": {}}', "contains no list of runs"),
        ('{"runs": [{"l2": 0, "collapsed": true}, 7]}', "run 2: 'collapsed' must be"),
        ('{"runs": [{"l2": 0, "collapsed": 1}]}', "run 1: 'collapsed' must be"),
        ('{"runs": [{"l2": "0", "collapsed": true}]}', "run 1: 'l2' must be a number"),
        ('{"runs": [{"l2": NaN, "collapsed": true}]}', "run 1: 'l2' must be a number"),
        ('{"runs": [{"l2": -1, "collapsed": true}]}', "run 1: 'l2' must be a number"),
        ('{"runs": [{"collapsed": true}]}', "run 1: 'l2' must be a number"),
        ("\x00\xff", "is not valid JSON"),
    ],
)
def test_runs_that_are_none(tmp_path: Path, contents: str, said: str) -> None:
    path = tmp_path / "runs.json"
    path.write_bytes(contents.encode("latin-1"))
    with pytest.raises(SourceError) as caught:
        read_runs(path)
    assert str(path) in str(caught.value) and said in str(caught.value)
    with pytest.raises(AnalyzeError):
        read_runs(tmp_path / "missing.json")
