from pathlib import Path

import pytest

from allennlp_analyze.cli.install import PLUGIN
from allennlp_analyze.cli.main import main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def install() -> int:
    with pytest.raises(SystemExit) as ended:
        main(["--install-plugin"])
    return int(ended.value.code or 0)


def test_line_is_added_once_and_other_lines_stay(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugins = home / ".allennlp" / "plugins"
    plugins.parent.mkdir()
    plugins.write_text("someone_elses_plugin")
    assert install() == 0
    assert install() == 0
    assert plugins.read_text() == f"someone_elses_plugin\n{PLUGIN}\n"
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("added")
    assert "already" in second


def test_file_is_made_where_there_is_none(home: Path) -> None:
    assert install() == 0
    assert (home / ".allennlp" / "plugins").read_text() == f"{PLUGIN}\n"


def test_what_cannot_be_written_is_one_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / ".allennlp").write_text("a file, not a directory")
    assert install() == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "failed to add" in error
