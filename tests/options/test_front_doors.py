"""Every front door takes the same values of an option, and refuses the same ones."""

import argparse
import sys
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from allennlp_analyze import analyze
from allennlp_analyze.analysis.request import Building, Limits, Writing
from allennlp_analyze.cli import compare, main, series, zoo
from allennlp_analyze.cli.options import chosen
from allennlp_analyze.cli.wording import flag
from allennlp_analyze.errors import OptionError, UsageError
from allennlp_analyze.options.choices import given, laid_over, material
from allennlp_analyze.options.option import Option, Place, Section, Values, options_at
from allennlp_analyze.options.table import TABLE
from allennlp_analyze.options.values import whole
from allennlp_analyze.settings import Settings
from allennlp_analyze.text.redaction import redacted
from allennlp_analyze.zoo.manifest.options import read_options, spellings
from allennlp_analyze.zoo.manifest.reading import Choices, ZooEntry, model_choices
from allennlp_analyze.zoo.run import ZooRequest
from scripts.tools.make_cli_docs import make_manifests_page, make_page

# What each option refuses, as text, and the beginning of the reason.
BAD: "dict[str, tuple[str, str]]" = {
    "kinds": ("lstm", "unknown kind 'lstm'; choose from linear, "),
    "layers": ("*ff", "'*ff' is not a regular expression (nothing to repeat"),
    "loose_tolerance": ("nan", "'nan' is not a number >= 0"),
    "gamma": ("-1", "'-1' is not a number >= 0"),
    "max_dim": ("0", "'0' is not a number >= 1"),
    "base": (" ", "' ' is empty"),
    "jobs": ("2.5", "'2.5' is not a whole number"),
    "cuda_device": ("first", "'first' is not a number"),
    "eigensolver": ("lapack", "'lapack' is not one of auto, openblas, mkl, numpy"),
    "weights_file": ("", "'' is empty"),
    "part": (" ", "' ' is empty"),
    "key": (" ", "' ' is empty"),
    "sha256": ("abc", "'abc' is not a SHA-256 digest of 64 hexadecimal digits"),
    "timeout": ("86401", "'86401' must be a finite number of seconds above 0, at most 86400"),
    "max_unpacked_size": ("20 cows", "'20 cows' is not a size"),
    "overrides": (" ", "' ' is empty"),
    "include_packages": ("", "'' is empty"),
    "allow_rank_loss": ("101", "'101' is not a number from 0 to 100"),
    "directory": ("", "'' is empty"),
    "fail_on": ("worse", "'worse' is not one of hidden, dead_units, near_collapse, collapsed"),
    "annotate": ("gitlab", "'gitlab' is not one of github, junit"),
    "plot_format": ("gif", "'gif' is not one of png, svg, pdf"),
    "table": ("2019", "'2019' is not one of 2018"),
    "reference": (" ", "' ' is empty"),
    "workers": ("0", "'0' is not a number >= 1"),
    "dask": ("", "'' is empty"),
    "interval": ("0", "'0' must be a finite number > 0"),
}
COMMANDS = {
    Place.ANALYZE: (main.make_parser, ["model.tar.gz"]),
    Place.COMPARE: (compare.make_parser, ["a.tar.gz", "b.tar.gz"]),
    Place.ZOO: (zoo.make_parser, ["zoo.yaml"]),
    Place.SERIES: (series.make_parser, ["run"]),
}
SUBCOMMAND = {
    Place.ANALYZE: [],
    Place.COMPARE: ["compare"],
    Place.ZOO: ["zoo"],
    Place.SERIES: ["series"],
}
OFFERED = [(place, name) for place in COMMANDS for name in options_at(place, TABLE) if name in BAD]


def test_every_option_with_a_value_is_tried() -> None:
    commands = {name for place in COMMANDS for name in options_at(place, TABLE)}
    assert set(BAD) == {name for name in commands if not TABLE[name].values.switch}


