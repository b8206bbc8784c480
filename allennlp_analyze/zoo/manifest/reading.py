"""What the user called a zoo, read and checked: a manifest, a directory or a glob."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any, Optional
from urllib.parse import urlsplit

from allennlp_analyze import data
from allennlp_analyze.analysis.pipeline import archive_name
from allennlp_analyze.errors import AnalyzeError, SourceError, UsageError
from allennlp_analyze.reference.table import read_reference
from allennlp_analyze.settings import REFERENCES
from allennlp_analyze.sources.download.cache import SCHEMES, is_url
from allennlp_analyze.sources.formats.registry import MODEL_ENDINGS
from allennlp_analyze.sources.opening import is_sha256
from allennlp_analyze.zoo.manifest.entries import Manifest, ZooEntry
from allennlp_analyze.zoo.manifest.names import distinct, slugs
from allennlp_analyze.zoo.manifest.options import quoted, read_options, text_of, unit_request
from allennlp_analyze.zoo.manifest.records import (
    ARCHIVES,
    YAML_ENDINGS,
    ManifestFile,
    Record,
    read_records,
)
from allennlp_analyze.zoo.manifest.scan import (
    is_glob,
    is_model_file,
    models_below,
    models_matching,
)

__all__ = ["SHIPPED", "Manifest", "ZooEntry", "read_manifest", "slugs", "unit_request"]

# The manifests that the package brings along.
SHIPPED = ("allennlp-2018", "allennlp-public", "torchvision-2018")
MANIFESTS = data.HERE / "manifests"
# How many directories above an archive its name may take in, to differ from others.
_PARENTS = 4


def read_manifest(text: str) -> Manifest:
    """The models that `text`, as the user typed it, stands for; none of them is opened.

    It is the name of one of `SHIPPED` (with .yaml, of one here before that), a YAML or CSV file
    (`read_records` says of what form), a directory, whose models count in all its folders, or a
    glob. In a file, paths are relative to its own directory and ~ is the home directory; a model
    without a name has that of its archive. Of a directory or a glob, names are the paths without
    their endings, and the group is the first folder below the directory.

    Raises `UsageError`, with file and line, for every mistake that shows before a model is opened.
    """
    expanded = os.path.expanduser(text)
    path = Path(expanded)
    if text in SHIPPED:
        return _read_file(_shipped(text), text, text)
    if os.path.isdir(expanded):
        return _of_directory(text, path)
    if os.path.isfile(path):
        return _read_file(path, text, path.stem)
    if path.suffix.lower() in YAML_ENDINGS and path.name == text and path.stem in SHIPPED:
        return _read_file(_shipped(path.stem), path.stem, path.stem)
    if is_url(text):
        raise UsageError(f"{text}: a manifest is read from disk: download it first")
    if is_glob(text):
        base, found = models_matching(text)
        return _of_paths(text, text, base, found)
    raise UsageError(_no_such(text, path))


def _no_such(text: str, path: Path) -> str:
    if text and os.path.exists(path):
        return f"{text}: is not a regular file"
    close = get_close_matches(path.stem, SHIPPED, 1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return (
        f"{text or 'the manifest'}: no such file or directory{meant}"
        f" (manifests that come with this: {', '.join(SHIPPED)})"
    )


def _shipped(name: str) -> Path:
    """Raises `SourceError` when the installation lacks it."""
    path = MANIFESTS / f"{name}{YAML_ENDINGS[0]}"
    if path.is_file():
        return path
    raise SourceError(f"{name}: not in this installation; install allennlp_analyze again")


def _of_directory(text: str, path: Path) -> Manifest:
    return _of_paths(text, path.resolve().name or text, path, models_below(path))


def _of_paths(text: str, title: str, base: Path, paths: Sequence[Path]) -> Manifest:
    if not paths:
        raise UsageError(
            f"{text}: holds no model: no {', '.join(f'*{e}' for e in MODEL_ENDINGS)}, and no"
            " directory with weights.th or model.tar.gz and config.json"
        )
    relative = [path.relative_to(base) for path in paths]
    names = distinct([_names_below(path, base) for path in relative])
    return Manifest(
        title,
        text,
        tuple(
            ZooEntry(name, str(path), below.parts[0] if len(below.parts) > 1 else "", place=text)
            for name, path, below in zip(names, paths, relative)
        ),
    )


def _names_below(path: Path, base: Path) -> tuple[str, ...]:
    """Without its ending, and with it, the path of a model below `base`, which it may be itself."""
    whole = path.as_posix()
    if whole == ".":
        return (base.resolve().name or "model",)
    for ending in MODEL_ENDINGS:
        if whole.lower().endswith(ending) and len(path.name) > len(ending):
            return (whole[: -len(ending)], whole)
    return (whole,)


def _read_file(path: Path, source: str, stem: str) -> Manifest:
    if is_model_file(path.name):
        raise UsageError(
            f"{source}: is one model, not a manifest: leave out `zoo`, or give its directory"
        )
    found = read_records(path, source)
    reader = _Reader(path.parent, found)
    entries = [reader.entry(record) for record in found.records]
    title = stem if found.title is None or not found.title.strip() else found.title
    return Manifest(title, source, _named(entries))


class _Reader:
    """Makes records into entries: every value checked, paths from where the manifest is."""

    def __init__(self, base: Path, found: ManifestFile) -> None:
        self._base = base
        self._references = set(REFERENCES)
        shared = found.shared
        self._group = _text(shared, "group") or ""
        self._options = self._read_options(shared.place, shared.options)

    def entry(self, record: Record) -> ZooEntry:
        """The entry of `record`, whose name is empty where none was given."""
        own = self._read_options(record.place, record.options)
        group = _text(record, "group")
        return ZooEntry(
            name=_text(record, "name") or "",
            archive=self._archive(record),
            group=self._group if group is None else group,
            sha256=_sha256(record),
            options={**self._options, **own} if own else self._options,
            place=record.place,
        )

    def _archive(self, record: Record) -> str:
        given = [key for key in ARCHIVES if key in record.cells]
        if not given:
            raise UsageError(f"{record.place}: says no archive; give a url or a path")
        if len(given) > 1:
            raise UsageError(f"{record.place}: has both {' and '.join(given)}; give one of them")
        (key,) = given
        archive = (_text(record, key) or "").strip()
        if not is_url(archive):
            if key == "url":
                raise UsageError(f"{record.place}: url: {quoted(archive)} is none; is it a path?")
            return self._local(archive)
        reason = "is a URL: call it url" if key == "path" else _refused_url(archive)
        if reason:
            raise UsageError(f"{record.place}: {key}: {quoted(archive)} {reason}")
        return archive

    def _local(self, path: str) -> str:
        # An absolute path stays as it is.
        return str(self._base / os.path.expanduser(path))

    def _read_options(self, place: str, options: Mapping[Any, Any]) -> dict[str, Any]:
        if not options:
            return {}
        try:
            found = read_options(options)
            for name in ("weights_file", "reference"):
                if found.get(name) is not None:
                    found[name] = self._beside(found[name])
            self._check_reference(found.get("reference"))
        except AnalyzeError as error:
            raise UsageError(f"{place}: {error}") from None
        return found

    def _beside(self, name: str) -> str:
        """The file that lies so from the manifest; else `name`, which may be other than a file."""
        if name in REFERENCES or is_url(name):
            return name
        path = self._local(name)
        return path if os.path.isfile(path) else name

    def _check_reference(self, name: Optional[str]) -> None:
        """Raise what `read_reference` raises, which is also said of the command's option."""
        if name is None or name in self._references:
            return
        try:
            read_reference(name)
        except AnalyzeError as error:
            reason = str(error).removeprefix("--reference: ")
            raise UsageError(f"option reference: {reason}") from None
        self._references.add(name)


