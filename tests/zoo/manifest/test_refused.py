"""What is no manifest is refused in one line that says where."""

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.analysis.request import Building
from allennlp_analyze.errors import UsageError
from allennlp_analyze.zoo.manifest.reading import Choices, model_choices, read_manifest
from allennlp_analyze.zoo.manifest.records import MAX_BYTES, MAX_DEPTH
from tests.support.manifests import SAME_DIRECTORY, URL, entries, refusal, write

pytestmark = pytest.mark.newest_python
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
        ("- x.pt\n- ''\n", "line 2: archive: '' is empty"),
        ("- x.pt\n- name: y\n", "line 2: no archive given; add a url or a path"),
        ("- {name: y, path: null}\n", "line 1: no archive given"),
        ("- {url: 'https://h/x', path: y}\n", "line 1: has both url and path; keep one of them"),
        ("- {archive: x, path: y}\n", "line 1: has both archive and path"),
        ("- {nmae: x, path: y}\n", "line 1: unknown key 'nmae'; did you mean name"),
        ("- {kinds: linear, path: y}\n", "line 1: kinds is an option: put it under options"),
        ("- {path: y, options: {kinds: lstm}}\n", "line 1: option kinds: unknown kind 'lstm'"),
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
        ("- {name: ' ', path: y}\n", "line 1: name: ' ' is empty"),
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
        ("- {path: y, options: {plots: 2, no-plots: 1}}\n", "line 1: option plots: 2 must be"),
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
        ("path,kinds\nx,lstm\n", "line 2: option kinds: unknown kind 'lstm'"),
        ("path,max_dim\nx,ten\n", "line 2: option max_dim: 'ten' is not a number"),
        ("path,split-gates,Split_Gates\nx,true,\n", "line 1: has the column split_gates twice"),
        ("path,plots,no-plots\nx,true,true\n", "line 2: option no_plots: given twice"),
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
        ("", "'': no such file or directory"),
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
        model_choices(entry, Choices())
    trusted = Choices(building=Building(build_model=True))
    assert model_choices(entry, trusted).building.build_model
