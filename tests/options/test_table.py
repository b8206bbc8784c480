"""The table has every option once; the dataclasses, keywords and arguments are those of it."""

import argparse
import dataclasses
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from allennlp_analyze import Report
from allennlp_analyze.analysis.request import Building, Limits, Reading, Writing
from allennlp_analyze.cli import main, zoo
from allennlp_analyze.options.option import COMMANDS, Option, Place, options_at
from allennlp_analyze.options.table import OPTIONS, TABLE
from allennlp_analyze.series.run import SeriesRequest
from allennlp_analyze.settings import Settings
from allennlp_analyze.zoo.manifest.options import Choices
from allennlp_analyze.zoo.run import ZooRequest

MODULES = {
    Place.ANALYZE: main,
    **{Place(module.make_parser().prog): module for module in main.SUBCOMMANDS.values()},
}
# Fields that are no option: what the user names without one, and dataclasses of other fields.
NAMED = {"archive", "manifest", "paths", "limits", "building", "settings"}


def keywords(function: Any) -> dict[str, Any]:
    """The defaults of those that are keywords alone."""
    return {
        parameter.name: parameter.default
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def defaults(options: Mapping[str, Option]) -> dict[str, Any]:
    return {name: option.default for name, option in options.items()}


def test_every_option_is_there_once_and_its_default_is_a_value_of_its_own() -> None:
    assert len(TABLE) == len(OPTIONS)
    for option in OPTIONS:
        assert option.places
        for place in option.places:
            here = option.at(place)
            assert here.help and here.is_default(here.default), option.name
            assert here.checked(here.default) == here.default


@pytest.mark.parametrize(
    ("made", "place"),
    [
        (Settings(), Place.ANALYZE),
        (Limits(), Place.ANALYZE),
        (Reading("x"), Place.ANALYZE),
        (Building(), Place.ANALYZE),
        (Writing(Path("x")), Place.ANALYZE),
        (ZooRequest("x", Path("x")), Place.ZOO),
        (Choices(), Place.ZOO),
        (SeriesRequest(("x",), Path("x")), Place.SERIES),
    ],
    ids=lambda x: type(x).__name__,
)
def test_the_fields_of_the_choices_are_options_with_their_defaults(made: Any, place: Place) -> None:
    for field in dataclasses.fields(made):
        if field.name in NAMED:
            continue
        option = TABLE[field.name].at(place)
        if field.default is not dataclasses.MISSING:
            assert field.default == option.default, field.name


@pytest.mark.parametrize("place", MODULES, ids=lambda place: place.value)
def test_the_arguments_of_a_command_are_its_options(place: Place) -> None:
    parser = MODULES[place].make_parser()
    found = [
        action.dest
        for action in parser._actions
        if action.option_strings and action.dest not in ("help", "version", "install_plugin")
    ]
    assert sorted(found) == sorted(options_at(place, TABLE))
    assert parser.prog == place.value


def test_the_keywords_of_write_and_of_the_monitor() -> None:
    pytest.importorskip("torch")
    from allennlp_analyze import RankMonitor
    from allennlp_analyze.monitor_callbacks import hugging_face_callback, lightning_callback

    assert keywords(Report.write) == defaults(options_at(Place.WRITE, TABLE))
    of_monitor = keywords(RankMonitor.__init__)
    del of_monitor["optimizer"], of_monitor["penalty"]  # objects, not values of an option
    assert of_monitor == defaults(options_at(Place.MONITOR, TABLE))
    of_callback = defaults(options_at(Place.CALLBACK, TABLE))
    for callback in (hugging_face_callback, lightning_callback):
        assert keywords(callback).pop("every") == of_callback["every"]
    assert of_callback == {**of_monitor, "every": None}


def test_the_keywords_of_the_callback_in_allennlp() -> None:
    pytest.importorskip("allennlp", reason="AllenNLP is not installed in this environment")
    from allennlp_analyze.monitor.allennlp import RankMonitorCallback

    parameters = dict(inspect.signature(RankMonitorCallback).parameters)
    del parameters["serialization_dir"]
    found = {name: parameter.default for name, parameter in parameters.items()}
    assert found == defaults(options_at(Place.ALLENNLP, TABLE))


def test_every_subcommand_is_a_module_of_one_form() -> None:
    assert main.SUBCOMMANDS["zoo"] is zoo and set(MODULES) == set(COMMANDS)
    for name, module in main.SUBCOMMANDS.items():
        assert module.NAME == name and module.HELP
        assert module.make_parser().prog == f"allennlp-analyze {name}"
        assert isinstance(module.make_parser(), argparse.ArgumentParser)
        assert list(inspect.signature(module.execute).parameters) == ["args"]
