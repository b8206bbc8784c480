"""Manifests are read as they were written, and what is none is one line that says where."""

import contextlib
import csv
import io
import json
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any, Optional
from urllib.parse import urlsplit

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allennlp_analyze.analysis.pipeline import Request
from allennlp_analyze.errors import UsageError
from allennlp_analyze.reference.table import read_reference
from allennlp_analyze.settings import KINDS, Settings
from allennlp_analyze.zoo.manifest.options import OPTIONS
from allennlp_analyze.zoo.manifest.reading import (
    SHIPPED,
    Manifest,
    ZooEntry,
    read_manifest,
    slugs,
    unit_request,
)
from allennlp_analyze.zoo.manifest.records import KEYS, MAX_BYTES, MAX_DEPTH, TOP_KEYS
from tests.support.commands import ROOT
from tests.support.references import PUBLISHED
from tests.support.report_factory import ODD_NAMES

DIGEST = "0123456789abcdefABCDEF" + "0" * 42
URL = "https://example.org/models/a.tar.gz"
# Any text but what a file in UTF-8, or YAML, cannot hold.
TEXTS = st.text(
    st.characters(
        exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff\ufeff\u2028\u2029"
    ),
    min_size=1,
    max_size=20,
).filter(str.strip)
# `write` gives every example its own contents.
SAME_DIRECTORY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(directory: Path, text: "str | bytes", name: str = "zoo.yaml") -> str:
    path = directory / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def entries(directory: Path, text: "str | bytes", name: str = "zoo.yaml") -> "tuple[ZooEntry, ...]":
    return read_manifest(write(directory, text, name)).entries


def refusal(directory: Path, text: "str | bytes", name: str = "zoo.yaml") -> str:
    """What follows the manifest's name in the one line that refuses it."""
    path = write(directory, text, name)
    with pytest.raises(UsageError) as caught:
        read_manifest(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and len(message) < 700
    assert caught.value.exit_code == 2
    return message[len(path) + 2 :]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_manifests_are_what_their_files_say(name: str) -> None:
    manifest = read_manifest(name)
    contents = yaml.safe_load(
        (ROOT / "allennlp_analyze" / "data" / "manifests" / f"{name}.yaml").read_bytes()
    )
    assert manifest.title == contents["title"] and manifest.source == name
    written = [(model["name"], model["url"], model["group"]) for model in contents["models"]]
    assert [(entry.name, entry.archive, entry.group) for entry in manifest.entries] == written
    assert len({entry.name for entry in manifest.entries}) == len(written)
    # No name needs a digest in its directory's.
    assert list(slugs(manifest.entries)) == [entry.name for entry in manifest.entries]
    for entry in manifest.entries:
        parts = urlsplit(entry.archive)
        assert parts.scheme == "https" and parts.netloc and not parts.query
        assert PurePosixPath(parts.path).name.endswith((".tar.gz", ".pth"))
        request, _ = unit_request(entry, Request(archive=""), Settings())
        assert request.archive == entry.archive and not request.build_model
    assert read_manifest(f"{name}.yaml") == manifest


def test_every_file_that_is_shipped_has_its_name() -> None:
    files = (ROOT / "allennlp_analyze" / "data" / "manifests").iterdir()
    assert sorted(path.name for path in files) == [f"{name}.yaml" for name in SHIPPED]


def test_the_models_of_2018_are_those_of_the_published_table() -> None:
    with (PUBLISHED / "allennlp_2018.csv").open(encoding="utf-8") as file:
        published = dict.fromkeys(row["archive"] for row in csv.DictReader(file))
    found = {}
    for entry in read_manifest("allennlp-2018").entries:
        request, _ = unit_request(entry, Request(archive=""), Settings())
        file_name = PurePosixPath(urlsplit(entry.archive).path).name
        assert file_name == f"{entry.name}.tar.gz"
        if request.reference is not None:
            assert read_reference(request.reference).archive == file_name
        found[file_name] = request.reference
    assert [name for name, reference in found.items() if reference] == list(published)
    assert [name for name, reference in found.items() if reference is None] == [
        "decomposable-attention-elmo-2018.02.19.tar.gz"
    ]


def test_the_imagenet_models_are_those_of_the_published_table_and_two_squeezenets() -> None:
    with (PUBLISHED / "imagenet_2018_alpha.csv").open(encoding="utf-8") as file:
        published = {row["model"] for row in csv.DictReader(file)}
    manifest = read_manifest("torchvision-2018")
    names = [entry.name for entry in manifest.entries]
    assert len(names) == 19 and set(names) == published | {"squeezenet1_0", "squeezenet1_1"}
    for entry in manifest.entries:
        _, chosen = unit_request(entry, Request(archive=""), Settings())
        assert chosen.kinds == (("linear",) if entry.name in published else ("convolution",))
        assert entry.name.startswith(entry.group)
        assert re.fullmatch(rf"{entry.name}[a-z_-]*-[0-9a-f]{{8}}\.pth", Path(entry.archive).name)


def test_the_imagenet_addresses_are_torchvision_s() -> None:
    models = pytest.importorskip("torchvision.models")
    for entry in read_manifest("torchvision-2018").entries:
        (weights,) = [
            value
            for name, value in vars(models).items()
            if name.endswith("_Weights") and name[: -len("_Weights")].lower() == entry.name
        ]
        assert weights.IMAGENET1K_V1.url == entry.archive


def test_the_public_models_are_in_allennlp_s_own_place() -> None:
    manifest = read_manifest("allennlp-public")
    archives = [entry.archive for entry in manifest.entries]
    assert len(archives) == len(set(archives)) == 34
    place = "https://storage.googleapis.com/allennlp-public-models"
    assert {archive.rpartition("/")[0] for archive in archives} == {place}
    tasks = Counter(entry.group for entry in manifest.entries)
    assert tasks["rc"] == 5 and tasks["textual_entailment"] == 6 and "" not in tasks


def test_a_file_here_goes_before_one_that_is_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "allennlp-2018").mkdir()
    assert len(read_manifest("allennlp-2018").entries) == 5
    write(tmp_path, f"- {URL}", "allennlp-2018.yaml")
    assert [entry.name for entry in read_manifest("allennlp-2018.yaml").entries] == ["a"]
    assert read_manifest("./allennlp-2018.yaml").title == "allennlp-2018"


