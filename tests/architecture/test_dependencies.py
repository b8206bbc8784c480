"""What the core needs to be installed: which packages, how many megabytes, and the extras."""

import importlib.metadata
import re
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.commands import ROOT

tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# What the core needs where AllenNLP is not installed, and no more.
CORE = {
    "numpy",
    "scipy",
    "matplotlib",
    "powerlaw",
    "jinja2",
    "rich",
    "tqdm",
    "pyyaml",
    "requests",
    "safetensors",
    "filelock",
    "threadpoolctl",
}
# A fresh environment of `pip install .` with Python 3.11 had 369 MB in November 2026, 20 of them
# pip's and setuptools' own; most of the rest is scipy and numpy.
MOST_MEGABYTES = 400


def closure(lines):
    """The installed packages that `lines` bring along, by name."""
    found, waiting = {}, [Requirement(line) for line in lines]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found[name] = importlib.metadata.distribution(name)
        waiting += [Requirement(line) for line in found[name].requires or ()]
    return found


def test_the_core_needs_exactly_these():
    modern = {"python_version": "3.13", "extra": ""}
    required = [Requirement(line) for line in PROJECT["dependencies"]]
    names = {
        canonicalize_name(requirement.name)
        for requirement in required
        if requirement.marker is None or requirement.marker.evaluate(modern)
    }
    assert names == CORE


def test_advice_to_install_names_an_extra_that_exists():
    """Whatever a message of the package says, `pip install 'allennlp_analyze[...]'` must work."""
    extras = set(PROJECT["optional-dependencies"])
    advice = re.compile(r"pip install '?([\w.]*)\[([\w,-]+)\]")
    found = [
        (path.name, *match)
        for path in (ROOT / "allennlp_analyze").rglob("*.py")
        for match in advice.findall(path.read_text(encoding="utf-8"))
    ]
    assert {extra for _, _, extra in found} >= {"torch", "hub", "pandas", "dask", "gguf", "keras"}
    assert [
        x for x in found if x[1] != "allennlp_analyze" or not set(x[2].split(",")) <= extras
    ] == []


@pytest.mark.skipif(sys.version_info < (3, 11), reason="AllenNLP brings torch and much else")
def test_the_core_is_light_to_install():
    found = closure(PROJECT["dependencies"])
    assert not {"torch", "cached-path", "boto3", "pandas", "distributed"} & set(found)
    assert len(found) <= 35
    sizes = [
        file.locate().stat().st_size
        for package in found.values()
        for file in package.files or ()
        if file.locate().is_file()
    ]
    assert 1e8 < sum(sizes) < MOST_MEGABYTES * 1e6
