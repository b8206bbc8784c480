"""Reads and checks the models of a zoo from a manifest, a directory or a glob."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any, Optional
from urllib.parse import urlsplit

from allennlp_analyze import data
from allennlp_analyze.analysis.request import archive_name
from allennlp_analyze.errors import AnalyzeError, OptionError, SourceError, UsageError
from allennlp_analyze.options.choices import checked
from allennlp_analyze.options.names import REFERENCES
from allennlp_analyze.options.values import quoted, text_of
from allennlp_analyze.reference.table import read_reference
from allennlp_analyze.sources.download.cache import SCHEMES, is_url
from allennlp_analyze.sources.formats.registry import MODEL_ENDINGS, without_ending
from allennlp_analyze.text.links import url_path
from allennlp_analyze.text.lists import enumerated
from allennlp_analyze.text.redaction import redacted, redacted_url
from allennlp_analyze.zoo.manifest.checkpoints import Trained, trainings_among
from allennlp_analyze.zoo.manifest.entries import Manifest, ZooEntry
from allennlp_analyze.zoo.manifest.names import distinct, slugs
from allennlp_analyze.zoo.manifest.options import Choices, model_choices, read_options
from allennlp_analyze.zoo.manifest.records import (
    ARCHIVES,
    YAML_ENDINGS,
    ManifestFile,
    Record,
    read_records,
)
from allennlp_analyze.zoo.manifest.scan import (
    Found,
    is_glob,
    is_model_file,
    models_below,
    models_matching,
)
from allennlp_analyze.zoo.results import ZooRun

__all__ = [
    "SHIPPED",
    "Choices",
    "Manifest",
    "ZooEntry",
    "model_choices",
    "read_manifest",
    "slugs",
]

# The manifests that come with the package.
SHIPPED = ("allennlp-2018", "allennlp-public", "torchvision-2018")
MANIFESTS = data.HERE / "manifests"
# How many parent directories the name of a model may include to be unique.
_PARENTS = 4
# How many files of formats that are not read an error names.
_MAX_UNREAD = 3


def read_manifest(text: str, every_checkpoint: bool = False) -> Manifest:
    """Returns the models for the user's argument `text`, without opening them.

    `text` is one of the names `SHIPPED` (a local file of that name with .yaml takes precedence), a
    YAML or CSV file (see `read_records`), a directory, which is searched recursively, or a glob. In
    a file, paths are relative to its directory and ~ is the home directory; a model without a name
    has that of its archive. For a directory or a glob, names are the paths without their endings,
    and the group is the first folder below the directory. There, one checkpoint of a training is a
    model, and the others are in `runs`, unless `every_checkpoint` is set.

    Raises `UsageError`, with file and line, for every mistake that can be found without opening a
    model.
    """
    expanded = os.path.expanduser(text)
    path = Path(expanded)
    if text in SHIPPED:
        return _read_file(_shipped(text), text, text)
    if os.path.isdir(expanded):
        title = path.resolve().name or text
        return _of_paths(text, title, path, models_below(path), every_checkpoint)
    if os.path.isfile(path):
        return _read_file(path, text, path.stem)
    if path.suffix.lower() in YAML_ENDINGS and path.name == text and path.stem in SHIPPED:
        return _read_file(_shipped(path.stem), path.stem, path.stem)
    if is_url(text):
        raise UsageError(
            f"{redacted_url(text)}: a manifest must be a local file; download it first"
        )
    if is_glob(text):
        base, found = models_matching(text)
        return _of_paths(text, text, base, found, every_checkpoint)
    raise UsageError(_no_such(text, path))


def _no_such(text: str, path: Path) -> str:
    if text and os.path.exists(path):
        return f"{text}: is not a regular file"
    close = get_close_matches(path.stem, SHIPPED, 1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return (
        f"{text if text.strip() else repr(text)}: no such file or directory{meant}"
        f" (shipped manifests: {', '.join(SHIPPED)})"
    )


def _shipped(name: str) -> Path:
    """Returns the path of a shipped manifest. Raises `SourceError` if it is missing."""
    path = MANIFESTS / f"{name}{YAML_ENDINGS[0]}"
    if path.is_file():
        return path
    raise SourceError(f"{name}: missing from this installation; reinstall allennlp_analyze")


def _of_paths(text: str, title: str, base: Path, found: Found, every_checkpoint: bool) -> Manifest:
    trained = () if every_checkpoint else trainings_among(found.models)
    left = {path for one in trained for path in one.others}
    paths = [path for path in found.models if path not in left]
    if not paths:
        others = f"; found but not read: {enumerated(found.unread, _MAX_UNREAD)}"
        raise UsageError(
            f"{text}: contains no model: no {', '.join(f'*{e}' for e in MODEL_ENDINGS)}, and no"
            f" directory with weights.th or model.tar.gz and config.json"
            f"{others if found.unread else ''}"
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
        found.trainer_files,
        found.unread,
        _runs(trained, dict(zip(paths, names)), base),
    )


def _runs(trained: Sequence[Trained], names: Mapping[Path, str], base: Path) -> tuple[ZooRun, ...]:
    """Returns the trainings by the names of the models; one model may stand for several."""
    return tuple(
        ZooRun(
            model=names[one.model],
            why=one.why,
            not_analyzed=tuple(path.relative_to(base).as_posix() for path in one.others),
            follow=one.follow,
        )
        for one in trained
    )


def _names_below(path: Path, base: Path) -> tuple[str, ...]:
    """Returns the path of a model relative to `base`, without and with its ending."""
    full = path.as_posix()
    if full == ".":
        return (base.resolve().name or "model",)
    short = path.with_name(without_ending(path.name)).as_posix()
    return (full,) if short == full else (short, full)


def _read_file(path: Path, source: str, stem: str) -> Manifest:
    if is_model_file(path.name):
        raise UsageError(
            f"{source}: is one model, not a manifest; omit `zoo`, or pass its directory"
        )
    found = read_records(path, source)
    reader = _Reader(path.parent, found)
    entries = [reader.entry(record) for record in found.records]
    title = stem if found.title is None or not found.title.strip() else found.title
    return Manifest(title, source, _named(entries), is_listed=True)


class _Reader:
    """Turns records into entries: checks every value, and resolves paths from the manifest."""

    def __init__(self, base: Path, found: ManifestFile) -> None:
        self._base = base
        self._references = set(REFERENCES)
        shared = found.shared
        self._group = _text(shared, "group") or ""
        self._options = self._read_options(shared.place, shared.options)

    def entry(self, record: Record) -> ZooEntry:
        """Returns the entry of `record`; its name is empty if none was given."""
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
            raise UsageError(f"{record.place}: no archive given; add a url or a path")
        if len(given) > 1:
            raise UsageError(f"{record.place}: has both {' and '.join(given)}; keep one of them")
        (key,) = given
        archive = (_text(record, key) or "").strip()
        if not is_url(archive):
            if key == "url":
                raise UsageError(
                    f"{record.place}: url: {quoted(archive)} is not a URL; did you mean `path`?"
                )
            return self._local(archive)
        reason = "is a URL; did you mean `url`?" if key == "path" else _refused_url(archive)
        if reason:
            raise UsageError(f"{record.place}: {key}: {quoted(archive)} {reason}")
        return archive

    def _local(self, path: str) -> str:
        # An absolute path is not changed.
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
            raise UsageError(f"{place}: {error.text}", *error.advice) from None
        return found

    def _beside(self, name: str) -> str:
        """Returns the file `name` relative to the manifest, or `name` if there is no such file."""
        if name in REFERENCES or is_url(name):
            return name
        path = self._local(name)
        return path if os.path.isfile(path) else name

    def _check_reference(self, name: Optional[str]) -> None:
        """Read the reference. Raises `UsageError` for the errors of `read_reference`."""
        if name is None or name in self._references:
            return
        try:
            read_reference(name)
        except AnalyzeError as error:
            raise UsageError(f"option reference: {error.text}", *error.advice) from None
        self._references.add(name)


def _refused_url(url: str) -> str:
    """Returns why `url` cannot be opened, or "" if it may be."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return f"is not a URL ({redacted(str(error))})"
    if parts.scheme not in SCHEMES:
        return f"has an unsupported scheme; use {', '.join(SCHEMES)}"
    return "" if parts.netloc else "is not a URL: the host is missing"


