"""The options of a model of a zoo mean what they mean on the command line."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allennlp_analyze.analysis.pipeline import Request
from allennlp_analyze.cli.main import make_parser
from allennlp_analyze.cli.options import settings_from
from allennlp_analyze.errors import UsageError
from allennlp_analyze.settings import KINDS, Settings
from allennlp_analyze.text.sizes import UNITS, parse_size
from allennlp_analyze.zoo.manifest.options import OPTIONS, read_options
from allennlp_analyze.zoo.manifest.reading import ZooEntry, unit_request

pytestmark = pytest.mark.newest_python
SHARED = Request(archive="", plots=False, timeout=5, output_dir=Path("out"), quiet=True)
TRUSTED = dataclasses.replace(SHARED, build_model=True)

# As YAML has it, as a CSV's cell has it, and as the command line has it.
SAME: "list[tuple[str, Any, str, list[str]]]" = [
    ("kinds", ["linear", "recurrent"], "linear, recurrent", ["--kinds", "linear,recurrent"]),
    ("layers", "elmo|fc", "elmo|fc", ["--layers", "elmo|fc"]),
    ("split-gates", True, "yes", ["--split-gates"]),
    ("loose_tolerance", 0.01, "1e-2", ["--loose-tolerance", "0.01"]),
    ("gamma", 3, "3", ["--gamma", "3"]),
    ("compare-distributions", True, "TRUE", ["--compare-distributions"]),
    ("max_dim", 100, "100", ["--max-dim", "100"]),
    ("cuda_device", 1, "1", ["--cuda-device", "1"]),
    ("weights-file", "best.th", "best.th", ["--weights-file", "best.th"]),
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


def refusal(**options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        unit_request(entry(**options), SHARED, Settings())
    text = str(caught.value)
    assert text.startswith("zoo.yaml: line 3: ") and "\n" not in text
    return text.split(": ", 2)[2]


@pytest.mark.parametrize(("option", "value", "cell", "arguments"), SAME, ids=lambda x: str(x)[:20])
def test_an_option_is_that_of_the_command(
    option: str, value: Any, cell: str, arguments: "list[str]"
) -> None:
    args = make_parser().parse_args(["model.tar.gz", *arguments])
    expected = settings_from(args)
    plain = Request(archive="", build_model=option == "build_model")
    for written in (value, cell):
        request, settings = unit_request(entry(**{option: written}), plain, Settings())
        assert settings == expected
        assert (request.archive, request.plots) == ("model.tar.gz", not args.no_plots)
        assert request.include_packages == tuple(args.include_package)
        for name in ("weights_file", "timeout", "max_unpacked_size", "build_model"):
            assert getattr(request, name) == getattr(args, name)
        for name in ("overrides", "plot_format", "reference"):
            assert getattr(request, name) == getattr(args, name)


def test_every_choice_about_one_model_is_an_option() -> None:
    of_settings = {field.name for field in dataclasses.fields(Settings)} - {"jobs"}
    of_run = {"archive", "output_dir", "force", "resume", "sha256", "quiet", "startup"}
    of_request = {field.name for field in dataclasses.fields(Request)} - of_run
    assert set(OPTIONS) == of_settings | of_request
    tried = {name.replace("-", "_") for name, *_ in SAME} - {"no_plots", "include_package"}
    assert tried | {"include_packages"} == set(OPTIONS)


def test_options_come_over_what_is_shared() -> None:
    shared = Settings(kinds=("linear",), gamma=2.0, jobs=1)
    request, settings = unit_request(entry(gamma=None, kinds="other"), SHARED, shared)
    assert settings == dataclasses.replace(shared, kinds=("other",))
    assert request == dataclasses.replace(SHARED, archive="model.tar.gz")
    digest = "ab" * 32
    request, _ = unit_request(
        ZooEntry("m", "x", sha256=digest, options={"plots": "on"}), SHARED, shared
    )
    assert (request.sha256, request.plots, request.timeout) == (digest, True, 5)
    assert request.output_dir == SHARED.output_dir


@given(st.sets(st.sampled_from(KINDS), min_size=1), st.floats(0, 1e6), st.booleans())
def test_what_was_read_reads_the_same_again(kinds: "set[str]", gamma: float, flag: bool) -> None:
    once = read_options({"kinds": ",".join(kinds), "gamma": repr(gamma), "no-plots": str(flag)})
    assert once == {"kinds": tuple(kinds), "gamma": gamma, "plots": not flag}
    assert read_options(once) == once


def test_a_manifest_cannot_have_code_executed() -> None:
    assert "build_model" in refusal(build_model=True) and "--build-model" in refusal(
        build_model="1"
    )
    request, _ = unit_request(entry(build_model=True), TRUSTED, Settings())
    assert request.build_model
    request, _ = unit_request(entry(build_model=False), TRUSTED, Settings())
    assert not request.build_model
    request, _ = unit_request(entry(overrides="{}", include_package="os"), SHARED, Settings())
    assert not request.build_model


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "linear"}, "unknown option 'kind'; did you mean kinds?"),
        ({"jobs": 2}, "unknown option 'jobs'"),
        ({"sha256": "ab" * 32}, "unknown option 'sha256'"),
        ({"output_dir": "/tmp"}, "unknown option 'output_dir'"),
        ({5: 5}, "unknown option 5"),
        ({"kinds": "lstm"}, "option kinds: no kind is called 'lstm'"),
        ({"kinds": 3}, "option kinds: 3 is not a list of names"),
        ({"kinds": ["linear", 3]}, "option kinds: 3 is not text"),
        ({"kinds": []}, "option kinds: name at least one"),
        ({"kinds": "linear,,"}, "option kinds: is empty"),
        ({"layers": "("}, "option layers: '(' is not a regular expression"),
        ({"layers": 5}, "option layers: 5 is not text; put it in quotes"),
        ({"split_gates": "maybe"}, "option split_gates: 'maybe' is neither true nor false"),
        ({"split_gates": 1}, "option split_gates: 1 is neither true nor false"),
        ({"gamma": "x"}, "option gamma: 'x' is not a number"),
        ({"gamma": True}, "option gamma: True is not a number"),
        ({"gamma": "1_000"}, "option gamma: '1_000' is not a number"),
        ({"gamma": float("nan")}, "option gamma: nan is not a number"),
        ({"gamma": 10**400}, "option gamma: inf is not a number"),
        ({"gamma": -1}, "option gamma: -1.0 is not a number >= 0"),
        ({"max_dim": 1.5}, "option max_dim: 1.5 is not a whole number"),
        ({"max_dim": 0}, "option max-dim: 0 is not a number >= 1"),
        ({"max_dim": 10**300}, "option max_dim: 1"),
        ({"timeout": 0}, "option timeout: 0 is not above 0"),
        ({"max_unpacked_size": "20 cows"}, "option max_unpacked_size: '20 cows' is not a size"),
        ({"max_unpacked_size": 2.5}, "option max_unpacked_size: 2.5 is not a size"),
        ({"max_unpacked_size": -1}, "option max_unpacked_size: '-1' is not a size"),
        ({"plot_format": "gif"}, "option plot_format: 'gif' is none of png, svg, pdf"),
        ({"weights_file": ""}, "option weights_file: is empty"),
        ({"overrides": [1]}, "option overrides: [1] is not text"),
        ({"overrides": {1j: 2}}, "option overrides: {1j: 2} cannot be JSON"),
        ({"plots": True, "no-plots": True}, "option no-plots: is there twice"),
        ({"split-gates": True, "split_gates": True}, "option split_gates: is there twice"),
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


@given(st.text() | st.sampled_from(["0", "0G", "-1", "1\u212a", "1.5G", "G", "٣", "1 G", "1e9"]))
def test_what_is_no_size_is_refused(text: str) -> None:
    digits = text.strip().upper().removesuffix("B").removesuffix("I")[:-1] or text.strip()
    if digits.isascii() and digits.isdigit():
        return
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)
