"""User names, passwords, signatures and tokens of a URL are in no file and in no line."""

import base64
import contextlib
import gzip
import io
import json
import logging
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Optional

import pytest

import allennlp_analyze
from allennlp_analyze.cli.main import main
from allennlp_analyze.sources.download.cache import fetch
from tests.support.commands import SMALL, run_module
from tests.support.downloads import archive, isolate, legacy_weights
from tests.support.http_server import Exchange, File, HttpServer, Page, refusing

pytestmark = pytest.mark.newest_python

USER, PASSWORD = "us3rname", "s3cretpw"
SECRETS = (PASSWORD, "s3cretsig", "s3crettok")
QUERY = "X-Amz-Signature=s3cretsig&token=s3crettok&download=1"
BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
NAMES = [secret.encode() for secret in (*SECRETS, USER, BASIC)]


def for_user(page: Page) -> Page:
    """`page` for who has given the name and the password in the URL."""

    def answer(exchange: Exchange) -> None:
        known = exchange.headers.get("Authorization") == f"Basic {BASIC}"
        (page if known else refusing(401))(exchange)

    return answer


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def server() -> Iterator[HttpServer]:
    running = HttpServer()
    pages: Mapping[str, Page] = {
        "m.tar.gz": File(SMALL.read_bytes()),
        "other.tar.gz": File(archive(), etag=None),
        "weights.th": File(legacy_weights()),
        "page.tar.gz": File(b"<html>sign in</html>"),
        "denied.tar.gz": refusing(403),
        "busy.tar.gz": refusing(503, Retry_After="9999"),
        "silent.tar.gz": Exchange.stall,
        "away.tar.gz": refusing(302, Location=f"ftp://{USER}:{PASSWORD}@h/m?token=s3crettok"),
        "odd.tar.gz": refusing(302, Location=f"http://{USER}:{PASSWORD}@[::1/m?token=s3crettok"),
        "loop.tar.gz": refusing(302, Location=f"/loop.tar.gz?{QUERY}"),
    }
    running.pages = {f"{path}?{QUERY}": for_user(page) for path, page in pages.items()}
    yield running
    running.close()


def secret_url(server: HttpServer, path: str = "m.tar.gz") -> str:
    return server.url(f"{path}?{QUERY}", host=f"{USER}:{PASSWORD}@127.0.0.1")


def contents(data: bytes) -> Iterator[bytes]:
    """The bytes, and those of what is packed in them."""
    yield data
    if data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            for name in packed.namelist():
                yield name.encode()
                yield packed.read(name)


def leaks(*texts: str, below: Optional[Path] = None) -> list[str]:
    """Which secrets are in the texts, or in the names and the contents of the files."""
    found = [f"{name!r} in {text}" for text in texts for name in NAMES if name in text.encode()]
    for path in () if below is None else below.rglob("*"):
        pieces = [str(path).encode(), *(contents(path.read_bytes()) if path.is_file() else ())]
        found += [f"{name!r} in {path}" for name in NAMES for piece in pieces if name in piece]
    return found


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> "Command":
    return Command(capsys, tmp_path)


class Command:
    """Runs the command, and looks for secrets in all that it has written."""

    def __init__(self, capsys: pytest.CaptureFixture[str], root: Path) -> None:
        self._capsys = capsys
        self._root = root

    def __call__(self, *arguments: object, code: int = 0) -> str:
        """Returns standard output and standard error."""
        self._capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == code
        out, err = self._capsys.readouterr()
        outputs = [path for path in self._root.iterdir() if path.is_dir()]
        assert leaks(out, err) == []
        assert [leak for path in outputs for leak in leaks(below=path)] == []
        return out + err


def test_one_model_with_everything(server: HttpServer, command: Command, tmp_path: Path) -> None:
    url = secret_url(server)
    command(url, "--output-dir", "first", "--no-plots", "--base", secret_url(server))
    report = json.loads(Path("first/report.json").read_text())
    shown = server.url("m.tar.gz?X-Amz-Signature=...&token=...&download=1")
    assert report["source"]["archive"] == report["settings"]["base"] == shown
    assert (
        shown in json.loads(next(tmp_path.glob("cache-root/cache/*.json")).read_text())["resource"]
    )
    command(url, "--output-dir", "second", "--no-plots", "--reference", "first/report.json")
    command(url, "--no-plots", "--table", "2018", "--overrides", json.dumps({"a": url}))
    assert Path("analysis/m/report.json").is_file()
    command("render", "first")
    assert server.count("GET") == 1  # later runs took the copy in the cache


