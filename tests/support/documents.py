"""The fenced blocks of the documents, and a shell that runs their commands and keeps the output."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.commands import ONE_THREAD, ROOT

PAGES = sorted((ROOT / "docs").rglob("*.md"))
# In a page with this comment the words of an output are compared, not its numbers.
NUMBERS_VARY = "<!-- numbers vary"
_FENCE = re.compile(r"^```(\w*)(?: title=\"(.*?)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.])-?\d[\d.]*(?:e-?\d+)?%?(?:(?:,| and) -?\d[\d.]*)*")
_MARK = "-- the exit code was"


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its `title` ("" without), its text, and where it begins."""

    language: str
    title: str
    text: str
    line: int


@dataclass(frozen=True)
class Command:
    """A command of a console block, and the output that the page shows below it."""

    typed: str
    shown: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1], found[2] or "", found[3], text.count("\n", 0, found.start()) + 1)
        for found in _FENCE.finditer(text)
    ]


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block: `$ ` begins one, a backslash continues it."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        lines = part.split("\n")
        end = next(i for i, line in enumerate(lines) if not line.endswith("\\")) + 1
        yield Command("\n".join(lines[:end]), "\n".join(lines[end:]))


# The training of several lessons is seeded: what it has written and printed once is kept.
_PYTHON = """if [ "$1" = examples/weight_decay.py ]; then
    kept={kept}/$2
    if [ ! -d "$kept" ]; then
        new=$(mktemp -d {kept}/XXXXXX) && (cd "$new" && {python} {root}/$1 "$2" model.pt > said) &&
            {{ mv -T "$new" "$kept" 2> /dev/null || [ -d "$kept" ]; }} || exit
    fi
    cp "$kept/model.pt" "$3" && sed "s|^model.pt:|$3:|" "$kept/said"
    exit
fi
exec {python} "$@"
"""


def shell(typed: list[str], directory: Path, kept: Path) -> list[str]:
    """What each of the commands prints on both streams, in one shell in `directory`.

    There, `fixtures` and `examples` are those of the checkout, and the commands `allennlp-analyze`,
    `python` and `dask` those of this Python. What the shell leaves running ends with it.
    Shells with the same directory `kept` train what lessons share once.
    """
    programs = directory.parent / f"{directory.name}-programs"
    programs.mkdir()
    python = shlex.quote(sys.executable)
    scripts = {
        "allennlp-analyze": f'exec {python} -m allennlp_analyze "$@"\n',
        "dask": f'exec {python} -m dask "$@"\n',
        "python": _PYTHON.format(
            python=python, kept=shlex.quote(str(kept)), root=shlex.quote(str(ROOT))
        ),
    }
    for name, script in scripts.items():
        path = programs / name
        path.write_text(f"#!/bin/sh\n{script}")
        path.chmod(0o755)
    for name in ("fixtures", "examples"):
        (directory / name).symlink_to(ROOT / name)
    # The exit code of a command stays `$?` for the next one.
    script = "\n".join(f'{x}\ncode=$?; echo "{_MARK} $code"; (exit $code)' for x in typed)
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "100",
        "PYTHONWARNINGS": "ignore",
        **ONE_THREAD,
    }
    process = subprocess.Popen(
        ["bash", "-c", script],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=600)
    finally:
        if process.poll() is None or "&" in script:
            try:
                os.killpg(process.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
    return re.split(rf"{_MARK} \d+\n", printed)[:-1]


def same(shown: str, printed: str, numbers_vary: bool = False) -> bool:
    """Whether a page shows what was printed; `...` stands for anything, on its own for lines."""
    if numbers_vary:
        shown, printed = (" ".join(_NUMBER.sub("#", text).split()) for text in (shown, printed))
        parts = re.split(r"\.\.\.", shown)
        return re.fullmatch(".*".join(map(re.escape, parts)), printed) is not None
    pattern = ""
    for line in _trimmed(shown):
        if line == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(map(re.escape, line.split("..."))) + r"\n"
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _trimmed(printed))) is not None


def _trimmed(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").split("\n") if text.strip()]
