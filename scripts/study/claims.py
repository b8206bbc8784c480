"""Shared by the scripts that repeat the study of 2018: finding files and printing claims."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Optional
from urllib.parse import unquote, urlsplit

import yaml

from allennlp_analyze.errors import UsageError
from allennlp_analyze.sources.download.cache import is_url
from allennlp_analyze.sources.formats.registry import MODEL_ENDINGS
from allennlp_analyze.storage.files import make_directory, write_text
from allennlp_analyze.text.names import printable
from allennlp_analyze.zoo.manifest.reading import ZooEntry
from allennlp_analyze.zoo.results import CLAIM_VERDICTS, Claim, ZooReport

NOT_RUN = CLAIM_VERDICTS[-1]
# A short timeout in seconds, so that the scripts end quickly without network.
TIMEOUT = 5.0


def here_instead(entries: Sequence[ZooEntry], directory: Path, option: str) -> tuple[ZooEntry, ...]:
    """Returns `entries`, with local paths for those whose file is in `directory`.

    A file belongs to the entry whose archive has its name, or else to the entry with the longest
    name that starts the file's name. Raises `UsageError`, naming `option`, if the directory does
    not exist, contains none of the files, or several for one entry.
    """
    if not directory.is_dir():
        raise UsageError(f"{option}: {directory}: no such directory")
    files = sorted(path for path in directory.iterdir() if path.is_file())
    found = {entry.name: _file_of(entry, entries, files, option) for entry in entries}
    if not any(found.values()):
        wanted = ", ".join(file_name(entry) for entry in entries[:3])
        more = ", ..." if len(entries) > 3 else ""
        raise UsageError(f"{option}: {directory}: contains none of the files ({wanted}{more})")
    return tuple(
        entry if path is None else replace(entry, archive=str(path.absolute()))
        for entry in entries
        for path in [found[entry.name]]
    )


def file_name(entry: ZooEntry) -> str:
    """Returns the file name of `entry`."""
    return PurePosixPath(unquote(urlsplit(entry.archive).path)).name


def _file_of(
    entry: ZooEntry, entries: Sequence[ZooEntry], files: Sequence[Path], option: str
) -> Optional[Path]:
    named = [path for path in files if path.name == file_name(entry)]
    if not named:
        weights = [path for path in files if path.name.endswith(MODEL_ENDINGS)]
        named = [path for path in weights if _owner(path, entries) is entry]
    if len(named) > 1:
        names = ", ".join(path.name for path in named)
        raise UsageError(f"{option}: several files for {entry.name}: {names}; keep one of them")
    return named[0] if named else None


def _owner(path: Path, entries: Sequence[ZooEntry]) -> Optional[ZooEntry]:
    """The entry with the longest name that the file's begins with: vgg11_bn's is not vgg11's."""
    owners = [entry for entry in entries if path.name.startswith(entry.name)]
    return max(owners, key=lambda entry: len(entry.name), default=None)


def write_manifest(path: Path, title: str, entries: Iterable[ZooEntry]) -> None:
    """Write the manifest at `path` that names `entries`. Raises `OutputError`."""
    models = [_written(entry) for entry in entries]
    make_directory(path.parent)
    write_text(path, yaml.safe_dump({"title": title, "models": models}, sort_keys=False))


def _written(entry: ZooEntry) -> dict[str, Any]:
    archive = entry.archive if is_url(entry.archive) else _absolute(entry.archive)
    said = {"name": entry.name, "archive": archive, "group": entry.group}
    if entry.sha256 is not None:
        said["sha256"] = entry.sha256
    options = {name: _option(name, value) for name, value in entry.options.items()}
    return {**said, "options": options} if options else said


def _option(name: str, value: Any) -> Any:
    if name in ("reference", "weights_file") and value is not None and Path(value).is_file():
        return _absolute(value)
    return list(value) if isinstance(value, tuple) else value


def _absolute(path: str) -> str:
    """The manifest is in another directory than the one that the user's paths are relative to."""
    return str(Path(path).expanduser().absolute())


def why_nothing(report: ZooReport) -> Optional[str]:
    """Returns why nothing can be judged (no model was analyzed, and the first reason), or None."""
    if report.counted or not report.failed:
        return None
    reason = report.failed[0].outcome.reason
    if len(report.models) == 1:
        return f"the model could not be analyzed: {reason}"
    return f"none of the {len(report.models)} models could be analyzed; the first: {reason}"


def with_part(claims: Iterable[Claim], report: ZooReport) -> tuple[Claim, ...]:
    """Returns `claims`; judged ones get a note if not all models were analyzed."""
    if not report.failed:
        return tuple(claims)
    done = f"{len(report.models) - len(report.failed)} of the {len(report.models)} models"
    return tuple(
        claim
        if claim.verdict == NOT_RUN
        else replace(claim, note=f"{claim.note} Judged on {done}.")
        for claim in claims
    )


def print_claims(claims: Iterable[Claim]) -> None:
    """Print each claim after its verdict, with both sides, and each reason for not running once."""
    said = {""}
    indent = " " * (max(map(len, CLAIM_VERDICTS)) + 2)
    for claim in claims:
        print(f"{claim.verdict.ljust(len(indent))}{printable(claim.claim)}")
        print(f"{indent}  published: {printable(claim.published)}")
        if claim.ours:
            print(f"{indent}  ours: {printable(claim.ours)}")
        if claim.verdict == NOT_RUN and claim.note not in said:
            print(f"{indent}  {printable(claim.note)}")
            said.add(claim.note)
