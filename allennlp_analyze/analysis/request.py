"""What a run is asked for: what to read, what to build, what to write."""

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Optional
from urllib.parse import urlsplit

from allennlp_analyze.options.choices import check_fields, default
from allennlp_analyze.sources.formats.registry import MODEL_ENDINGS


@dataclass(frozen=True)
class Limits:
    """How many seconds a server may be silent, how many bytes an archive may unpack to.

    Raises `OptionError`, as the others here.
    """

    timeout: float = default("timeout")
    max_unpacked_size: int = default("max_unpacked_size")

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Reading:
    """Which model to read, and how: what `open_source` understands."""

    archive: str
    weights_file: Optional[str] = default("weights_file")
    sha256: Optional[str] = default("sha256")
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Building:
    """Whether the modules are built, which can execute code from the archive, and of what."""

    build_model: bool = default("build_model")
    overrides: str = default("overrides")
    include_packages: tuple[str, ...] = default("include_packages")

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Writing:
    """Where the reports go, what becomes of those that are there, and which figures are drawn."""

    directory: Path
    force: bool = default("force")
    resume: bool = default("resume")
    plots: bool = default("plots")
    plot_format: str = default("plot_format")

    def __post_init__(self) -> None:
        check_fields(self)


def archive_name(archive: str) -> str:
    """The last part of a path or URL without its ending: what the output directory is called."""
    path = urlsplit(archive).path if "://" in archive else archive
    name = PurePosixPath(path).name
    if name in ("", ".."):
        name = Path(path).resolve().name
    for ending in MODEL_ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name or "model"


def default_directory(archive: str) -> Path:
    """Where the reports of `archive` go unless the user says otherwise."""
    return Path("analysis") / archive_name(archive)