@pytest.mark.parametrize(("place", "name"), OFFERED, ids=lambda x: getattr(x, "name", x))
def test_a_bad_value_is_one_line_on_the_command_line(
    place: Place, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text, reason = BAD[name]
    written = flag(TABLE[name])
    assert main.main([*SUBCOMMAND[place], *COMMANDS[place][1], f"{written}={text}"]) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1
    assert output.err.startswith(f"error: {written}: {reason}")


@pytest.mark.parametrize("name", sorted(set(BAD) & set(options_at(Place.LIBRARY, TABLE))))
def test_a_bad_value_has_the_same_reason_as_a_keyword(name: str) -> None:
    text, reason = BAD[name]
    with pytest.raises(OptionError) as caught:
        analyze("missing.tar.gz", **{name: text})  # type: ignore[arg-type]
    assert (caught.value.option, caught.value.exit_code) == (name, 2)
    assert str(caught.value).startswith(f"{name}: {reason}")


@pytest.mark.parametrize("name", sorted(set(BAD) & set(options_at(Place.MANIFEST, TABLE))))
def test_a_bad_value_has_the_same_reason_in_a_manifest(name: str) -> None:
    text, reason = BAD[name]
    for written in (name, name.replace("_", "-"), TABLE[name].flag or name):
        with pytest.raises(UsageError) as caught:
            read_options({written: text})
        assert str(caught.value).startswith(f"option {written}: {reason}")


def test_a_bad_value_has_the_same_reason_in_the_dataclass() -> None:
    for name in Settings.__dataclass_fields__:
        if name in BAD:
            with pytest.raises(OptionError) as caught:
                Settings(**{name: BAD[name][0]})
            assert str(caught.value).startswith(f"{name}: {BAD[name][1]}")


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("kinds", "linear, other", ("linear", "other")),
        ("kinds", "linear, other,", ("linear", "other")),
        ("layers", "", ""),
        ("max_dim", sys.maxsize, sys.maxsize),
        ("max_dim", str(sys.maxsize), sys.maxsize),
        ("jobs", 10**19, 10**19),
        ("max_dim", "1e3", 1000),
        ("max_dim", np.int64(1000), 1000),
        ("gamma", "0", 0.0),
        ("gamma", np.float32(0.5), 0.5),
        ("split_gates", "yes", True),
        ("split_gates", np.True_, True),
        ("split_gates", 1, True),
        ("split_gates", np.int64(0), False),
    ],
)
def test_settings_take_text_and_numbers_of_numpy(name: str, written: Any, value: Any) -> None:
    found = getattr(Settings(**{name: written}), name)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("written", [20e9, np.float64(20e9), 20_000_000_000, np.int64(20e9)])
def test_sizes_are_numbers_of_any_type(written: Any) -> None:
    found = Limits(max_unpacked_size=written).max_unpacked_size
    assert (found, type(found)) == (20_000_000_000, int)
    assert Limits(max_unpacked_size=10**30).max_unpacked_size == 10**30


@pytest.mark.parametrize(
    ("name", "written", "reason"),
    [
        ("max_dim", 10**30, f"{10**30} is too large"),
        ("max_dim", "1e30", "'1e30' is too large"),
        ("kinds", ",", "',' names no kind; choose from linear"),
        ("kinds", np.array(3), "3 is not a list of names"),
        ("layers", np.array(["a", "b"]), "array("),
        ("split_gates", 2, "2 must be true or false"),
        ("split_gates", 1.0, "1.0 must be true or false"),
    ],
)
def test_settings_say_why_they_refuse(name: str, written: Any, reason: str) -> None:
    with pytest.raises(OptionError) as caught:
        Settings(**{name: written})
    assert str(caught.value).startswith(f"{name}: {reason}")