def test_every_form_of_a_model(tmp_path: Path) -> None:
    text = f"""
title: "My zoo"
group: mine
options: {{kinds: linear, max-dim: 100, gamma: 2}}
models:
  - {URL}
  - sub/model.tar.gz
  - name: whole
    url: {URL}
    sha256: {DIGEST}
    group: other
    options: {{kinds: [other, embedding], gamma: null, max_unpacked_size: 3G}}
  - {{name: "0", path: /abs/m.pt, group: ""}}
  - archive: s3://bucket/key/m.th
"""
    manifest = read_manifest(write(tmp_path, text))
    assert manifest == Manifest("My zoo", str(tmp_path / "zoo.yaml"), manifest.entries)
    shared = {"kinds": ("linear",), "max_dim": 100, "gamma": 2.0}
    own = {"kinds": ("other", "embedding"), "gamma": None, "max_unpacked_size": 3 * 2**30}
    assert manifest.entries == (
        ZooEntry("a", URL, "mine", None, shared),
        ZooEntry("model", str(tmp_path / "sub/model.tar.gz"), "mine", None, shared),
        ZooEntry("whole", URL, "other", DIGEST.lower(), {**shared, **own}),
        ZooEntry("0", "/abs/m.pt", "", None, shared),
        ZooEntry("m", "s3://bucket/key/m.th", "mine", None, shared),
    )
    _, chosen = unit_request(manifest.entries[2], Request(archive=""), Settings(gamma=7.0))
    assert chosen == Settings(kinds=("other", "embedding"), max_dim=100, gamma=7.0)
    assert [entry.place.rpartition(": ")[2] for entry in manifest.entries[:3]] == [
        "line 6",
        "line 7",
        "line 8",
    ]


