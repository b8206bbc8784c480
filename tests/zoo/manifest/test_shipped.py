"""The manifests that come with the package, and those of the documentation."""

import csv
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import pytest
import yaml

from allennlp_analyze.reference.table import read_reference
from allennlp_analyze.zoo.manifest.options import OPTIONS
from allennlp_analyze.zoo.manifest.reading import (
    SHIPPED,
    Choices,
    model_choices,
    read_manifest,
    slugs,
)
from allennlp_analyze.zoo.manifest.records import KEYS, TOP_KEYS
from tests.support.commands import ROOT
from tests.support.manifests import URL, entries, write
from tests.support.references import PUBLISHED

pytestmark = pytest.mark.newest_python


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
        assert not model_choices(entry, Choices()).building.build_model
    assert read_manifest(f"{name}.yaml") == manifest


def test_every_file_that_is_shipped_has_its_name() -> None:
    files = (ROOT / "allennlp_analyze" / "data" / "manifests").iterdir()
    assert sorted(path.name for path in files) == [f"{name}.yaml" for name in SHIPPED]


def test_the_models_of_2018_are_those_of_the_published_table() -> None:
    with (PUBLISHED / "allennlp_2018.csv").open(encoding="utf-8") as file:
        published = dict.fromkeys(row["archive"] for row in csv.DictReader(file))
    found = {}
    for entry in read_manifest("allennlp-2018").entries:
        chosen = model_choices(entry, Choices())
        file_name = PurePosixPath(urlsplit(entry.archive).path).name
        assert file_name == f"{entry.name}.tar.gz"
        if chosen.reference is not None:
            assert read_reference(chosen.reference).archive == file_name
        found[file_name] = chosen.reference
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
        chosen = model_choices(entry, Choices()).settings
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


def test_the_examples_of_the_documentation_are_manifests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "reference" / "manifests.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"^```(yaml|csv)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert [kind for kind, _ in examples] == ["yaml", "csv", "yaml"]
    for kind, text in examples:
        found = entries(tmp_path, text, f"zoo.{kind}")
        assert len(found) >= 2
        for entry in found:
            model_choices(entry, Choices())
    for name in SHIPPED:
        assert f"`{name}`" in page


def test_the_documentation_names_every_key_and_option() -> None:
    page = (ROOT / "docs" / "reference" / "manifests.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    named = [name for cell in cells for name in re.findall(r"`([a-z0-9_]+)`", cell)]
    assert set(named) == {*KEYS, *TOP_KEYS, *OPTIONS}
