"""Where tests lie: as the packages do, but for what crosses them."""

from pathlib import Path

import pytest

from tests.support.commands import ROOT

pytestmark = pytest.mark.newest_python
TESTS = ROOT / "tests"
# What concerns several packages, or none.
CROSSING = {"architecture", "browser", "docs", "experiments", "formats", "security", "support"}


def folders() -> "list[Path]":
    """Every folder of tests, relative to tests/."""
    every = {path.parent.relative_to(TESTS) for path in TESTS.rglob("*.py")}
    return sorted(every - {Path()})


@pytest.mark.parametrize("folder", folders(), ids=str)
def test_a_folder_is_that_of_a_package_or_crosses_them(folder: Path) -> None:
    in_package = (ROOT / "allennlp_analyze" / folder / "__init__.py").is_file()
    assert in_package or folder.parts[0] in CROSSING
    assert (TESTS / folder / "__init__.py").is_file()


@pytest.mark.parametrize("name", sorted(CROSSING))
def test_what_crosses_packages_is_no_package_itself(name: str) -> None:
    assert (TESTS / name).is_dir()
    assert not (ROOT / "allennlp_analyze" / name).exists()
