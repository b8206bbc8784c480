"""Writes or checks files that are generated from the code."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Optional

ROOT = Path(__file__).resolve().parent.parent.parent


def write_or_check(
    script: str,
    documentation: Optional[str],
    make: Callable[[], Mapping[Path, str]],
    argv: Optional[list[str]] = None,
) -> int:
    """Write the files that `make` returns; with --check only list those that differ, and return 1.

    `script` is the name of the module to run; the first line of its `documentation` is the
    description of --help.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {script}", description=(documentation or "").split("\n")[0]
    )
    parser.add_argument(
        "--check", action="store_true", help="only check whether the files are up to date"
    )
    options = parser.parse_args(argv)
    code = 0
    for path, text in make().items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        if options.check:
            print(f"{path}: is out of date; run `make generated`", file=sys.stderr)
            code = 1
        else:
            path.write_text(text, encoding="utf-8")
    return code
