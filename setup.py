"""Packaging of allennlp_analyze: what it needs, what it installs."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def version() -> str:
    """The version that allennlp_analyze/_version.py states, read without importing the package."""
    text = (ROOT / "allennlp_analyze" / "_version.py").read_text(encoding="utf-8")
    found = re.search(r'^VERSION = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError("allennlp_analyze/_version.py does not state VERSION")
    return found.group(1)


def readme() -> str:
    path = ROOT / "README.md"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


setup(
    name="allennlp_analyze",
    version=version(),
    description="Spectra, ranks and power laws of the weight matrices of AllenNLP model archives",
    long_description=readme(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    classifiers=[
        "Environment :: Console",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    python_requires=">=3.9",
    packages=find_packages(include=["allennlp_analyze", "allennlp_analyze.*"]),
    package_data={
        "allennlp_analyze": ["py.typed"],
        "allennlp_analyze.data": ["published/*", "manifests/*", "schemas/*"],
        "allennlp_analyze.reports.html": ["templates/*"],
    },
    include_package_data=False,
    zip_safe=False,
    install_requires=[
        # AllenNLP 2.10.1, its last release, needs torch < 1.13, which has no wheels from 3.11 on;
        # that torch was built for numpy 1.
        'allennlp>=2.10.1,<3; python_version < "3.11"',
        'numpy<2; python_version < "3.11"',
        "numpy>=1.22",
        "requests",
        "scipy",
        "threadpoolctl>=3",
        "torch>=1.12",
        # powerlaw 2.0 bounds alpha to [0, 3] by default: other numbers than the study's.
        "powerlaw>=1.5,<2",
        "matplotlib>=3.5",
        "tqdm",
        "rich>=12",
        "jinja2>=3",
        "pyyaml",
        "safetensors>=0.3",
        "cached-path>=1.1.3",
        "filelock>=3",
    ],
    extras_require={
        # For `Report.to_dataframe()` alone.
        "pandas": ["pandas>=1.5"],
        # For `zoo --dask`, and for scripts/analyze_imagenet.py.
        "dask": ["distributed>=2024.1"],
        "torchvision": ["torchvision"],
        # For scripts/rank_collapse.py.
        "rank-collapse": ["scikit-learn"],
        # For the monitor's callback; of Hugging Face's Trainer AllenNLP brings its own.
        "lightning": ["lightning"],
        "test": [
            "pandas>=1.5",
            "distributed>=2024.1",
            "pytest>=7",
            "pytest-xdist",
            "pytest-cov",
            "hypothesis",
            "jsonschema",
            "scikit-learn",
            'lightning; python_version >= "3.11"',
            # AllenNLP's torch has no float8.
            'ml_dtypes; python_version >= "3.11"',
        ],
        # The page is tested in Chromium, which the system provides.
        "browser": ["playwright", "axe-playwright-python"],
        "lint": ["ruff", "mypy", "types-PyYAML", "import-linter"],
    },
    entry_points={"console_scripts": ["allennlp-analyze = allennlp_analyze.cli.main:main"]},
)