def _refused_url(url: str) -> str:
    """Why `url` cannot be opened, "" where it may be."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return f"is not a URL ({error})"
    if parts.scheme not in SCHEMES:
        return f"is of another scheme than {', '.join(SCHEMES)}"
    return "" if parts.netloc else "is not a URL: it names no host"


def _text(record: Record, key: str) -> Optional[str]:
    """What the record says under `key`, None for nothing. Raises `UsageError` unless it is text."""
    value = record.cells.get(key)
    if value is None or (key == "group" and value == ""):
        return value
    try:
        return text_of(value)
    except ValueError as error:
        raise UsageError(f"{record.place}: {key}: {error}") from None


def _sha256(record: Record) -> Optional[str]:
    digest = _text(record, "sha256")
    if digest is None:
        return None
    if not is_sha256(digest.strip()):
        raise UsageError(
            f"{record.place}: sha256: {quoted(digest)} is not a SHA-256 digest of 64 hexadecimal"
            " digits"
        )
    return digest.strip().lower()


def _named(entries: Sequence[ZooEntry]) -> tuple[ZooEntry, ...]:
    """Each with a name of its own. Raises `UsageError` where one was given to two models."""
    places: dict[str, str] = {}
    for entry in entries:
        if entry.name in places:
            line = places[entry.name].rpartition(": ")[2]
            raise UsageError(f"{entry.place}: name: {quoted(entry.name)} is that of {line} already")
        if entry.name:
            places[entry.name] = entry.place
    nameless = [entry for entry in entries if not entry.name]
    names = iter(distinct([_names_of(entry.archive) for entry in nameless], places))
    return tuple(entry if entry.name else replace(entry, name=next(names)) for entry in entries)


def _names_of(archive: str) -> Sequence[str]:
    """Names for an archive, short ones first: its file's, that with its directory's, and so on."""
    name = archive_name(archive)
    path = PurePosixPath(urlsplit(archive).path if is_url(archive) else archive)
    parents = [part for part in path.parts[:-1] if part not in ("/", ".", "..")][-_PARENTS:]
    longer = ["/".join((*parents[-count:], name)) for count in range(1, len(parents) + 1)]
    return (name, *longer, archive)
