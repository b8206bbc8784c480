"""A server on the loopback interface that answers as the Hugging Face Hub does to its own client.

Written from the requests that huggingface_hub sends and the headers that it reads: the list of a
repository's files at a commit, `resolve` with the commit and the digest, redirects of large files.
"""

import hashlib
import json
from collections.abc import Mapping
from urllib.parse import unquote

from tests.support.http_server import Exchange, File, HttpServer

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
