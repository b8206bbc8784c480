import pytest

from allennlp_analyze.errors import OptionError
from allennlp_analyze.settings import Settings


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"kinds": ("lineal",)}, "unknown kind 'lineal'; choose from linear, "),
        ({"kinds": ()}, "names no kind; choose from linear, "),
        ({"layers": "*ff"}, "'\\*ff' is not a regular expression"),
        ({"loose_tolerance": -1.0}, "^loose_tolerance: "),
        ({"loose_tolerance": float("nan")}, "^loose_tolerance: "),
        ({"gamma": float("inf")}, "^gamma: "),
        ({"gamma": -0.5}, "^gamma: "),
        ({"max_dim": 0}, "^max_dim: 0 is not a number >= 1"),
        ({"jobs": 0}, "^jobs: 0"),
        ({"jobs": -2}, "^jobs: -2"),
    ],
)
def test_choices_that_make_no_sense_are_named(choice: "dict[str, object]", message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Settings(**choice)  # type: ignore[arg-type]


def test_defaults_are_valid() -> None:
    assert Settings().kinds is None