def test_a_list_alone_is_a_manifest_and_so_is_json(tmp_path: Path) -> None:
    models = [{"name": "x", "url": URL}, "b/y.pt"]
    listed = entries(tmp_path, json.dumps(models))
    assert [(entry.name, entry.group) for entry in listed] == [("x", ""), ("y", "")]
    assert entries(tmp_path, json.dumps({"models": models}, indent=1), "z.yml") == listed
    assert read_manifest(write(tmp_path, f"- {URL}", "My.Zoo.YML")).title == "My.Zoo"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_csv_of_every_column(tmp_path: Path, newline: str, mark: str) -> None:
    lines = (
        "Name, group,URL,path,sha256,kinds,max-dim,split_gates",
        f'"one, two",g,{URL},,{DIGEST},"linear,other",7,true',
        "",
        ",,,,,,,",
        ',,,x/y.tar.gz,,,,"',
        '"',
        "été,,,/m.pt,,,9,no",
    )
    found = entries(tmp_path, mark + newline.join(lines) + newline, "zoo.csv")
    options = {"kinds": ("linear", "other"), "max_dim": 7, "split_gates": True}
    assert found == (
        ZooEntry("one, two", URL, "g", DIGEST.lower(), options),
        ZooEntry("y", str(tmp_path / "x/y.tar.gz")),
        ZooEntry("été", "/m.pt", options={"max_dim": 9, "split_gates": False}),
    )
    assert [entry.place.rpartition(": ")[2] for entry in found] == ["line 2", "line 5", "line 7"]


