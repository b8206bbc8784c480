"""Downloads from the Hugging Face Hub what one model of a repository needs, to AllenNLP's cache."""

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional
from urllib.parse import unquote

from allennlp_analyze.errors import OutputError, SourceError, UsageError
from allennlp_analyze.options.choices import checked, default
from allennlp_analyze.sources.directories.layouts import is_plain, snapshot
from allennlp_analyze.sources.directories.remote import Chosen, Repository
from allennlp_analyze.sources.download.cache import (
    MISSING_HUB,
    ONE_AT_A_TIME,
    cache_directory,
    reason_of,
    status_of,
)
from allennlp_analyze.sources.download.hub_file import at_commit, repository_in_cache
from allennlp_analyze.sources.download.site import Site
from allennlp_analyze.sources.formats.registry import DISTRIBUTED_METADATA, MODEL_ENDINGS
from allennlp_analyze.storage.files import write_text
from allennlp_analyze.text.lines import excerpt
from allennlp_analyze.text.progress import shows_progress
from allennlp_analyze.text.redaction import redacted_url

ENDPOINT = "HF_ENDPOINT"
_SITES = ("https://huggingface.co", "http://huggingface.co", "https://hf.co")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
# What stands where the name of an owner does, on the site and in hf:// URLs.
_OTHERS = frozenset(
    "api blog collections datasets docs enterprise join learn login models new organizations papers"
    " pricing settings spaces tasks".split()
)
_FROM_CACHE = "could not be reached; using the copy in the cache"
_PASSING = (408, 425, 429)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Address:
    """A repository of models: its name, and the revision if the user named one."""

    name: str
    revision: Optional[str] = None


@dataclass(frozen=True)
class Snapshot:
    """The directory in the cache, and what was chosen for it."""

    path: Path
    chosen: Chosen


def address_of(archive: str) -> Optional[Address]:
    """Returns the repository that a URL stands for; None for a file, and for any other URL.

    `hf://org/name`, `hf://org/name@revision`, and the page of a repository, `/tree/revision` too.
    """
    scheme, _, rest = archive.partition("://")
    if scheme.lower() == "hf":
        name, _, revision = rest.rstrip("/").partition("@")
        return _address(name.split("/"), revision or None)
    sites = (os.environ.get(ENDPOINT, "").rstrip("/"), *_SITES)
    site = next((x for x in sites if x and archive.lower().startswith(f"{x.lower()}/")), None)
    if site is None:
        return None
    pieces = re.split("[?#]", archive[len(site) + 1 :], maxsplit=1)[0].rstrip("/").split("/")
    if len(pieces) == 4 and pieces[2] == "tree":
        return _address(pieces[:2], unquote(pieces[3]))
    return _address(pieces, None) if len(pieces) == 2 else None


def _address(pieces: Sequence[str], revision: Optional[str]) -> Optional[Address]:
    named = all(_NAME.fullmatch(piece) for piece in pieces)
    if not named or len(pieces) > 2 or pieces[0].lower() in _OTHERS:
        return None
    # `hf://gpt2/model.safetensors` is a file of a repository without an owner.
    if len(pieces) == 2 and pieces[1].lower().endswith((*MODEL_ENDINGS, ".json")):
        return None
    return Address("/".join(pieces), revision)


def fetch_repository(
    archive: str,
    address: Address,
    part: Optional[str],
    weights_file: Optional[str],
    is_outside: bool,
    quiet: bool,
    timeout: float = default("timeout"),
    site: Optional[Site] = None,
) -> Snapshot:
    """Download the model that `choosing.choose` picks, or `part` and `weights_file` of the user.

    `is_outside` says that the weights are not in the repository. `site` opens files that are read
    by their parts, in place of a download. If the Hub cannot be reached, the
    copy in the cache is used with a warning. Raises `SourceError`, which begins with the URL.
    """
    timeout = checked("timeout", timeout)
    named = redacted_url(archive)
    try:
        return _Hub(address, named, quiet, timeout, site).fetch(part, weights_file, is_outside)
    except SourceError as error:
        raise SourceError(f"{named}: {error.text}", *error.advice) from None
    except (UsageError, OutputError):
        raise
    except Exception as error:  # huggingface_hub and its HTTP client raise their own classes
        raise SourceError(f"{named}: {_reason(error, archive, address)}") from None


