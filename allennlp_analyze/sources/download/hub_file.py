"""Finds the address of one file of the Hugging Face Hub, to read it by its parts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from allennlp_analyze.sources.download.cache import cache_directory


@dataclass(frozen=True)
class HubFile:
    """Where the file is at one commit; `headers` have the user's token, for the Hub alone."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    is_cached: bool = False


def file_of(archive: str, timeout: float) -> Optional[HubFile]:
    """Returns the file at `hf://org/name/file`, or `hf://org/name@revision/file`.

    Returns None for another URL, and if the Hub cannot be asked: a download then says why.
    """
    scheme, _, rest = archive.partition("://")
    pieces = rest.split("/")
    if scheme.lower() != "hf" or len(pieces) < 2:
        return None
    owned = 1 if len(pieces) == 2 else 2
    name, _, revision = "/".join(pieces[:owned]).partition("@")
    file = "/".join(pieces[owned:])
    try:
        import huggingface_hub as library

        url = library.hf_hub_url(name, file, revision=revision or None)
        found = library.get_hf_file_metadata(url, timeout=timeout)
        commit = str(found.commit_hash)
        return at_commit(library, name, file, commit)
    except Exception:  # the library and its HTTP client raise their own classes
        return None


def repository_in_cache(name: str) -> Path:
    """Returns the directory of the repository `name` in the cache."""
    return cache_directory() / f"models--{name.replace('/', '--')}"


def at_commit(library: Any, name: str, file: str, commit: str) -> HubFile:
    """Returns a file of the repository `name` at a commit; `library` is huggingface_hub."""
    kept = repository_in_cache(name) / "snapshots" / commit / file
    return HubFile(
        library.hf_hub_url(name, file, revision=commit),
        library.utils.build_hf_headers(),
        kept.is_file(),
    )