models_written = st.lists(
    st.fixed_dictionaries(
        {"name": TEXTS, "url": st.from_regex(r"\Ahttps://h/[a-z]{1,5}\Z")},
        optional={
            "group": TEXTS,
            "sha256": st.from_regex(r"\A[0-9a-f]{64}\Z"),
            "options": st.fixed_dictionaries(
                {},
                optional={
                    "kinds": st.lists(st.sampled_from(KINDS), min_size=1),
                    "layers": TEXTS.map(re.escape),
                    "max_dim": st.integers(1, 10**6),
                    "gamma": st.floats(0, 1e9),
                    "split_gates": st.booleans(),
                },
            ),
        },
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda model: model["name"],
)


def expected(model: "dict[str, Any]") -> ZooEntry:
    options = dict(model.get("options") or {})
    if "kinds" in options:
        options["kinds"] = tuple(options["kinds"])
    group, digest = model.get("group", ""), model.get("sha256")
    return ZooEntry(model["name"], model["url"], group, digest, options)


@SAME_DIRECTORY
@given(models=models_written, title=st.none() | TEXTS, flow=st.sampled_from([None, True, False]))
def test_what_yaml_writes_is_read(
    tmp_path: Path, models: "list[dict[str, Any]]", title: Optional[str], flow: Optional[bool]
) -> None:
    contents = models if title is None else {"title": title, "models": models}

    class NoAliases(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    text = yaml.dump(contents, Dumper=NoAliases, default_flow_style=flow, allow_unicode=True)
    manifest = read_manifest(write(tmp_path, text))
    assert list(manifest.entries) == [expected(model) for model in models]
    assert manifest.title == (title or "zoo")


@SAME_DIRECTORY
@given(models=models_written)
def test_what_the_csv_module_writes_is_read(tmp_path: Path, models: "list[dict[str, Any]]") -> None:
    columns = [
        "name",
        "url",
        "group",
        "sha256",
        "kinds",
        "layers",
        "max_dim",
        "gamma",
        "split_gates",
    ]
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, columns)
    writer.writeheader()
    for model in models:
        options = dict(model.get("options") or {})
        if "kinds" in options:
            options["kinds"] = ",".join(options["kinds"])
        rest = {key: value for key, value in model.items() if key != "options"}
        writer.writerow({**rest, **options})
    found = entries(tmp_path, stream.getvalue(), "zoo.csv")
    assert list(found) == [expected(model) for model in models]


@pytest.mark.parametrize("name", ["zoo.yaml", "zoo.csv"])
def test_names_of_any_text(tmp_path: Path, name: str) -> None:
    wanted = [odd for odd in ODD_NAMES if odd.strip() and "\0" not in odd and "\x1b" not in odd]
    if name.endswith("yaml"):
        text = json.dumps([{"name": odd, "url": URL} for odd in wanted], ensure_ascii=False)
    else:
        stream = io.StringIO(newline="")
        csv.writer(stream).writerows([("name", "url"), *((odd, URL) for odd in wanted)])
        text = stream.getvalue()
    found = entries(tmp_path, text, name)
    assert [entry.name for entry in found] == wanted and len(wanted) > 7
    assert len(set(slugs(found))) == len(wanted)


def test_models_without_a_name_get_different_ones(tmp_path: Path) -> None:
    archives = ["runs/a/model.tar.gz", "runs/b/model.tar.gz", URL, "x/a.pt", URL, "../c.th"]
    given_names = "- {name: c, path: d.pt}\n"
    found = entries(tmp_path, given_names + "".join(f"- {a}\n" for a in archives))
    assert [entry.name for entry in found] == [
        "c",
        "a/model",
        "b/model",
        URL,
        "x/a",
        f"{URL} (2)",
        f"{tmp_path.name}/c",
    ]


def test_paths_begin_where_the_manifest_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep", "name,alpha\nx,2\n", "mine.csv")
    write(tmp_path / "deep", b"", "other.th")
    text = "- {path: m.pt, options: {reference: mine.csv, weights_file: other.th}}\n"
    text += "- {path: ~/n.pt, options: {reference: ner-2018, weights_file: member.th}}\n"
    text += "- {path: ../o.pt, options: {weights_file: https://h/w.pt}}\n"
    write(tmp_path / "deep", text)
    for text, base in (("deep/zoo.yaml", tmp_path), ("zoo.yaml", tmp_path / "deep")):
        monkeypatch.chdir(base)
        found = read_manifest(text).entries
        assert [Path(entry.archive).resolve() for entry in found] == [
            tmp_path / "deep" / "m.pt",
            tmp_path / "home" / "n.pt",
            tmp_path / "o.pt",
        ]
        assert Path(found[0].options["reference"]).read_text() == "name,alpha\nx,2\n"
        assert Path(found[0].options["weights_file"]).resolve() == tmp_path / "deep" / "other.th"
        assert found[1].options == {"reference": "ner-2018", "weights_file": "member.th"}
        assert found[2].options == {"weights_file": "https://h/w.pt"}


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nmodels: [*b, *b]\n"
DEEP = "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("null", "is empty|is neither a list"),
        ("[]", "contains no models"),
        ("models: []\n", "contains no models"),
        ("text", "is neither a list of models"),
        ("title: x\n", "line 1: models: is not a list of models"),
        ("models: x.pt\n", "line 1: models: is not a list of models"),
        ("models:\n", "line 1: models: is not a list of models"),
        ("model: [x.pt]\n", "line 1: unknown key 'model'; did you mean models?"),
        ("title: [x]\nmodels: [x.pt]\n", r"line 1: title: \['x'\] is not text"),
        ("group: 7\nmodels: [x.pt]\n", "line 1: group: 7 is not text; put it in quotes"),
        ("options: {kind: x}\nmodels: [x.pt]\n", "line 1: unknown option 'kind'; did you mean"),
        ("options: [x]\nmodels: [x.pt]\n", r"line 1: options: \['x'\] is not a mapping"),
        ("- x.pt\n- 7\n", "line 2: 7 is neither a mapping nor a path"),
        ("- x.pt\n- [y.pt]\n", r"line 2: \['y.pt'\] is neither"),
        ("- x.pt\n- \n", "line 2: None is neither"),
        ("- x.pt\n- ''\n", "line 2: archive: is empty"),
        ("- x.pt\n- name: y\n", "line 2: no archive given; add a url or a path"),
        ("- {name: y, path: null}\n", "line 1: no archive given"),
        ("- {url: 'https://h/x', path: y}\n", "line 1: has both url and path; keep one of them"),
        ("- {archive: x, path: y}\n", "line 1: has both archive and path"),
        ("- {nmae: x, path: y}\n", "line 1: unknown key 'nmae'; did you mean name"),
        ("- {kinds: linear, path: y}\n", "line 1: kinds is an option: put it under options"),
        ("- {path: y, options: {kinds: lstm}}\n", "line 1: option kinds: no kind is called 'lstm'"),
        ("- {path: y, options: {jobs: 1}}\n", "line 1: unknown option 'jobs'"),
        ("- {path: y, options: 7}\n", "line 1: options: 7 is not a mapping"),
        ("- {path: y, options: {reference: no}}\n", "line 1: option reference: False is not text"),
        (
            "- {path: y, options: {reference: none.csv}}\n",
            "line 1: option reference: 'none.csv' is",
        ),
        ("- {path: y, options: {reference: zoo.yaml}}\n", "line 1: option reference: .*zoo.yaml"),
        ("- {path: y, sha256: abc}\n", "line 1: sha256: 'abc' is not a SHA-256 digest"),
        ("- {path: y, sha256: 12}\n", "line 1: sha256: 12 is not text; put it in quotes"),
        ("- {name: 2018, path: y}\n", "line 1: name: 2018 is not text; put it in quotes"),
        ("- {name: 2018-04-26, path: y}\n", r"line 1: name: datetime.date\(2018, 4, 26\) is not"),
        ("- {name: 2018-99-26, path: y}\n", "line 1: month must be in 1..12"),
        ("- {name: ' ', path: y}\n", "line 1: name: is empty"),
        ("- {url: x.pt}\n", "line 1: url: 'x.pt' is not a URL; did you mean `path`"),
        ("- {path: 'https://h/x'}\n", "line 1: path: 'https://h/x' is a URL; did you mean `url`?"),
        (
            "- ftp://h/x\n",
            "line 1: archive: 'ftp://h/x' has an unsupported scheme; use http, https, s3",
        ),
        ("- 'https://[h/x'\n", r"line 1: archive: 'https://\[h/x' is not a URL"),
        ("- https:///x\n", "line 1: archive: 'https:///x' is not a URL: the host is missing"),
        (
            "- {name: x, path: y}\n- z\n- {name: x, path: z}\n",
            "line 3: name: 'x' is already used in line 1",
        ),
        ("- {path: x, path: y}\n", "line 1: has the key 'path' twice"),
        ("- {path: y, options: {gamma: 1, gamma: 2}}\n", "line 1: has the key 'gamma' twice"),
        ("- {path: y, options: {plots: 1, no-plots: 1}}\n", "line 1: option plots: 1 is neither"),
        ("- {[path]: y}\n", "line 1: a key is not text"),
        ("- x\n- &a y\n- *a\n", r"line 3: contains an alias \('a'\)"),
        (BOMB, "line 2: contains an alias"),
        ("- !!python/object/apply:os.system [x]\n", "line 1: contains a tag .*only plain data"),
        ("- !local x\n", "line 1: contains a tag"),
        ("- !!binary aGVsbG8=\n", "line 1: contains a tag"),
        (DEEP, "line 1: is nested more than"),
        ("[" * 100_000, "line 1: is nested more than"),
        ("- {a: [\n", "line 2: is not valid YAML"),
        ("- a: b: c\n", "line 1: is not valid YAML"),
        ("- x\n---\n- y\n", "line 2: is not valid YAML"),
        ("- 'x\n", "line 2: is not valid YAML"),
        ("- x\x1b[31m\n", "is not valid YAML"),
        ("- x: y\n\tz\n", "line 2: is not valid YAML"),
        ("%YAML 9.9\n---\n- x\n", "line 1: is not valid YAML"),
        (b"- caf\xe9\n", "line 1: is not UTF-8 text"),
        ("- a\n- b\n".encode("utf-16"), "line 1: is not UTF-8 text"),
        ("- a\n- \0\n", "line 2: contains a NUL"),
        (f"- {{path: y, layers: {'x' * 10**5}, options: {{}}}}\n", "line 1: layers is an option"),
        (f"- {{path: y, {'x' * 1000}: 1}}\n", "line 1: unknown key 'xxxx"),
        (f"- {{path: y, sha256: {'x' * 10**5}}}\n", "line 1: sha256: 'xxx"),
    ],
    ids=lambda x: repr(x)[:50],
)
def test_what_is_no_yaml_manifest(tmp_path: Path, text: "str | bytes", message: str) -> None:
    assert re.match(message, refusal(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: a column archive, url or path is missing"),
        ("name,group\nx,y\n", "line 1: a column archive, url or path is missing"),
        ("path\n", "contains no models"),
        ("path,name\n,\n\n", "contains no models"),
        ("path;name\nx;y\n", "line 1: columns are separated by semicolons"),
        ("path\tname\nx\ty\n", "line 1: columns are separated by tabs"),
        ("/data/x.tar.gz\n/data/y.tar.gz\n", "line 1: unknown column '/data/x.tar.gz'"),
        ("path,nmae\nx,y\n", "line 1: unknown column 'nmae'; did you mean name?"),
        ("path,\nx,\n", "line 1: unknown column ''"),
        ("path,Path\nx,y\n", "line 1: has the column path twice"),
        ("path,name\nx\n", "line 2: has 1 columns, but the header has 2"),
        ("path,name\nx,y,z\n", "line 2: has 3 columns, but the header has 2"),
        ("path,name\n\n,y\n", "line 3: no archive given"),
        ("path,url\na,\nx,https://h/y\n", "line 3: has both url and path"),
        ('path,name\nx,"a\nb"\n,y\n', "line 4: no archive given"),
        ("path,name\nx,a\ny,b\nz,a\n", "line 4: name: 'a' is already used in line 2"),
        ("path,sha256\nx,1\n", "line 2: sha256: '1' is not a SHA-256 digest"),
        ("path,kinds\nx,lstm\n", "line 2: option kinds: no kind is called 'lstm'"),
        ("path,max_dim\nx,ten\n", "line 2: option max_dim: 'ten' is not a number"),
        ("path,split-gates,Split_Gates\nx,true,\n", "line 1: has the column split_gates twice"),
        ("path,plots,no-plots\nx,true,true\n", "line 2: option no_plots: is there twice"),
        ("path,build\nx,true\n", "line 1: unknown column 'build'; did you mean build_model"),
        ('path\n"x\n', "line 2: is not valid CSV"),
        (b"path\n\nx\xff\n", "line 3: is not UTF-8 text"),
        ("path\nx\0\n", "line 2: contains a NUL"),
        ("path\n" + "x" * 200_000 + "\n", "line 2: is not valid CSV"),
    ],
    ids=lambda x: repr(x)[:50],
)
def test_what_is_no_csv_manifest(tmp_path: Path, text: "str | bytes", message: str) -> None:
    assert re.match(message, refusal(tmp_path, text, "zoo.csv"))


