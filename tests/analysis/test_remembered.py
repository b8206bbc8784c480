"""What a trial finds is remembered, whoever else finds something at the same time."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from allennlp_analyze.analysis.remembered import REMEMBERED, remembered
from tests.support.downloads import isolate

pytestmark = pytest.mark.newest_python
AT_ONCE = 6


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the file of this test is."""
    isolate(tmp_path, monkeypatch)
    return tmp_path / "cache-root"


def known(found: object) -> bool:
    return isinstance(found, int)


def found_at_once(questions: "list[str]") -> "list[int]":
    """The answers to `questions`, all found at the same time: each has another number."""
    together = Barrier(len(questions))

    def ask(number: int) -> int:
        def find() -> int:
            together.wait(timeout=60)
            return number

        found: int = remembered([questions[number]], known, find)
        return found

    with ThreadPoolExecutor(len(questions)) as pool:
        return list(pool.map(ask, range(len(questions))))


def test_all_use_what_the_first_one_has_found(folder: Path) -> None:
    found = found_at_once(["one"] * AT_ONCE)
    assert len(set(found)) == 1
    assert remembered(["one"], known, lambda: -1) == found[0]
    assert [path.name for path in folder.iterdir()] == [REMEMBERED]


def test_nothing_is_lost() -> None:
    questions = [str(number) for number in range(AT_ONCE)]
    assert found_at_once(questions) == list(range(AT_ONCE))
    again = [remembered([question], known, lambda: -1) for question in questions]
    assert again == list(range(AT_ONCE))


def test_where_nothing_can_be_written_it_is_found_each_time(folder: Path) -> None:
    folder.write_text("a file, not a folder")
    assert remembered(["one"], known, lambda: 1) == 1
    assert remembered(["one"], known, lambda: 2) == 2