def test_weights_from_a_url(server: HttpServer, command: Command) -> None:
    weights = secret_url(server, "weights.th")
    command(weights, "--output-dir", "alone", "--plot-format", "svg")
    command(SMALL, "--weights-file", weights, "--output-dir", "beside", "--no-plots")
    report = json.loads(Path("beside/report.json").read_text())
    assert report["settings"]["weights_file"].endswith(
        "weights.th?X-Amz-Signature=...&token=...&download=1"
    )


def test_a_process(server: HttpServer, tmp_path: Path) -> None:
    url = secret_url(server, "weights.th")
    done = run_module("allennlp_analyze", url, "--no-plots", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert leaks(done.stdout, done.stderr, below=tmp_path) == []


FAILURES = {
    "missing.tar.gz": "not found (status 404)",
    "denied.tar.gz": "access denied (status 403)",
    "busy.tar.gz": "(status 503)",
    "silent.tar.gz": "timed out",
    "page.tar.gz": "is an HTML page",
    "away.tar.gz": "redirects to a URL that is not http",
    "odd.tar.gz": "is not a valid URL",
    "loop.tar.gz": "too many redirects",
}


@pytest.mark.parametrize("path", FAILURES)
@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_failures(server: HttpServer, command: Command, path: str, debug: tuple[str, ...]) -> None:
    server.pages.setdefault(f"{path}?{QUERY}", for_user(refusing(404)))
    patience = "0.3" if path == "silent.tar.gz" else "60"
    said = command(secret_url(server, path), "--timeout", patience, *debug, code=1)
    assert FAILURES[path] in said
    assert server.url(f"{path}?X-Amz-Signature=...&token=...&download=1") in said


def test_failures_without_an_answer(server: HttpServer, command: Command) -> None:
    url = secret_url(server)
    assert "expected" in command(url, "--sha256", "0" * 64, code=1)
    command(url, "--layers", "nothing-of-this-name", code=1)
    command(SMALL, "--weights-file", secret_url(server, "missing"), "--output-dir", "x", code=1)
    command(SMALL, "--base", secret_url(server, "missing"), "--output-dir", "x", code=1)
    command(SMALL, "--reference", url, "--output-dir", "x", code=2)
    server.close()
    assert "connection refused" in command(secret_url(server, "weights.th"), code=1)


def test_the_copy_in_the_cache_is_used_without_network(
    server: HttpServer, command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    command(secret_url(server), "--no-plots")
    server.close()
    command(secret_url(server), "--no-plots", "--force")
    assert "using the copy in the cache" in caplog.text
    assert leaks(caplog.text) == []


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://{USER}:{PASSWORD}@h/m?token=s3crettok",
        f"http://{USER}:{PASSWORD}@[::1/m?token=s3crettok",
        f"http://{USER}:{PASSWORD}@/m?token=s3crettok",
        f"http://host.invalid:{PASSWORD}/m?token=s3crettok",
        f"http://{USER}:{PASSWORD}@127.0.0.1:99999/m?token=s3crettok",
        f"http://{USER}:{PASSWORD}@{'a' * 80}.invalid/m?s3crettok",
        f"http:/{USER}:{PASSWORD}@h/m?token=s3crettok",
        f"http://{USER}:p w{PASSWORD}@[h/m?token=a b s3crettok",
        f"s3://{USER}:{PASSWORD}@/m?token=s3crettok",
    ],
)
@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_urls_that_are_none(url: str, command: Command, debug: tuple[str, ...]) -> None:
    code = 1 if url.startswith(("http://", "s3://")) else 2
    command(url, *debug, "--timeout", "1", code=code)


