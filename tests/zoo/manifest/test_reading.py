"""Manifests are read as they were written."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any, Optional

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.options.names import KINDS
from allennlp_analyze.settings import Settings
from allennlp_analyze.zoo.manifest.reading import (
    Choices,
    Manifest,
    ZooEntry,
    model_choices,
    read_manifest,
    slugs,
)
from tests.support.manifests import DIGEST, SAME_DIRECTORY, TEXTS, URL, entries, write
from tests.support.report_factory import ODD_NAMES

pytestmark = pytest.mark.newest_python


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
    assert manifest == Manifest(
        "My zoo", str(tmp_path / "zoo.yaml"), manifest.entries, is_listed=True
    )
    shared = {"kinds": ("linear",), "max_dim": 100, "gamma": 2.0}
    own = {"kinds": ("other", "embedding"), "gamma": None, "max_unpacked_size": 3 * 2**30}
    assert manifest.entries == (
        ZooEntry("a", URL, "mine", None, shared),
        ZooEntry("model", str(tmp_path / "sub/model.tar.gz"), "mine", None, shared),
        ZooEntry("whole", URL, "other", DIGEST.lower(), {**shared, **own}),
        ZooEntry("0", "/abs/m.pt", "", None, shared),
        ZooEntry("m", "s3://bucket/key/m.th", "mine", None, shared),
    )
    shared = Choices(Settings(gamma=7.0))
    assert model_choices(manifest.entries[2], shared).settings == Settings(
        kinds=("other", "embedding"), max_dim=100, gamma=7.0
    )
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