def _text(record: Record, key: str) -> Optional[str]:
    """Returns the text under `key`, or None. Raises `UsageError` if it is not text."""
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
    try:
        return str(checked("sha256", digest))
    except OptionError as error:
        raise UsageError(f"{record.place}: sha256: {error.reason}") from None


def _named(entries: Sequence[ZooEntry]) -> tuple[ZooEntry, ...]:
    """Give each entry a unique name. Raises `UsageError` if one was given to two models."""
    places: dict[str, str] = {}
    for entry in entries:
        if entry.name in places:
            line = places[entry.name].rpartition(": ")[2]
            raise UsageError(f"{entry.place}: name: {quoted(entry.name)} is already used in {line}")
        if entry.name:
            places[entry.name] = entry.place
    nameless = [entry for entry in entries if not entry.name]
    names = iter(distinct([_names_of(entry.archive) for entry in nameless], places))
    return tuple(entry if entry.name else replace(entry, name=next(names)) for entry in entries)


def _names_of(archive: str) -> Sequence[str]:
    """Returns names for an archive, short ones first: its file, with its directory, and so on."""
    name = archive_name(archive)
    path = PurePosixPath(url_path(archive) if is_url(archive) else archive)
    parents = [part for part in path.parts[:-1] if part not in ("/", ".", "..")][-_PARENTS:]
    longer = ["/".join((*parents[-count:], name)) for count in range(1, len(parents) + 1)]
    return (name, *longer, redacted_url(archive))
