"""Which files the package holds; what it is called and needs is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=find_packages(include=["allennlp_analyze", "allennlp_analyze.*"]),
    package_data={
        "allennlp_analyze": ["py.typed"],
        "allennlp_analyze.data": ["*.json", "published/*", "manifests/*", "schemas/*"],
        "allennlp_analyze.reports.html": ["templates/*"],
    },
    include_package_data=False,
    # As text: before setuptools 77 pyproject.toml takes a table here, which later ones deprecate.
    license="Apache-2.0",
    zip_safe=False,
)
