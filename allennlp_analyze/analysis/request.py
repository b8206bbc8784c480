"""The requests of a run: what to read, what to build and what to write."""

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Optional

from allennlp_analyze.options.choices import check_fields, default
from allennlp_analyze.options.figures import figure_format
from allennlp_analyze.sources.formats.registry import without_ending
from allennlp_analyze.text.links import url_path


@dataclass(frozen=True)
class Limits:
    """Limits on the seconds without data from a server, and on the bytes of an unpacked archive.

    `cache` keeps whole files of a URL in the download cache, also if they could be read by parts.

    Raises `OptionError` for an invalid value, like the other classes here.
    """

    timeout: float = default("timeout")
    cache: bool = default("cache")
    max_unpacked_size: int = default("max_unpacked_size")

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Reading:
    """Which model to read, and how; the arguments of `open_source`."""

    archive: str
    weights_file: Optional[str] = default("weights_file")
    sha256: Optional[str] = default("sha256")
    key: Optional[str] = default("key")
    part: Optional[str] = default("part")
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Building:
    """Whether and how to build the modules, which can execute code from the archive."""

    build_model: bool = default("build_model")
    overrides: str = default("overrides")
    include_packages: tuple[str, ...] = default("include_packages")

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Writing:
    """Where to write the reports, whether to replace existing ones, and which figures to draw.

    Without `plots` (None), figures are drawn only if `plot_format` is given. Raises `OptionError`
    for a format of figures that are not to be drawn.
    """

    directory: Path
    force: bool = default("force")
    resume: bool = default("resume")
    plots: Optional[bool] = default("plots")
    plot_format: Optional[str] = default("plot_format")

    def __post_init__(self) -> None:
        check_fields(self)
        figure_format(self.plots, self.plot_format)

    @property
    def figures(self) -> Optional[str]:
        """The format of the figures, or None if none are drawn."""
        return figure_format(self.plots, self.plot_format)


def archive_name(archive: str) -> str:
    """Returns the last part of a path or URL without its ending, used for the output directory."""
    path = url_path(archive) if "://" in archive else archive
    name = PurePosixPath(path).name
    if name in ("", ".."):
        name = Path(path).resolve().name
    return without_ending(name) or "model"


def default_directory(archive: str) -> Path:
    """Returns the default output directory for the reports of `archive`."""
    return Path("analysis") / archive_name(archive)