@pytest.mark.parametrize("name", ["zoo.yaml", "zoo.csv"])
def test_a_giant_file_is_not_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(UsageError, match="is larger than 64 MiB, too large for a manifest"):
        read_manifest(str(path))


@SAME_DIRECTORY
@given(
    content=st.binary(max_size=200) | st.text().map(lambda text: text.encode("utf-8", "replace")),
    name=st.sampled_from(["zoo.yaml", "zoo.csv"]),
)
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes, name: str) -> None:
    with contextlib.suppress(UsageError):
        assert entries(tmp_path, content, name)
    with contextlib.suppress(UsageError):
        assert entries(tmp_path, b"- path: " + content, "zoo.yaml")
    with contextlib.suppress(UsageError):
        assert entries(tmp_path, b"path,name\n" + content, "zoo.csv")


def test_what_is_there_and_no_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, b"\x1f\x8b", "model.tar.gz")
    write(tmp_path, "x", "notes.txt")
    for text, message in (
        ("model.tar.gz", "model.tar.gz: is one model, not a manifest"),
        ("notes.txt", "notes.txt: is not a manifest"),
        ("none.yaml", "none.yaml: no such file or directory"),
        ("allenlp-2018", "allenlp-2018: no such file or directory; did you mean allennlp-2018?"),
        ("x/allennlp-2018.yaml", "x/allennlp-2018.yaml: no such file or directory"),
        ("", "the manifest: no such file or directory"),
        ("a\0b", "a\0b: no such file or directory"),
        ("x" * 5000, "xxx"),
        (f"{URL}.yaml", f"{URL}.yaml: a manifest must be a local file; download it first"),
        ("/dev/null", "/dev/null: is not a regular file"),
    ):
        with pytest.raises(UsageError) as caught:
            read_manifest(text)
        assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_a_manifest_of_a_stranger_cannot_have_code_executed(tmp_path: Path) -> None:
    text = "options: {build_model: true}\nmodels:\n  - {name: x, path: y.tar.gz}\n"
    (entry,) = entries(tmp_path, text)
    with pytest.raises(UsageError, match="zoo.yaml: line 3: option build_model: can execute code"):
        unit_request(entry, Request(archive=""), Settings())
    request, _ = unit_request(entry, Request(archive="", build_model=True), Settings())
    assert request.build_model


def test_the_examples_of_the_documentation_are_manifests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "manifests.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"^```(yaml|csv)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert [kind for kind, _ in examples] == ["yaml", "csv", "yaml"]
    for kind, text in examples:
        found = entries(tmp_path, text, f"zoo.{kind}")
        assert len(found) >= 2
        for entry in found:
            unit_request(entry, Request(archive=""), Settings())
    for name in SHIPPED:
        assert f"`{name}`" in page


def test_the_documentation_names_every_key_and_option() -> None:
    page = (ROOT / "docs" / "manifests.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    named = [name for cell in cells for name in re.findall(r"`([a-z0-9_]+)`", cell)]
    assert set(named) == {*KEYS, *TOP_KEYS, *OPTIONS}
