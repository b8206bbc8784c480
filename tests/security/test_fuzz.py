"""Every reader takes changed files with a result or one line, in little time and memory.

What was found before lies in corpus/<reader>/, one directory an input, and is read each time.
`make fuzz` goes on for FUZZ seconds, and writes what it finds there.
"""

import os
import time
import warnings
from pathlib import Path

import pytest

from allennlp_analyze.sources.formats.registry import FORMATS
from tests.support.fuzz_seeds import WEIGHTS, readers
from tests.support.fuzzing import Limits, fault, keep, mutation, write_files

pytestmark = [
    pytest.mark.newest_python,
    pytest.mark.no_cover,  # which would take from its time
    pytest.mark.skipif(os.name == "nt", reason="its timer is that of POSIX"),
]
CORPUS = Path(__file__).parent / "corpus"
FUZZ = float(os.environ.get("FUZZ", "0"))
FIRST = int(os.environ.get("FUZZ_FIRST", "0"))
IN_CI = 15
READERS = readers()
# Measured on their own; in CI other tests run at the same time.
LIMITS = Limits(seconds=2 if FUZZ else 10, nbytes=64 << 20)


def test_every_format_of_the_registry_has_seeds() -> None:
    assert {type(known).__name__ for known in FORMATS} == set(WEIGHTS)


@pytest.mark.parametrize("name", READERS)
def test_the_seeds_are_valid(name: str, tmp_path: Path) -> None:
    for number, files in enumerate(READERS[name].seeds()):
        write_files(files, tmp_path / str(number))
        READERS[name].read(tmp_path / str(number))
        assert sum(map(len, files.values())) < 200_000  # a mutation is one of few places


@pytest.mark.parametrize("name", READERS)
@pytest.mark.filterwarnings("ignore")
def test_what_was_found_before(name: str) -> None:
    for found in sorted(CORPUS.glob(f"{name}/*/")):
        assert fault(READERS[name], found, LIMITS) is None, found


@pytest.mark.parametrize("name", READERS)
@pytest.mark.filterwarnings("ignore")
def test_changed_files(name: str, tmp_path: Path) -> None:
    reader, seeds = READERS[name], READERS[name].seeds()
    until = time.monotonic() + FUZZ / len(READERS)
    number, found = FIRST, {}
    while time.monotonic() < until if FUZZ else number < IN_CI:
        files = mutation(seeds, number)
        write_files(files, tmp_path / "input")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reason = fault(reader, tmp_path / "input", LIMITS)
        if reason is not None:
            found[number] = f"{keep(files, CORPUS / name)}: {reason}"
            if len(found) > 20:
                break
        number += 1
    if FUZZ:
        print(f"{name}: {number - FIRST} inputs, {len(found)} faults", flush=True)
    assert not found