class _Hub:
    def __init__(
        self,
        address: Address,
        named: str,
        quiet: bool,
        timeout: float,
        site: Optional[Site],
    ) -> None:
        try:
            import huggingface_hub.utils
        except ImportError:
            raise SourceError(MISSING_HUB) from None
        self._library: Any = huggingface_hub
        self._address = address
        self._named = named
        self._quiet = not shows_progress(quiet)
        self._timeout = timeout
        self._cache = cache_directory()
        self._site = site

    def fetch(self, part: Optional[str], weights_file: Optional[str], is_outside: bool) -> Snapshot:
        with ONE_AT_A_TIME, self._bars():
            try:
                info = self._library.HfApi().model_info(
                    self._address.name, revision=self._address.revision, timeout=self._timeout
                )
            except Exception as error:
                if not _is_passing(error):
                    raise
                return self._kept(error, part)
            commit = str(info.sha)
            if re.fullmatch("[0-9a-f]{40,64}", commit) is None:
                raise SourceError("the Hub did not say which commit this is")
            names = [str(file.rfilename) for file in info.siblings or ()]
            repository = Repository(names, lambda name: self._file(name, commit), self._tell)
            chosen = repository.choose(part, weights_file, is_outside)
            path = self._repository() / "snapshots" / commit
            if self._site is not None and self._site.stand_ins:
                path = self._beside_stand_ins(self._site, path)
            elif not path.is_dir():
                raise SourceError("has none of the files of a model")
            self._keep(commit)
        return Snapshot(path, chosen)

    def _beside_stand_ins(self, site: Site, path: Path) -> Path:
        """Put what the cache has of a snapshot beside the stand-ins; returns their directory."""
        together = site.directory / path.name
        for file in path.rglob("*"):
            if file.is_file():
                site.link(file, together / file.relative_to(path))
        site.stand_for(together, path)
        return together

    def _keep(self, commit: str) -> None:
        """Record which commit the revision is, for a time when the Hub cannot be reached."""
        ref = self._repository() / "refs" / self._ref()
        with contextlib.suppress(OSError, OutputError):
            ref.parent.mkdir(parents=True, exist_ok=True)
            write_text(ref, commit)

    def _file(self, name: str, commit: str) -> Path:
        if self._site is not None:
            found = at_commit(self._library, self._address.name, name, commit)
            if not found.is_cached:
                path = self._site.directory / commit / name
                if self._site.open(found.url, path, found.headers):
                    return path
                self._site.check(name, found.url)
        return Path(
            self._library.hf_hub_download(
                repo_id=self._address.name,
                filename=name,
                revision=commit,
                cache_dir=str(self._cache),
                etag_timeout=self._timeout,
            )
        )

    def _repository(self) -> Path:
        return repository_in_cache(self._address.name)

    def _ref(self) -> str:
        revision = self._address.revision or "main"
        if not is_plain(revision):
            raise SourceError(f"{excerpt(revision)!r} is not the name of a revision")
        return revision

    def _kept(self, error: Exception, part: Optional[str]) -> Snapshot:
        """Returns the snapshot in the cache, of which `part` is to be read.

        Raises `error` if it has none of this revision.
        """
        repository = self._repository()
        with contextlib.suppress(OSError, UnicodeDecodeError):
            commit = (repository / "refs" / self._ref()).read_text("utf-8").strip()
            self._address = Address(self._address.name, commit)
        if self._address.revision is None:
            try:
                path, _ = snapshot(repository)
            except SourceError:
                raise error from None
        else:
            path = repository / "snapshots" / self._ref()
        if not path.is_dir() or not _has_weights(path):
            raise error
        self._tell(_FROM_CACHE)
        return Snapshot(path, Chosen(part=part and part.strip("/"), warnings=(_FROM_CACHE,)))

    def _tell(self, line: str) -> None:
        logger.warning("%s: %s", self._named, line)

    @contextlib.contextmanager
    def _bars(self) -> Iterator[None]:
        """Without the library's progress bars, if the user wants none."""
        tools = self._library.utils
        if not self._quiet or tools.are_progress_bars_disabled():
            yield
            return
        tools.disable_progress_bars()
        try:
            yield
        finally:
            tools.enable_progress_bars()


def _has_weights(path: Path) -> bool:
    """Whether a snapshot has weights: those that were read by their parts were not kept."""
    return any(
        file.name == DISTRIBUTED_METADATA or file.name.lower().endswith(MODEL_ENDINGS)
        for file in path.rglob("*")
    )


def _is_passing(error: BaseException) -> bool:
    """Whether the Hub cannot be asked now, so that a copy in the cache may be used."""
    status = status_of(error)
    if status is not None:
        return status >= 500 or status in _PASSING
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in (
        *("httpx", "httpcore", "requests", "urllib3"),
    )


def _reason(error: BaseException, url: str, address: Address) -> str:
    """Returns in a few words why a repository could not be downloaded."""
    kind, status = type(error).__name__, status_of(error)
    if kind == "GatedRepoError":
        return "is gated: accept its terms on its page, and set HF_TOKEN to your token"
    if kind == "RepositoryNotFoundError":
        return (
            f"the Hub has no such repository, or it is private (status {status}); for a private"
            " one, set HF_TOKEN to your token"
        )
    if kind == "RevisionNotFoundError":
        return f"has no revision {excerpt(address.revision or 'main')!r}"
    if kind == "OfflineModeIsEnabled":
        return "cannot be reached, since HF_HUB_OFFLINE is set, and the cache has no copy"
    return reason_of(error, url)
