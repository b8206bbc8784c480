"""Hooks of mkdocs: pages of files outside docs/, links that lead to them, names of landmarks.

SECURITY.md, CHANGELOG.md and CONTRIBUTING.md stand at the top of the checkout, where readers of
code look for them; here they are pages of the site, with their links rewritten. The schemas are
files of the site, and examples/ is a page with the text of each script.
"""

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = "how-to/examples.md"
SCHEMAS = "allennlp_analyze/data/schemas"
# Files of the checkout, and the pages of the site that they are.
PAGES = {
    "SECURITY.md": "explanation/security.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_EMPTY_HEAD = re.compile(r"<thead>\s*<tr>\s*(?:<th[^>]*></th>\s*)+</tr>\s*</thead>\s*")
_EMPTY_TITLE = re.compile(r"<th([^>]*)></th>")
_TAG = re.compile(r"<[^>]*>")
# A list of pages, and the title that stands in it.
_LIST_OF_PAGES = re.compile(
    r'(?P<start><nav class="md-nav" data-md-level="\d")'
    r' aria-labelledby="(?P<name>__nav_\w+)_label"'
    r'(?P<rest>[^>]*>\s*<label class="md-nav__title" for="(?P=name)">(?P<title>.*?)</label>)',
    re.DOTALL,
)
_ELSEWHERE = re.compile(r"[a-z]+:", re.IGNORECASE)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages and files whose sources are outside docs/."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    for path in sorted((ROOT / SCHEMAS).glob("*.json")):
        files.append(
            File.generated(config, f"reference/schemas/{path.name}", abs_src_path=str(path))
        )
    files.append(File.generated(config, EXAMPLES, content=examples_page()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Make links to files outside docs/ links to their pages."""
    place = page.file.src_uri
    return with_links(markdown, place)


def with_links(markdown: str, place: str) -> str:
    """The text of the page `place`, with links as the site needs them."""
    sources = {page: source for source, page in PAGES.items()}
    directory = posixpath.dirname(sources.get(place, f"docs/{place}"))
    here = posixpath.dirname(place) or "."

    def rewritten(found: "re.Match[str]") -> str:
        if _ELSEWHERE.match(found[2]):
            return found[0]
        target = posixpath.normpath(posixpath.join(directory, found[2]))
        return f"{found[1]}{posixpath.relpath(_page_of(target), here)}{found[3]}"

    return _LINK.sub(rewritten, markdown)


def _page_of(path: str) -> str:
    """The page or file of the site that has what `path` of the checkout has.

    What has none stays as it is, which a strict build refuses.
    """
    if path == "examples" or path.startswith("examples/"):
        return EXAMPLES
    if path.startswith(f"{SCHEMAS}/"):
        return f"reference/schemas/{posixpath.basename(path)}"
    return PAGES.get(path, posixpath.relpath(path, "docs"))


def examples_page() -> str:
    """The scripts of examples/, each with its text."""
    parts = [
        "# Scripts to copy",
        "Each of them is in `examples/`, is run by the tests, and is short enough to change.",
    ]
    paths = [*sorted((ROOT / "examples").glob("*.py")), *_below("rank_monitor")]
    for path in paths:
        name = path.relative_to(ROOT / "examples").as_posix()
        language = {".py": "python", ".jsonnet": "json"}[path.suffix]
        text = path.read_text(encoding="utf-8").rstrip()
        parts += [f"## {name}", f"```{language}\n{text}\n```"]
    return "\n\n".join(parts) + "\n"


def _below(directory: str) -> "list[Path]":
    paths = sorted((ROOT / "examples" / directory).rglob("*"))
    return [path for path in paths if path.suffix in (".py", ".jsonnet") and os.path.isfile(path)]


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Leave out the head of a table without titles; a cell without one is no title."""
    html = _EMPTY_HEAD.sub("", html)
    return _EMPTY_TITLE.sub(r"<td\1></td>", html)


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Name what the theme leaves without a name: the search, and the lists of pages."""
    output = output.replace('role="dialog"', 'role="dialog" aria-label="Search"', 1)
    return _LIST_OF_PAGES.sub(_named, output)


def _named(found: "re.Match[str]") -> str:
    title = " ".join(_TAG.sub(" ", found["title"]).split())
    return f'{found["start"]} aria-label="Pages of {title}"{found["rest"]}'
