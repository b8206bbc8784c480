"""The lists of figures in docs/ are those that the commands draw."""

from pathlib import Path

import pytest

from scripts.tools import make_figure_docs

pytestmark = pytest.mark.newest_python


def test_the_lists_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert make_figure_docs.main(["--check"]) == 0, capsys.readouterr().err


def test_a_page_without_a_list_is_refused_and_an_old_one_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "reports.md"
    monkeypatch.setattr(make_figure_docs, "PAGES", {"model": page})
    page.write_text("<!-- figures: zoo -->\n<!-- end -->\n")
    with pytest.raises(ValueError, match="figures: model"):
        make_figure_docs.main([])
    page.write_text("# Figures\n\n<!-- figures: model -->\nold\n<!-- end -->\n\nend\n")
    assert make_figure_docs.main(["--check"]) == 1
    assert str(page) in capsys.readouterr().err
    assert make_figure_docs.main([]) == 0 and make_figure_docs.main(["--check"]) == 0
    text = page.read_text()
    assert text.startswith("# Figures\n\n<!-- figures: model -->\n\n| file | shows |\n")
    assert "| `rank_loss` | Bars" in text and text.endswith("<!-- end -->\n\nend\n")
    assert "old" not in text
