"""The package as it is installed: version, dependencies, data, the environments' pins."""

import configparser
import email
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from allennlp_analyze._version import VERSION
from tests.support.commands import ROOT

tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")

PACKAGE = "allennlp_analyze"
EXTRAS = {
    "all",
    "torch",
    "hub",
    "pandas",
    "gguf",
    "keras",
    "dask",
    "torchvision",
    "rank-collapse",
    "lightning",
    "test",
    "formats",
    "browser",
    "docs",
    "lint",
}
CONSTRAINTS = ("constraints.txt", "constraints-standalone.txt", "constraints-formats.txt")
ENVIRONMENTS = dict(zip((".venv", ".venv-standalone", ".venv-formats"), CONSTRAINTS))


def pins(name):
    lines = (ROOT / name).read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built offline by the setuptools of this environment from a copy of the sources."""
    setuptools = pytest.importorskip("setuptools")
    pytest.importorskip("wheel")
    if int(setuptools.__version__.split(".")[0]) < 61:
        pytest.skip("this setuptools is too old to build the package")
    copy = tmp_path_factory.mktemp("sources")
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE", "README.md", PACKAGE):
        subprocess.run(["cp", "-r", str(ROOT / name), str(copy)], check=True)
    built = tmp_path_factory.mktemp("wheel")
    environment = {**os.environ, "PIP_NO_INDEX": "1"}
    # Settings of this machine must not add sources that PIP_NO_INDEX does not cover.
    environment["PIP_CONFIG_FILE"] = os.devnull
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(built), str(copy)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "deprecat" not in done.stdout.lower(), done.stdout
    (path,) = built.glob("*.whl")
    return path


def read(wheel, name):
    """The file of the wheel's .dist-info that is called `name`."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [n for n in archive.namelist() if n.endswith(f".dist-info/{name}")]
        return archive.read(path).decode()


def metadata(wheel):
    return email.message_from_string(read(wheel, "METADATA"))


def requirements(lines):
    """What is required, as pip understands it: names, extras and markers written the one way."""
    found = [Requirement(line) for line in lines]
    for requirement in found:
        requirement.name = canonicalize_name(requirement.name)
    return {str(requirement) for requirement in found}


@pytest.mark.newest_python
def test_the_wheel_says_what_the_package_is(wheel):
    found = metadata(wheel)
    assert canonicalize_name(found["Name"]) == "allennlp-analyze"
    assert found["Version"] == VERSION
    assert found["Requires-Python"].replace(" ", "") == ">=3.9"
    assert found["License"] == "Apache-2.0"
    assert found["Summary"] and found["Description-Content-Type"] == "text/markdown"
    assert found.get_payload().startswith("# allennlp-analyze\n")


def test_the_wheel_requires_what_pyproject_says(wheel):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    expected = requirements(project["dependencies"])
    for extra, lines in project["optional-dependencies"].items():
        for line in lines:
            name, _, marker = line.partition(";")
            marker = f"{marker} and " if marker else ""
            expected |= requirements([f'{name}; {marker}extra == "{extra}"'])
    assert requirements(metadata(wheel).get_all("Requires-Dist")) == expected
    assert set(metadata(wheel).get_all("Provides-Extra")) == EXTRAS


def test_the_wheel_has_every_module_and_the_data_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = ROOT / PACKAGE
    folders = ("data/published", "data/manifests", "data/schemas", "reports/html/templates")
    data = [path for folder in folders for path in (package / folder).iterdir()]
    assert {path.parent.name for path in data} == {Path(folder).name for folder in folders}
    data += (package / "data").glob("*.json")
    wanted = [*package.rglob("*.py"), package / "py.typed", *data]
    assert names == {path.relative_to(ROOT).as_posix() for path in wanted}


def test_allennlp_is_asked_for_only_where_it_works(wheel):
    lines = metadata(wheel).get_all("Requires-Dist")
    marked = {line for line in lines if re.search(r"python_version < .3\.11.", line)}
    asked = [line for line in marked if "extra ==" not in line]
    assert {re.match(r"[\w-]+", line).group() for line in asked} == {"allennlp", "numpy"}
    # 2.0 bounds alpha to [0, 3].
    assert [line for line in lines if line.startswith("powerlaw") and "<2" in line]