def test_usage_errors(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://{USER}:{PASSWORD}@h/m?token=s3crettok"
    wrong = [
        [url, url],
        [url, "--timeout", url],
        ["compare", url],
        ["compare", url, "--nonsense", url],
    ]
    wrong += [
        ["zoo", url],
        ["render", url],
        [url, "--kinds", url],
        ["zoo", "a.yaml", "--dask", url],
    ]
    for arguments in wrong:
        with contextlib.suppress(SystemExit):  # of argparse
            assert main(arguments) in (1, 2)
        out, err = capsys.readouterr()
        assert leaks(out, err) == []
        assert "error: " in err


def test_a_zoo(server: HttpServer, command: Command, tmp_path: Path) -> None:
    good, weights = secret_url(server, "other.tar.gz"), secret_url(server, "weights.th")
    paths = ["other.tar.gz", "missing.tar.gz", "denied.tar.gz", "page.tar.gz", "away.tar.gz"]
    lines = [f"- url: {json.dumps(secret_url(server, path))}" for path in paths]
    lines += [f"- url: {json.dumps(good)}", f"- url: {json.dumps(good)}\n  sha256: '{'0' * 64}'"]
    (tmp_path / "local.tar.gz").write_bytes(archive())
    lines += [f"- path: local.tar.gz\n  options: {{weights_file: {json.dumps(weights)}}}"]
    manifest = tmp_path / "zoo.yaml"
    manifest.write_text("\n".join(lines))
    command("zoo", manifest, "--output-dir", "zoo", "--workers", "1", code=1)
    rows = json.loads(Path("zoo/zoo.json").read_text())["models"]
    assert [row["status"] for row in rows].count("failed") == 5
    assert all("..." in row["archive"] for row in rows[:7])
    asked = len(server.requests)
    command("zoo", manifest, "--output-dir", "zoo", "--resume", "--workers", "1", code=1)
    assert len(server.requests) == asked  # the identity of the models does not need their URLs


@pytest.mark.parametrize(
    "text",
    [
        "- path: {}",
        "- url: {}\n  sha256: {}",
        "- url: {}\n  nonsense: {}",
        "- url: {}\n  options: {{timeout: '{}'}}",
        "- url: {}\n  options: {{reference: '{}'}}",
        "- name: '{}'\n  url: {}\n- name: '{}'\n  url: {}",
        "- url: {}\n  : ] {}",
        "- url: [{}]",
        "- url: '{} ",
        "'{}': 1",
    ],
)
def test_wrong_manifests(command: Command, tmp_path: Path, text: str) -> None:
    url = f"http://{USER}:{PASSWORD}@h/m?token=s3crettok"
    (tmp_path / "zoo.yaml").write_text(
        text.replace("{}", url).replace("{{", "{").replace("}}", "}")
    )
    command("zoo", tmp_path / "zoo.yaml", code=2)


def test_compared_models(server: HttpServer, command: Command) -> None:
    url = secret_url(server)
    command(SMALL, "--output-dir", "local", "--no-plots")
    said = command("compare", url, "local", "--output-dir", "compared")
    assert "m.tar.gz" in said
    command("compare", "local", url, "--json")
    command("compare", "local", secret_url(server, "denied.tar.gz"), code=1)


def test_an_older_report_is_shown_without_them(server: HttpServer, command: Command) -> None:
    url = secret_url(server)
    command(SMALL, "--output-dir", "old", "--no-plots")
    file = Path("old/report.json")
    report = json.loads(file.read_text())
    report["source"]["archive"] = report["settings"]["base"] = url
    report["summary"]["warnings"] = [f"{url}: something"]
    file.write_text(json.dumps(report))
    loaded = allennlp_analyze.load("old")
    loaded.write("new", plots=False)
    assert main(["compare", "old", "new", "--output-dir", "compared"]) == 0
    assert main(["render", "old"]) == 0
    file.unlink()
    command("render", "new")  # looks into all directories
    assert leaks(repr(loaded), loaded._repr_html_()) == []


def test_the_library_names_them_in_no_error(server: HttpServer) -> None:
    for path in ("denied.tar.gz", "page.tar.gz"):
        with pytest.raises(allennlp_analyze.errors.AnalyzeError) as caught:
            allennlp_analyze.analyze(secret_url(server, path))
        assert leaks(str(caught.value), repr(caught.value)) == []


def test_logs_of_libraries_have_none_either(
    server: HttpServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        fetch(secret_url(server), quiet=True)
    assert '"GET /m.tar.gz?X-Amz-Signature=...' in caplog.text
    assert leaks(caplog.text) == []


def test_metadata_that_others_wrote_is_redacted(server: HttpServer) -> None:
    path = fetch(secret_url(server), quiet=True)
    metadata = path.with_name(path.name + ".json")
    theirs = {**json.loads(metadata.read_text()), "resource": secret_url(server)}
    metadata.write_text(json.dumps(theirs))
    assert fetch(secret_url(server), quiet=True) == path
    assert leaks(below=path.parent) == []
    assert server.count("GET") == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_password_is_for_the_first_host_only(server: HttpServer, host: str) -> None:
    other = HttpServer()
    other.pages["m.tar.gz"] = File(SMALL.read_bytes())
    server.pages[f"moved?{QUERY}"] = for_user(refusing(302, Location=other.url("m.tar.gz", host)))
    try:
        assert fetch(secret_url(server, "moved"), quiet=True).read_bytes() == SMALL.read_bytes()
        assert all(r.headers.get("Authorization") == f"Basic {BASIC}" for r in server.requests)
        assert other.requests
        assert [r.headers for r in other.requests if "Authorization" in r.headers] == []
        assert leaks(*(str(r) for r in other.requests)) == []
    finally:
        other.close()
