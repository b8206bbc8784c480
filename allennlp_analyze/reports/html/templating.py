"""Renders self-contained pages: a template with its style, scripts and data."""

import functools
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from allennlp_analyze._version import VERSION

if TYPE_CHECKING:
    from jinja2 import Environment

PACKAGE = "allennlp_analyze.reports.html"
FOLDER = "templates"
# Characters that could end the element with the data.
ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def render_template(
    name: str, scripts: Sequence[str], data: Any, folder: Optional[Path] = None, **context: Any
) -> str:
    """Render the template `name` as one HTML page; every text of `context` is escaped.

    `scripts` are files among the package's templates, in order; `data` becomes the page's JSON. The
    template may also be in `folder` and extend those of the package.
    """
    from markupsafe import Markup

    return (
        _environment(folder)
        .get_template(name)
        .render(
            css=Markup(_file("page.css")),
            script=Markup("\n".join(_file(script) for script in scripts)),
            data=Markup(embedded_json(data)),
            version=VERSION,
            **context,
        )
    )


@functools.cache
def _environment(folder: Optional[Path]) -> "Environment":
    """Returns a shared environment: compiling a template takes longer than rendering it."""
    from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined

    own = PackageLoader(PACKAGE, FOLDER)
    return Environment(
        loader=own if folder is None else ChoiceLoader([FileSystemLoader(folder), own]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def embedded_json(data: Any) -> str:
    """Returns `data` as JSON that is safe inside HTML. Raises `ValueError` for NaN."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character, escape in ESCAPED.items():
        text = text.replace(character, escape)
    return text


def _file(name: str) -> str:
    return (resources.files(PACKAGE) / FOLDER / name).read_text(encoding="utf-8")
