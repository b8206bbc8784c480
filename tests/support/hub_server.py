"""A server on the loopback interface that answers as the Hugging Face Hub does to its own client.

Written from the requests that huggingface_hub sends and the headers that it reads: the list of a
repository's files at a commit, `resolve` with the commit and the digest, redirects of large files.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.support.http_server import Exchange, File, HttpServer
from tests.support.waiting import PATIENCE

REDIRECTED_BYTES = 2000


class HubServer(HttpServer):
    """Repositories by `org/name`, each with files by name; `status` refuses everything."""

    def __init__(self) -> None:
        super().__init__()
        self.repositories: dict[str, Mapping[str, bytes]] = {}
        self.status = 0
        self.default = self._answer

    def commit(self, name: str) -> str:
        files = sorted(self.repositories[name].items())
        return hashlib.sha1(repr(files).encode()).hexdigest()

    def served(self) -> list[str]:
        """The files whose contents were sent."""
        names = {
            hashlib.sha256(body).hexdigest(): name
            for files in self.repositories.values()
            for name, body in files.items()
        }
        found = set()
        for request in self.sent("GET"):
            _, _, after = request.path.partition("/resolve/")
            if request.path.startswith("cdn/"):
                found.add(names[request.path[4:]])
            elif after:
                found.add(unquote(after.partition("/")[2]))
        return sorted(found)

    def _answer(self, exchange: Exchange) -> None:
        path = unquote(exchange.path.partition("?")[0]).strip("/")
        if self.status:
            exchange.send(self.status)
        elif path.startswith("api/models/"):
            self._api(exchange, path[len("api/models/") :])
        elif path.startswith("cdn/"):
            _, digest = path.split("/")
            File(self._blob(digest), f'"{digest}"')(exchange)
        else:
            self._resolve(exchange, path)

    def _blob(self, digest: str) -> bytes:
        contents = (x for files in self.repositories.values() for x in files.values())
        return next(x for x in contents if hashlib.sha256(x).hexdigest() == digest)

    def _known(self, exchange: Exchange, name: str, revision: str) -> bool:
        if name not in self.repositories:
            exchange.send(401, {"X-Error-Code": "RepoNotFound"})
        elif revision not in ("main", self.commit(name)):
            exchange.send(404, {"X-Error-Code": "RevisionNotFound"})
        else:
            return True
        return False

    def _api(self, exchange: Exchange, path: str) -> None:
        name, _, revision = path.partition("/revision/")
        if self._known(exchange, name, revision or "main"):
            listed = [{"rfilename": file} for file in self.repositories[name]]
            about = {"id": name, "modelId": name, "sha": self.commit(name), "siblings": listed}
            about |= {"tags": [], "downloads": 0, "likes": 0, "private": False}
            exchange.send(200, {"Content-Type": "application/json"}, json.dumps(about).encode())

    def _resolve(self, exchange: Exchange, path: str) -> None:
        name, _, rest = path.partition("/resolve/")
        revision, _, file = rest.partition("/")
        if not self._known(exchange, name, revision):
            return
        headers = {"X-Repo-Commit": self.commit(name)}
        body = self.repositories[name].get(file)
        if body is None:
            exchange.send(404, {**headers, "X-Error-Code": "EntryNotFound"})
            return
        digest = hashlib.sha256(body).hexdigest()
        if len(body) < REDIRECTED_BYTES:
            File(body, f'"{digest}"', headers=headers)(exchange)
            return
        linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": len(body)}
        exchange.send(
            302, {**headers, **linked, "Location": self.url(f"cdn/{digest}", "localhost")}
        )


# What the library is told by its environment counts only when it is imported.
OPEN = """
import json, sys
from allennlp_analyze.errors import AnalyzeError
from allennlp_analyze.sources.opening import open_source

for line in sys.stdin:
    archive, choices = json.loads(line)
    try:
        with open_source(archive, **choices) as source:
            about = {
                "names": list(source.tensors),
                "warnings": [x for x in source.warnings if "config.json" not in x],
                "sums": {n: float(t.values().sum()) for n, t in source.tensors.items()},
                "config": source.config, "vocabulary": source.vocabulary,
                "archive": source.archive, "file": source.weights_file,
            }
    except AnalyzeError as error:
        about = {"error": str(error), "exit": error.exit_code}
    print(json.dumps(about), flush=True)
"""


class Opener:
    """A process that opens what it is given, with the Hub at `server`."""

    def __init__(self, server: HubServer, cache: Path, **environment: str) -> None:
        kept = {key: x for key, x in os.environ.items() if not key.lower().endswith("_proxy")}
        self._process = subprocess.Popen(
            [sys.executable, "-c", OPEN],
            env={
                **kept,
                "HF_ENDPOINT": server.url("").rstrip("/"),
                "HF_HOME": str(cache / "hf"),
                "ALLENNLP_CACHE_ROOT": str(cache),
                "HF_HUB_ETAG_TIMEOUT": "5",
                **environment,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, archive: str, **choices: Any) -> dict[str, Any]:
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps([archive, choices]) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