def installed_counts(wheel, folder, module, counts):
    """What `counts`, which names the module `m`, gives where the wheel is unpacked."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    code = f"import {module} as m; print(m.__file__); print({counts})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    file, found = done.stdout.splitlines()
    assert Path(file).is_relative_to(folder)
    return found


def test_an_installed_package_has_the_null_law(wheel, tmp_path):
    counts = "[len(m.null_quantiles(9, 8, entries=kind)) for kind in m.Entries]"
    found = installed_counts(wheel, tmp_path, "allennlp_analyze.metrics.null_law", counts)
    assert found == str([8] * 6)


def test_an_installed_package_finds_the_published_tables(wheel, tmp_path):
    counts = "[len(m.read_reference(name).rows) for name in m.REFERENCES]"
    found = installed_counts(wheel, tmp_path, "allennlp_analyze.reference.table", counts)
    assert found == "[16, 17, 32, 7]"


def test_an_installed_package_finds_the_manifests(wheel, tmp_path):
    counts = "[len(m.read_manifest(name).entries) for name in m.SHIPPED]"
    found = installed_counts(wheel, tmp_path, "allennlp_analyze.zoo.manifest.reading", counts)
    assert found == "[5, 34, 19]"


def test_the_wheel_names_the_command(wheel):
    entries = configparser.ConfigParser()
    entries.read_string(read(wheel, "entry_points.txt"))
    assert {name: dict(entries[name]) for name in entries.sections()} == {
        "console_scripts": {"allennlp-analyze": "allennlp_analyze.cli.main:main"}
    }


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_pins_are_exact_and_sorted(name):
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", line) for line in lines)
    names = [line.split("==")[0] for line in lines]
    assert names == sorted(set(names))


def test_pins_of_what_the_numbers_depend_on():
    old, new, formats = (pins(name) for name in CONSTRAINTS)
    assert {name: formats[name] for name in ("torch", "numpy", "powerlaw")} == {
        name: new[name] for name in ("torch", "numpy", "powerlaw")
    }
    assert old["allennlp"] == "2.10.1"
    assert "allennlp" not in new
    assert new["torch"] == "2.13.0"
    assert old["numpy"].startswith("1.")
    assert new["numpy"].startswith("2.")
    assert old["powerlaw"] == new["powerlaw"] == "1.5"


def test_this_environment_is_pinned_in_full():
    """In an environment that the Makefile made, every package has the version of its pin."""
    name = ENVIRONMENTS.get(Path(sys.prefix).name)
    if name is None or Path(sys.prefix).parent != ROOT:
        pytest.skip("these tests do not run in an environment that the Makefile made")
    freeze = [sys.executable, "-m", "pip", "freeze", "--all"]
    done = subprocess.run(freeze, capture_output=True, text=True, check=True)
    pinned = pins(name)
    unpinned = []
    for line in done.stdout.splitlines():
        if line.startswith(("-e ", "#")):
            continue
        package, _, version = line.partition("==")
        package = re.sub(r"[-_.]+", "-", package).lower()
        from_torch = package == "triton" or package.startswith(("nvidia-", "cuda-"))
        ours = package == "allennlp-analyze"
        if not ours and not from_torch and pinned.get(package) != version.split("+")[0]:
            unpinned.append(line)
    assert not unpinned


def test_the_plugin_file_names_a_module_of_the_package():
    (line,) = (ROOT / ".allennlp_plugins").read_text().split()
    assert (ROOT / Path(*line.split("."))).with_suffix(".py").is_file()


SHELL = ("tools/find_python", "tools/make_venv", "tools/install_chromium", "study/analyze_zoo")


@pytest.mark.parametrize("script", [".ci/run", *(f"scripts/{name}.sh" for name in SHELL)])
def test_shell_scripts_parse_and_are_executable(script):
    assert os.access(ROOT / script, os.X_OK)
    subprocess.run(["bash", "-n", str(ROOT / script)], check=True)


def find_python(which, **environment):
    return subprocess.run(
        ["bash", str(ROOT / "scripts" / "tools" / "find_python.sh"), which],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("which", "variable"), [("3.10", "PYTHON310"), ("standalone", "PYTHON_STANDALONE")]
)
def test_a_python_that_does_not_run_is_refused_in_one_line(which, variable):
    done = find_python(which, **{variable: "/nonexistent/python"})
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert f"{variable}=/nonexistent/python" in done.stderr


def test_no_python_310_is_said_in_one_line(tmp_path):
    for tool in ("bash", "dirname", "grep", "sed", "env"):
        for folder in ("/bin", "/usr/bin"):
            if Path(folder, tool).exists() and not (tmp_path / tool).exists():
                (tmp_path / tool).symlink_to(Path(folder, tool))
    done = subprocess.run(
        [str(tmp_path / "bash"), str(ROOT / "scripts" / "tools" / "find_python.sh"), "3.10"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no Python 3.10" in done.stderr
    assert "PYTHON310=" in done.stderr


def test_a_python_310_that_fails_on_path_is_passed_over(tmp_path):
    broken = tmp_path / "python3.10"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    done = find_python("3.10", PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    if done.returncode:
        pytest.skip("no Python 3.10 on this machine")
    version = [done.stdout.strip(), "-c", "import sys; print(sys.version_info[:2])"]
    assert subprocess.run(version, capture_output=True, text=True).stdout == "(3, 10)\n"
    assert done.stdout.strip() != str(broken)
