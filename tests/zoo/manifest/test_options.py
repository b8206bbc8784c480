"""The options of a model of a zoo mean what they mean on the command line."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.analysis.request import Building, Limits
from allennlp_analyze.cli.main import make_parser
from allennlp_analyze.cli.options import chosen
from allennlp_analyze.cli.wording import spelled
from allennlp_analyze.errors import UsageError
from allennlp_analyze.options.choices import laid_over
from allennlp_analyze.options.names import KINDS
from allennlp_analyze.options.option import Place, options_at
from allennlp_analyze.options.table import TABLE
from allennlp_analyze.settings import Settings
from allennlp_analyze.text.sizes import UNITS, parse_size, size_text
from allennlp_analyze.zoo.manifest.options import OPTIONS, read_options
from allennlp_analyze.zoo.manifest.reading import Choices, ZooEntry, model_choices

pytestmark = pytest.mark.newest_python
SHARED = Choices(limits=Limits(timeout=5))
TRUSTED = dataclasses.replace(SHARED, building=Building(build_model=True))

# As YAML has it, as a CSV's cell has it, and as the command line has it.
SAME: "list[tuple[str, Any, str, list[str]]]" = [
    ("kinds", ["linear", "recurrent"], "linear, recurrent", ["--kinds", "linear,recurrent"]),
    ("layers", "elmo|fc", "elmo|fc", ["--layers", "elmo|fc"]),
    ("split-gates", True, "yes", ["--split-gates"]),
    ("split-heads", True, "yes", ["--split-heads"]),
    ("loose_tolerance", 0.01, "1e-2", ["--loose-tolerance", "0.01"]),
    ("gamma", 3, "3", ["--gamma", "3"]),
    ("compare-distributions", True, "TRUE", ["--compare-distributions"]),
    ("uncertainty", True, "true", ["--uncertainty"]),
    ("max_dim", 100, "100", ["--max-dim", "100"]),
    ("cache", True, "true", ["--cache"]),
    ("cuda_device", 1, "1", ["--cuda-device", "1"]),
    ("eigensolver", "mkl", "mkl", ["--eigensolver", "mkl"]),
    ("weights-file", "best.th", "best.th", ["--weights-file", "best.th"]),
    ("part", "unet", "unet", ["--model", "unet"]),
    ("key", "model.ema", "model.ema", ["--key", "model.ema"]),
    ("timeout", 2.5, "2.5", ["--timeout", "2.5"]),
    ("max-unpacked-size", 3 * 2**30, "3G", ["--max-unpacked-size", "3GiB"]),
    ("reference", "ner-2018", "ner-2018", ["--reference", "ner-2018"]),
    ("no-plots", True, "true", ["--no-plots"]),
    ("plots", False, "false", ["--no-plots"]),
    ("plot_format", "svg", "svg", ["--plot-format", "svg"]),
    ("build_model", True, "1", ["--build-model"]),
    ("overrides", {"a": [1, None]}, '{"a": [1, null]}', ["--overrides", '{"a": [1, null]}']),
    ("include-package", ["p", "q"], "p,q", ["--include-package", "p", "--include-package", "q"]),
]


def entry(**options: Any) -> ZooEntry:
    return ZooEntry("model", "model.tar.gz", options=options, place="zoo.yaml: line 3")


@pytest.mark.parametrize(("option", "value", "cell", "arguments"), SAME, ids=lambda x: str(x)[:20])
def test_an_option_is_that_of_the_command(
    option: str, value: Any, cell: str, arguments: "list[str]"
) -> None:
    args = make_parser().parse_args(["model.tar.gz", *arguments])
    building = Building(build_model=option == "build_model")
    expected = laid_over(Choices(building=building), chosen(args, Place.ANALYZE))
    for written in (value, cell):
        found = model_choices(entry(**{option: written}), Choices(building=building))
        assert found.figures == expected.figures
        assert dataclasses.replace(found, plots=expected.plots) == expected


def test_every_choice_about_one_model_is_an_option() -> None:
    fields = dataclasses.fields(Choices) + tuple(
        field for kind in (Settings, Limits, Building) for field in dataclasses.fields(kind)
    )
    names = {field.name for field in fields} - {"settings", "limits", "building"}
    assert set(OPTIONS) == names - {"jobs"}
    tried = {name.replace("-", "_") for name, *_ in SAME} - {"no_plots", "include_package"}
    assert tried | {"include_packages"} == set(OPTIONS)
    known = options_at(Place.ANALYZE, TABLE)
    assert set(OPTIONS) <= set(known)


def test_options_come_over_what_is_shared() -> None:
    settings = Settings(kinds=("linear",), gamma=2.0, jobs=1)
    shared = dataclasses.replace(SHARED, settings=settings)
    found = model_choices(entry(gamma=None, kinds="other"), shared)
    assert found.settings == dataclasses.replace(settings, kinds=("other",))
    assert found == dataclasses.replace(shared, settings=found.settings)
    found = model_choices(entry(plots="on"), shared)
    assert (found.plots, found.limits.timeout) == (True, 5)


@given(st.sets(st.sampled_from(KINDS), min_size=1), st.floats(0, 1e6), st.booleans())
def test_what_was_read_reads_the_same_again(kinds: "set[str]", gamma: float, flag: bool) -> None:
    once = read_options({"kinds": ",".join(kinds), "gamma": repr(gamma), "no-plots": str(flag)})
    assert once == {"kinds": tuple(kinds), "gamma": gamma, "plots": not flag}
    assert read_options(once) == once


def test_a_manifest_cannot_have_code_executed() -> None:
    for value in (True, "1"):
        with pytest.raises(UsageError) as caught:
            model_choices(entry(build_model=value), SHARED)
        line = "zoo.yaml: line 3: option build_model: can execute code from the archive; "
        assert str(caught.value).startswith(line)
        assert str(caught.value).endswith("use build_model=True for archives that you trust")
        assert caught.value.worded(spelled).endswith(
            "use --build-model for archives that you trust"
        )
    assert model_choices(entry(build_model=True), TRUSTED).building.build_model
    assert not model_choices(entry(build_model=False), TRUSTED).building.build_model
    found = model_choices(entry(overrides="{}", include_package="os"), SHARED)
    assert not found.building.build_model


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "linear"}, "unknown option 'kind'; did you mean kinds?"),
        ({"jobs": 2}, "unknown option 'jobs'"),
        ({"sha256": "ab" * 32}, "unknown option 'sha256'"),
        ({"output_dir": "/tmp"}, "unknown option 'output_dir'"),
        ({5: 5}, "unknown option 5"),
        ({"kinds": "lstm"}, "option kinds: unknown kind 'lstm'"),
        ({"kinds": 3}, "option kinds: 3 is not a list of names"),
        ({"kinds": ["linear", 3]}, "option kinds: 3 is not text"),
        ({"kinds": []}, "option kinds: [] names no kind; choose from linear"),
        ({"kinds": ["linear", ""]}, "option kinds: '' is empty"),
        ({"layers": "("}, "option layers: '(' is not a regular expression"),
        ({"layers": 5}, "option layers: 5 is not text; put it in quotes"),
        ({"split_gates": "maybe"}, "option split_gates: 'maybe' must be true or false"),
        ({"split_gates": 2}, "option split_gates: 2 must be true or false"),
        ({"gamma": "x"}, "option gamma: 'x' is not a number"),
        ({"gamma": True}, "option gamma: True is not a number"),
        ({"gamma": "1_000"}, "option gamma: '1_000' is not a number"),
        ({"gamma": float("nan")}, "option gamma: nan is not a number"),
        ({"gamma": 10**400}, "option gamma: 1000"),
        ({"gamma": -1}, "option gamma: -1 is not a number >= 0"),
        ({"max_dim": 1.5}, "option max_dim: 1.5 is not a whole number"),
        ({"max_dim": 0}, "option max_dim: 0 is not a number >= 1"),
        ({"max_dim": 10**300}, "option max_dim: 1"),
        (
            {"timeout": 0},
            "option timeout: 0 must be a finite number of seconds above 0",
        ),
        ({"max_unpacked_size": "20 cows"}, "option max_unpacked_size: '20 cows' is not a size"),
        ({"max_unpacked_size": 2.5}, "option max_unpacked_size: 2.5 is not a size"),
        ({"max_unpacked_size": -1}, "option max_unpacked_size: -1 is not a size"),
        ({"plot_format": "gif"}, "option plot_format: 'gif' is not one of png, svg, pdf"),
        ({"weights_file": ""}, "option weights_file: '' is empty"),
        ({"overrides": [1]}, "option overrides: [1] is not text"),
        ({"overrides": {1j: 2}}, "option overrides: {1j: 2} cannot be converted to JSON"),
        ({"plots": True, "no-plots": True}, "option no-plots: given twice"),
        ({"split-gates": True, "split_gates": True}, "option split_gates: given twice"),
        ({"x" * 10**6: 1}, "unknown option 'xxx"),
    ],
    ids=lambda x: str(x)[:40],
)
def test_what_cannot_be_is_one_line_with_the_option(
    options: "dict[Any, Any]", message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read_options(options)
    assert str(caught.value).startswith(message) and len(str(caught.value)) < 500


@given(st.integers(1, 10**17), st.sampled_from(sorted(UNITS)), st.sampled_from(["", "B", "iB"]))
def test_sizes_are_powers_of_1024(number: int, unit: str, ending: str) -> None:
    power = "KMGT".index(unit) + 1 if unit else 0
    assert parse_size(f" {number}{unit.lower()}{ending}\n") == number * 1024**power
    assert parse_size(f"{number}{unit}") == number << 10 * power
    shown = size_text(number << 10 * power).replace(" bytes", "B")
    assert parse_size(shown) == number << 10 * power


@given(st.text() | st.sampled_from(["0", "0G", "-1", "1\u212a", "1.5G", "G", "٣", "1 G", "1e9"]))
def test_what_is_no_size_is_refused(text: str) -> None:
    digits = text.strip().upper().removesuffix("B").removesuffix("I")[:-1] or text.strip()
    if digits.isascii() and digits.isdigit():
        return
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)