# A list of names shows the name that it refuses.
@pytest.mark.parametrize("name", sorted(set(BAD) - {"kinds", "include_packages"}))
@hypothesis.given(st.text(max_size=100) | st.integers() | st.floats())
def test_what_is_refused_is_shown(name: str, value: Any) -> None:
    reason = ""
    try:
        TABLE[name].checked(value)
    except OptionError as error:
        reason = error.reason
    if reason:
        # Text that looks like an address is shown without what may be secret in it.
        assert repr(value)[:57] in reason or redacted(repr(value))[:57] in reason
        assert len(reason.splitlines()) == 1 and len(reason) < 300


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("max_dim", 10**5000, "<int> is too large"),
        ("max_dim", "9" * 4000, f"'{'9' * 56}... is too large"),
        ("max_dim", np.float32(2.5), "2.5 is not a whole number"),
        ("gamma", np.arange(200).reshape(20, 10), "array([[ 0, 1, 2, "),
        ("gamma", Unshowable(), "<Unshowable> is not a number"),
        ("kinds", b"linear", "b'linear' is not a list of names"),
        ("max_unpacked_size", 0.0, "0.0 is not a size; expected one like 500M or 20G"),
        ("max_unpacked_size", "-5G", "'-5G' is not a size; expected one like 500M or 20G"),
        ("max_unpacked_size", True, "True is not a size; expected one like 500M or 20G"),
        ("max_unpacked_size", "x" * 99, f"'{'x' * 56}... is not a size; expected one like"),
        ("weights_file", "a\0b", "'a\\x00b' contains a null character"),
        ("directory", "a\0b", "'a\\x00b' contains a null character"),
    ],
    ids=range(12),
)
def test_values_that_can_hardly_be_shown(name: str, value: Any, reason: str) -> None:
    with pytest.raises(OptionError) as caught:
        TABLE[name].checked(value)
    assert caught.value.reason.startswith(reason)
    assert len(caught.value.reason.splitlines()) == 1 and len(caught.value.reason) < 200


def test_overrides_that_are_an_array_are_not_text() -> None:
    with pytest.raises(OptionError, match="^overrides: array.* is not text"):
        Building(overrides=np.array([1, 2]))  # type: ignore[arg-type]


def test_a_value_reads_the_same_everywhere() -> None:
    text = {"kinds": "other", "timeout": "2.5", "max_unpacked_size": "3G", "sha256": "AB" * 32}
    arguments = [f"{flag(TABLE[name])}={value}" for name, value in text.items()]
    args = main.make_parser().parse_args(["model.tar.gz", *arguments])
    of_command = chosen(args, Place.ANALYZE)
    assert {name: of_command[name] for name in text} == {
        "kinds": ("other",),
        "timeout": 2.5,
        "max_unpacked_size": 3 * 2**30,
        "sha256": "ab" * 32,
    }
    del text["sha256"]  # a key of a model, not an option
    assert read_options(text) == {name: of_command[name] for name in text}


def new_option() -> "dict[str, Option]":
    """A copy of the table with an option that nothing else knows."""
    option = Option(
        "top_layers",
        Values(whole(1), "a whole number >= 1"),
        Section.SELECTION,
        (Place.ANALYZE, Place.ZOO, Place.MANIFEST),
        "only so many of the <largest> layers",
        default=7,
        metavar="COUNT",
        flag="top",
    )
    return {**TABLE, option.name: option}


def test_a_new_option_is_an_argument() -> None:
    table = new_option()
    parser = main.make_parser(table)
    assert "--top COUNT" in parser.format_help()
    args = parser.parse_args(["model.tar.gz", "--top", "3"])
    assert chosen(args, Place.ANALYZE, table)["top_layers"] == 3
    assert chosen(parser.parse_args(["x"]), Place.ANALYZE, table)["top_layers"] == 7
    with pytest.raises(OptionError, match="^top_layers: '0' is not a number >= 1$"):
        chosen(parser.parse_args(["x", "--top", "0"]), Place.ANALYZE, table)
    assert "--top" in zoo.make_parser(table).format_help()
    assert "--top" not in compare.make_parser(table).format_help()


