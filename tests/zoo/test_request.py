"""The request of a zoo: what makes no sense is refused, and the name of its directory."""

from pathlib import Path
from typing import Any

import pytest

from allennlp_analyze.errors import UsageError
from allennlp_analyze.zoo.run import ZooRequest, zoo_name


@pytest.mark.parametrize(
    "wrong", [{"workers": 0}, {"force": True, "resume": True}, {"dask": "x", "workers": 2}]
)
def test_a_request_that_makes_no_sense_is_refused(wrong: "dict[str, Any]") -> None:
    with pytest.raises(UsageError):
        ZooRequest("models", Path("zoo"), **wrong)


@pytest.mark.parametrize(
    ("manifest", "name"),
    [
        ("zoos/mine.yaml", "mine"),
        ("allennlp-2018", "allennlp-2018"),
        ("/data/models/", "models"),
        ("/data/*.tar.gz", "tar.gz"),
        ("/", "zoo"),
        ("*", "zoo"),
    ],
)
def test_the_name_of_a_zoo(manifest: str, name: str) -> None:
    assert zoo_name(manifest) == name