def test_a_new_option_is_in_the_documentation() -> None:
    row = "| `--top COUNT` | only so many of the &lt;largest> layers (default: 7) |"
    assert make_page(new_option()).count(row) == 2
    row = row.replace("`--top COUNT`", "`top_layers` | a whole number >= 1")
    assert row in make_manifests_page(new_option())


def test_a_new_option_is_one_of_manifests() -> None:
    known = spellings(new_option())
    assert read_options({"top": "4"}, known) == read_options({"Top-Layers": 4}, known)
    with pytest.raises(UsageError, match="^option top: 0 is not a number >= 1$"):
        read_options({"top": 0}, known)
    with pytest.raises(UsageError, match="unknown option 'top'"):
        read_options({"top": 4})


def test_what_is_laid_over_and_what_was_given() -> None:
    settings = laid_over(Settings(gamma=1.0), {"gamma": 2, "max_dim": "5", "timeout": 3})
    assert (settings.gamma, settings.max_dim) == (2.0, 5)
    options = {"timeout": 30, "include_packages": [], "sha256": "0", "weights_file": None}
    assert given(options, options) == ("sha256",)


def test_jobs_alone_do_not_matter_to_the_reports() -> None:
    assert set(Settings.__dataclass_fields__) - set(material(Settings())) == {"jobs"}


def test_a_switch_can_be_on_off_or_neither() -> None:
    parser = main.make_parser()
    assert isinstance(parser, argparse.ArgumentParser)
    cases = (
        ([], None),
        (["--plots"], True),
        (["--no-plots"], False),
        (["--plots", "--no-plots"], False),
    )
    for arguments, plots in cases:
        args = parser.parse_args(["x", *arguments])
        assert chosen(args, Place.ANALYZE).get("plots") is plots
    with pytest.raises(SystemExit):
        zoo.make_parser().parse_args(["x", "--no-plots"])


def test_a_format_of_figures_says_that_they_are_drawn() -> None:
    parser = main.make_parser()
    cases: list[tuple[list[str], Any]] = [
        ([], None),
        (["--plots"], "png"),
        (["--plot-format", "svg"], "svg"),
        (["--plots", "--plot-format", "svg"], "svg"),
        (["--no-plots"], None),
    ]
    for arguments, expected in cases:
        choices = chosen(parser.parse_args(["x", *arguments]), Place.ANALYZE)
        assert laid_over(Writing(Path("x")), choices).figures == expected
        found = read_options({name: x for name, x in choices.items() if name.startswith("plot")})
        shared = Choices(plots=False)
        entry = ZooEntry("x", "x", options=found)
        assert model_choices(entry, shared).figures == expected
    for arguments, expected in cases[:4]:
        choices = chosen(zoo.make_parser().parse_args(["x", *arguments]), Place.ZOO)
        assert laid_over(ZooRequest("x", Path("x")), choices).figures == expected
    assert ZooRequest("x", Path("x"), model_plots=True).figures == "png"


def test_a_format_without_figures_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "plots are switched off, so nothing is drawn; omit one of the two"
    assert main.main(["x", "--no-plots", "--plot-format", "svg"]) == 2
    assert capsys.readouterr().err == f"error: --plot-format: {reason}\n"
    with pytest.raises(OptionError, match="plot_format: plots are switched off"):
        Writing(Path("x"), plots=False, plot_format="svg")
    with pytest.raises(OptionError, match="plot_format: plots are switched off"):
        ZooRequest("x", Path("x"), plots=False, plot_format="svg")
    for spelled in ({"plots": False}, {"no-plots": True}):
        with pytest.raises(UsageError) as caught:
            read_options({**spelled, "plot_format": "svg"})
        assert str(caught.value) == f"option plot_format: {reason}"
